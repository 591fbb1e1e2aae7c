"""The generator of CiDeR: an asymmetric autoencoder with skip connections, fitted to one image.

The plan is that of the deep image prior's network (Ulyanov, Vedaldi and Lempitsky 2018,
doi:10.1109/CVPR.2018.00984) with the channels of Chobola et al. 2023
(doi:10.1109/ICCVW60793.2023.00406, figure 1 and table 3): 322,913 parameters in two dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Plan:
    """Sizes of a generator.

    Attributes
    ----------
    ndim
        2 for planes, 3 for stacks.
    inputs
        Channels that go in.
    down, up, skip
        Channels of each scale on the way down, on the way up and across; the finest first.
    norm
        Whether layers normalise their output over the image. Without it what a place becomes does
        not depend on how large a part of the image is seen at once.
    attention
        Scales (0 is the finest) whose places look at all others (Wang et al. 2018,
        doi:10.1109/CVPR.2018.00813): cost and memory grow with the square of the area.
    """

    ndim: int = 2
    inputs: int = 16
    down: tuple[int, ...] = (32, 32, 64, 64)
    up: tuple[int, ...] = (32, 32, 64, 64)
    skip: tuple[int, ...] = (16, 16, 16, 16)
    norm: bool = True
    attention: tuple[int, ...] = ()


# What the paper's table 3 counts; the attention stands in the authors' code and in that count.
PAPER = Plan(attention=(2, 3))
# A stack has a hundred planes' voxels: half the channels make a step affordable, and three scales
# reach as far as most stacks are deep.
STACK = Plan(ndim=3, down=(16, 16, 32), up=(16, 16, 32), skip=(8, 8, 8))


class Generator(nn.Module):
    """Makes an image of feature maps.

    Parameters
    ----------
    plan
        Its sizes.

    Notes
    -----
    The input has axes (batch, channel, [z,] y, x) and any size; the output has one channel and no
    final nonlinearity, since presets differ in it.
    """

    def __init__(self, plan: Plan = PAPER) -> None:
        super().__init__()
        self.plan = plan
        self.scales = _Scale(plan, 0, plan.inputs)
        self.last = _conv(plan.ndim, plan.up[0], 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return the image, (batch, 1, ...)."""
        image: Tensor = self.last(self.scales(features))
        return image


class _Scale(nn.Module):
    """One scale and, inside it, all coarser ones."""

    def __init__(self, plan: Plan, number: int, inputs: int) -> None:
        super().__init__()
        ndim, down, up = plan.ndim, plan.down[number], plan.up[number]
        skip, last = plan.skip[number], number == len(plan.down) - 1
        self._mode = "bilinear" if ndim == 2 else "trilinear"
        norm = plan.norm
        self.across = _block(ndim, inputs, skip, 1, norm)
        self.down = _block(ndim, inputs, down, 3, norm, stride=2)
        self.attention = _Attention(ndim, down) if number in plan.attention else nn.Identity()
        self.refine = _block(ndim, down, down, 3, norm)
        self.deeper = nn.Identity() if last else _Scale(plan, number + 1, down)
        below = down if last else plan.up[number + 1]
        self.join = nn.Sequential(
            _norm(ndim, skip + below) if norm else nn.Identity(),
            _block(ndim, skip + below, up, 3, norm),
            _block(ndim, up, up, 1, norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        deep = self.deeper(self.refine(self.attention(self.down(x))))
        deep = functional.interpolate(deep, scale_factor=2, mode=self._mode, align_corners=False)
        # An odd length comes back one longer than it was.
        inside = (slice(None), slice(None), *(slice(n) for n in x.shape[2:]))
        joined: Tensor = self.join(torch.cat([self.across(x), deep[inside]], 1))
        return joined


class _Attention(nn.Module):
    """Each place adds what all others look like, as far as they resemble it."""

    def __init__(self, ndim: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self._pool = getattr(nn, f"MaxPool{ndim}d")(2, ceil_mode=True)
        self.query = _conv(ndim, channels, half, 1)
        self.key = _conv(ndim, channels, half, 1)
        self.value = _conv(ndim, channels, half, 1)
        last = _norm(ndim, channels)
        # It begins as the identity.
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.back = nn.Sequential(_conv(ndim, half, channels, 1), last)

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2).transpose(1, 2)
        key, value = (self._pool(each(x)).flatten(2) for each in (self.key, self.value))
        alike = query @ key / key.shape[2]
        seen = (
            (alike @ value.transpose(1, 2))
            .transpose(1, 2)
            .reshape(-1, value.shape[1], *x.shape[2:])
        )
        added: Tensor = x + self.back(seen)
        return added


def _block(
    ndim: int, inputs: int, outputs: int, size: int, norm: bool, stride: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        _conv(ndim, inputs, outputs, size, stride),
        _norm(ndim, outputs) if norm else nn.Identity(),
        nn.LeakyReLU(0.2, inplace=True),
    )


def _conv(ndim: int, inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Module:
    kind: type[nn.Module] = nn.Conv2d if ndim == 2 else nn.Conv3d
    return kind(inputs, outputs, size, stride=stride, padding=size // 2)


def _norm(ndim: int, channels: int) -> nn.Module:
    kind: type[nn.Module] = nn.BatchNorm2d if ndim == 2 else nn.BatchNorm3d
    return kind(channels)


def count_parameters(network: nn.Module) -> int:
    """Return the number of learnable parameters."""
    return sum(each.numel() for each in network.parameters())
