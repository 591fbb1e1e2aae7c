"""A camera's or scanner's pixels around the axis, and which of them see the same."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Pixels:
    """Pixels (y, x) around an origin at ``n // 2``, of which only an octant is computed.

    What depends on the distance from the axis only is equal in mirrored pixels, and, where
    pixels are square, in those with x and y exchanged; what is merely as bright in mirrored
    pixels needs a quadrant.

    Parameters
    ----------
    shape
        Numbers of pixels (y, x).
    spacing
        Their size (y, x), um.
    exchange
        Whether x and y may be exchanged.

    Attributes
    ----------
    y, x
        Middles of the distinct pixels, um.
    counts
        How many pixels each of them stands for.
    """

    def __init__(
        self, shape: tuple[int, int], spacing: tuple[float, float], *, exchange: bool = True
    ) -> None:
        self.shape, self.spacing = shape, spacing
        self._middle = shape[0] // 2
        rows = np.arange(self._middle + 1)
        columns = np.abs(np.arange(shape[1]) - shape[1] // 2)
        last = shape[1] // 2
        if exchange and spacing[0] == spacing[1]:
            short, long = sorted((self._middle, last))
            low, high = np.triu_indices(short + 1, m=long + 1)
            a, b = np.minimum.outer(rows, columns), np.maximum.outer(rows, columns)
            self._index = a * (long + 1) - a * (a - 1) // 2 + b - a
        else:
            low, high = (grid.ravel() for grid in np.indices((self._middle + 1, last + 1)))
            self._index = rows[:, None] * (last + 1) + columns
        self.y, self.x = low * spacing[0], high * spacing[1]
        # A row stands for itself and its mirror image; the middle one, and the outermost of an
        # even number, have none.
        copies = np.full(self._middle + 1, 2.0)
        copies[0] = 1
        if shape[0] % 2 == 0:
            copies[-1] = 1
        self.counts = np.bincount(
            self._index.ravel(), np.repeat(copies, shape[1]), minlength=low.size
        )

    @property
    def reach(self) -> float:
        """The largest distance of a pixel's middle from the axis, um."""
        return math.hypot(self.y.max(), self.x.max())

    @property
    def index(self) -> NDArray[np.int64]:
        """Which of the distinct pixels each pixel (y, x) equals."""
        rows = np.abs(np.arange(self.shape[0]) - self._middle)
        index: NDArray[np.int64] = self._index[rows]
        return index

    def unfold(self, distinct: NDArray[Any], out: NDArray[Any]) -> None:
        """Copy one plane's distinct values to all pixels of ``out`` (y, x)."""
        lower = np.take(distinct, self._index, mode="clip")
        out[self._middle :] = lower[: self.shape[0] - self._middle]
        out[: self._middle] = lower[self._middle : 0 : -1]
