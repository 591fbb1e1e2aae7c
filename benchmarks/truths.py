"""Images whose truth is known, and how a result is scored against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from restoration import AS_STORED, photograph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Image = Any

# Image and kernel of Levin et al.'s photographs: the first ones are spread over both.
_FIRST = [(1, 1), (2, 8), (1, 6), (2, 4)]
_ALL = [(image, kernel) for kernel in range(1, 9) for image in (1, 2)]
PHOTOGRAPHS = _FIRST + [pair for pair in _ALL if pair not in _FIRST]


@dataclass
class Case:
    """Images of one kind: (data, PSF, truth) each, and how a result is scored."""

    name: str
    images: list[tuple[Image, Image, Image]]
    score: Callable[[Image, Image], dict[str, float]]
    circular: bool = False
    spacing: tuple[float, ...] | None = None


def cases(folder: Path, photographs: int) -> Iterator[Case]:
    """Return all images, with the noise that is added to them."""
    import tifffile

    import napari_deconv as nd
    from napari_deconv.simulation.phantoms import filaments

    def read(*names: str) -> list[Image]:
        return [tifffile.imread(folder / name).astype(np.float32) for name in names]

    data, psf, truth = read(*(f"stack3d_bars/{n}.tif" for n in ("data", "kernel", "actual")))
    yield Case("bars", [(data, psf, truth)], fitted)

    spacing = (0.25, 0.1, 0.1)
    scope = nd.Microscope(numerical_aperture=1.2, immersion_index=1.33, emission_wavelength=0.52)
    psf = nd.generate_psf(scope, (21, 33, 33), spacing)
    (pollen,) = read("stacks/pollen.tif")
    # The middle is seen of a scene that goes on to its sides.
    seen = (slice(4, 28), slice(80, 176), slice(80, 176))
    for photons in (1000, 100, 10):
        yield simulated(f"pollen, {photons} photons", pollen, psf, photons, seen, spacing)
    threads = filaments((32, 160, 160), count=30, spacing=spacing, seed=2)
    seen = (slice(4, 28), slice(32, 128), slice(32, 128))
    yield simulated("filaments, 50 photons", threads, psf, 50, seen, spacing)

    truth, data, psf = read(
        *(f"img2d_gt/{n}.tif" for n in ("Actin3_GroundTruth", "Actin3_blurred", "PSF"))
    )
    # Its origin, (127, 127), comes to n // 2.
    psf = np.pad(psf.clip(min=0), ((1, 0), (1, 0)))
    yield Case("actin, no noise", [(data.clip(min=0), psf, truth)], fitted, circular=True)
    psf = psf[108:149, 108:149]
    for name, corner in (("A", (128, 192)), ("B", (0, 0))):
        seen = tuple(slice(a, a + 192) for a in corner)
        yield simulated(f"actin {name}, 100 photons", truth, psf, 100, seen)

    if (folder / "levin").exists():
        yield Case(
            f"photographs ({photographs})",
            list(photographs_of(folder / "levin", photographs)),
            aligned,
        )


def simulated(
    name: str,
    truth: Image,
    psf: Image,
    photons: float,
    seen: tuple[slice, ...],
    spacing: tuple[float, ...] | None = None,
) -> Case:
    """Return what a camera sees that counts photons: so many in the brightest voxel of its view."""
    from napari_deconv.simulation.imaging import convolve

    truth = truth / truth.max()
    clean = convolve(truth, psf, borders="circular" if truth.ndim == 2 else "zero")[seen].clip(
        min=0
    )
    image = np.random.default_rng(0).poisson(clean * (photons / clean.max())).astype(np.float32)
    return Case(name, [(image, psf, np.ascontiguousarray(truth[seen]))], fitted, spacing=spacing)


def photographs_of(folder: Path, count: int) -> Iterator[tuple[Image, Image, Image]]:
    """Return photographs of Levin et al., in the order of ``PHOTOGRAPHS``."""
    for image, kernel in PHOTOGRAPHS[:count]:
        psf = photograph(folder / f"kernel{kernel}.png")
        yield (
            photograph(folder / f"im{image}_kernel{kernel}_blurred.png"),
            psf if kernel in AS_STORED else np.ascontiguousarray(psf[::-1, ::-1]),
            photograph(folder / f"im{image}_gt.png"),
        )


def fitted(image: Image, truth: Image) -> dict[str, float]:
    """Score an image after the best scaling and offset."""
    from napari_deconv.assessment import psnr, scale_invariant_snr, ssim

    x, y = image.astype(np.float64), truth.astype(np.float64)
    slope = float(np.cov(x.ravel(), y.ravel())[0, 1] / max(x.var(), 1e-300))
    fit = slope * (x - x.mean()) + y.mean()
    return {"psnr": psnr(fit, y), "ssim": ssim(fit, y), "snr": scale_invariant_snr(x, y)}


def aligned(image: Image, truth: Image, *, reach: int = 6, crop: int = 15) -> dict[str, float]:
    """Score a photograph at the best shift of up to six pixels, in steps of a quarter."""
    from napari_deconv.assessment import psnr, scale_invariant_snr, shift_image, ssim

    inside = (slice(crop, -crop),) * 2

    def error(moved: Image) -> float:
        return float(np.mean((moved[inside].astype(np.float64) - truth[inside]) ** 2))

    whole = [(a, b) for a in range(-reach, reach + 1) for b in range(-reach, reach + 1)]
    best = min(whole, key=lambda s: error(np.roll(image, s, (0, 1))))
    quarters = np.arange(-3, 4) / 4
    moved = [shift_image(image, (best[0] + a, best[1] + b)) for a in quarters for b in quarters]
    result, reference = min(moved, key=error)[inside], truth[inside]
    # A photograph's white is 1, whatever is brightest in it.
    lift = -20 * np.log10(float(reference.max()))
    return {
        "psnr": psnr(result, reference) + lift,
        "ssim": ssim(result, reference),
        "snr": scale_invariant_snr(result, reference),
    }
