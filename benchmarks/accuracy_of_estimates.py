"""How well haze and camera noise are estimated: the tables of docs/theory.

Run ``python benchmarks/accuracy_of_estimates.py``; half a minute on two cores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_deconv.assessment import estimate_noise
from napari_deconv.background import estimate_background
from napari_deconv.simulation import record
from napari_deconv.simulation.phantoms import beads, filaments, haze, nuclei

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.float64]


def light(obj: NDArray[np.float32], sigma: float, photons: float) -> Image:
    """Blur an object and scale its brightest pixel."""
    blurred = gaussian_filter(obj.astype(np.float64), sigma)
    scaled: Image = photons * blurred / blurred.max()
    return scaled


def background_table() -> None:
    """Root mean square error (mean error), counts, of the haze over structures of 100 photons."""
    shape = (512, 512)
    scenes = {
        "10 filaments": filaments(shape, count=10),
        "40 filaments": filaments(shape, count=40),
        "30 nuclei of 40 pixels": nuclei(shape, count=30, diameter=40),
    }
    choices = {
        'over_mean="zero"': {"over_mean": "zero"},
        "default": {},
        "passes=5": {"passes": 5},
    }
    print("| scene | haze | best constant |", " | ".join(choices), "|")
    print("|---|---|---|" + "---|" * len(choices))
    for name, obj in scenes.items():
        for depth in (20, 80):
            for kind in ("even", "uneven"):
                even = kind == "even"
                glow = np.full(shape, float(depth)) if even else depth * haze(shape, scale=70)
                image = record(light(obj, 1.5, 100) + glow, bits=None)
                cells = [f"{glow.std():.1f}"]
                for options in choices.values():
                    error = estimate_background(image, **options) - (glow + 100)
                    cells.append(f"{np.sqrt(np.mean(error**2)):.1f} ({error.mean():+.1f})")
                print(f"| {name} | {kind}, {depth} |", " | ".join(cells), "|")


def noise_table() -> None:
    """Gain found over the gain used, in images of 256 x 256."""
    shape = (256, 256)
    scenes = (
        filaments(shape, count=40, width=1.0),
        filaments(shape, count=4),
        beads(shape, count=60, diameter=2.0)[0],
        nuclei(shape, count=15),
    )
    photon_counts = {"gain": 1, "offset": 0, "read_noise": 0}
    gain_two = {"gain": 2, "offset": 100, "read_noise": 3}
    lines = {
        "photon counts": (photon_counts, (1.5, 2.0)),
        "gain 2, offset 100, read noise 3": (gain_two, (1.5, 2.0)),
        "photon counts, PSF of 0.7 pixels": (photon_counts, (0.7,)),
    }
    print("| camera | photons in the brightest pixel | mean | rms error | least | most |")
    print("|---|---|---|---|---|---|")
    for name, (camera, sigmas) in lines.items():
        for photons in (5, 20, 100, 1000, 5000):
            ratios = [
                estimate_noise(record(light(obj, sigma, photons), seed=seed, **camera)).gain
                / camera["gain"]
                for obj in scenes
                for sigma in sigmas
                for seed in range(4)
            ]
            error = np.sqrt(np.mean(np.square(np.array(ratios) - 1)))
            print(
                f"| {name} | {photons} | {np.mean(ratios):.2f} | {error:.2f} "
                f"| {min(ratios):.2f} | {max(ratios):.2f} |"
            )


if __name__ == "__main__":
    background_table()
    print()
    noise_table()
