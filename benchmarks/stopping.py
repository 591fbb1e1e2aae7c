"""Automatic iterations against those that an oracle, who knows the truth, would choose.

    python benchmarks/stopping.py [--seeds 3] [--photons 5 20 100 500 5000]

Phantoms of 256 x 256 pixels are blurred and recorded, then restored by plain Richardson-Lucy, step
by step; the oracle stops where the estimate is nearest to the truth. What the automatic choice and
some fixed numbers lose against it, in dB of signal-to-noise ratio, stands side by side. Automatic
is the default: with momentum, so that a loss below zero is possible. "Photons" is the expectation
in the brightest pixel.

``photons``
    A camera that counts photons. Its background is known, its gain is estimated.
``photons, gain known``
    The same, and the user says so.
``camera``
    Gain 2.2, offset 100, read noise 2. Background and offset are known, as from a dark frame; the
    gain and the noise, by which photons are set aside, are estimated from the image.
``camera, background estimated``
    Nothing is known. What a wrong background costs counts in: the oracle knows it.
"""

from __future__ import annotations

from typing import Any

import harness
import numpy as np
import torch

import napari_deconv as nd
from napari_deconv.assessment import snr
from napari_deconv.methods.richardson_lucy import richardson_lucy
from napari_deconv.operators.convolution import Convolution
from napari_deconv.simulation.phantoms import beads, filaments, nuclei

SIZE = 256
FIXED = (10, 30, 100)
MOST = 500
# Light between the structures, as a share of the brightest pixel.
GLOW = 0.02
COUNTER = {"gain": 1.0, "offset": 0.0, "read_noise": 0.0}
CAMERA = {"gain": 2.2, "offset": 100.0, "read_noise": 2.0}
CAMERAS: dict[str, dict[str, float]] = {
    "photons": COUNTER,
    "photons, gain known": COUNTER,
    "camera": CAMERA,
    "camera, background estimated": CAMERA,
}
# Pixel sizes in um, for a PSF of 0.26 um full width at half maximum.
SAMPLINGS = {"coarse": 0.08, "fine": 0.04}


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--photons", type=float, nargs="+", default=[5, 20, 100, 500, 5000])
    parser.add_argument("--cameras", nargs="+", choices=CAMERAS, default=list(CAMERAS))
    parser.add_argument("--samplings", nargs="+", choices=SAMPLINGS, default=list(SAMPLINGS))
    parser.add_argument("--acceleration", default="auto")
    parser.add_argument("--verbose", action="store_true", help="tell every case")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    for camera in arguments.cameras:
        cases = [
            case(camera, name, photons, seed, sampling, arguments.acceleration, arguments.verbose)
            for sampling in arguments.samplings
            for photons in arguments.photons
            for name in PHANTOMS
            for seed in range(arguments.seeds)
        ]
        figures[camera] = cases
        show(camera, cases)
    harness.finish(arguments.json, figures)


def show(camera: str, cases: list[dict[str, Any]]) -> None:
    """Print losses by sampling, light and phantom."""
    choices = ["automatic", *map(str, FIXED)]
    rows = []
    for key, unit in (("sampling", "sampling"), ("photons", "photons"), ("phantom", ""), ("", "")):
        for value in dict.fromkeys(c.get(key) for c in cases):
            members = [c for c in cases if c.get(key) == value]
            name = f"{value:g} {unit}" if key == "photons" else f"{value or 'all'} {unit}"
            best = harness.median([c["oracle"] for c in members])
            taken = harness.median([c["iterations"] for c in members])
            own = harness.median([c["by iterations"] for c in members])
            losses = [summary([c["loss"][choice] for c in members]) for choice in choices]
            rows.append([name, best, taken, own, *losses])
    header = ["", "oracle's", "automatic", "by number alone", *(f"loss at {c}" for c in choices)]
    title = f"{camera}: dB lost against the oracle, median (mean, ninth decile)"
    harness.table(title, header, rows)


def summary(losses: list[float]) -> str:
    """Return median, mean and ninth decile."""
    mean, high = np.mean(losses), np.percentile(losses, 90)
    return f"{np.median(losses):.2f} ({mean:.2f}, {high:.2f})"


def case(
    camera: str,
    name: str,
    photons: float,
    seed: int,
    sampling: str,
    acceleration: str,
    verbose: bool,
) -> dict[str, Any]:
    """Restore one image in every way; return what each loses."""
    truth = PHANTOMS[name](seed)
    psf = microscope_psf(SAMPLINGS[sampling])
    known = CAMERAS[camera]
    data = nd.simulate(
        truth, psf, photons=photons, background_photons=GLOW * photons, borders="circular",
        seed=seed, **known,
    )  # fmt: skip
    # What the object is in photons: the blurred image's brightest pixel has ``photons`` of them.
    object_ = truth * (photons / float(blurred(truth, psf).max()))
    offset, floor = known["offset"], known["gain"] * GLOW * photons

    def path(offset: float, background: float, kind: str) -> list[float]:
        return [
            snr(estimate / known["gain"], object_)
            for estimate in steps((data - offset).clip(min=0), psf, background, kind)
        ]

    plain = path(offset, floor, "none")
    oracle = int(np.argmax(plain)) + 1
    options: dict[str, Any] = {"borders": "circular", "acceleration": acceleration}
    if camera.endswith("background estimated"):
        options["background"] = "auto"
    else:
        options |= {"offset": offset, "background": floor}
    if camera.endswith("gain known"):
        options["gain"] = known["gain"]
    image, details = nd.restore(data, "richardson-lucy", psf, details=True, **options)
    automatic = snr(image / known["gain"], object_)
    fixed, taken = plain, (offset, floor)
    if options["background"] == "auto":
        # The engine found both together; where the noise vanishes is the offset.
        dark = details.offset - details.read_noise**2 / details.gain
        taken = (min(dark, details.background), details.background - min(dark, details.background))
        fixed = path(*taken, "none")
    same = path(*taken, details.parameters["acceleration"])
    loss = {str(n): plain[oracle - 1] - fixed[n - 1] for n in FIXED}
    result = {
        "phantom": name,
        "photons": photons,
        "seed": seed,
        "sampling": sampling,
        "oracle": oracle,
        "iterations": details.iterations,
        "gain": details.gain,
        "background": details.background,
        "loss": loss | {"automatic": plain[oracle - 1] - automatic},
        # What the best number of steps of the same kind would have saved.
        "by iterations": max(same) - automatic,
    }
    if verbose:
        print(
            f"{camera}: {name:10} {sampling} {photons:6g} photons, seed {seed}: "
            f"oracle {oracle:3d}, automatic {details.iterations:3d}, "
            f"lost {result['loss']['automatic']:.3f} dB, "
            f"{result['by iterations']:.3f} by the number; gain {details.gain:.2f}, "
            f"background {sum(taken):.2f} of {offset + floor:.2f}",
            flush=True,
        )
    return result


def steps(data: np.ndarray, psf: np.ndarray, floor: float, acceleration: str) -> Any:
    """Yield the estimates of Richardson-Lucy as arrays."""
    blur = Convolution(psf, data.shape, "circular")
    image = torch.from_numpy(data.astype(np.float32))
    for estimate in richardson_lucy(
        image, blur, iterations=MOST, background=floor, acceleration=acceleration
    ):
        yield estimate.numpy()


def microscope_psf(pixel: float) -> np.ndarray:
    """Return the plane in focus of a water objective."""
    scope = nd.Microscope(numerical_aperture=1.1, immersion_index=1.33, emission_wavelength=0.55)
    return nd.generate_psf(scope, (63, 63), (pixel, pixel))


def blurred(truth: np.ndarray, psf: np.ndarray) -> np.ndarray:
    """Return the image without noise."""
    return Convolution(psf, truth.shape, "circular")(torch.from_numpy(truth)).numpy()


def texture(seed: int) -> np.ndarray:
    """Return a random field whose power falls with frequency, as nature's do."""
    random = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)
    spectrum = np.fft.rfft2(random.normal(size=(SIZE, SIZE))) / np.maximum(np.hypot(fy, fx), 0.02)
    field = np.fft.irfft2(spectrum, s=(SIZE, SIZE))
    return np.clip(0.5 + field / (4 * field.std()), 0, 1).astype(np.float32)


PHANTOMS = {
    "filaments": lambda seed: filaments((SIZE, SIZE), count=25, width=1.5, seed=seed),
    "blobs": lambda seed: nuclei((SIZE, SIZE), seed=seed),
    "beads": lambda seed: beads((SIZE, SIZE), count=60, diameter=3, seed=seed)[0],
    "texture": texture,
    "mixture": lambda seed: (
        filaments((SIZE, SIZE), count=8, seed=seed) + 0.3 * nuclei((SIZE, SIZE), seed=seed)
    ).astype(np.float32),
}


if __name__ == "__main__":
    main()
