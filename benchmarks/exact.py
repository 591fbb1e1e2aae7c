"""What it is worth that an exact PSF tells the noise.

    python benchmarks/exact.py

Beads and their image without noise, through an uneven PSF and circular borders: automatic results
with noise as neighbouring voxels tell it, with what the PSF does not pass (``psf_error=0``), and
with the best strength or number of steps by hand. Then images with noise: how much of what
neighbours tell is seen there. Nothing is reduced unless that is below 0.3.
"""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import harness
import numpy as np
from scipy.ndimage import convolve, gaussian_filter

SIDE = 128
STEPS = (30, 100, 200, 500)
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("richardson-lucy", {}),
    ("nnls", {}),
    ("ictm", {}),
    ("fista", {}),
    ("plug-and-play", {"denoiser": "tv"}),
    ("plug-and-play", {"denoiser": "wavelet"}),
    ("tikhonov", {}),
]


def main() -> None:
    arguments = harness.parser(__doc__.splitlines()[0]).parse_args()
    random = np.random.default_rng(5)
    truth = np.zeros((SIDE, SIDE))
    truth[tuple(random.integers(0, SIDE, (2, 150)))] = random.uniform(20, 100, 150)
    truth = gaussian_filter(truth, 0.7, mode="wrap")
    psf = random.random((9, 9))
    psf /= psf.sum()
    clean = convolve(truth, psf, mode="wrap")
    rows = [row(truth, psf, clean.astype(np.float32), *each) for each in METHODS]
    harness.table(
        "Without noise, SNR in dB", ["", "neighbours' noise", "the PSF's", "best by hand"], rows
    )
    shares = [
        [borders, photons, share(random.poisson(clean * (photons / clean.max())), psf, borders)]
        for borders in ("circular", "extended")
        for photons in (5, 50, 1000)
    ]
    harness.table("Noise that is seen", ["borders", "photons", "share"], shares)
    harness.finish(arguments.json, {"methods": rows, "shares": shares})


def row(truth: Any, psf: Any, image: Any, name: str, kind: dict[str, Any]) -> list[Any]:
    """Return a method's scores."""
    import napari_deconv as nd

    options = {"borders": "circular", "psf_error": 0, **kind}

    def score(**more: Any) -> float:
        error = nd.restore(image, name, psf, **options, **more) - truth
        return float(20 * np.log10(truth.std() / np.sqrt(np.mean(error**2))))

    with patch("napari_deconv.engine.problem.no_more_than_seen", _as_told):
        told = score()
    entry = nd.methods()[name]
    if "strength" in entry.parameters:
        tried = [score(strength=10.0**e) for e in range(-12, 0, 2) if _may(entry, 10.0**e)]
    else:
        tried = [score(iterations=steps) for steps in STEPS]
    return [", ".join([name, *kind.values()]), told, score(), max(tried)]


def share(image: Any, psf: Any, borders: str) -> float:
    """Return how much of the noise that neighbours tell is seen where the PSF passes nothing."""
    from napari_deconv.assessment import estimate_noise
    from napari_deconv.engine.exact import share_seen
    from napari_deconv.operators.convolution import Convolution

    data = image.astype(np.float32)
    return share_seen(estimate_noise(data), data, Convolution(psf, data.shape, borders))


def _may(entry: Any, strength: float) -> bool:
    return bool(strength >= (entry.parameters["strength"].range.lower or 0))


def _as_told(noise: Any, *_: Any) -> Any:
    return noise


if __name__ == "__main__":
    main()
