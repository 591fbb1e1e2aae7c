"""deep-blur's restoration: what the PSF that was found is worth, and blur that varies.

    python benchmarks/deep_blur.py DATA [--part restoration|variant|time] [--cases 8] [--json FILE]

Objects are photographs that nothing was trained on (Kodak 17 to 24, whole) and microscope images
(img2d), scaled to 0 to 1. Their PSFs have 31 x 31 pixels, cutoff 0.2 cycles per pixel, Noll 4 to 11
with coefficients evenly between -0.15 and 0.15 waves, computed by a Fourier transform of 65 x 65
points. What is blurred is larger than what is seen, so borders are true. SSIM is that of
``napari_deconv.assess``, nothing fitted. Richardson-Lucy stops by itself.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np
from scipy.signal import fftconvolve

import napari_deconv as nd
from napari_deconv.optics import zernike

SIDE, CUTOFF, AMPLITUDE = 31, 0.2, 0.15
SIGMAS = (0.0, 0.003, 0.02, 0.05)
MODES = range(4, 12)
_UNSEEN = range(17, 25)
MICROSCOPY = (
    "BPAE_actin",
    "BPAE_mito",
    "rat_hippocampal_neuron",
    "bacteria_cords_thin",
    "nup",
    "Lund_MAX_001300",
    "celegans_airyscan",
    "microtubules",
)

Image = Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the test images")
    parser.add_argument("--part", choices=("restoration", "variant", "time"), nargs="*")
    parser.add_argument("--cases", type=int, default=8, help="images of each kind")
    parser.add_argument("--sizes", type=int, nargs="*", default=[256, 480])
    parser.add_argument("--weights", default="small")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = {}
    parts = given.part or ("restoration", "variant", "time")
    if "restoration" in parts:
        found["restoration"] = restoration(given)
    if "variant" in parts:
        found["variant"] = variant(given)
    if "time" in parts:
        found["time"] = seconds(given)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


def restoration(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Compare blurred, Richardson-Lucy and deep-blur, with PSFs found and true."""
    all_rows = []
    for kind, objects in (("photographs", photographs), ("microscopy", microscopy)):
        for size in given.sizes:
            rows = []
            for sigma in SIGMAS:
                scores = [
                    _compared(thing, number, sigma, given.weights)
                    for number, thing in enumerate(objects(given.data, size, given.cases))
                ]
                if not scores:
                    continue
                mean = {name: float(np.mean([s[name] for s in scores])) for name in scores[0]}
                mean["share"] = (mean["found"] - mean["blurred"]) / (mean["true"] - mean["blurred"])
                rows.append({"kind": kind, "size": size, "sigma": sigma, "n": len(scores)} | mean)
            names = [
                "sigma",
                "n",
                "psf_snr",
                "blurred",
                "found",
                "rl_found",
                "true",
                "rl_true",
                "share",
            ]
            cells = [[row[name] for name in names] for row in rows]
            harness.table(f"{kind}, {size} x {size}: SSIM", names, cells)
            all_rows += rows
    return all_rows


def _compared(thing: Image, number: int, sigma: float, weights: str) -> dict[str, float]:
    random = np.random.default_rng([number, 5])
    psf = aberrated(random.uniform(-AMPLITUDE, AMPLITUDE, len(MODES)))
    image, truth = seen(thing, psf)
    image = (image + sigma * random.standard_normal(image.shape)).astype(np.float32)

    def ssim(result: Image) -> float:
        return float(nd.assess(result, reference=truth).ssim)

    blind, details = nd.restore(image, "deep-blur", weights=weights, details=True)
    error = float(((details.psf - psf) ** 2).sum() / (psf**2).sum())
    return {
        "psf_snr": -10 * np.log10(error),
        "expected": details.found["expected_snr"],
        "blurred": ssim(image),
        "found": ssim(blind),
        "rl_found": ssim(nd.restore(image, "richardson-lucy", details.psf)),
        "true": ssim(nd.restore(image, "deep-blur", psf, weights=weights)),
        "rl_true": ssim(nd.restore(image, "richardson-lucy", psf)),
    }


def variant(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Compare a blur that varies, restored as such and as if it did not."""
    rows = []
    for sigma in SIGMAS:
        scores = []
        for number, thing in enumerate(microscopy(given.data, 256, given.cases)):
            random = np.random.default_rng([number, 6])
            shape = thing.shape
            places, psfs = smooth_field(random, shape)
            model = nd.VariantPsf.from_psfs(psfs, places, shape, terms=5, align=False)
            image, inner = varied(thing, model)
            truth, part = thing[inner], model.part([s.start for s in inner], image.shape)
            image = (image + sigma * random.standard_normal(image.shape)).astype(np.float32)

            def ssim(result: Image, truth: Image = truth) -> float:
                return float(nd.assess(result, reference=truth).ssim)

            scores.append(
                {
                    "residual": model.residual,
                    "blurred": ssim(image),
                    "varying": ssim(
                        nd.restore(image, "deep-blur", part, weights=given.weights, psf_error=0.02)
                    ),
                    "mean PSF": ssim(
                        nd.restore(image, "deep-blur", part.mean, weights=given.weights)
                    ),
                    "blind": ssim(nd.restore(image, "deep-blur", weights=given.weights)),
                    "rl varying": ssim(nd.restore(image, "richardson-lucy", part)),
                }
            )
        mean = {name: float(np.mean([s[name] for s in scores])) for name in scores[0]}
        rows.append({"sigma": sigma, "n": len(scores)} | mean)
    names = list(rows[0])
    harness.table("5 eigen-PSFs, smooth fields: SSIM", names, [[r[n] for n in names] for r in rows])
    return rows


def seconds(given: argparse.Namespace) -> dict[str, float]:
    """Time 512 x 512, after a first run that loads everything; on the clock and the processor's.

    The processor's seconds, which other programs do not lengthen, are what one core would take.
    """
    import torch

    thing = next(iter(photographs(given.data, 480, 1)))
    random = np.random.default_rng(0)
    psf = aberrated(random.uniform(-AMPLITUDE, AMPLITUDE, len(MODES)))
    image = fftconvolve(np.pad(thing, 32, mode="reflect"), psf, "valid")[:512, :512]
    image = (image + 0.02 * random.standard_normal(image.shape)).astype(np.float32)
    found = {"threads": float(torch.get_num_threads())}
    for name, options in (("blind", {}), ("with a PSF", {"psf": psf})):
        times = []
        for _ in range(4):
            started = time.perf_counter(), time.process_time()
            nd.restore(image, "deep-blur", weights=given.weights, **options)
            times.append((time.perf_counter() - started[0], time.process_time() - started[1]))
        found[name], found[f"{name}, processor"] = (
            min(each) for each in zip(*times[1:], strict=True)
        )
    harness.table("512 x 512, seconds", list(found), [list(found.values())])
    return found


def photographs(data: Path, size: int, count: int) -> list[Image]:
    """Return parts of photographs that nothing was trained on, with a margin around."""
    with np.load(data / "natural" / "kodak_144x256x256_gray.npz") as stored:
        images, names = stored["images"], [str(name) for name in stored["names"]]
    found = []
    for number in list(_UNSEEN) * (1 + count // len(_UNSEEN)):
        tiles = {
            n[-2:]: each for n, each in zip(names, images, strict=True) if n[:2] == f"{number}"
        }
        rows, columns = (range(1 + max(int(place[axis]) for place in tiles)) for axis in (0, 1))
        whole = np.block([[tiles[f"{i}{j}"] for j in columns] for i in rows])
        whole = whole.astype(np.float32) / 255
        found.append(_part(whole, size, number + 100 * len(found)))
    return found[:count]


def microscopy(data: Path, size: int, count: int) -> list[Image]:
    """Return parts of microscope images, brightness 0 to 1, with a margin around."""
    import tifffile

    found = []
    for name in MICROSCOPY:
        image = tifffile.imread(data / "img2d" / f"{name}.tif").astype(np.float32)
        low, high = np.quantile(image, [0.001, 0.999])
        image = np.clip((image - low) / (high - low), 0, 1)
        if min(image.shape) >= size + SIDE - 1:
            found.append(_part(image, size, len(found)))
    return found[:count]


def _part(whole: Image, size: int, seed: int) -> Image:
    side = size + SIDE - 1
    random = np.random.default_rng([seed, 4])
    y, x = (int(random.integers(n - side + 1)) for n in whole.shape)
    return whole[y : y + side, x : x + side]


def aberrated(coefficients: Image, points: int = 65) -> Image:
    """Return the PSF of a pupil: its Fourier transform, squared."""
    frequency = np.fft.fftfreq(points) / CUTOFF
    y, x = np.meshgrid(frequency, frequency, indexing="ij")
    radius = np.maximum(np.hypot(y, x), 1.0)
    phase = np.tensordot(coefficients, zernike.basis(MODES, y / radius, x / radius), 1)
    step = 1 / (CUTOFF * points)
    pupil = zernike.coverage(y, x, step) * np.exp(2j * np.pi * phase)
    psf = np.fft.fftshift(np.abs(np.fft.ifft2(pupil)) ** 2)
    inside = slice(points // 2 - SIDE // 2, points // 2 + SIDE // 2 + 1)
    psf = psf[inside, inside]
    return psf / psf.sum()


def seen(thing: Image, psf: Image) -> tuple[Image, Image]:
    """Return the image of an object's middle, and that middle."""
    margin = SIDE // 2
    return fftconvolve(thing, psf, "valid"), thing[margin:-margin, margin:-margin]


def smooth_field(random: np.random.Generator, shape: tuple[int, ...]) -> tuple[Image, Image]:
    """Return places on a grid, and PSFs whose aberrations grow linearly and squarely there."""
    axes = [np.linspace(0, n - 1, 5) for n in shape]
    places = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], 1)
    y, x = ((places / (np.array(shape) - 1)) * 2 - 1).T
    terms = np.stack([np.ones_like(x), x, y, x * x - 0.5, y * y - 0.5, x * y])
    field = random.uniform(-1, 1, (len(MODES), len(terms))) * [1, 0.7, 0.7, 0.5, 0.5, 0.5]
    coefficients = 0.1 * field @ terms
    return places, np.array([aberrated(c) for c in coefficients.T])


def varied(thing: Image, model: Any) -> tuple[Image, tuple[slice, ...]]:
    """Return the image of an object's middle by a blur that varies, and where that is."""
    weights = model.weights([np.arange(n, dtype=float) for n in thing.shape])
    image = sum(
        fftconvolve(weight * thing, psf, "valid")
        for weight, psf in zip(weights, model.components, strict=True)
    )
    margin = SIDE // 2
    return image, tuple(slice(margin, n - margin) for n in thing.shape)


if __name__ == "__main__":
    main()
