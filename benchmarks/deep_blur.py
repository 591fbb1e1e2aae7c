"""deep-blur's restoration: what the PSF that was found is worth, and blur that varies.

    python benchmarks/deep_blur.py DATA [--part restoration|variant|field|told|time] [--cases 8]

Objects and PSFs are those of ``identification.py``, coefficients evenly between -0.15 and 0.15
waves. What is blurred is larger than what is seen, so borders are true. SSIM is that of
``napari_deconv.assess``, nothing fitted. Richardson-Lucy stops by itself. "Turned rightly" is with
the PSFs that were found, each the way round that the truth tells.
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
from identification import MODES, SIDE, SIGMAS, microscopy, photographs, psf_of, signal
from napari_deconv.methods.deep_blur import FELT

AMPLITUDE = 0.15
# Largest constant, slopes and curvatures of a field's coefficients, in 0.1 waves.
_WILD, _MILD = (1, 0.7, 0.7, 0.5, 0.5, 0.5), (1, 0.35, 0.35, 0.2, 0.2, 0.2)

Image = Any


PARTS = ("restoration", "variant", "field", "told", "time")
# Shares of the error that is expected of a PSF, to tell the network.
TOLD = (0.35, 0.5, 0.7, 1.0, 1.4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the test images")
    parser.add_argument("--part", choices=PARTS, nargs="*")
    parser.add_argument("--cases", type=int, default=8, help="images of each kind")
    parser.add_argument("--sizes", type=int, nargs="*", default=[256, 480])
    parser.add_argument("--sigmas", type=float, nargs="*", default=[0.003, 0.02])
    parser.add_argument("--weights", default="small")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = {}
    wanted = given.part or PARTS
    if "restoration" in wanted:
        found["restoration"] = restoration(given)
    if "variant" in wanted:
        found["variant"] = variant(given)
    if "field" in wanted:
        found["field"] = field(given)
    if "told" in wanted:
        found["told"] = told(given)
    if "time" in wanted:
        found["time"] = seconds(given)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


def restoration(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Compare blurred, Richardson-Lucy and deep-blur, with PSFs found and true."""
    all_rows = []
    for kind, objects in (
        ("photographs", photographs(given.data)),
        ("microscopy", microscopy(given.data)),
    ):
        for size in given.sizes:
            rows = []
            for sigma in SIGMAS:
                scores = [
                    _compared(thing, number, sigma, given.weights)
                    for number, thing in enumerate(parts(objects, size, given.cases))
                ]
                if not scores:
                    continue
                mean = {name: float(np.mean([s[name] for s in scores])) for name in scores[0]}
                gain = mean["true"] - mean["blurred"]
                mean["share"] = (mean["found"] - mean["blurred"]) / gain
                mean["share, turned rightly"] = (mean["right"] - mean["blurred"]) / gain
                about = {"kind": kind, "size": size, "sigma": sigma, "n": len(scores)}
                rows.append(about | mean | {"each": scores})
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
                "share, turned rightly",
            ]
            cells = [[row[name] for name in names] for row in rows]
            harness.table(f"{kind}, {size} x {size}: SSIM", names, cells)
            all_rows += rows
    return all_rows


def _behind(thing: Image, number: int, sigma: float) -> tuple[Image, Image, Image]:
    """Return a noisy image of a thing's middle, that middle, and the PSF, drawn by a number."""
    random = np.random.default_rng([number, 5])
    psf = psf_of(random.uniform(-AMPLITUDE, AMPLITUDE, len(MODES)))
    image, truth = seen(thing, psf)
    image = (image + sigma * random.standard_normal(image.shape)).astype(np.float32)
    return image, truth, psf


def _compared(thing: Image, number: int, sigma: float, weights: str) -> dict[str, float]:
    image, truth, psf = _behind(thing, number, sigma)

    def ssim(result: Image) -> float:
        return float(nd.assess(result, reference=truth).ssim)

    blind, details = nd.restore(image, "deep-blur", weights=weights, details=True)
    turned = details.psf[::-1, ::-1]
    right = ssim(blind)
    if signal(turned, psf) > signal(details.psf, psf):
        given = {"weights": weights, "psf_error": details.parameters["psf_error"]}
        right = ssim(nd.restore(image, "deep-blur", turned, **given))
    return {
        "psf_snr": signal(details.psf, psf),
        "expected": details.found["expected_snr"],
        "blurred": ssim(image),
        "found": ssim(blind),
        "right": right,
        "rl_found": ssim(nd.restore(image, "richardson-lucy", details.psf)),
        "true": ssim(nd.restore(image, "deep-blur", psf, weights=weights)),
        "rl_true": ssim(nd.restore(image, "richardson-lucy", psf)),
    }


def variant(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Compare a blur that varies, restored as such and as if it did not."""
    rows = []
    for sigma in SIGMAS:
        scores = []
        for number, thing in enumerate(parts(microscopy(given.data), 256, given.cases)):
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


def field(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Find a field in the image and restore with it, beside one PSF for all of the image."""
    rows = []
    for kind, objects in (
        ("photographs", photographs(given.data)),
        ("microscopy", microscopy(given.data)),
    ):
        for sigma in given.sigmas:
            scores = [
                _field_found(thing, number, sigma, given.weights)
                for number, thing in enumerate(parts(objects, max(given.sizes), given.cases))
            ]
            mean = {name: float(np.mean([s[name] for s in scores])) for name in scores[0]}
            rows.append({"kind": kind, "sigma": sigma, "n": len(scores)} | mean)
            names = list(rows[-1])
            harness.table(f"a field, {kind}", names, [[rows[-1][n] for n in names]])
    return rows


def _field_found(thing: Image, number: int, sigma: float, weights: str) -> dict[str, float]:
    random = np.random.default_rng([number, 6])
    places, psfs = smooth_field(random, thing.shape, _MILD)
    model = nd.VariantPsf.from_psfs(psfs, places, thing.shape, terms=5, align=False)
    image, inner = varied(thing, model)
    truth, part = thing[inner], model.part([s.start for s in inner], image.shape)
    image = (image + sigma * random.standard_normal(image.shape)).astype(np.float32)
    began = time.process_time()
    found = nd.identify_field(image)
    took = time.process_time() - began
    one = nd.identify(image)
    where = [(y, x) for y in found.places[0] for x in found.places[1]]

    def decibels(psf_at: Any) -> float:
        return float(np.mean([signal(psf_at(at), part.at(at)) for at in where]))

    def ssim(method: str, psf: Any, **options: Any) -> float:
        return float(nd.assess(nd.restore(image, method, psf, **options), reference=truth).ssim)

    error = FELT * 10 ** (-found.expected_snr / 20)
    blind = nd.restore(image, "deep-blur", weights=weights)
    return {
        "residual": model.residual,
        "degree": found.degree,
        "field, dB": decibels(found.psf.at),
        "expected, dB": found.expected_snr,
        "one PSF, dB": decibels(lambda at: one.psf),
        "true mean, dB": decibels(lambda at: part.mean),
        "blurred": float(nd.assess(image, reference=truth).ssim),
        "deep-blur, field": ssim("deep-blur", found.psf, weights=weights, psf_error=error),
        "deep-blur, one": float(nd.assess(blind, reference=truth).ssim),
        "deep-blur, true": ssim("deep-blur", part, weights=weights, psf_error=0.02),
        "rl, field": ssim("richardson-lucy", found.psf),
        "rl, one": ssim("richardson-lucy", one.psf),
        "s": took,
    }


def told(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Tell the network shares of what is expected to be wrong with the PSF that was found.

    The share is chosen on photographs 15 and 16, an actin image and drawn scenes, which other parts
    do not look at; the weighing knows the photographs and the scenes, and the restoration knows
    photograph 15. Nothing here was learned from the objects of the other parts, which come last.
    """
    import tifffile

    from napari_deconv.training.blind_scenes import scene

    actin = tifffile.imread(given.data / "img2d_gt" / "Actin3_GroundTruth.tif").astype(np.float64)
    low, high = np.quantile(actin, (0.001, 0.999))
    drawn = [scene([999, number]) for number in range(7)]
    rows = []
    for kind, objects in (
        ("photographs 15, 16", photographs(given.data, (15, 16))),
        ("actin, drawn", [np.clip((actin - low) / (high - low), 0, 1.5), *drawn]),
        ("photographs", photographs(given.data)),
        ("microscopy", microscopy(given.data)),
    ):
        for sigma in SIGMAS:
            scores = [
                _told(thing, number, sigma, given.weights)
                for number, thing in enumerate(parts(objects, 256, given.cases))
            ]
            mean = {name: float(np.mean([s[name] for s in scores])) for name in scores[0]}
            rows.append({"kind": kind, "sigma": sigma, "n": len(scores)} | mean)
    names = list(rows[0])
    cells = [[r[n] for n in names] for r in rows]
    harness.table("shares of the expected error, told: SSIM", names, cells)
    return rows


def _told(thing: Image, number: int, sigma: float, weights: str) -> dict[str, float]:
    image, truth, psf = _behind(thing, number, sigma)
    found = nd.identify(image)
    error = 10 ** (-found.expected_snr / 20)
    scores = {"PSF, dB": signal(found.psf, psf), "expected, dB": found.expected_snr}
    for share in TOLD:
        options = {"weights": weights, "psf_error": min(0.5, share * error)}
        result = nd.restore(image, "deep-blur", found.psf, **options)
        scores[f"{share:g}"] = float(nd.assess(result, reference=truth).ssim)
    return scores


def seconds(given: argparse.Namespace) -> dict[str, float]:
    """Time 512 x 512, after a first run that loads everything; on the clock and the processor's.

    The processor's seconds, which other programs do not lengthen, are what one core would take.
    """
    import torch

    (thing,) = parts(photographs(given.data), 480, 1)
    random = np.random.default_rng(0)
    psf = psf_of(random.uniform(-AMPLITUDE, AMPLITUDE, len(MODES)))
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


def parts(objects: list[Image], size: int, count: int) -> list[Image]:
    """Return parts of objects that are large enough, with a margin around."""
    side, found = size + SIDE - 1, []
    large = [each for each in objects if min(each.shape) >= side]
    for number in range(count if large else 0):
        whole = large[number % len(large)]
        random = np.random.default_rng([number, 4])
        y, x = (int(random.integers(n - side + 1)) for n in whole.shape)
        found.append(whole[y : y + side, x : x + side].astype(np.float32))
    return found


def seen(thing: Image, psf: Image) -> tuple[Image, Image]:
    """Return the image of an object's middle, and that middle."""
    margin = SIDE // 2
    return fftconvolve(thing, psf, "valid"), thing[margin:-margin, margin:-margin]


def smooth_field(
    random: np.random.Generator, shape: tuple[int, ...], largest: Image = _WILD
) -> tuple[Image, Image]:
    """Return places on a grid, and PSFs whose aberrations grow linearly and squarely there."""
    axes = [np.linspace(0, n - 1, 5) for n in shape]
    places = np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], 1)
    y, x = ((places / (np.array(shape) - 1)) * 2 - 1).T
    terms = np.stack([np.ones_like(x), x, y, x * x - 0.5, y * y - 0.5, x * y])
    field = random.uniform(-1, 1, (len(MODES), len(terms))) * largest
    coefficients = 0.1 * field @ terms
    return places, np.array([psf_of(c) for c in coefficients.T])


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
