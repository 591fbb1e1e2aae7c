"""Learn what the spectra of sharp images look like: principal components of their logarithms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_deconv.identification.prior import SpectrumPrior
from napari_deconv.identification.spectrum import at_disc, looks, welch

if TYPE_CHECKING:
    from napari_deconv.training.blind_scenes import Scenes

# Sides of the crops, and how many of each.
CROPS = {98: 4000, 226: 1500, 482: 600}
COMPONENTS = 48
# Prior spread of the logarithm of the brightness, which nothing is known of.
_BRIGHTNESS = 3.0
_FLOOR = 1e-9


def learn(scenes: Scenes, *, share: float = 1.0, seed: int = 0) -> SpectrumPrior:
    """Return the prior of these scenes; ``share`` of the usual number of crops."""
    spectra = {}
    for side, count in CROPS.items():
        random = np.random.default_rng([seed, side])
        made = [log_spectrum(scenes, random, side) for _ in range(max(8, round(share * count)))]
        spectra[side] = np.stack(made)
    # Spectra of smaller crops spread more: all are needed, but the large ones are nearer the truth.
    pooled = np.concatenate([each[: 2 * COMPONENTS * 20] for each in spectra.values()])
    mean = pooled.mean(0)
    _, values, vectors = np.linalg.svd(pooled - mean, full_matrices=False)
    count = min(COMPONENTS, len(pooled) - 1)
    basis, spread = vectors[:count], values[:count] / np.sqrt(len(pooled))
    rest = []
    for each in spectra.values():
        centred = each - mean
        rest.append((centred - centred @ basis.T @ basis).var(0))
    components = np.vstack([basis * spread[:, None], np.full((1, mean.size), _BRIGHTNESS)])
    windows = [looks((side, side)) for side in CROPS]
    return SpectrumPrior(
        *(torch.from_numpy(np.asarray(a)).float() for a in (mean, components, rest, windows))
    )


def log_spectrum(scenes: Scenes, random: np.random.Generator, side: int) -> np.ndarray:
    """Return the log spectrum of a crop, with the mean 0."""
    crop = torch.from_numpy(scenes.draw(random, side)).double()
    power = at_disc(welch(crop).numpy())
    log = np.log(np.maximum(power / max(float(crop.var()), _FLOOR), _FLOOR))
    centred: np.ndarray = log - log.mean()
    return centred
