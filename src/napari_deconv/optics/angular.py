"""Intensities that look the same after half a turn, as those of polarised light."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.optics import averages
from napari_deconv.optics.pixels import Pixels
from napari_deconv.optics.radial import repeat, to_voxels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True)
class Angular:
    """Intensity ``sum over m of parts[m](z, r) cos(m phi)``, phi from the x axis, m even.

    Linearly polarised light has m = 0 and 2; products have the sums of the orders too.

    Attributes
    ----------
    parts
        Tables (z, r) by their order, at the distances ``step * (0, 1, 2, ...)``. Order 0, the
        mean over all directions, comes first.
    step
        um.
    """

    parts: dict[int, NDArray[np.float64]]
    step: float

    def __mul__(self, other: Angular) -> Angular:
        """Return the product, by ``2 cos(a) cos(b) = cos(a + b) + cos(a - b)``."""
        n = min(self.parts[0].shape[1], other.parts[0].shape[1])
        products: dict[int, Any] = defaultdict(float)
        for a, first in self.parts.items():
            for b, second in other.parts.items():
                half = first[:, :n] * second[:, :n] / 2
                products[abs(a - b)] = products[abs(a - b)] + half
                products[a + b] = products[a + b] + half
        return Angular(dict(sorted(products.items())), self.step)

    def weighted(self, weights: NDArray[np.float64]) -> Angular:
        """Return the intensity times ``weights``, one for each stage position."""
        parts = {m: values * weights[:, None] for m, values in self.parts.items()}
        return Angular(parts, self.step)

    def on_axis(self) -> NDArray[np.float64]:
        """Return the intensity in the middle, one value per stage position."""
        return self.parts[0][:, 0]

    def blur_disc(self, radius: float) -> Angular:
        """Return the mean over a disc of ``radius`` um around each place."""
        if radius == 0:
            return self
        return Angular(averages.disc(self.parts, self.step, radius), self.step)

    def repeated(
        self, rings: Sequence[tuple[float, float]], density: float, beyond: float
    ) -> Angular:
        """Return the sum of the intensity and its copies all around; see ``Intensity``."""
        return Angular(repeat(self.parts, self.step, rings, density, beyond), self.step)

    def voxels(
        self,
        shape: tuple[int, int],
        spacing: tuple[float, float],
        *,
        integrate: bool,
        dtype: DTypeLike = np.float32,
    ) -> NDArray[Any]:
        """Return the intensity (z, y, x) in pixels of ``spacing`` um, with sum 1.

        See ``Radial.voxels``.
        """
        pixels = Pixels(shape, spacing, exchange=False)
        parts = list(self.parts.items())
        return to_voxels(parts, self.step, pixels, integrate=integrate, dtype=dtype)
