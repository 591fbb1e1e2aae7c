"""Weights for one kind of microscope on stacks of their own kind, and of the others.

    python benchmarks/lucyd_optics.py [--pairs 3] [--json FILE]

Phantoms that nothing was trained on, blurred and noisy as the recipes of ``widefield``,
``light-sheet`` and ``confocal`` say; signal to noise in dB after an affine fit, means. Beside the
weights: the image, the best Gaussian, and two classic methods that are given the PSF and find the
rest themselves.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from lucyd import best_gaussian

import napari_deconv as nd
from napari_deconv.training.recipes import RECIPES

if TYPE_CHECKING:
    from lucyd import Volume

SPACING, UNSEEN = (0.2, 0.1, 0.1), 777_000
SHAPE = (64, 96, 96)
DOMAINS = ("widefield", "light-sheet", "confocal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = {}
    for domain in DOMAINS:
        rows = [judged(domain, number) for number in range(given.pairs)]
        found[domain] = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        print(domain, {name: round(value, 2) for name, value in found[domain].items()}, flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def judged(domain: str, number: int) -> dict[str, float]:
    degradation = RECIPES[domain]().degradation
    truth, clean = degradation.pair(SHAPE, [UNSEEN, number])
    random = torch.Generator().manual_seed(UNSEEN + number)
    image = degradation.noisy(torch.from_numpy(clean)[None, None], random)[0, 0].numpy()
    # As the pair was made: one of the recipe's PSFs, found by what it makes of the object.
    psf = min(degradation.psfs, key=lambda p: float(np.abs(blurred(truth, p) - clean).max()))
    options = {"spacing": SPACING, "offset": "auto"}
    made = {
        "image": image,
        "best Gaussian": best_gaussian(image, truth),
        **{
            name: nd.restore(image, "lucyd", weights=name, spacing=SPACING)
            for name in ("mixture", *DOMAINS)
        },
        "Richardson-Lucy": nd.restore(image, "richardson-lucy", psf, **options),
        "variational": nd.restore(image, "variational", psf, **options),
    }
    return {name: fidelity(each, truth) for name, each in made.items()}


def blurred(truth: Volume, psf: Volume) -> Volume:
    from scipy.signal import fftconvolve

    image: Volume = fftconvolve(truth, psf, mode="same")
    return image / image.max()


def fidelity(made: Volume, truth: Volume) -> float:
    """Return the signal to noise of what is made, in dB, after the best factor and offset."""
    alike = np.corrcoef(made.ravel().astype(np.float64), truth.ravel().astype(np.float64))[0, 1]
    return float(-10 * np.log10(1 - alike**2))


if __name__ == "__main__":
    main()
