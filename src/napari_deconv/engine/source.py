"""Read blocks of an image of any kind: numpy, dask, zarr, anything with shape and slices."""

from __future__ import annotations

import math
import os
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_deconv.arrays import as_finite, check_image, refuse_too_bright
from napari_deconv.errors import InputError
from napari_deconv.io.lazy import READ_AT_ONCE, Rearranged, StoredArray, portable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

# What is read beyond the image: nothing, or what a repeating border puts there, and then only
# around a piece that is cut out.
Beyond = Literal["extended", "zero", "reflect", "circular"]
# How many places of a lazy image are looked at to find a lively one, and how much of each.
_LOOKS, _LOOK = 24, (8, 128, 128)


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
        if not all(hasattr(image, name) for name in ("shape", "dtype", "ndim")):
            image = np.asarray(image)
        image = lazily(image)
        check_image(image)
        if isinstance(image, np.ndarray):
            # The whole of it is here already, so the whole of it is checked at once.
            _check_finite(image)
        if image.ndim < ndim:
            raise InputError(
                f"The image has {image.ndim} axes, but the PSF has {ndim}. For a plane, take the "
                "PSF's plane in focus; for a stack, choose the stack."
            )
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

    @property
    def nbytes(self) -> int:
        """Bytes of all of it, as it is stored."""
        return int(math.prod(self.shape) * self.dtype.itemsize)

    @property
    def buffers(self) -> int:
        """Bytes that reading takes beside what is read: chunks, as they are stored and decoded."""
        chunks = getattr(self._image, "chunksize", None) or getattr(self._image, "chunks", None)
        if isinstance(self._image, np.ndarray) or chunks is None:
            return 0
        chunk = self.dtype.itemsize * math.prod(chunks)
        if isinstance(self._image, (StoredArray, Rearranged)):
            at_once = max(chunk, min(READ_AT_ONCE, 10 * chunk))
        else:
            # dask works on a chunk for each processor.
            at_once = 2 * chunk * (os.cpu_count() or 1)
        return int(1.5 * min(at_once, self.nbytes))

    def place_of(self, frame: Sequence[int]) -> tuple[int, ...]:
        """Return where in the whole image a frame of the region is."""
        return tuple(i + a for i, a in zip(frame, self._start[: len(frame)], strict=True))

    def liveliest(self, frame: Sequence[int], size: Sequence[int]) -> tuple[slice, ...]:
        """Return the window of this size, out of a grid of them, that varies most."""
        shape = self.spatial_shape
        grid = list(product(*(_starts(n, s) for n, s in zip(shape, size, strict=True))))
        if not self.in_memory:
            # Each look reads whole chunks: a few have to do, all over the image.
            grid = [grid[round(i)] for i in np.linspace(0, len(grid) - 1, min(len(grid), _LOOKS))]
        windows = []
        for starts in grid:
            window = tuple(slice(a, a + s) for a, s in zip(starts, size, strict=True))
            windows.append((float(self._glimpse(frame, window).std()), starts, window))
        return max(windows)[2]

    def _glimpse(self, frame: Sequence[int], window: Sequence[slice]) -> NDArray[np.float32]:
        """Return enough of a window to tell how much there is to see in it."""
        offsets = self._start[len(self._start) - self._ndim :]
        whole = tuple(slice(p.start + o, p.stop + o) for p, o in zip(window, offsets, strict=True))
        if self.in_memory:
            # Every fourth voxel tells enough.
            thin = tuple(slice(piece.start, piece.stop, 4) for piece in whole)
        else:
            most = _LOOK[-self._ndim :]
            middles = [(piece.start + piece.stop) // 2 for piece in whole]
            thin = tuple(
                slice(max(p.start, m - n // 2), min(p.stop, m - n // 2 + n))
                for p, m, n in zip(whole, middles, most, strict=True)
            )
        return np.asarray(self._image[(*self.place_of(frame), *thin)]).astype(np.float32)

    def outer(
        self,
        core: Sequence[slice],
        halo: Sequence[int],
        beyond: Beyond,
        *,
        rim: int | None = None,
    ) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Return the slices to read for a core with its halo, and where the core lies in them.

        The halo reaches beyond the region, and beyond the image as ``beyond`` says: along the axes
        that are cut; or on all sides of the image, where it ends at a ``rim`` of so many voxels.
        """
        outer, inner = [], []
        offsets = self._start[len(self._start) - self._ndim :]
        for axis, (piece, reach, limit) in enumerate(zip(core, halo, self._limits, strict=True)):
            start, stop = piece.start + offsets[axis], piece.stop + offsets[axis]
            whole = start == 0 and stop == limit
            first, last = start - reach, stop + reach
            if rim is not None:
                first, last = max(-rim, first), min(limit + rim, last)
            elif beyond in ("extended", "zero"):
                first, last = max(0, first), min(limit, last)
            elif whole:
                first, last = start, stop
            outer.append(slice(first, last))
            inner.append(slice(start - first, stop - first))
        return tuple(outer), tuple(inner)

    def read(
        self,
        frame: Sequence[int],
        outer: Sequence[slice],
        beyond: Beyond = "extended",
        margins: Sequence[int] | None = None,
    ) -> NDArray[np.float32]:
        """Return one block of one frame as float32, in the slices that :meth:`outer` gave.

        With ``margins`` the image repeats itself, but for a margin of so many voxels along each
        axis that leads from what is at one border straight to what is at the other.
        """
        inside = all(p.start >= 0 and p.stop <= n for p, n in zip(outer, self._limits, strict=True))
        if margins is not None and not inside:
            return self._faded(frame, outer, margins)
        places = [
            _mapped(np.arange(piece.start, piece.stop), limit, beyond)
            for piece, limit in zip(outer, self._limits, strict=True)
        ]
        ranges = tuple(slice(int(p.min()), int(p.max()) + 1) for p in places)
        block = as_finite(np.asarray(self._image[(*self.place_of(frame), *ranges)]))
        if not isinstance(self._image, np.ndarray):
            # An image in memory was looked at as a whole.
            refuse_too_bright(block)
        if ranges == tuple(outer):
            return block
        return block[np.ix_(*(p - r.start for p, r in zip(places, ranges, strict=True)))]

    def _faded(
        self, frame: Sequence[int], outer: Sequence[slice], margins: Sequence[int]
    ) -> NDArray[np.float32]:
        fades = [
            _fade(np.arange(piece.start, piece.stop), limit, margin)
            for piece, limit, margin in zip(outer, self._limits, margins, strict=True)
        ]
        needed = [np.unique(np.concatenate([first, second])) for first, second, _ in fades]
        block = np.empty([len(n) for n in needed], np.float32)
        for runs in product(*(_runs(n) for n in needed)):
            here = tuple(run[0] for run in runs)
            block[here] = self.read(frame, tuple(run[1] for run in runs))
        for axis, ((first, second, share), places) in enumerate(zip(fades, needed, strict=True)):
            if (first == second).all():
                continue
            one = block.take(np.searchsorted(places, first), axis)
            other = block.take(np.searchsorted(places, second), axis)
            weight = share.reshape([-1 if i == axis else 1 for i in range(block.ndim)])
            block = np.asarray(one + (other - one) * weight, np.float32)
        return block


def _fade(
    position: NDArray[np.intp], length: int, margin: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return the two voxels that stand for each position, and the share of the second.

    As the forward model's ``periodic`` has it.
    """
    position = position % (length + margin)
    behind = position - length + 1
    first = np.minimum(position, length - 1)
    second = np.where(behind > 0, 0, position)
    return first, second, (behind.clip(min=0) / (margin + 1)).astype(np.float32)


def _runs(places: NDArray[np.intp]) -> list[tuple[slice, slice]]:
    """Cut rising indices into runs without a gap: where they stand, and what they are."""
    cuts = [0, *(np.flatnonzero(np.diff(places) > 1) + 1), len(places)]
    return [
        (slice(int(a), int(b)), slice(int(places[a]), int(places[b - 1]) + 1))
        for a, b in pairwise(cuts)
    ]


def _starts(length: int, size: int) -> list[int]:
    """Return where windows of a size begin, half a window apart."""
    return [*range(0, length - size, max(1, size // 2)), length - size]


def lazily(image: Any) -> Any:
    """Return an image that need not be in memory as one that is read piece by piece."""
    if type(image).__module__.startswith("zarr."):
        return StoredArray(str(getattr(image, "store_path", "the zarr array")), image)
    return portable(image)


def _check_finite(image: NDArray[Any]) -> None:
    """Check all values, plane by plane where they would have to be converted."""
    if image.dtype == np.float32:
        as_finite(image)
    elif image.dtype.kind == "f":
        for index in np.ndindex(*image.shape[:-2]):
            as_finite(image[index])


def _mapped(position: NDArray[np.intp], length: int, beyond: Beyond) -> NDArray[np.intp]:
    """Map positions beyond the image to the voxels that stand for them."""
    if beyond == "circular":
        return position % length
    if beyond == "reflect":
        position = position % (2 * length)
        return np.minimum(position, 2 * length - 1 - position)
    return position
