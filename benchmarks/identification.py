"""deep-blur's identification: how near the PSF comes that is found in one image.

    python benchmarks/identification.py DATA [--part ...] [--cases 24] [--sizes 128 256 512]

Objects are photographs that nothing was trained on (Kodak 17 to 24) and microscope images (img2d),
scaled to 0 to 1. Their PSFs have 31 x 31 pixels, cutoff 0.2 cycles per pixel, Noll 4 to 11 with
coefficients evenly between -A and A waves, computed by a Fourier transform of 256 x 256 points; a
size is that of the object, of which 15 pixels along each border are not seen. Figures are mean and
median of -10 log10(|h - h'|^2 / |h|^2), the paper's equation 6, with the way round as the program
decides it; "either way" is the better of the two, "expected" what the program says of its own. The
same cases for every row.

``--part refinement``: what ``identify(..., refine=True)`` makes of the same cases, and how many
have a PSF worse by more than 0.5 dB after it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
from scipy.signal import fftconvolve

if TYPE_CHECKING:
    from collections.abc import Iterable

SIDE, CUTOFF, POINTS = 31, 0.2, 256
SIGMAS = (0.0, 0.003, 0.02, 0.05)
MODES = range(4, 12)
UNSEEN = range(17, 25)
# What a wheel may not be worse than, dB: mean at A = 0.15, by size and noise.
WANTED = {512: (18.0, 12.0, 9.0, 6.0), 128: (13.0, 6.0, 4.9, 4.3)}
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
ROWS = (
    "together",
    "expected",
    "either way",
    "fit",
    "network",
    "ResNet",
    "mean PSF",
    "no aberration",
)

Array = Any


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], data=True)
    parser.add_argument("--part", choices=("identification", "refinement"), nargs="*")
    parser.add_argument("--cases", type=int, default=24, help="cases in each cell")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--sigmas", type=float, nargs="+", default=list(SIGMAS))
    parser.add_argument("--amplitudes", type=float, nargs="+", default=[0.15, 0.075])
    parser.add_argument("--images", nargs="+", default=["kodak", "img2d"])
    parser.add_argument("--resnet", type=Path, help="weights of the residual encoder")
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    for kind in given.images:
        objects = photographs(given.data) if kind == "kodak" else microscopy(given.data)
        for amplitude in given.amplitudes:
            for size in given.sizes:
                name = f"{kind}, {amplitude:g}, {size}"
                if "identification" in (given.part or ("identification",)):
                    rows = measure(objects, size, amplitude, given)
                    figures[name] = rows
                    show(kind, amplitude, size, given.sigmas, rows)
                if "refinement" in (given.part or ()):
                    figures[f"{name}, refined"] = refinement(objects, size, amplitude, given)
    harness.finish(given.json, figures)


def measure(objects: list[Array], size: int, amplitude: float, given: Any) -> dict[str, Any]:
    """Return signals to noise of each row, by noise."""
    fitting = [each for each in objects if min(each.shape) >= size]
    base = references(amplitude)
    rows: dict[str, Any] = {}
    for sigma in given.sigmas:
        reached: dict[str, list[float]] = {name: [] for name in ROWS}
        seconds = []
        for number in range(given.cases):
            image, truth = case(fitting, size, sigma, amplitude, number)
            started = time.perf_counter()
            found, expected = estimates(image, amplitude, given.resnet)
            seconds.append(time.perf_counter() - started)
            found.update(base)
            turned = found["together"][::-1, ::-1]
            best = max(found["together"], turned, key=lambda each: signal(each, truth))
            found["either way"] = best
            for name, psf in found.items():
                reached[name].append(signal(psf, truth))
            reached["expected"].append(expected)
        for name, values in reached.items():
            if values:
                rows.setdefault(name, []).append(
                    {"mean": float(np.mean(values)), "median": float(np.median(values))}
                )
        rows.setdefault("seconds", []).append(float(np.median(seconds)))
    return rows


def estimates(
    image: Array, amplitude: float, resnet: Path | None
) -> tuple[dict[str, Array], float]:
    """Return the PSFs that all together, and fit and network alone, make of an image.

    And the signal to noise, dB, that is expected of all together.
    """
    import torch

    from napari_deconv.identification import estimate, spectrum
    from napari_deconv.identification.optics import pupils

    # What identify() does at the trained cutoff, with its parts at hand.
    planes = torch.from_numpy(np.asarray(image, np.float64))[None]
    made = estimate.estimates(planes, spectrum.spectrum_of(planes), amplitude)
    model = pupils(CUTOFF, (SIDE, SIDE))
    chosen, expected, _ = estimate.answer(made)
    found = {
        "together": chosen.psf(model).numpy(),
        "fit": made.fit.best(model).psf(model).numpy(),
        "network": made.network.best(model).psf(model).numpy(),
    }
    if resnet is not None:
        from napari_deconv.networks.resnet_encoder import ResNetEncoder
        from napari_deconv.networks.weights import load_weights

        loaded = load_weights(resnet, "ResNet encoder")
        network = ResNetEncoder(**loaded.settings)
        network.load_state_dict(loaded.tensors)
        with torch.no_grad():
            numbers = network.eval()(planes.float())[0]
        found["ResNet"] = model.psf(0.15 * numbers).numpy()
    return found, expected


def refinement(objects: list[Array], size: int, amplitude: float, given: Any) -> list[Any]:
    """Return, and print, signals to noise before and after the refinement, by noise."""
    from napari_deconv.identification import identify

    fitting = [each for each in objects if min(each.shape) >= size]
    found = []
    for sigma in given.sigmas:
        pairs, seconds = [], []
        for number in range(given.cases):
            image, truth = case(fitting, size, sigma, amplitude, number)
            before = identify(image, cutoff=CUTOFF, amplitude=amplitude)
            started = time.perf_counter()
            after = identify(image, cutoff=CUTOFF, amplitude=amplitude, refine=True)
            seconds.append(time.perf_counter() - started)
            pairs.append([signal(each.psf, truth) for each in (before, after)])
        before, after = np.array(pairs).T
        gain = after - before
        row = {
            "noise": sigma,
            "before, mean": float(before.mean()),
            "before, median": float(np.median(before)),
            "after, mean": float(after.mean()),
            "after, median": float(np.median(after)),
            "gain, mean": float(gain.mean()),
            "lowered by > 0.5 dB": float((gain < -0.5).mean()),
            "raised by > 0.5 dB": float((gain > 0.5).mean()),
            "seconds": float(np.median(seconds)),
        }
        found.append(row | {"cases": pairs})
    title = f"{size} x {size}, U[-{amplitude:g}, {amplitude:g}]: PSF SNR, dB, refined"
    names = [name for name in found[0] if name != "cases"]
    harness.table(title, names, [[row[name] for name in names] for row in found])
    return found


def references(amplitude: float) -> dict[str, Array]:
    """Return the mean PSF and the one without aberration."""
    random = np.random.default_rng(99)
    many = [psf_of(random.uniform(-amplitude, amplitude, len(MODES)), 64) for _ in range(2000)]
    return {"mean PSF": np.mean(many, 0), "no aberration": psf_of(np.zeros(len(MODES)))}


def case(
    objects: list[Array], size: int, sigma: float, amplitude: float, number: int
) -> tuple[Array, Array]:
    """Return an image and its PSF."""
    random = np.random.default_rng([number, size])
    whole = objects[number % len(objects)]
    top, left = (int(random.integers(0, n - size + 1)) for n in whole.shape)
    crop = whole[top : top + size, left : left + size]
    truth = psf_of(random.uniform(-amplitude, amplitude, len(MODES)))
    image = fftconvolve(crop, truth, mode="valid")
    return (image + sigma * random.normal(size=image.shape)).astype(np.float32), truth


def psf_of(coefficients: Array, points: int = POINTS) -> Array:
    """Return a PSF by a Fourier transform of the pupil, its edge a pixel wide."""
    from napari_deconv.optics import zernike

    axis = (np.arange(points) - points // 2) / points / CUTOFF
    y, x = np.meshgrid(axis, axis, indexing="ij")
    inside = np.clip((1 - np.hypot(y, x)) / (axis[1] - axis[0]) + 0.5, 0, 1)
    phase = np.tensordot(coefficients, zernike.basis(MODES, y, x), 1)
    field = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(inside * np.exp(2j * np.pi * phase))))
    middle = points // 2
    box = slice(middle - SIDE // 2, middle + SIDE // 2 + 1)
    psf = np.abs(field[box, box]) ** 2
    return psf / psf.sum()


def signal(psf: Array, truth: Array) -> float:
    """Return equation 6 of the paper, dB."""
    return float(-10 * np.log10(((psf - truth) ** 2).sum() / (truth**2).sum()))


def photographs(data: Path, numbers: Iterable[int] = UNSEEN) -> list[Array]:
    """Return the whole photographs, of the crops that the data holds."""
    with np.load(data / "natural/kodak_144x256x256_gray.npz") as stored:
        crops = dict(zip(stored["names"].tolist(), stored["images"], strict=True))
    made = []
    for number in numbers:
        places = sorted(name[-2:] for name in crops if name.startswith(f"{number:02d}."))
        rows = [[at for at in places if at[0] == row] for row in sorted({a[0] for a in places})]
        made.append(
            np.vstack([np.hstack([crops[f"{number:02d}.png_{at}"] for at in row]) for row in rows])
            / 255
        )
    return made


def microscopy(data: Path) -> list[Array]:
    """Return microscope images, 0 to 1."""
    import tifffile

    made = []
    for name in MICROSCOPY:
        image = tifffile.imread(data / "img2d" / f"{name}.tif").astype(np.float64)
        image = image[4:-4, 4:-4]
        low, high = np.quantile(image, (0.001, 0.999))
        made.append(np.clip((image - low) / (high - low), 0, 1.5))
    return made


def show(kind: str, amplitude: float, size: int, sigmas: list[float], rows: dict[str, Any]) -> None:
    """Print a table."""
    lines = []
    for name in ROWS:
        if name in rows:
            cells = [f"{each['mean']:.2f} / {each['median']:.2f}" for each in rows[name]]
            lines.append([name, *cells])
    if kind == "kodak" and amplitude == 0.15 and size in WANTED and sigmas == list(SIGMAS):
        lines.append(["wanted", *[f"{each:g}" for each in WANTED[size]]])
    lines.append(["seconds, all rows", *[f"{each:.2f}" for each in rows["seconds"]]])
    title = f"{kind}, {size} x {size}, U[-{amplitude:g}, {amplitude:g}]: dB, mean / median"
    harness.table(title, ["noise", *[f"{sigma:g}" for sigma in sigmas]], lines)


if __name__ == "__main__":
    main()
