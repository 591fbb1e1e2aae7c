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
    """Shares of the fit, of the network and of the mean PSF, and what to expect of them together.

    Parameters
    ----------
    width
        Numbers in between.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(FACTS, width), nn.SiLU(), nn.Linear(width, 4))

    def forward(self, facts: Tensor) -> tuple[Tensor, Tensor]:
        """Return what facts (n, 7) are worth.

        Returns
        -------
        tuple of tensors
            Shares (n, 3), which add up to 1, and the signal to noise (n,), dB, that the mean PSF
            with these shares is expected to have.
        """
        told = self.layers(facts)
        return torch.softmax(told[:, :3], -1), 10 * told[:, 3]


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
