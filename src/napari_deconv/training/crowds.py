"""Crowds of simple bodies: the phantoms of Li et al. 2022, seeded and without end.

Solid spheres, ellipsoidal shells, dots, rods, plates and blocks, each of its own brightness, one
drawn over the other, then smoothed a little; the recipe of the Richardson-Lucy network's authors
(doi:10.1038/s41592-022-01652-7), without the constant background that they add.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Bodies in 128^3 voxels: spheres and shells, and each of the eight kinds of boxes.
_ROUND, _BOXES = 100, 50
# In a plane a body covers more: with this share of them planes are as full as stacks.
_IN_A_PLANE = 0.12
_DARKEST, _BRIGHTEST = 50.0, 850.0
# How many voxels longer than two a box can be along z, y, x.
_LONGEST = (
    (0, 0, 0),
    (0, 0, 9),
    (0, 9, 0),
    (9, 0, 0),
    (0, 9, 9),
    (9, 0, 9),
    (9, 9, 0),
    (4, 4, 4),
)
_SMOOTHING = 0.7


def crowd(
    shape: Sequence[int], seed: int | Sequence[int], *, ratio: float = 1.0
) -> NDArray[np.float32]:
    """Draw a phantom.

    Parameters
    ----------
    shape
        Two or three sizes.
    seed
        Start of the random numbers.
    ratio
        Distance of planes over the size of pixels: bodies are that much flatter in voxels.

    Returns
    -------
    ndarray of float32
        Values 0 to 1.
    """
    from scipy.ndimage import correlate1d

    random = np.random.default_rng(seed)
    ndim = len(shape)
    flat = np.array([ratio, 1.0, 1.0])[-ndim:]
    # Counted in cubes, so that a flatter grid has as many bodies for its true volume.
    share = math.prod(shape) * (ratio if ndim == 3 else 1.0) / 128**ndim
    share *= 1.0 if ndim == 3 else _IN_A_PLANE
    volume = np.zeros(tuple(shape), np.float32)
    for shell in (False, True):
        for _ in range(max(1, round(_ROUND * share))):
            radii = random.integers(4, 8, ndim) if shell else np.full(ndim, random.integers(4, 8))
            _draw_round(volume, random, radii / flat, shell=shell)
    for longest in _LONGEST:
        for _ in range(max(1, round(_BOXES * share))):
            sizes = 2 + random.integers(0, np.array(longest[-ndim:]) + 1)
            sizes = np.maximum(np.round(sizes / flat), 1).astype(int)
            start = random.integers(0, np.maximum(np.array(shape) - sizes, 0) + 1)
            box = tuple(slice(a, a + n) for a, n in zip(start, sizes, strict=True))
            volume[box] = random.uniform(_DARKEST, _BRIGHTEST)
    for axis in range(ndim):
        volume = correlate1d(volume, gaussian(_SMOOTHING / flat[axis], 5), axis, mode="constant")
    return volume / max(float(volume.max()), 1e-6)


def gaussian(sigma: float, taps: int) -> NDArray[np.float64]:
    """Return an odd number of values of a Gaussian, with sum 1."""
    places = np.arange(taps) - taps // 2
    values: NDArray[np.float64] = np.exp(-0.5 * (places / sigma) ** 2)
    values /= values.sum()
    return values


def _draw_round(
    volume: NDArray[np.float32],
    random: np.random.Generator,
    radii: NDArray[np.float64],
    *,
    shell: bool,
) -> None:
    """Draw a ball or a shell, which its box cuts at the poles, as the authors' code does."""
    size = np.array(volume.shape)
    margin = np.minimum(np.ceil(radii).astype(int) + 1, (size - 1) // 2)
    centre = random.integers(margin, size - margin)
    reach = np.ceil(radii).astype(int)
    low, high = np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, size)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    axes = np.ogrid[box]
    distance = sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True))
    inside = (distance >= 0.8) & (distance <= 1.3) if shell else distance <= 1
    volume[box][inside] = random.uniform(_DARKEST, _BRIGHTEST)
