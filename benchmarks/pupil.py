"""Pupils: gradients per second, the model's error, and phase retrieval against the noise.

    python benchmarks/pupil.py

Gradients are those of 64 x 64 pixels of a plane by 18 Zernike coefficients, many PSFs at once, at
one and at two threads. Errors are relative L2 beside ``gibson-lanni``, which is exact, without
aberrations. Phase retrieval fits 18 coefficients, the amplitude, place, photons and background to
simulated beads of 100 nm with eight random coefficients of 0.05 waves rms each (33 x 48 x 48
voxels, read noise 2, background 5 photons; simulated with another grid than is fitted), and finds
the root of the summed squares of those eight's errors.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from harness import finish, median, parser, spread, table

from napari_deconv.optics import Microscope, focal_shift, generate_psf
from napari_deconv.optics.phase_retrieval import retrieve_pupil
from napari_deconv.optics.pupil_field import PupilModel

OIL = Microscope(numerical_aperture=1.4, emission_wavelength=0.61, sample_index=1.515)
WATER = Microscope(
    numerical_aperture=1.2, emission_wavelength=0.52, immersion_index=1.33, sample_index=1.33
)
DEEP = Microscope(numerical_aperture=1.3, emission_wavelength=0.52, sample_index=1.4, depth=3.0)
SHALLOW = Microscope(numerical_aperture=1.4, emission_wavelength=0.61, depth=2.0)
SCOPES = {"oil 1.4": OIL, "water 1.2": WATER, "oil 1.3, 3 um deep": DEEP}
SPACING = (0.2, 0.1, 0.1)


def main() -> None:
    arguments = parser(__doc__, rounds=5).parse_args()
    figures: dict[str, Any] = {
        "gradients": gradients(arguments.rounds),
        "errors": errors(),
        "retrieval": retrieval(arguments.rounds),
    }
    finish(arguments.json, figures)


def gradients(rounds: int) -> list[dict[str, Any]]:
    found = []
    for integrated in (False, True):
        model = PupilModel(
            OIL, (64, 64), SPACING[1:], indices=range(4, 22), pixel_integration=integrated
        )
        weights = torch.randn(64, 64)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            rates = []
            for _ in range(2 * rounds):
                c = (0.05 * torch.randn(16, 18)).requires_grad_()
                start = time.perf_counter()
                (model.psf(c) * weights).sum().backward()
                rates.append(16 / (time.perf_counter() - start))
            found.append({"pixels": integrated, "threads": threads, "per second": rates})
    torch.set_num_threads(1)
    rows = [
        [
            "mean over pixels" if r["pixels"] else "middle of pixels",
            r["threads"],
            spread(r["per second"], 2),
            max(r["per second"]),
        ]
        for r in found
    ]
    table("Gradients of 64 x 64 pixels", ["", "threads", "per second", "best"], rows)
    return found


def errors() -> list[dict[str, Any]]:
    found = []
    cases = {"oil 1.4": OIL, "oil 1.4, 2 um deep in water": SHALLOW, "oil 1.3, 3 um deep": DEEP}
    for name, scope in cases.items():
        for shape in ((33, 64, 64), (33, 128, 128), (64, 64)):
            spacing = SPACING[-len(shape) :]
            truth = generate_psf(scope, shape, spacing).astype(np.float64)
            start = time.perf_counter()
            psf = generate_psf(scope, shape, spacing, model="pupil")
            seconds = time.perf_counter() - start
            error = float(np.linalg.norm(psf - truth) / np.linalg.norm(truth))
            found.append({"case": name, "shape": shape, "error": error, "seconds": seconds})
    rows = [[*list(r.values())[:2], f"{r['error']:.1e}", r["seconds"]] for r in found]
    table("The model without aberrations", ["microscope", "shape", "error", "s"], rows)
    return found


def retrieval(rounds: int) -> list[dict[str, Any]]:
    found = []
    for name, scope in SCOPES.items():
        for snr in (10, 20, 50):
            runs = [_retrieve(scope, snr, seed) for seed in range(rounds)]
            found.append(
                {
                    "microscope": name,
                    "snr": snr,
                    "rms": [rms for rms, _, _ in runs],
                    "largest": [largest for _, largest, _ in runs],
                    "seconds": [seconds for _, _, seconds in runs],
                }
            )
    rows = [
        [
            r["microscope"],
            r["snr"],
            *(f"{value:.4f}" for value in (median(r["rms"]), max(r["rms"]), max(r["largest"]))),
            *(f"{value:.1f}" for value in (median(r["seconds"]), max(r["seconds"]))),
        ]
        for r in found
    ]
    header = ["microscope", "SNR", "waves rms", "worst", "worst coefficient", "s", "worst s"]
    table("Phase retrieval, one thread", header, rows)
    return found


def _retrieve(scope: Microscope, snr: float, seed: int) -> tuple[float, float, float]:
    """Return the rms error, the largest error of a coefficient, and seconds."""
    rng = np.random.default_rng(seed)
    waves = 0.05 * rng.standard_normal(8)
    shape = (33, 48, 48)
    model = PupilModel(
        scope,
        shape,
        SPACING,
        z=focal_shift(scope) + SPACING[0] * (np.arange(shape[0]) - shape[0] // 2),
        indices=range(5, 13),
        bead_diameter=0.1,
        padding=1.5,
        dtype="float64",
    )
    image = model.intensity(waves, shift=rng.uniform(-0.05, 0.05, 3)).numpy()
    peak = (snr**2 + math.sqrt(snr**4 + 4 * snr**2 * (5 + 4))) / 2
    data = rng.poisson(peak * image / image.max() + 5) + 2 * rng.standard_normal(shape)
    start = time.perf_counter()
    pupil = retrieve_pupil(data, SPACING, scope, bead_diameter=0.1, read_noise=2.0)
    seconds = time.perf_counter() - start
    wrong = np.array([pupil.coefficients[j] for j in range(5, 13)]) - waves
    return float(np.sqrt((wrong**2).sum())), float(abs(wrong).max()), seconds


if __name__ == "__main__":
    main()
