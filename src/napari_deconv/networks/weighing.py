"""How much to believe each of several estimates of a PSF, by what is known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

# What is known: noise, windows, amplitude, expected errors of the fit, of the network and of the
# mean PSF, and how far fit and network are apart.
FACTS = 7


class Weighing(nn.Module):
    """Shares of the fit, of the network and of the mean PSF.

    Parameters
    ----------
    width
        Numbers in between.
    """

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(FACTS, width), nn.SiLU(), nn.Linear(width, 3))

    def forward(self, facts: Tensor) -> Tensor:
        """Return shares (n, 3), which add up to 1, of facts (n, 7)."""
        return torch.softmax(self.layers(facts), -1)


def facts(
    noise: float,
    windows: float,
    amplitude: float,
    errors: tuple[float, float, float],
    apart: float,
) -> Tensor:
    """Return what the weighing knows, (7,).

    Parameters
    ----------
    noise
        The noise's variance over the image's.
    windows
        Independent windows in the image.
    amplitude
        Largest aberrations to expect, waves.
    errors
        Expected squared errors of the fit, the network and the mean PSF over the PSF's square.
    apart
        Squared difference of fit and network over the square of the mean PSF.
    """
    values = torch.tensor([noise, windows, amplitude / 0.15, *errors, apart])
    logs = values.clamp(min=1e-7).log()
    return logs / torch.tensor([4.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0]) + torch.tensor(
        [1.5, -2.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    )
