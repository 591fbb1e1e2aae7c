"""Intensities without symmetry: planes on a square grid that repeats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import DTypeLike, NDArray

PLANES = 16  # worked on together, to bound memory


@dataclass(frozen=True)
class Gridded:
    """Intensity over stage position, y and x.

    The grid is finer than half the finest period there is, so that sums of waves, which is what
    the Fourier transform makes of it, know the intensity between its points, too.

    Attributes
    ----------
    values
        Intensity (z, n, n), float32; the origin is the first value of a plane, negative
        coordinates follow from its other end.
    step
        um.
    """

    values: NDArray[np.float32]
    step: float

    def __mul__(self, other: Gridded) -> Gridded:
        """Return the product of two intensities."""
        return Gridded(self.values * other.values, self.step)

    def weighted(self, weights: NDArray[np.float64]) -> Gridded:
        """Return the intensity times ``weights``, one for each stage position."""
        return Gridded(self.values * weights.astype(np.float32)[:, None, None], self.step)

    def on_axis(self) -> NDArray[np.float64]:
        """Return the intensity along the line through the brightest point, a value a plane.

        That is the axis, unless the light is tilted or has coma.
        """
        _, row, column = np.unravel_index(np.argmax(self.values), self.values.shape)
        return self.values[:, row, column].astype(np.float64)

    def blur_disc(self, radius: float) -> Gridded:
        """Return the mean over a disc of ``radius`` um around each place."""
        return self if radius == 0 else self._filtered(disc(radius, self._distances()))

    def repeated(
        self, rings: Sequence[tuple[float, float]], density: float, beyond: float
    ) -> Gridded:
        """Return the sum of the intensity and its copies all around.

        See ``Intensity``. Light that goes farther than the grid's width is there as its copy.
        """
        from scipy.special import j0

        f = self._distances()
        spectrum = 1 - density * math.pi * beyond**2 * disc(beyond, f)
        for copies, radius in rings:
            spectrum += copies * j0(2 * math.pi * radius * f)
        # Copies everywhere: every place gets all the light there is.
        spectrum[0, 0] += density * (self.values.shape[-1] * self.step) ** 2
        return self._filtered(spectrum)

    def voxels(
        self,
        shape: tuple[int, int],
        spacing: tuple[float, float],
        *,
        integrate: bool,
        dtype: DTypeLike = np.float32,
    ) -> NDArray[Any]:
        """Return the intensity (z, y, x) in pixels of ``spacing`` um, with sum 1.

        ``integrate`` takes the mean over each pixel's area, else the value at its middle: each
        wave of the spectrum times a sinc, summed up at the pixels. The origin is at ``n // 2``.
        """
        from scipy import fft

        n = self.values.shape[-1]
        waves = []
        for count, pixel, f in zip(shape, spacing, self._frequencies(), strict=True):
            places = pixel * (np.arange(count) - count // 2)
            wave = np.exp(2j * np.pi * np.outer(places, f)) / n
            waves.append(wave * np.sinc(f * pixel) if integrate else wave)
        # Of a pair of conjugate columns the spectrum of real values has only one.
        waves[1][:, 1 : (n + 1) // 2] *= 2
        by_y, by_x = (wave.astype(np.complex64) for wave in waves)

        def sample(planes: NDArray[np.float32]) -> NDArray[np.float32]:
            values: NDArray[np.float32] = (by_y @ (fft.rfft2(planes) @ by_x.T)).real
            return values

        out = self._by_planes(sample).astype(dtype)
        np.maximum(out, 0, out=out)  # rounding, where there is no light
        out /= out.sum(dtype=np.float64)
        return out.astype(dtype, copy=False)

    def _frequencies(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        n = self.values.shape[-1]
        fy: NDArray[np.float64] = np.fft.fftfreq(n, self.step).astype(np.float64)
        fx: NDArray[np.float64] = np.fft.rfftfreq(n, self.step).astype(np.float64)
        return fy, fx

    def _distances(self) -> NDArray[np.float64]:
        fy, fx = self._frequencies()
        distances: NDArray[np.float64] = np.hypot(fy[:, None], fx)
        return distances

    def _filtered(self, spectrum: NDArray[np.float64]) -> Gridded:
        from scipy import fft

        n, factors = self.values.shape[-1], spectrum.astype(np.float32)

        def work(planes: NDArray[np.float32]) -> NDArray[np.float32]:
            filtered: NDArray[np.float32] = fft.irfft2(fft.rfft2(planes) * factors, (n, n))
            return np.maximum(filtered, 0)

        return Gridded(self._by_planes(work), self.step)

    def _by_planes(
        self, work: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        starts = range(0, len(self.values), PLANES)
        return np.concatenate([work(self.values[i : i + PLANES]) for i in starts])


def disc(radius: float, f: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the spectrum ``2 J1(q) / q``, ``q = 2 pi radius f``, of the mean over a disc."""
    from scipy.special import j1

    q = np.maximum(2 * math.pi * radius * f, 1e-6)
    spectrum: NDArray[np.float64] = 2 * j1(q) / q
    return spectrum
