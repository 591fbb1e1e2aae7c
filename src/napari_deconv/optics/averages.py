"""Means of an intensity over pixels, discs and rings, as products with a matrix.

What is averaged is ``f(r) cos(m phi)`` of an order m, given by a table of f over the
radius; the mean over a disc or a ring is of that form again.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.optics.intensity import DOUBLE, PERIOD
from napari_deconv.optics.polynomials import gauss_legendre, lagrange, product

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_deconv.optics.intensity import Accuracy
    from napari_deconv.optics.pixels import Pixels

WIDTH = DOUBLE.width
RIM = 14  # points of the table that each point of a rim takes
MATRIX = 2**22  # numbers in a matrix at once


def pixel_matrix(
    pixels: Pixels,
    size: tuple[float, float],
    step: float,
    count: int,
    accuracy: Accuracy,
    order: int = 0,
) -> Any:
    """Return the matrix (distinct pixels, radii) that takes the mean over pixels of ``size``.

    The mean is that over Gauss-Legendre points in the pixel, or in parts of it where it is much
    larger than the table's step. All points of a part share one polynomial, so a mean costs
    hardly more than a single interpolation.
    """
    parts = math.ceil(math.hypot(*size) / 2 / (accuracy.spread * step)) or 1
    spread = math.hypot(*size) / 2 / parts
    width = max(accuracy.width, accuracy.width - 2 + 2 * math.ceil(spread / step))
    x, w = gauss_legendre(_points(max(size) / 2 / parts, accuracy.period * step, accuracy.extra))
    weights = np.outer(w, w).ravel() / (2 * parts) ** 2
    # Where the points are along an axis, in pixels: (part, point).
    along = ((2 * np.arange(parts) + 1 - parts)[:, None] + x) / (2 * parts)
    rows = []
    for ys, xs in itertools.product(along * size[0], along * size[1]):
        y, x = np.broadcast_arrays((pixels.y + ys[:, None])[:, None], pixels.x + xs[:, None])
        r = np.sqrt(y**2 + x**2).reshape(weights.size, -1)
        turned = weights
        if order:
            turned = weights[:, None] * np.cos(order * np.arctan2(y, x)).reshape(r.shape)
        rows.append(lagrange(r, turned, step, count, width))
    start, taps = (np.stack(each, axis=1) for each in zip(*rows, strict=True))
    return _matrix(start, taps, count)


def disc(
    parts: Mapping[int, NDArray[np.float64]], step: float, radius: float, count: int | None = None
) -> dict[int, NDArray[np.float64]]:
    """Return the mean over a disc of ``radius`` um around each place, for tables (z, r) by order.

    At the first ``count`` places, or at all that can be had.

    With ``G(r) = (1 / r**2) * integral of f(r') r' dr' from 0 to r``, the vector field
    ``G(r) cos(m phi) (x, y)`` has the divergence ``f(r) cos(m phi)``, so the mean over the disc
    is an integral of G along its rim. That is smooth and periodic: equidistant points on the rim
    give it to all digits, where a disc on the pixel grid would have a staircase for an edge.
    """
    means = {order: mean_inside(values, step, order) for order, values in parts.items()}
    return _along_rims(means, step, [(1.0, radius)], count, outwards=True)


def rings(
    parts: Mapping[int, NDArray[np.float64]],
    step: float,
    circles: Sequence[tuple[float, float]],
    count: int,
) -> dict[int, NDArray[np.float64]]:
    """Return a weighted sum of means over circles around each place, for tables (z, r) by order.

    ``circles`` are pairs of weight and radius, um; the first ``count`` places are returned.
    """
    return _along_rims(parts, step, circles, count)


def mean_inside(values: NDArray[np.float64], step: float, order: int = 0) -> NDArray[np.float64]:
    """Return ``(1 / r**2) * integral of f(r') r' dr' from 0 to r`` for a table (z, r)."""
    n = WIDTH // 2
    ramp = values * (step * np.arange(values.shape[1]))
    mirrored = ramp[:, n - 1 : 0 : -1] * (1 if order % 2 else -1)
    whole = np.concatenate([mirrored, ramp], axis=1)
    # From one point to the next: the integral of the polynomial through the points around.
    x, w = gauss_legendre(n + 1)
    _, weights = lagrange((n - 0.5 + x / 2)[:, None], w / 2, 1.0, WIDTH, WIDTH)
    count = values.shape[1] - n
    rings = sum(w * whole[:, j : j + count] for j, w in enumerate(weights[0]))
    inside = step * np.cumsum(rings, axis=1)
    r = step * np.arange(1, count + 1)
    mean: NDArray[np.float64] = np.concatenate([values[:, :1] / 2, inside / r**2], axis=1)
    return mean


def _along_rims(
    parts: Mapping[int, NDArray[np.float64]],
    step: float,
    circles: Sequence[tuple[float, float]],
    count: int | None,
    *,
    outwards: bool = False,
) -> dict[int, NDArray[np.float64]]:
    """Return sums of means along circles around each place, of tables (z, r) by order.

    ``circles`` are pairs of weight and radius, um. ``outwards``: of a vector field ``f (x, y)``,
    what points out of the circle, times 2. The points of all circles around one place share the
    table's radii: added up, they are one dense matrix, whatever the number of planes.
    """
    known = next(iter(parts.values())).shape[1]
    kept = known - math.ceil(max(radius for _, radius in circles) / step) - WIDTH // 2
    kept = kept if count is None else min(kept, count)
    means = {order: np.empty((len(table), kept)) for order, table in parts.items()}
    rows = max(1, MATRIX // known)
    for first in range(0, kept, rows):
        r = step * np.arange(first, min(first + rows, kept), dtype=np.float64)[:, None]
        matrices = {order: np.zeros((len(r), known)) for order in parts}
        for weight, radius in circles:
            # Along the rim the finest period's phase swings by 2 pi radius / (PERIOD step).
            n = math.ceil(math.pi * radius / (PERIOD * step)) + 12
            angle = math.pi * (np.arange(n) + 0.5) / n  # below the x axis it is the same
            x, y = r + radius * np.cos(angle), radius * np.sin(angle)
            weights = np.full_like(x, weight / n)
            if outwards:
                weights *= 2 / radius * (radius + r * np.cos(angle))
            start, taps = lagrange(np.hypot(x, y)[None], np.ones(1), step, known, RIM)
            taps *= weights[..., None]
            index = start[..., None] + np.arange(RIM)
            place = np.abs(index) + known * np.arange(len(r))[:, None, None]
            turn = np.arctan2(y, x)
            for order in parts:
                turned = taps * np.cos(order * turn)[..., None] if order else taps
                if order % 2:  # beyond the axis it is the opposite
                    turned = np.where(index < 0, -turned, turned)
                matrices[order] += np.bincount(
                    place.ravel(), turned.ravel(), minlength=len(r) * known
                ).reshape(len(r), known)
        for order, table in parts.items():
            means[order][:, first : first + rows] = product(table, matrices[order].T)
    return means


def _points(half: float, period: float, extra: int) -> int:
    """Return how many Gauss-Legendre points average a wave of ``period`` over 2 ``half``.

    To 1e-5 for the finest wave, of which a PSF holds next to nothing; far better with ``extra``.
    """
    return 1 if half == 0 else 2 + extra + math.ceil(2 * math.pi * half / period + 0.2)


def _matrix(start: NDArray[np.int64], weights: NDArray[Any], count: int) -> Any:
    """Return a sparse matrix (rows, count) of weights (row, part, width) at (row, part)."""
    from scipy.sparse import csr_matrix

    rows, per_row = len(start), weights[0].size
    # The intensity is even in r: what a row takes from beyond the axis is there on this side.
    index = np.abs(start[..., None].astype(np.int32) + np.arange(weights.shape[-1], dtype=np.int32))
    pointer = np.arange(0, rows * per_row + 1, per_row, dtype=np.int32)
    return csr_matrix((weights.ravel(), index.ravel(), pointer), shape=(rows, count))
