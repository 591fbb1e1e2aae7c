"""Intensities that depend on the distance from the axis only, and their way onto voxels.

A radial table loses nothing as long as it is fine enough and interpolated well. Linear
interpolation at the pixel's distance costs up to 7 % (relative L2); polynomials through ten or
more points at an eighth of the finest period cost less than 1e-6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.optics import averages
from napari_deconv.optics.intensity import accuracy
from napari_deconv.optics.pixels import Pixels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray

    from napari_deconv.optics.intensity import Sampling

MARGIN = 24  # points kept beyond the reach, for interpolation at the edge
PLANES = 32  # worked on together: what they need stays in the processor's cache


def radii(sampling: Sampling) -> NDArray[np.float64]:
    """Return the radii, um, at which a radial model has to be known."""
    if sampling.reach == 0:  # the axis alone
        return np.zeros(1)
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

    def weighted(self, weights: NDArray[np.float64]) -> Radial:
        """Return the intensity times ``weights``, one for each stage position."""
        return Radial(self.values * weights[:, None], self.step)

    def on_axis(self) -> NDArray[np.float64]:
        """Return the intensity in the middle, one value per stage position."""
        return self.values[:, 0]

    def blur_disc(self, radius: float) -> Radial:
        """Return the mean over a disc of ``radius`` um around each place."""
        if radius == 0:
            return self
        (means,) = averages.disc({0: self.values}, self.step, radius).values()
        return Radial(np.maximum(means, 0.0), self.step)

    def repeated(
        self, rings: Sequence[tuple[float, float]], density: float, beyond: float
    ) -> Radial:
        """Return the sum of the intensity and its copies all around.

        See ``Intensity``. The table has to hold nearly all light of the plane in focus.
        """
        (summed,) = repeat({0: self.values}, self.step, rings, density, beyond).values()
        return Radial(summed, self.step)

    def voxels(
        self,
        shape: tuple[int, int],
        spacing: tuple[float, float],
        *,
        integrate: bool,
        dtype: DTypeLike = np.float32,
    ) -> NDArray[Any]:
        """Return the intensity (z, y, x) in pixels of ``spacing`` um, with sum 1.

        ``integrate`` takes the mean over each pixel's area, else the value at its middle.
        The origin is at ``n // 2``.
        """
        pixels = Pixels(shape, spacing)
        return to_voxels([(0, self.values)], self.step, pixels, integrate=integrate, dtype=dtype)


def to_voxels(
    parts: Sequence[tuple[int, NDArray[np.float64]]],
    step: float,
    pixels: Pixels,
    *,
    integrate: bool,
    dtype: DTypeLike,
) -> NDArray[Any]:
    """Return the sum of all ``table(r) cos(order phi)`` in pixels, (z, y, x), with sum 1.

    Parameters
    ----------
    parts
        Pairs of an even order and a table (z, r), the intensity's mean over all directions first.
    step
        Of the tables, um.
    pixels
        Where to.
    integrate
        Whether to take the mean over each pixel's area.
    dtype
        float32 or float64.
    """
    size = pixels.spacing if integrate else (0.0, 0.0)
    count, brightest = parts[0][1].shape[1], parts[0][1].max()
    planes = len(parts[0][1])
    distinct = np.zeros((planes, pixels.counts.size), dtype)
    for order, values in parts:
        matrix = averages.pixel_matrix(pixels, size, step, count, accuracy(dtype), order)
        matrix = matrix.astype(dtype)
        table = (values / brightest).astype(dtype)
        for first in range(0, planes, PLANES):
            some = slice(first, first + PLANES)
            distinct[some] += (matrix @ table[some].T).T
    np.maximum(distinct, 0, out=distinct)  # rounding, where the intensity is zero
    distinct /= (distinct.sum(axis=0, dtype=np.float64) * pixels.counts).sum()
    out = np.empty((planes, *pixels.shape), dtype)
    for values, plane in zip(distinct, out, strict=True):
        pixels.unfold(values, plane)
    return out


def repeat(
    parts: Mapping[int, NDArray[np.float64]],
    step: float,
    rings: Sequence[tuple[float, float]],
    density: float,
    beyond: float,
) -> dict[int, NDArray[np.float64]]:
    """Return tables (z, r) by order plus their copies all around: see ``Intensity.repeated``."""
    farthest = max([beyond, *(distance for _, distance in rings)])
    known = next(iter(parts.values())).shape[1]
    count = known - math.ceil(farthest / step) - averages.WIDTH
    summed = averages.rings(parts, step, rings, count)
    for order, values in parts.items():
        summed[order] += values[:, :count]
    if density:
        # Copies everywhere but within ``beyond`` send all light but that from as near as that.
        for order, means in averages.disc(parts, step, beyond, count).items():
            summed[order] -= density * math.pi * beyond**2 * means
        if 0 in summed:
            summed[0] += density * _total(parts[0], step)
    return summed


def _total(values: NDArray[np.float64], step: float) -> float:
    """Return the light of a plane; all hold the same, though a table may not reach to the end.

    Of the plane that it holds most of, it lacks the rings' tail, which falls with the radius.
    """
    mean = averages.mean_inside(values, step)
    r = step * np.arange(mean.shape[1])
    inside = 2 * math.pi * r**2 * mean
    plane = inside[np.argmax(inside[:, -1])]
    return float(2 * plane[-1] - np.interp(r[-1] / 2, r, plane))
