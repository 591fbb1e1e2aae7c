"""Aberrations from the logarithm of a power spectrum.

A residual network looks at the part of an image's spectrum that light gets through, a half plane
of frequencies, and answers with a few vectors of aberrations and their weights: the mean of their
PSFs is the estimate. A spectrum does not tell a PSF from the same turned by 180 degrees, and the
answer need not either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

MEMBERS = 6
MODES = 8
# What is told of every frequency: see ``forward``.
_CHANNELS = 8
# The faintest light, of the image's variance, that makes a difference to the network.
_FAINTEST = 1e-7


class SpectrumEncoder(nn.Module):
    """The network.

    Parameters
    ----------
    rows, columns
        Frequencies: rows from ``-rows // 2`` on, columns from 0 on.
    width
        Features at the first of three resolutions.
    members
        Vectors of an answer.
    """

    places: Tensor
    usual: Tensor

    def __init__(
        self, rows: int = 51, columns: int = 26, width: int = 32, members: int = MEMBERS
    ) -> None:
        super().__init__()
        self.members = members
        y, x = torch.meshgrid(
            torch.linspace(-1, 1, rows), torch.linspace(0, 1, columns), indexing="ij"
        )
        self.register_buffer("places", torch.stack([y, x, (y**2 + x**2).sqrt()]))
        self.register_buffer("usual", torch.zeros(rows, columns))
        self.first = nn.Conv2d(_CHANNELS, width, 3, padding=1)
        self.body = nn.Sequential(
            Block(width, width),
            Block(width, width),
            Block(width, 2 * width, 2),
            Block(2 * width, 2 * width),
            Block(2 * width, 2 * width, 2),
            Block(2 * width, 2 * width),
        )
        down = (-(-rows // 4)) * (-(-columns // 4))
        self.between = nn.Linear(2 * width * down, 256)
        self.last = nn.Linear(256, members * (MODES + 1))

    def forward(
        self, log: Tensor, noise: Tensor, windows: Tensor, amplitude: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return aberrations (n, members, mode), waves, and logarithms of weights (n, members).

        Parameters
        ----------
        log
            Natural logarithms (n, rows, columns) of the spectra, of the image's variance.
        noise
            Level of the noise in the same unit, before the logarithm, (n,).
        windows
            Number of independent windows of each spectrum, (n,).
        amplitude
            Largest aberrations to expect, waves, (n,).
        """
        floor = torch.log(noise.clamp(min=_FAINTEST))[:, None, None]
        seen = torch.maximum(log, floor)
        above = (seen - floor).clamp(max=10) / 4
        seen = seen - self.usual
        seen = (seen - seen.mean((-2, -1), keepdim=True)) / 2
        told = torch.stack(
            [floor[:, 0, 0] / 8 + 1, torch.log(windows) / 4, torch.log(amplitude / 0.15)], 1
        )
        shape = (-1, -1, *seen.shape[-2:])
        channels = [
            torch.stack([seen, above], 1),
            told[:, :, None, None].expand(*shape),
            self.places.expand(len(log), *shape[1:]),
        ]
        features = self.body(self.first(torch.cat(channels, 1)))
        hidden = functional.silu(self.between(features.flatten(1)))
        raw = self.last(hidden).unflatten(1, (self.members, MODES + 1))
        return amplitude[:, None, None] * torch.tanh(raw[..., :MODES]), raw[..., MODES]


class Block(nn.Module):
    """Two convolutions beside which the features pass, unchanged or thinned out."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, inputs)
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.past: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.past = nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the outputs' number."""
        changed = self.second(functional.silu(self.first(functional.silu(self.norm(features)))))
        passed: Tensor = self.past(features) + changed
        return passed
