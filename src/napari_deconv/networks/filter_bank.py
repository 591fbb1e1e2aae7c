"""Feature maps that need no training: the image's slopes, bends, blobs and lines.

Every filter is a derivative of a Gaussian, so that features of the blurred image are exactly the
blurred features of the object. There are 16 in any number of dimensions, as many as CiDeR's
extractor makes.
"""

from __future__ import annotations

import math
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

FEATURES = 16
# Widths of the Gaussians, in voxels.
_FINE, _COARSE = 0.7, 1.5
# Directions of the lines that are looked for beside the axes, in the last two axes.
_ANGLES = tuple(math.pi * (i + 0.5) / 4 for i in range(4))


def filter_bank(ndim: int) -> Tensor:
    """Return the filters, ``(16, *[9] * ndim)``, of unit length each.

    The image itself; its slopes along each axis; its second derivatives; the Laplacian of a fine
    and of a coarse Gaussian; bends across four oblique directions, fine and coarse, as far as 16
    allow.
    """
    filters = [_gaussian(ndim, _FINE, (0,) * ndim)]
    for axis in range(ndim):
        filters.append(_derivative(ndim, _FINE, (axis,)))
    for pair in combinations_with_replacement(range(ndim), 2):
        filters.append(_derivative(ndim, _FINE, pair))
    for sigma in (_FINE, _COARSE):
        parts = [_derivative(ndim, sigma, (axis, axis)) for axis in range(ndim)]
        filters.append(torch.stack(parts).sum(0))
    for sigma in (_COARSE, _FINE):
        y, x = ndim - 2, ndim - 1
        yy, xx, yx = (_derivative(ndim, sigma, p) for p in ((y, y), (x, x), (y, x)))
        for angle in _ANGLES:
            c, s = math.cos(angle), math.sin(angle)
            filters.append(c * c * xx + s * s * yy + 2 * c * s * yx)
    bank = torch.stack(filters[:FEATURES])
    lengths = bank.flatten(1).norm(dim=1).reshape(-1, *[1] * ndim)
    unit: Tensor = (bank / lengths).float()
    return unit


def apply_filters(image: Tensor, bank: Tensor) -> Tensor:
    """Return the features of an image, ``(16, *image.shape)``; beyond its borders it is mirrored.

    Parameters
    ----------
    image
        Of the bank's number of axes.
    bank
        As :func:`filter_bank` returns it.
    """
    ndim = image.ndim
    reach = bank.shape[-1] // 2
    padding = [reach] * (2 * ndim)
    shape: Sequence[int] = image.shape
    mode = "reflect" if min(shape) > reach else "replicate"
    padded = functional.pad(image[None, None], padding, mode=mode)
    convolve = functional.conv2d if ndim == 2 else functional.conv3d
    features: Tensor = convolve(padded, bank[:, None].flip(list(range(2, ndim + 2))).to(image))
    return features[0]


def _axis() -> Tensor:
    return torch.arange(-4, 5, dtype=torch.float64)


def _gaussian(ndim: int, sigma: float, orders: Sequence[int]) -> Tensor:
    """Return the Gaussian's derivative of these orders along the axes."""
    t = _axis()
    bell = torch.exp(-(t**2) / (2 * sigma**2))
    bell = bell / bell.sum()
    shapes = {0: bell, 1: -t / sigma**2 * bell, 2: (t**2 / sigma**4 - 1 / sigma**2) * bell}
    # A derivative sees no constant, sampled or not.
    shapes[2] = shapes[2] - shapes[2].sum() * bell
    made = torch.ones((1,) * ndim, dtype=torch.float64)
    for axis, order in enumerate(orders):
        made = made * shapes[order].reshape([-1 if i == axis else 1 for i in range(ndim)])
    return made


def _derivative(ndim: int, sigma: float, axes: Sequence[int]) -> Tensor:
    orders = [0] * ndim
    for axis in axes:
        orders[axis] += 1
    return _gaussian(ndim, sigma, orders)
