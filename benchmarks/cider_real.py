"""CiDeR on real images, to be looked at: with a Gaussian PSF and with a theoretical one.

    python benchmarks/cider_real.py DATA OUT [--only NAME ...] [--sigma 1.5] [--json FILE]

DATA is the folder of test images. OUT gets a contact sheet of each: the image, the Hessian image
and CiDeR's with a Gaussian PSF, then both with the PSF of the microscope that ``real_data.py``
guesses; whole above, in close-up below. A guess is what a user has, too, so blur is not quite what
the PSF says. Beside the pictures there are figures of what went wrong with networks elsewhere: how
far the image is from what the Hessian image and CiDeR's explain, blurred again (the dock's map of
residuals, root mean square), which black patches would raise; and CiDeR's power at the highest
frequencies of the pixel grid, where a checkerboard shows, in relation to the Hessian image's.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import harness
import numpy as np
from real_data import EMPTY_EDGE, IMAGES, Optics, sheet

NAMES = ("nup", "rat_hippocampal_neuron", "microtubules", "BPAE_actin", "celegans_airyscan")
# Cycles per pixel beyond which a frequency counts as the highest.
HIGHEST = 0.47


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], data=True)
    parser.add_argument("out", type=Path, help="folder for the contact sheets")
    parser.add_argument("--only", nargs="+", default=NAMES, help="images, by the file's name")
    parser.add_argument("--sigma", type=float, default=1.5, help="of the Gaussian PSF, in pixels")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {}
    for name in given.only:
        images, told = restored(given.data, name, given.sigma)
        sheet(images, given.out / f"{name}.png")
        figures[name] = told
    keys = ("seconds", "residual, hessian", "residual", "grid", "share")
    rows = [
        [f"{n}, {p}", *(row[k] for k in keys)] for n in figures for p, row in figures[n].items()
    ]
    harness.table("CiDeR on real images", ["", *keys], rows)
    harness.finish(given.json, figures)


def restored(data: Path, name: str, sigma: float) -> tuple[list[Any], dict[str, Any]]:
    """Return the image and what was made of it, and figures for each PSF."""
    import napari_deconv as nd
    from napari_deconv.io import read_image

    file = read_image(str(data / f"img2d/{name}.tif"))
    edge = EMPTY_EDGE.get(f"img2d/{name}.tif", 0)
    inside = slice(edge, -edge or None)
    image = np.ascontiguousarray(np.asarray(file.data)[inside, inside])
    optics = IMAGES[f"img2d/{name}.tif"]
    assert isinstance(optics, Optics)
    images, told = [image.astype(np.float64)], {}
    for kind, psf in (
        ("Gaussian", gaussian(sigma)),
        ("theoretical", theoretical(optics, optics.spacing or file.spacing)),
    ):
        classic = nd.restore(image, "variational", psf, prior="hessian", background="auto")
        begun = time.perf_counter()
        ours, details = nd.restore(image, "cider", psf, background="auto", details=True)
        seconds = time.perf_counter() - begun
        images += [classic, ours]
        terms = details.statistics[-1].terms or {}
        told[kind] = {
            "seconds": seconds,
            "residual, hessian": residual(image, classic, psf, details),
            "residual": residual(image, ours, psf, details),
            "grid": power(ours) / max(power(classic), 1e-30),
            "share": terms["share of the network"],
        }
        print(name, kind, told[kind], flush=True)
    return images, told


def gaussian(sigma: float) -> Any:
    """Return a Gaussian PSF."""
    from napari_deconv.training import crowds

    line = crowds.gaussian(sigma, 2 * int(np.ceil(4 * sigma)) + 1)
    return np.outer(line, line).astype(np.float32)


def theoretical(optics: Optics, spacing: Any) -> Any:
    """Return the PSF of a plane in focus, of the microscope that was guessed."""
    import napari_deconv as nd

    microscope = nd.Microscope(
        numerical_aperture=optics.numerical_aperture,
        emission_wavelength=optics.emission,
        immersion_index=optics.immersion,
        excitation_wavelength=optics.excitation,
    )
    return nd.generate_psf(
        microscope, (41, 41), spacing[-2:], model=optics.model, modality=optics.modality
    )


def residual(image: Any, result: Any, psf: Any, details: Any) -> float:
    """Return the root mean square of what a result leaves of the image."""
    from napari_deconv.assessment import Noise, support_map

    noise = Noise(gain=details.gain, offset=details.offset, read_noise=details.read_noise)
    return float(np.sqrt(np.mean(support_map(image, result, psf, noise=noise) ** 2)))


def power(image: Any) -> float:
    """Return the mean power at the highest frequencies along either axis."""
    found = np.abs(np.fft.fft2(image.astype(np.float64))) ** 2
    y, x = (np.abs(np.fft.fftfreq(n)) for n in image.shape)
    highest = (y[:, None] > HIGHEST) | (x[None, :] > HIGHEST)
    return float(found[highest].mean())


if __name__ == "__main__":
    main()
