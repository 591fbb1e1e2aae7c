"""The networks that LUCYD's paper compares it with, built here from what is published of them.

``Rln`` is the Richardson-Lucy network of Li et al. 2022 (Nature Methods 19, 1427): three stages of
convolutions, softplus and quotients, at half and at full resolution. ``Care`` is a U-Net as of
Weigert et al. 2018 (Nature Methods 15, 1090) in three dimensions, of about a million parameters.
Both see images between 0 and 1 with axes (batch, 1, z, y, x), even in size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

# Added to the divisors, as in the publication.
_GUARD = 1e-3


def _layer(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm3d(outputs),
        nn.Softplus(),
    )


class Rln(nn.Module):
    """Richardson-Lucy network; its filters have the 15,808 weights of the published code."""

    def __init__(self) -> None:
        super().__init__()
        # H1 at half the resolution: projection, quotient, back projection, and up again.
        self.project = nn.ModuleList([_layer(1, 4), _layer(4, 4), _layer(8, 4)])
        self.back = nn.ModuleList([_layer(1, 8), _layer(8, 8), _layer(16, 8)])
        self.up, self.smooth = nn.ConvTranspose3d(8, 4, 2, 2, bias=False), _layer(4, 4)
        # H2: the same at full resolution.
        self.project_full = nn.Sequential(_layer(1, 4), _layer(4, 4))
        self.back_full = nn.Sequential(_layer(1, 8), _layer(8, 8))
        # H3 merges both.
        self.merge = nn.ModuleList([_layer(1, 8), _layer(10, 8), _layer(16, 8)])
        self.norms = nn.ModuleList([nn.BatchNorm3d(1) for _ in range(2)])

    def forward(self, image: Tensor) -> Tensor:
        """Return the restored image."""
        small = functional.avg_pool3d(image, 2)
        first = self.project[0](small)
        second = self.project[1](first)
        third = self.project[2](torch.cat([first, second], 1)) + functional.softplus(small)
        quotient = small / (third.mean(1, keepdim=True) + _GUARD)
        first = self.back[0](quotient)
        second = self.back[1](first)
        update = self.smooth(self.up(self.back[2](torch.cat([first, second], 1))))
        low = functional.softplus(self.norms[0](image * update.mean(1, keepdim=True)))
        quotient = image / (self.project_full(image).mean(1, keepdim=True) + _GUARD)
        update = 1 + self.back_full(quotient).mean(1, keepdim=True)
        high = functional.softplus(self.norms[1](low * update))
        first = self.merge[0](high)
        second = self.merge[1](torch.cat([first, low, high], 1))
        made: Tensor = self.merge[2](torch.cat([first, second], 1)).mean(1, keepdim=True)
        return made


def _pair(inputs: int, middle: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(inputs, middle, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv3d(middle, outputs, 3, padding=1),
        nn.ReLU(inplace=True),
    )


class Care(nn.Module):
    """U-Net of two scales whose answer is added to the image: a million parameters."""

    def __init__(self, features: int = 32) -> None:
        super().__init__()
        f = features
        self.enter, self.lower = _pair(1, f, f), _pair(f, 2 * f, 2 * f)
        self.lowest = _pair(2 * f, 4 * f, 2 * f)
        self.rise, self.leave = _pair(4 * f, 2 * f, f), _pair(2 * f, f, f)
        self.end = nn.Conv3d(f, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the restored image."""
        high = self.enter(image)
        middle = self.lower(functional.max_pool3d(high, 2))
        low = self.lowest(functional.max_pool3d(middle, 2))
        middle = self.rise(torch.cat([_double(low), middle], 1))
        made: Tensor = image + self.end(self.leave(torch.cat([_double(middle), high], 1)))
        return made


def _double(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")
