"""Train the network that tells a PSF from the same turned by 180 degrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from napari_deconv.identification import sign
from napari_deconv.identification.optics import MODES, pupils
from napari_deconv.identification.spectrum import CUTOFF
from napari_deconv.networks.sign_network import SignNetwork
from napari_deconv.training.blind_views import SHAPE, relative_error, view
from napari_deconv.training.schooling import School

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from napari_deconv.training.blind_scenes import Scenes

# Sides of the images of a step, how many, and how often.
_STEPS = ((98, 16, 0.45), (160, 8, 0.3), (256, 4, 0.15), (400, 2, 0.1))
# Standard deviation of an estimate's errors, waves: range with noise, and largest without.
_ERRORS, _QUIET = (0.004, 0.08), 0.02


def train(
    scenes: Scenes,
    apart: Scenes,
    folder: Path,
    minutes: float,
    *,
    rate: float = 1e-3,
    seed: int = 0,
) -> tuple[SignNetwork, Mapping[str, float], int]:
    """Train for a while; return the network, its scores on other scenes and its steps."""
    torch.manual_seed(seed)
    network = SignNetwork()
    school = School(network, folder / "signs.pt", rate)
    random = np.random.default_rng([seed, 7, school.steps])
    apart_random = np.random.default_rng([seed, 8])
    judged = [
        _batch(apart, apart_random, side, 24, sigma)
        for side, sigma in ((98, 0.0), (98, 0.02), (256, 0.02))
    ]

    def loss() -> Tensor:
        kind = random.choice(len(_STEPS), p=[share for _, _, share in _STEPS])
        side, count, _ = _STEPS[kind]
        *seen, weight = _batch(scenes, random, side, count)
        # All are shown the right way round, and the network knows no other: it is odd by its make.
        return (weight * functional.softplus(-network(*seen))).mean()

    def score() -> dict[str, float]:
        right = {}
        for (*seen, weight), name in zip(judged, ("quiet", "noisy", "noisy, large"), strict=True):
            odds = network(*seen)
            right[name] = float((weight * (odds > 0)).sum() / weight.sum())
        return right

    scores = school.teach(minutes, loss, score)
    network.load_state_dict(school.mean)
    return network.eval(), scores, school.steps


def _batch(
    scenes: Scenes, random: np.random.Generator, side: int, count: int, sigma: float | None = None
) -> tuple[Tensor, ...]:
    """Return the network's inputs, with the true way round first, and what each counts."""
    made = [_pair(scenes, random, side, sigma) for _ in range(count)]
    parts = [torch.stack(each) for each in zip(*made, strict=True)]
    return tuple(parts)


def _pair(
    scenes: Scenes, random: np.random.Generator, side: int, sigma: float | None
) -> tuple[Tensor, ...]:
    seen = view(scenes, random, side, sigma)
    image = torch.from_numpy(seen.image)
    noise = max(seen.sigma**2 / max(float(image.var()), 1e-6), 1e-6)
    low, high = _ERRORS if seen.sigma > 0 else (_ERRORS[0], _QUIET)
    spread = np.exp(random.uniform(np.log(low), np.log(high)))
    wrong = (seen.coefficients + random.normal(0, spread, len(MODES))).astype(np.float32)
    model = pupils(CUTOFF, SHAPE)
    true, estimate = model.psf(torch.from_numpy(np.stack([seen.coefficients, wrong])))
    right = relative_error(estimate, true)
    left = relative_error(estimate.flip(-2, -1), true)
    if left < right:  # so wrong that it is better turned
        estimate = estimate.flip(-2, -1)
    kept, turned, preferred, known = sign.inputs(image, estimate, noise)
    return kept, turned, preferred, known, (left - right).abs().clamp(max=2)
