"""Table 2 of the LUCYD paper: restored phantoms against what a Gaussian and Richardson-Lucy reach.

    python benchmarks/lucyd.py --weights mixture [--oracle] [--json FILE]

Protocol, as in the authors' notebook: a phantom of Li et al. that nothing was trained on, blurred
by a Gaussian cut to 7 voxels, scaled to its brightest voxel, noise in 8-bit grey levels; 128
random crops of 32 x 64 x 64; one mean and one variance of a crop for its SSIM (C1 1e-4, C2 9e-4),
PSNR with the crop's brightest voxel. Beyond the protocol: every contender, the image itself
included, is fitted to the truth by one factor and one offset for the whole volume, since each has
its own unit.
``windowed`` is the SSIM of Wang et al. 2004, which is what others call SSIM.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import napari_deconv as nd
from napari_deconv.training.crowds import crowd, gaussian
from napari_deconv.training.degradations import blurred

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

CELLS = [(b, n) for b in (0.5, 2.0) for n in (20, 50, 70, 100)]
PAPER = {
    (0.5, 20): (0.9725, 26.85),
    (0.5, 50): (0.9463, 24.35),
    (0.5, 70): (0.9040, 21.78),
    (0.5, 100): (0.7233, 17.47),
    (2.0, 20): (0.9271, 23.49),
    (2.0, 50): (0.8575, 21.00),
    (2.0, 70): (0.7995, 19.38),
    (2.0, 100): (0.6311, 16.42),
}
CROP, CROPS = {3: (32, 64, 64), 2: (64, 64)}, 128
_UNSEEN = 987_654_321


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", nargs="+", default=["mixture"])
    parser.add_argument("--oracle", action="store_true", help="with the best Richardson-Lucy")
    parser.add_argument("--seed", type=int, default=_UNSEEN)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--planes", action="store_true", help="the same in planes")
    parser.add_argument("--robust", action="store_true", help="offsets, gains and voxel shapes")
    parser.add_argument("--json")
    given = parser.parse_args()
    shape = (4 * given.side,) * 2 if given.planes else (given.side,) * 3
    truth = crowd(shape, given.seed)
    table: dict[str, Any] = {}
    for blur, noise in CELLS:
        image = seen(truth, blur, noise, given.seed)
        contenders: dict[str, Callable[[], Volume]] = {
            "image": lambda image=image: image,
            "best Gaussian": lambda image=image: best_gaussian(image, truth),
        }
        if given.oracle:
            contenders["Gaussian, then Richardson-Lucy"] = lambda image=image, blur=blur: (
                best_richardson_lucy(image, truth, blur)
            )
        for name in given.weights:
            contenders[name] = lambda image=image, name=name: nd.restore(
                image, "lucyd", weights=name
            )
        row = {}
        for name, make in contenders.items():
            started = time.perf_counter()
            made = make()
            seconds = time.perf_counter() - started
            row[name] = {**figures(made, truth, given.seed), "seconds": round(seconds, 2)}
            ssim, psnr = row[name]["ssim"], row[name]["psnr"]
            print(
                f"{blur:3} {noise:3}  paper {PAPER[blur, noise][0]:.4f}/{PAPER[blur, noise][1]:.2f}"
                f"  {name:30} {ssim:.4f}/{psnr:.2f}  windowed {row[name]['windowed']:.3f}"
                f"  light {row[name]['light']:.3f}  {seconds:.1f} s",
                flush=True,
            )
        table[f"{blur}/{noise}"] = row
    if given.robust:
        table["robust"] = robust(truth, given.weights[0], given.seed)
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump(table, file, indent=1)


def seen(truth: Volume, blur: float, noise: float, seed: int) -> Volume:
    """Return the image of the protocol."""
    image = blurred(truth, blur, 7)
    random = np.random.default_rng([seed, int(10 * blur), int(noise)])
    return (image / image.max() + random.normal(0, noise / 255, truth.shape)).astype(np.float32)


def fitted(made: Volume, truth: Volume) -> Volume:
    """Return an image with the factor and the offset that bring it nearest to the truth."""
    x, y = made.ravel().astype(np.float64), truth.ravel().astype(np.float64)
    slope = np.mean((x - x.mean()) * (y - y.mean())) / max(float(x.var()), 1e-20)
    return (slope * (made - x.mean()) + y.mean()).astype(np.float32)


def figures(made: Volume, truth: Volume, seed: int) -> dict[str, float]:
    """Return the protocol's figures of an image, and two beyond it."""
    from skimage.metrics import structural_similarity

    fit = fitted(made, truth)
    random, crop = np.random.default_rng([seed, 3]), CROP[truth.ndim]
    ssims, psnrs = [], []
    for _ in range(CROPS):
        starts = random.integers(0, np.array(truth.shape) - crop + 1)
        box = tuple(slice(a, a + c) for a, c in zip(starts, crop, strict=True))
        x, y = fit[box].astype(np.float64), truth[box].astype(np.float64)
        covariance = np.mean((x - x.mean()) * (y - y.mean()))
        luminance = (2 * x.mean() * y.mean() + 1e-4) / (x.mean() ** 2 + y.mean() ** 2 + 1e-4)
        ssims.append(luminance * (2 * covariance + 9e-4) / (x.var() + y.var() + 9e-4))
        psnrs.append(10 * np.log10(y.max() ** 2 / np.mean((x - y) ** 2)))
    windowed = structural_similarity(
        fit, truth, gaussian_weights=True, use_sample_covariance=False, data_range=1.0
    )
    return {
        "ssim": float(np.mean(ssims)),
        "psnr": float(np.mean(psnrs)),
        "windowed": float(windowed),
        "light": float(made.mean(dtype=np.float64) / truth.mean(dtype=np.float64)),
    }


def best_gaussian(image: Volume, truth: Volume) -> Volume:
    from scipy.ndimage import gaussian_filter

    made = [gaussian_filter(image, s) for s in (0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5, 1.8, 2.1)]
    return min(made, key=lambda m: float(np.square(fitted(m, truth) - truth).mean()))


def at_borders(truth: Volume, image: Volume, weights: str) -> dict[str, float]:
    """Return the PSNR in the outermost four voxels, with more and more of a mirror image around."""
    middle = tuple(slice(n // 4, -(n // 4)) for n in truth.shape)
    part, against = image[middle], truth[middle]
    rim = np.ones(part.shape, bool)
    rim[(slice(4, -4),) * part.ndim] = False
    level, scale = float(np.median(image)), float(np.quantile(image, 0.999))
    found = {}
    for more in (0, 4, 20):
        made = nd.restore(
            np.pad(part, more, mode="symmetric"), "lucyd", weights=weights, level=level, scale=scale
        )
        made = made[tuple(slice(more, more + n) for n in part.shape)]
        error = np.square(fitted(made, against) - against)[rim].mean()
        name = f"borders, {more} voxels more around"
        found[name] = float(10 * np.log10(against.max() ** 2 / error))
        print(f"{name:30} {found[name]:.2f} dB", flush=True)
    return found


def best_flat_gaussian(image: Volume, truth: Volume) -> Volume:
    """Return the best of many Gaussians whose width along z is one of its own."""
    from scipy.ndimage import gaussian_filter

    made = [
        gaussian_filter(image, (z, width, width))
        for z in (0.0, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
        for width in (0.5, 0.7, 0.85, 1.0, 1.2)
    ]
    return min(made, key=lambda m: float(np.square(fitted(m, truth) - truth).mean()))


def psf_of(blur: float, ndim: int) -> Volume:
    """Return the PSF of the protocol."""
    psf = line = gaussian(blur, 7)
    for _ in range(ndim - 1):
        psf = psf[..., None] * line
    return psf


def best_richardson_lucy(image: Volume, truth: Volume, blur: float) -> Volume:
    """Return the best of many: widths of a Gaussian before it, and numbers of steps, true PSF."""
    from scipy.ndimage import gaussian_filter

    from napari_deconv.operators.convolution import Convolution

    model = Convolution(psf_of(blur, truth.ndim), truth.shape, "zero")
    best, least = image, np.inf
    for width in (0.5, 0.7, 1.0, 1.3, 1.5):
        y = torch.from_numpy(np.maximum(gaussian_filter(image, width), 0))
        estimate = torch.full_like(y, float(y.mean()))
        for step in range(20):
            ratio = y / model(estimate).clamp(min=1e-6)
            estimate = estimate * model.adjoint(ratio) / model.sensitivity
            error = float(np.square(fitted(estimate.numpy(), truth) - truth).mean())
            if error < least:
                best, least = estimate.numpy().copy(), error
            elif step > 4 and error > 1.05 * least:
                break
    return best


def robust(truth: Volume, weights: str, seed: int) -> dict[str, float]:
    """Return the PSNR where units and voxels are others than in training."""
    image = seen(truth, 0.5, 50, seed)
    found = {}

    def score(name: str, other: Volume, against: Volume = truth, **options: Any) -> None:
        made = nd.restore(other, "lucyd", weights=weights, **options)
        error = np.square(fitted(made, against) - against).mean()
        found[name] = float(10 * np.log10(against.max() ** 2 / error))
        print(f"{name:30} {found[name]:.2f} dB", flush=True)

    score("as it is", image)
    for offset in (0.1, 0.2, 0.5):
        score(f"offset {offset}", image + np.float32(offset))
    for gain in (0.1, 0.5, 2.0, 10.0):
        score(f"gain {gain}", np.float32(gain) * image)
    score("8 bit", np.clip(np.round(128 * image + 64), 0, 255).astype(np.uint8))
    score("16 bit", np.clip(np.round(20_000 * image + 10_000), 0, 65535).astype(np.uint16))
    found |= at_borders(truth, image, weights)
    for apart in (1, 2, 3, 4):
        # The same stack with planes left out; what is lost with them is lost to a Gaussian, too.
        some, against = image[::apart], truth[::apart]
        options = {"spacing": (0.1 * apart, 0.1, 0.1)}
        score(f"planes {apart} apart", some, against, **options)
        error = np.square(fitted(best_flat_gaussian(some, against), against) - against).mean()
        name = f"planes {apart} apart, best Gaussian"
        found[name] = float(10 * np.log10(against.max() ** 2 / error))
        print(f"{name:30} {found[name]:.2f} dB", flush=True)
    return found


if __name__ == "__main__":
    main()
