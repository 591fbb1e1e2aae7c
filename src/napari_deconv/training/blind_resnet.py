"""Train the paper's residual encoder, for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_deconv.identification.optics import pupils
from napari_deconv.identification.spectrum import CUTOFF
from napari_deconv.networks.resnet_encoder import ResNetEncoder
from napari_deconv.training.blind_views import AMPLITUDE, SHAPE, decibels, relative_error, view
from napari_deconv.training.schooling import School

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from napari_deconv.training.blind_scenes import Scenes

BATCH, SIDE = 16, 98


def train(
    scenes: Scenes,
    apart: Scenes,
    folder: Path,
    minutes: float,
    *,
    width: int = 32,
    blocks: Sequence[int] = (1, 1, 1, 1),
    rate: float = 1e-3,
    seed: int = 0,
) -> tuple[ResNetEncoder, Mapping[str, float], int]:
    """Train for a while; return the network, its scores on other scenes and its steps.

    The loss is the relative squared error of the PSF: the paper's, of the parameters, would ask
    for the sign of the even modes, which no image shows.
    """
    torch.manual_seed(seed)
    network = ResNetEncoder(width, blocks)
    school = School(network, folder / "resnet.pt", rate)
    random = np.random.default_rng([seed, 3, school.steps])
    judged = batch(apart, np.random.default_rng([seed, 4]), 96)

    def loss() -> Tensor:
        network.train()
        return _error(network, *batch(scenes, random, BATCH)).mean()

    def score() -> dict[str, float]:
        network.eval()
        return {"all noise": float(decibels(_error(network, *judged)).mean())}

    scores = school.teach(minutes, loss, score)
    network.load_state_dict(school.mean)
    return network.eval(), scores, school.steps


def batch(scenes: Scenes, random: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Return images (count, y, x) and their aberrations (count, mode)."""
    seen = [view(scenes, random, SIDE, amplitude=AMPLITUDE) for _ in range(count)]
    images = torch.from_numpy(np.stack([each.image for each in seen]))
    return images, torch.from_numpy(np.stack([each.coefficients for each in seen]))


def _error(network: ResNetEncoder, images: Tensor, truth: Tensor) -> Tensor:
    model = pupils(CUTOFF, SHAPE)
    with torch.no_grad():
        true = model.psf(truth)
    return relative_error(model.psf(AMPLITUDE * network(images)), true)
