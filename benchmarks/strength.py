"""How near the automatic strength of ``variational`` comes to the best one.

    python benchmarks/strength.py DATA

DATA holds ``img2d_gt`` and ``levin``. Parts of the actin image are blurred so that light comes in
from around them, and get 20, 100 and 1000 photons in the brightest pixel; filaments in 3D are
added, thin and thick. The best strength is that of a grid of quarter decades that knows the truth.

On Levin's photographs of two objects, 16 in all, whose PSFs are not exact, total variation with an
automatic strength stands beside a fixed one, and Richardson-Lucy that reckons with several errors
of the PSF. Scores are the best over shifts of a quarter of a pixel, interpolated linearly, as the
literature takes them, which smooths, and exactly; 15 pixels at the edges do not count.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GRID = 10 ** np.arange(-3.5, 0, 0.25)
REACH, SIDE = 20, 192


def main() -> None:
    arguments = harness.parser(__doc__.splitlines()[0], data=True).parse_args()
    import napari_deconv as nd

    rows, figures = [], []
    for name, truth, image, psf, background in scenes(arguments.data / "img2d_gt"):
        for misfit in ("gaussian", "poisson"):
            options: dict[str, Any] = {"misfit": misfit, "background": background}

            def score(result: np.ndarray, truth: np.ndarray = truth) -> float:
                return float(-10 * np.log10(np.mean((result - truth) ** 2) / truth.max() ** 2))

            every = {
                s: score(nd.restore(image, "variational", psf, strength=float(s), **options))
                for s in GRID
            }
            best = max(every, key=every.__getitem__)
            result, details = nd.restore(image, "variational", psf, details=True, **options)
            found = details.parameters["strength"]
            loss = every[best] - score(result)
            rows.append([name, misfit, best, every[best], found, every[best] - loss, loss])
            figures.append({"scene": name, "misfit": misfit, "best": best, "loss": loss})
    header = ["", "misfit", "best", "dB", "automatic", "dB", "lost"]
    harness.table("variational, Hessian prior", header, rows)
    photographs = dict(on_photographs(arguments.data))
    rows = [[name, *scores] for name, scores in photographs.items()]
    harness.table("16 photographs, mean, dB", ["", "linearly", "exactly"], rows)
    harness.finish(arguments.json, {"cases": figures, "photographs": photographs})


def on_photographs(folder: Path) -> Iterator[tuple[str, list[float]]]:
    """Yield what the setting was, and the mean scores, shifted linearly and exactly."""
    from truths import cases

    import napari_deconv as nd

    case = next(c for c in cases(folder, 16) if c.name.startswith("photographs"))
    tv: dict[str, Any] = {"method": "variational", "prior": "tv"}
    steps: dict[str, Any] = {"method": "richardson-lucy"}
    settings: dict[str, dict[str, Any]] = {
        "total variation, automatic": tv,
        "total variation, automatic, of a PSF without error": tv | {"psf_error": 0.0},
        "total variation, 0.001 for all": tv | {"strength": 1e-3},
        "Richardson-Lucy, automatic": steps,
    }
    for error in (0.007, 0.005, 0.003, 0.0):
        settings[f"Richardson-Lucy, PSF error {error:g}"] = steps | {"psf_error": error}
    for name, options in settings.items():
        scores = []
        for data, psf, truth in case.images:
            result = nd.restore(data, psf=psf, **options)
            scores.append((aligned(result, truth), case.score(result, truth)["psnr"]))
        yield name, [float(mean) for mean in np.mean(scores, axis=0)]


def aligned(image: np.ndarray, truth: np.ndarray, reach: int = 10, crop: int = 15) -> float:
    """Return the best PSNR over shifts by quarters of a pixel, interpolated linearly."""
    from scipy.ndimage import shift

    inside = (slice(crop, -crop),) * 2

    def error(moved: np.ndarray) -> float:
        return float(np.mean((moved[inside].astype(np.float64) - truth[inside]) ** 2))

    whole = {
        s: error(np.roll(image, s, (0, 1))) for s in product(range(-reach, reach + 1), repeat=2)
    }
    y, x = min(whole, key=whole.__getitem__)
    quarters = product(np.arange(-3, 4) / 4, repeat=2)
    least = min(error(shift(image, (y + a, x + b), order=1, mode="nearest")) for a, b in quarters)
    return float(-10 * np.log10(least))


def scenes(
    folder: Path,
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray, float]]:
    """Yield name, truth in photons, image, PSF and background."""
    import tifffile

    import napari_deconv as nd
    from napari_deconv.simulation.phantoms import filaments

    whole = tifffile.imread(folder / "Actin3_GroundTruth.tif").astype(float)
    psf = tifffile.imread(folder / "PSF.tif").clip(0)
    psf = psf[127 - REACH : 128 + REACH, 127 - REACH : 128 + REACH].astype(float)
    psf /= psf.sum()
    for top, left in ((128, 192), (0, 0), (200, 100)):
        scene = whole[top : top + SIDE + 2 * REACH, left : left + SIDE + 2 * REACH]
        blurred = fftconvolve(scene, psf, mode="valid").clip(0)
        for photons in (20, 100, 1000):
            scale = photons / blurred.max()
            image = np.random.default_rng(0).poisson(blurred * scale).astype(np.float32)
            truth = scene[REACH:-REACH, REACH:-REACH] * scale
            yield f"actin {top}, {left}; {photons} photons", truth, image, psf, 0.0
    axes = np.ogrid[-3:4, -6:7, -6:7]
    psf = np.exp(-(axes[0] ** 2) / 8 - (axes[1] ** 2 + axes[2] ** 2) / (2 * 1.6**2))
    psf /= psf.sum()
    for width in (0, 2):
        for photons in (20, 500):
            truth = gaussian_filter(filaments((24, 64, 64), count=20, seed=5), width)
            image = nd.simulate(
                truth, psf, photons=photons, offset=0, read_noise=0, background_photons=2, seed=2
            )
            truth = truth * float((image.mean() - 2) / truth.mean())
            yield f"filaments, width {width}; {photons} photons", truth, image, psf, 2.0


if __name__ == "__main__":
    main()
