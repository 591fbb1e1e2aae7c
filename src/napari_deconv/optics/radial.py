"""Intensities that depend on the distance from the axis only, and their way onto voxels.

A radial table loses nothing as long as it is fine enough and interpolated well. Linear
interpolation at the pixel's distance costs up to 7 % (relative L2); polynomials through ten or
more points at an eighth of the finest period cost less than 1e-6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.optics.intensity import PERIOD
from napari_deconv.optics.pixels import Pixels
from napari_deconv.optics.polynomials import gauss_legendre, lagrange

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deconv.optics.intensity import Sampling

WIDTH = 10  # points an interpolation takes, at least
MARGIN = 16  # points kept beyond the reach, for interpolation at the edge
SPREAD = 8  # points to either side over which one polynomial may serve for a whole pixel
PLANES = 32  # worked on together: what they need stays in the processor's cache


def radii(sampling: Sampling) -> NDArray[np.float64]:
    """Return the radii, um, at which a radial model has to be known."""
    count = math.ceil(sampling.reach / sampling.step) + MARGIN
    return sampling.step * np.arange(count, dtype=np.float64)


@dataclass(frozen=True)
class Radial:
    """Intensity over stage position and distance from the axis.

    Attributes
    ----------
    values
        Intensity, (z, r), at the distances ``step * (0, 1, 2, ...)``.
    step
        um.
    """

    values: NDArray[np.float64]
    step: float

    def __mul__(self, other: Radial) -> Radial:
        """Return the product of two intensities."""
        n = min(self.values.shape[1], other.values.shape[1])
        return Radial(self.values[:, :n] * other.values[:, :n], self.step)

    def on_axis(self) -> NDArray[np.float64]:
        """Return the intensity in the middle, one value per stage position."""
        return self.values[:, 0]

    def blur_disc(self, radius: float) -> Radial:
        """Return the mean over a disc of ``radius`` um around each place.

        With ``G(r) = (1 / r**2) * integral of I(r') r' dr' from 0 to r``, the vector field
        ``G(r) (x, y)`` has the divergence I, so the mean over the disc is an integral of G along
        its rim. That is smooth and periodic: equidistant points on the rim give it to all digits,
        where a disc on the pixel grid would have a staircase for an edge.
        """
        if radius == 0:
            return self
        field = _mean_inside(self.values, self.step)
        count = field.shape[1] - math.ceil(radius / self.step) - WIDTH // 2
        # Along the rim the finest period's phase swings by 2 pi radius / (PERIOD step).
        n = math.ceil(math.pi * radius / (PERIOD * self.step)) + 12
        cosine = np.cos(math.pi * (np.arange(n) + 0.5) / n)
        r = self.step * np.arange(count)[:, None]
        rim = np.sqrt(np.maximum(r**2 + radius**2 + 2 * radius * r * cosine, 0.0))
        start, weights = lagrange(rim[None], np.ones(1), self.step, field.shape[1], WIDTH)
        weights *= (2 / (n * radius) * (radius + r * cosine))[..., None]
        matrix = _matrix(start, weights, field.shape[1])
        matrix.sum_duplicates()
        return Radial(np.maximum((matrix @ field.T).T, 0.0), self.step)

    def voxels(
        self, shape: tuple[int, int], spacing: tuple[float, float], *, integrate: bool
    ) -> NDArray[np.float32]:
        """Return the intensity (z, y, x) in pixels of ``spacing`` um, with sum 1.

        ``integrate`` takes the mean over each pixel's area, else the value at its middle.
        The origin is at ``n // 2``.
        """
        pixels = Pixels(shape, spacing)
        matrix = self._to_pixels(pixels, spacing if integrate else (0.0, 0.0))
        table = (self.values / self.values.max()).astype(np.float32)
        distinct = np.empty((len(table), pixels.counts.size), np.float32)
        for first in range(0, len(table), PLANES):
            planes = slice(first, first + PLANES)
            distinct[planes] = (matrix @ table[planes].T).T
        np.maximum(distinct, 0, out=distinct)  # rounding, where the intensity is zero
        distinct /= (distinct.sum(axis=0, dtype=np.float64) * pixels.counts).sum()
        out = np.empty((len(table), *shape), np.float32)
        for values, plane in zip(distinct, out, strict=True):
            pixels.unfold(values, plane)
        return out

    def _to_pixels(self, pixels: Pixels, size: tuple[float, float]) -> Any:
        """Return the matrix (distinct pixels, radii) that takes the mean over pixels of ``size``.

        The mean is that over Gauss-Legendre points in the pixel, or in parts of it where it is
        much larger than the table's step. All points of a part share one polynomial, so a mean
        costs hardly more than a single interpolation.
        """
        count = self.values.shape[1]
        parts = math.ceil(math.hypot(*size) / 2 / (SPREAD * self.step)) or 1
        spread = math.hypot(*size) / 2 / parts
        width = max(WIDTH, WIDTH - 2 + 2 * math.ceil(spread / self.step))
        x, w = gauss_legendre(_order(max(size) / 2 / parts, PERIOD * self.step))
        weights = np.outer(w, w).ravel() / (2 * parts) ** 2
        # Where the points are along an axis, in pixels: (part, point).
        along = ((2 * np.arange(parts) + 1 - parts)[:, None] + x) / (2 * parts)
        rows = []
        for ys, xs in product(along * size[0], along * size[1]):
            squares = ((pixels.y + ys[:, None]) ** 2)[:, None] + (pixels.x + xs[:, None]) ** 2
            r = np.sqrt(squares).reshape(weights.size, -1)
            rows.append(lagrange(r, weights, self.step, count, width))
        start, taps = (np.stack(each, axis=1) for each in zip(*rows, strict=True))
        return _matrix(start, taps.astype(np.float32), count)


def _order(half: float, period: float) -> int:
    """Return how many Gauss-Legendre points average a wave of ``period`` over 2 ``half``.

    To 1e-5 for the finest wave, of which a PSF holds next to nothing.
    """
    return 1 if half == 0 else 2 + math.ceil(2 * math.pi * half / period + 0.2)


def _matrix(start: NDArray[np.int64], weights: NDArray[Any], count: int) -> Any:
    """Return a sparse matrix (rows, count) of weights (row, part, width) at (row, part)."""
    from scipy.sparse import csr_matrix

    rows, per_row = len(start), weights[0].size
    # The intensity is even in r: what a row takes from beyond the axis is there on this side.
    index = np.abs(start[..., None].astype(np.int32) + np.arange(weights.shape[-1], dtype=np.int32))
    pointer = np.arange(0, rows * per_row + 1, per_row, dtype=np.int32)
    return csr_matrix((weights.ravel(), index.ravel(), pointer), shape=(rows, count))


def _mean_inside(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Return ``(1 / r**2) * integral of I(r') r' dr' from 0 to r`` for a table (z, r)."""
    n = WIDTH // 2
    ramp = values * (step * np.arange(values.shape[1]))
    odd = np.concatenate([-ramp[:, n - 1 : 0 : -1], ramp], axis=1)
    # From one point to the next: the integral of the polynomial through the points around.
    x, w = gauss_legendre(n + 1)
    _, weights = lagrange((n - 0.5 + x / 2)[:, None], w / 2, 1.0, WIDTH, WIDTH)
    count = values.shape[1] - n
    rings = sum(w * odd[:, j : j + count] for j, w in enumerate(weights[0]))
    inside = step * np.cumsum(rings, axis=1)
    r = step * np.arange(1, count + 1)
    mean: NDArray[np.float64] = np.concatenate([values[:, :1] / 2, inside / r**2], axis=1)
    return mean
