"""Which of two restorations is the right way round.

A PSF and the same turned by 180 degrees have one spectrum; restorations with the two differ in
phase alone. They are compared by how sparse their gradients are, at several scales and powers and
with more and less smoothing, and by how much of the image a non-negative object leaves unexplained:
differences of logarithms, each times a gain that a small network knows from the image's size and
noise, add up to the logarithm of the odds. Exchanging the two restorations changes its sign and
nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

# What the gains know: logarithms of the pixels' number, of the noise, and of the difference of the
# PSF and itself turned.
FACTS = 3


class SignNetwork(nn.Module):
    """The network.

    Parameters
    ----------
    differences
        Numbers that compare two restorations.
    width
        Numbers between the facts and the gains.
    """

    def __init__(self, differences: int, width: int = 12) -> None:
        super().__init__()
        self.scale = nn.Buffer(torch.ones(differences))
        last = nn.Linear(width, differences)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.gains = nn.Sequential(nn.Linear(FACTS, width), nn.Tanh(), last)

    def forward(self, differences: Tensor, facts: Tensor) -> Tensor:
        """Return the logarithm of the odds (n,) that the first of each two is right.

        Parameters
        ----------
        differences
            Of what is measured in both restorations, times the root of the pixels' number,
            (n, differences).
        facts
            (n, 3), see ``facts``.
        """
        odds: Tensor = (self.gains(facts) * differences / self.scale).sum(-1)
        return odds


def facts(pixels: float, noise: Tensor, difference: Tensor) -> Tensor:
    """Return what the gains know, (n, 3).

    Parameters
    ----------
    pixels
        Number of them.
    noise
        The noise's variance over the image's, (n,).
    difference
        Squared difference of the PSF and itself turned, over its square, (n,).
    """
    size = torch.full_like(noise, pixels).log() / 2 - 5
    return torch.stack(
        [size, noise.clamp(1e-6, 1).log() / 4 + 1.5, difference.clamp(1e-3, 4).log() / 2], 1
    )
