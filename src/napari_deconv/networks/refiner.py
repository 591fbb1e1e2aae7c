"""A generator that corrects the best of several classic estimates, seen side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_deconv.networks.generator import Generator, Plan

if TYPE_CHECKING:
    from torch import Tensor

# Seven classic estimates; no normalisation, so that a place's correction depends on its
# surroundings alone: pieces fit together without seams.
PLAN = Plan(inputs=7, norm=False)
# Corrections are in units of the local intensity, plus this share of the typical one.
_LEAST = 0.05


class Refiner(nn.Module):
    """Makes the object of its classic estimates.

    Parameters
    ----------
    plan
        Sizes of the generator inside.

    Notes
    -----
    The input has axes (batch, channel, y, x), in units of the image's typical intensity: channel 1
    is what is corrected, and the last one the noise. The output has axes (batch, y, x).
    """

    def __init__(self, plan: Plan = PLAN) -> None:
        super().__init__()
        self.generator = Generator(plan)
        # It begins as the identity.
        for parameter in self.generator.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, stack: Tensor) -> Tensor:
        """Return the corrected estimate, which may be negative."""
        base = stack[:, 1]
        # Fluorescence spans decades: what is bright must not drown what is dim.
        tame = torch.sign(stack) * torch.log1p(stack.abs())
        correction = self.generator(tame)[:, 0].float()
        refined: Tensor = base + correction * (base.abs() + stack[:, -1] + _LEAST)
        return refined
