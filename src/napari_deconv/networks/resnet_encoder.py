"""The paper's identification network: a residual encoder from an image to its aberrations.

Convolutions, batch normalisations, ReLUs and average pooling make an image smaller step by step,
as in the ResNets of He et al. 2016; a last adaptive average pooling leaves one vector, whatever
the image's size (deep-blur, section 2.2.1 and figure 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

MODES = 8
# Numbers of residual blocks and of features at the first resolution: ResNet-18's.
BLOCKS, WIDTH = (2, 2, 2, 2), 64


class ResNetEncoder(nn.Module):
    """The network.

    Parameters
    ----------
    width
        Features at the first resolution; twice as many at each further one.
    blocks
        Residual blocks at each resolution.
    outputs
        Parameters to identify.
    """

    def __init__(
        self, width: int = WIDTH, blocks: Sequence[int] = BLOCKS, outputs: int = MODES
    ) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(1, width, 7, padding=3, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        layers: list[nn.Module] = []
        features = width
        for level, count in enumerate(blocks):
            layers.append(nn.AvgPool2d(2))
            for number in range(count):
                wanted = width * 2**level
                layers.append(Block(features if number == 0 else wanted, wanted))
            features = width * 2**level
        self.body = nn.Sequential(*layers)
        self.last = nn.Linear(features, outputs)
        nn.init.normal_(self.last.weight, std=1e-3)
        nn.init.zeros_(self.last.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Return parameters (n, outputs), between -1 and 1, of images (n, y, x).

        Images are brought to mean 0 and standard deviation 1; what the parameters are multiplied
        with, the largest that occurs, is the caller's.
        """
        mean = image.mean((1, 2), keepdim=True)
        spread = image.std((1, 2), keepdim=True).clamp(min=1e-9)
        features = self.body(self.first(((image - mean) / spread)[:, None]))
        pooled = functional.adaptive_avg_pool2d(features, 1).flatten(1)
        return torch.tanh(self.last(pooled))


class Block(nn.Module):
    """Two convolutions with batch normalisation, and the way past them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.past: nn.Module = nn.Identity()
        if inputs != outputs:
            self.past = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the outputs' number."""
        changed = torch.relu(self.first_norm(self.first(features)))
        changed = self.second_norm(self.second(changed))
        return torch.relu(self.past(features) + changed)
