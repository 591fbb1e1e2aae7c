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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_deconv.training.blind_scenes import Scenes

# Sides of the images.
SIDES = (66, 483)
STEPS, _DECAY = 1500, 0.3
# Standard deviation of an estimate's errors, waves: range with noise, and largest without.
_ERRORS, _QUIET = (0.004, 0.08), 0.02


def draw(
    scenes: Scenes, random: np.random.Generator, side: int | None = None, sigma: float | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the network's inputs of one case, the true way round, and what it matters."""
    if side is None:
        side = int(np.exp(random.uniform(*np.log(SIDES))))
    return _pair(scenes, random, side, sigma)


def learn(
    cases: Sequence[tuple[Tensor, Tensor, Tensor]],
    apart: Sequence[tuple[Tensor, Tensor, Tensor]],
    *,
    seed: int = 0,
) -> tuple[SignNetwork, dict[str, float]]:
    """Return the network, and its scores on cases apart."""
    torch.manual_seed(seed)
    differences, known, weight = (torch.stack(each) for each in zip(*cases, strict=True))
    network = SignNetwork(differences.shape[1])
    network.scale.copy_(differences.square().mean(0).sqrt())
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        # All are shown the right way round, and the network knows no other: it is odd by its make.
        loss = (weight * functional.softplus(-network(differences, known))).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        differences, known, weight = (torch.stack(each) for each in zip(*apart, strict=True))
        odds = network(differences, known)
        noisy = known[:, 1] > 0
        scores = {
            "all": float((weight * (odds > 0)).sum() / weight.sum()),
            "noisy": float((weight * (odds > 0))[noisy].sum() / weight[noisy].sum()),
            "cross entropy": float((weight * functional.softplus(-odds)).sum() / weight.sum()),
        }
    return network.eval(), scores


def _pair(
    scenes: Scenes, random: np.random.Generator, side: int, sigma: float | None
) -> tuple[Tensor, Tensor, Tensor]:
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
    differences, known = sign.inputs(image, estimate, noise)
    return differences, known, (left - right).abs().clamp(max=2)
