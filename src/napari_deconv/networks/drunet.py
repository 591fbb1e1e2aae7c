"""DRUNet: a U-Net of residual blocks that knows how much noise there is (Zhang et al. 2022).

Zhang, Li, Zuo, Zhang, Van Gool and Timofte 2022, doi:10.1109/TPAMI.2021.3088914, section 3.1: the
denoiser of plug-and-play restoration, and the proximal network of deep-blur (Debarnot and Weiss
2024, doi:10.1017/S2633903X24000096). Scales are joined by additions, not by concatenation.

No layer has a bias (Mohan et al. 2020, arXiv:1906.05478): the output grows as the input does, image
and noise map together, so that the network works in any unit and at noise beyond what it was
trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Plan:
    """Sizes of a DRUNet.

    Attributes
    ----------
    ndim
        2 for planes, 3 for stacks.
    channels
        Of each scale, the finest first; a scale has half the resolution of the one before.
    blocks
        Residual blocks of a scale, on the way down and again on the way up.
    maps
        What is given beside the image: the noise's standard deviation in the image's unit, and
        others of the same kind.
    patch
        Voxels along an axis that the first scale takes together; above 1 it is so many times as
        fast in each axis, as FFDNet is (Zhang, Zuo and Zhang 2018, doi:10.1109/TIP.2018.2839891).
    residual
        Whether what the network makes is added to the image, which takes less training, or is the
        image, as in the publication.
    """

    ndim: int = 2
    channels: tuple[int, ...] = (64, 128, 256, 512)
    blocks: int = 4
    maps: int = 1
    patch: int = 1
    residual: bool = False

    @property
    def grid(self) -> int:
        """Voxels whose multiples the network works on; other sizes are padded inside."""
        return int(self.patch * 2 ** (len(self.channels) - 1))

    @property
    def reach(self) -> int:
        """How far, in voxels, what stands at a place can depend on the input; at most."""
        ends = 1 if self.patch == 1 else self.patch
        reach, size = 2 * ends, self.patch
        for scale in range(len(self.channels)):
            last = scale == len(self.channels) - 1
            reach += 2 * self.blocks * size * (1 if last else 2)
            size *= 2
        return reach + self.grid - 1


# The publication's.
PAPER = Plan()


class DRUNet(nn.Module):
    """Makes of a noisy image, and maps of how noisy it is, the image without noise.

    Parameters
    ----------
    plan
        Its sizes.

    Notes
    -----
    The input has axes (batch, 1 + maps, [z,] y, x), of any size; the output is (batch, 1, ...).
    """

    def __init__(self, plan: Plan = PAPER) -> None:
        super().__init__()
        self.plan = plan
        ndim, channels, patch = plan.ndim, plan.channels, plan.patch
        self.head = _ends(ndim, 1 + plan.maps, channels[0], patch)
        self.down = nn.ModuleList(
            nn.Sequential(*_blocks(plan, fine), _CONVOLUTIONS[ndim](fine, coarse, 2, 2, bias=False))
            for fine, coarse in pairwise(channels)
        )
        self.body = nn.Sequential(*_blocks(plan, channels[-1]))
        self.up = nn.ModuleList(
            nn.Sequential(_TRANSPOSED[ndim](coarse, fine, 2, 2, bias=False), *_blocks(plan, fine))
            for fine, coarse in pairwise(channels)
        )
        self.tail = _ends(ndim, channels[0], 1, patch, transposed=True)
        self._begin()

    def forward(self, image: Tensor) -> Tensor:
        """Return the image without noise."""
        shape = image.shape[2:]
        beyond = [side for n in reversed(shape) for side in (0, -n % self.plan.grid)]
        features = self.head(functional.pad(image, beyond, mode="replicate"))
        across = []
        for down in self.down:
            across.append(features)
            features = down(features)
        features = features + self.body(features)
        for up, finer in zip(reversed(self.up), reversed(across), strict=True):
            features = finer + up(features)
        made: Tensor = self.tail(features)[(..., *(slice(n) for n in shape))]
        return image[:, :1] + made if self.plan.residual else made

    def _begin(self) -> None:
        """Begin with blocks that change little: He et al.'s weights, the last of a block small."""
        for module in self.modules():
            if isinstance(module, Residual):
                nn.init.kaiming_normal_(module.first.weight, nonlinearity="relu")
                nn.init.kaiming_normal_(module.second.weight, nonlinearity="relu")
                with torch.no_grad():
                    module.second.weight.mul_(0.2)
        if self.plan.residual:
            with torch.no_grad():
                self.tail.weight.mul_(0.1)


class Residual(nn.Module):
    """Two convolutions beside which the features pass unchanged."""

    def __init__(self, ndim: int, features: int) -> None:
        super().__init__()
        convolution = _CONVOLUTIONS[ndim]
        self.first = convolution(features, features, 3, padding=1, bias=False)
        self.second = convolution(features, features, 3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        made: Tensor = self.second(functional.relu(self.first(features), inplace=True))
        return features + made


_CONVOLUTIONS: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def _blocks(plan: Plan, features: int) -> list[Residual]:
    return [Residual(plan.ndim, features) for _ in range(plan.blocks)]


def _ends(ndim: int, inputs: int, outputs: int, patch: int, *, transposed: bool = False) -> Any:
    """Return the first or the last convolution; patches overlap by half."""
    if patch == 1:
        return _CONVOLUTIONS[ndim](inputs, outputs, 3, padding=1, bias=False)
    kind = (_TRANSPOSED if transposed else _CONVOLUTIONS)[ndim]
    return kind(inputs, outputs, 2 * patch, patch, padding=patch // 2, bias=False)
