"""Read blocks of an image of any kind: numpy, dask, zarr, anything with shape and slices."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_deconv.arrays import as_image
from napari_deconv.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

# What is read beyond the image: nothing, or what a repeating border puts there, and then only
# around a piece that is cut out.
Beyond = Literal["extended", "zero", "reflect", "circular"]


class Source:
    """An image, of which only the blocks that are asked for are read and converted.

    Parameters
    ----------
    image
        Array with axes ``..., (Z,) Y, X``.
    ndim
        Number of spatial axes; those before them are frames (time, channel).
    region
        Slices on the last axes, to which everything is limited.
    """

    def __init__(self, image: Any, ndim: int, region: Sequence[slice] | None = None) -> None:
        lazy = hasattr(image, "shape") and hasattr(image, "dtype") and hasattr(image, "ndim")
        if not lazy or isinstance(image, np.ndarray):
            # The whole of it is here already, so the whole of it is checked at once.
            image = as_image(image)
        elif image.dtype.kind not in "biuf":
            raise InputError(f"The image holds {image.dtype}; grey values are needed.")
        if image.ndim < ndim:
            raise InputError(
                f"The image has {image.ndim} axes, but the PSF has {ndim}. For a plane, take the "
                "PSF's plane in focus; for a stack, choose the stack."
            )
        if 0 in image.shape:
            raise InputError(f"The image is empty (shape {tuple(image.shape)}).")
        self._image = image
        self._ndim = ndim
        shape = tuple(int(n) for n in image.shape)
        slices = (slice(None),) * (image.ndim - len(region or ())) + tuple(region or ())
        self._start = tuple(s.indices(n)[0] for s, n in zip(slices, shape, strict=True))
        stops = tuple(s.indices(n)[1] for s, n in zip(slices, shape, strict=True))
        self.shape = tuple(b - a for a, b in zip(self._start, stops, strict=True))
        if min(self.shape) < 1:
            raise InputError(f"The region {region} holds no voxel of the image {shape}.")
        self._limits = shape[image.ndim - ndim :]
        self.dtype: np.dtype[Any] = np.dtype(image.dtype)

    @property
    def frames(self) -> Iterator[tuple[int, ...]]:
        """Indices of the axes before the spatial ones."""
        return np.ndindex(*self.shape[: len(self.shape) - self._ndim])

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Shape of one frame, within the region."""
        return self.shape[len(self.shape) - self._ndim :]

    @property
    def whole_shape(self) -> tuple[int, ...]:
        """Shape of one frame, whatever the region."""
        return self._limits

    @property
    def copies(self) -> bool:
        """Whether reading makes a copy."""
        return not (isinstance(self._image, np.ndarray) and self._image.dtype == np.float32)

    @property
    def in_memory(self) -> bool:
        """Whether looking at all of it costs next to nothing."""
        return isinstance(self._image, np.ndarray)

    def place_of(self, frame: Sequence[int]) -> tuple[int, ...]:
        """Return where in the whole image a frame of the region is."""
        return tuple(i + a for i, a in zip(frame, self._start[: len(frame)], strict=True))

    def liveliest(self, frame: Sequence[int], size: Sequence[int]) -> tuple[slice, ...]:
        """Return the window of this size, out of a grid of them, that varies most."""
        whole = tuple(slice(0, n) for n in self.spatial_shape)
        outer, _ = self.outer(whole, (0,) * self._ndim, "zero")
        image = self.read(frame, outer)
        # Every fourth voxel tells enough.
        thin = image[(slice(None, None, 4),) * self._ndim]
        windows = []
        for starts in product(*(_starts(n, s) for n, s in zip(image.shape, size, strict=True))):
            window = tuple(slice(a, a + s) for a, s in zip(starts, size, strict=True))
            coarse = tuple(slice(w.start // 4, max(w.stop // 4, w.start // 4 + 1)) for w in window)
            windows.append((float(thin[coarse].std()), starts, window))
        return max(windows)[2]

    def outer(
        self,
        core: Sequence[slice],
        halo: Sequence[int],
        beyond: Beyond,
        *,
        around: bool = False,
    ) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Return the slices to read for a core with its halo, and where the core lies in them.

        The halo reaches beyond the region, and beyond the image as ``beyond`` says: along the axes
        that are cut, or ``around`` it all.
        """
        outer, inner = [], []
        offsets = self._start[len(self._start) - self._ndim :]
        for axis, (piece, reach, limit) in enumerate(zip(core, halo, self._limits, strict=True)):
            start, stop = piece.start + offsets[axis], piece.stop + offsets[axis]
            whole = start == 0 and stop == limit and not around
            first, last = start - reach, stop + reach
            if beyond in ("extended", "zero"):
                first, last = max(0, first), min(limit, last)
            elif whole:
                first, last = start, stop
            outer.append(slice(first, last))
            inner.append(slice(start - first, stop - first))
        return tuple(outer), tuple(inner)

    def read(
        self, frame: Sequence[int], outer: Sequence[slice], beyond: Beyond = "extended"
    ) -> NDArray[np.float32]:
        """Return one block of one frame as float32, in the slices that :meth:`outer` gave."""
        places = [
            _mapped(np.arange(piece.start, piece.stop), limit, beyond)
            for piece, limit in zip(outer, self._limits, strict=True)
        ]
        ranges = tuple(slice(int(p.min()), int(p.max()) + 1) for p in places)
        block = as_image(self._image[(*self.place_of(frame), *ranges)])
        if ranges == tuple(outer):
            return block
        return block[np.ix_(*(p - r.start for p, r in zip(places, ranges, strict=True)))]


def _starts(length: int, size: int) -> list[int]:
    """Return where windows of a size begin, half a window apart."""
    return [*range(0, length - size, max(1, size // 2)), length - size]


def _mapped(position: NDArray[np.intp], length: int, beyond: Beyond) -> NDArray[np.intp]:
    """Map positions beyond the image to the voxels that stand for them."""
    if beyond == "circular":
        return position % length
    if beyond == "reflect":
        position = position % (2 * length)
        return np.minimum(position, 2 * length - 1 - position)
    return position
