"""Intensities without symmetry: over the distance from the axis and the direction."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.optics import averages
from napari_deconv.optics.intensity import PERIOD, accuracy
from napari_deconv.optics.polynomials import lagrange
from napari_deconv.optics.radial import repeat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray

PIXELS = 2**14  # looked up together, to bound memory
AROUND = 9  # fine pixels around a pixel from which its mean comes


@dataclass(frozen=True)
class Polar:
    """Intensity over stage position, distance from the axis and direction.

    Attributes
    ----------
    values
        Intensity (z, r, direction), float32, at the distances ``step * (0, 1, 2, ...)`` and in an
        even number of directions from the x axis towards y. They are three times as many as the
        highest harmonic asks for: products are known between them, too.
    step
        um.
    faint
        Relative to the brightest, harmonics that are left out of means.
    """

    values: NDArray[np.float32]
    step: float
    faint: float = 1e-6

    def __mul__(self, other: Polar) -> Polar:
        """Return the product of two intensities."""
        count = max(self.values.shape[2], other.values.shape[2])
        n = min(self.values.shape[1], other.values.shape[1])
        a, b = (_directions(each.values[:, :n], count) for each in (self, other))
        return replace(self, values=a * b)

    def weighted(self, weights: NDArray[np.float64]) -> Polar:
        """Return the intensity times ``weights``, one for each stage position."""
        return replace(self, values=self.values * weights.astype(np.float32)[:, None, None])

    def on_axis(self) -> NDArray[np.float64]:
        """Return the intensity along the line through the brightest point, a value a plane.

        That is the axis, unless the light is tilted or has coma.
        """
        _, r, direction = np.unravel_index(np.argmax(self.values), self.values.shape)
        return self.values[:, r, direction].astype(np.float64)

    def blur_disc(self, radius: float) -> Polar:
        """Return the mean over a disc of ``radius`` um around each place."""
        if radius == 0:
            return self
        return self._joined(averages.disc(self._parts(), self.step, radius))

    def repeated(
        self, rings: Sequence[tuple[float, float]], density: float, beyond: float
    ) -> Polar:
        """Return the sum of the intensity and its copies all around; see ``Intensity``."""
        return self._joined(repeat(self._parts(), self.step, rings, density, beyond))

    def voxels(
        self,
        shape: tuple[int, int],
        spacing: tuple[float, float],
        *,
        integrate: bool,
        dtype: DTypeLike = np.float32,
    ) -> NDArray[Any]:
        """Return the intensity (z, y, x) in pixels of ``spacing`` um, with sum 1.

        ``integrate`` takes the mean over each pixel's square, else the value at its middle.
        The origin is at ``n // 2``.
        """
        width = accuracy(dtype).width
        finest = PERIOD * self.step
        places, means = [], []
        for count, pixel in zip(shape, spacing, strict=True):
            parts = math.ceil(2.5 * pixel / finest) if integrate else 1
            around = AROUND if integrate else 0
            fine = np.arange(-around, (count - 1) * parts + around + 1)
            places.append(pixel * (fine / parts - count // 2))
            means.append(_mean(count, parts, pixel, finest) if integrate else None)
        table = np.ascontiguousarray(self.values.reshape(len(self.values), -1).T)
        across = places[1].size
        fine_planes = np.empty((len(self.values), places[0].size, across), np.float32)
        rows = max(1, PIXELS // across)
        for first in range(0, places[0].size, rows):
            y, x = np.broadcast_arrays(places[0][first : first + rows, None], places[1])
            found = self._lookup(y.ravel(), x.ravel(), width) @ table
            fine_planes[:, first : first + rows] = found.T.reshape(len(self.values), *y.shape)
        if means[0] is None or means[1] is None:
            planes = fine_planes
        else:
            planes = np.stack([means[0] @ fine @ means[1].T for fine in fine_planes])
        out: NDArray[Any] = planes.astype(dtype, copy=False)
        np.maximum(out, 0, out=out)  # rounding, where there is no light
        out /= out.sum(dtype=np.float64)
        return out

    def _lookup(self, y: NDArray[np.float64], x: NDArray[np.float64], width: int) -> Any:
        """Return the sparse matrix that interpolates at points from the table (r, direction)."""
        from scipy.sparse import csr_matrix

        _, n, count = self.values.shape
        start, by_r = lagrange(np.hypot(y, x)[None], np.ones(1), self.step, n, width)
        turn = np.arctan2(y, x) / (2 * math.pi) * count + count
        first, by_turn = lagrange(turn[None], np.ones(1), 1.0, 3 * count + width, width)
        r = start[:, None] + np.arange(width)
        # What is on the other side of the axis lies half a turn away.
        direction = (first[:, None] + np.arange(width))[:, None] + count // 2 * (r < 0)[:, :, None]
        index = (np.abs(r)[:, :, None] * count + direction % count).reshape(len(y), -1)
        weights = (by_r[:, :, None] * by_turn[:, None]).astype(np.float32).ravel()
        pointer = np.arange(0, index.size + 1, width**2)
        return csr_matrix((weights, index.ravel(), pointer), shape=(len(y), n * count))

    def _parts(self) -> dict[int, NDArray[np.float64]]:
        """Return the harmonics that count, by order: real parts (z, r), then imaginary ones."""
        from scipy import fft

        spectrum = fft.rfft(self.values, axis=2, norm="forward")
        faint = self.faint * self.values.max()
        return {
            order: np.concatenate([part.real, part.imag]).astype(np.float64)
            for order, part in enumerate(np.moveaxis(spectrum, 2, 0)[:-1])
            if order == 0 or abs(part).max() > faint
        }

    def _joined(self, parts: Mapping[int, NDArray[np.float64]]) -> Polar:
        from scipy import fft

        planes, _, count = self.values.shape
        spectrum = np.zeros((planes, parts[0].shape[1], count // 2 + 1), np.complex64)
        for order, part in parts.items():
            spectrum[:, :, order].real, spectrum[:, :, order].imag = part[:planes], part[planes:]
        values = fft.irfft(spectrum, count, axis=2, norm="forward")
        return replace(self, values=np.maximum(values, 0))


def _directions(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return the same intensity in more directions."""
    from scipy import fft

    if values.shape[2] == count:
        return values
    spectrum = fft.rfft(values, axis=2, norm="forward")
    more: NDArray[np.float32] = fft.irfft(spectrum, count, axis=2, norm="forward")
    return np.maximum(more, 0)


def _mean(count: int, parts: int, pixel: float, finest: float) -> NDArray[np.float32]:
    """Return the matrix (pixel, fine pixel) of means over pixels.

    Of waves as fine as ``finest`` and coarser, by weights that come closest to the mean of them
    all.
    """
    f = np.linspace(0, 1 / finest, 128)[:, None]
    waves = np.cos(2 * math.pi * f * pixel / parts * np.arange(AROUND + 1))
    waves[:, 1:] *= 2
    half = np.linalg.lstsq(waves, np.sinc(f[:, 0] * pixel), rcond=1e-9)[0]
    weights = np.concatenate([half[:0:-1], half])
    matrix = np.zeros((count, (count - 1) * parts + 2 * AROUND + 1), np.float32)
    for row in range(count):
        matrix[row, row * parts : row * parts + weights.size] = weights
    return matrix
