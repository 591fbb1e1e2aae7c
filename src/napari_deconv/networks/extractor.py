"""The feature extractor of CiDeR: one convolution and three residual blocks, 16 features.

Chobola et al. 2023 (doi:10.1109/ICCVW60793.2023.00406, section 4) after Dong, Roth and Schiele 2020
(deep Wiener deconvolution). The features of the blurred image are deconvolved one by one, since
to blur and to filter commute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

FEATURES = 16


class Extractor(nn.Module):
    """Makes feature maps of an image.

    Parameters
    ----------
    features
        How many.
    size
        Side of the convolutions' kernels.

    Notes
    -----
    Input of axes (batch, 1, y, x), of a typical intensity of 1; output (batch, features, y, x).
    Beyond the border its outermost pixels go on.
    """

    def __init__(self, features: int = FEATURES, size: int = 5) -> None:
        super().__init__()
        self.first = _conv(1, features, size)
        self.rest = nn.Sequential(*(_Residual(features, size) for _ in range(3)))
        self.rectify = nn.ReLU()

    def forward(self, image: Tensor) -> Tensor:
        """Return the features."""
        features: Tensor = self.rest(self.rectify(self.first(image)))
        return features


class _Residual(nn.Module):
    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            _conv(features, features, size), nn.ReLU(), _conv(features, features, size)
        )

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = x + self.change(x)
        return changed


def _conv(inputs: int, outputs: int, size: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, padding_mode="replicate")
