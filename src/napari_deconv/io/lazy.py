"""Images that stay where they are: pieces of files, read when they are asked for."""

from __future__ import annotations

import math
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

# Bytes of chunks that are decoded at the same time, unless a single one has more.
READ_AT_ONCE = 1 << 25


class MappedArray:
    """An uncompressed array in a file, mapped only while a piece of it is read.

    What is read does not stay in the process's memory, and the whole can be pickled: it travels as
    the file's name. It has what a lazy array needs: shape, dtype, ndim, slices, ``numpy.asarray``.

    Parameters
    ----------
    path
        The file.
    shape, dtype
        Of the array; the dtype tells the byte order.
    offset
        Byte at which it begins.
    strides
        Bytes from one index to the next on every axis; those of a C-ordered array when not given.
    """

    def __init__(
        self,
        path: str | Path,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        offset: int = 0,
        strides: tuple[int, ...] | None = None,
    ) -> None:
        self.path, self.offset = Path(path), int(offset)
        self.shape, self.dtype = tuple(int(n) for n in shape), np.dtype(dtype)
        self.ndim = len(self.shape)
        self.strides = strides or _c_strides(self.shape, self.dtype.itemsize)

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        return math.prod(self.shape) * self.dtype.itemsize

    def transpose(self, order: Sequence[int]) -> MappedArray:
        """Return the same array with its axes in another order; an axis left out has length 1."""
        shape = tuple(self.shape[axis] for axis in order)
        strides = tuple(self.strides[axis] for axis in order)
        return MappedArray(self.path, shape, self.dtype, self.offset, strides)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        span = sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        length = span + self.dtype.itemsize
        try:
            mapped = np.memmap(self.path, np.uint8, "r", self.offset, (length,))
        except (OSError, ValueError) as error:
            raise FileError(f"{self.path} cannot be read any more: {error}.") from error
        view: NDArray[Any] = np.ndarray(
            self.shape, self.dtype, buffer=mapped.data, strides=self.strides
        )
        # A copy, in the machine's own byte order: the file is let go of.
        return np.array(view[index], dtype=self.dtype.newbyteorder("="))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[...].astype(dtype or self.dtype.newbyteorder("="), copy=False)


class StoredArray:
    """A zarr array that tells of damaged blocks in plain words when they are read.

    It has what a lazy array needs: shape, dtype, ndim, size, chunks, slices, ``numpy.asarray``, and
    it travels as the name of its file.

    Parameters
    ----------
    path
        What the messages call it.
    array
        The zarr array.
    reopen
        ``reopen(path)`` returns the array again in another process; not needed for one that can
        be pickled itself.
    """

    def __init__(
        self, path: str | Path, array: Any, reopen: Callable[[Path], Any] | None = None
    ) -> None:
        self._path = Path(path)
        self._array = array
        self._reopen = reopen
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.chunks: tuple[int, ...] = tuple(array.chunks)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.ndim: int = array.ndim
        self.size = math.prod(self.shape)
        if reopen is not None:
            # Ours alone: its file is to be closed when nobody needs it any more.
            weakref.finalize(self, array.store.close)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        try:
            with few_at_once(self):
                return np.asarray(self._array[index])
        except IndexError:
            raise
        except Exception as error:  # every codec has errors of its own
            raise FileError(
                f"{self._path} is damaged or was not copied to its end ({error}). "
                "Get it again from where it came from."
            ) from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[...].astype(dtype or self.dtype, copy=False)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._reopen is None:
            return StoredArray, (self._path, self._array)
        return _opened, (self._path, self._reopen)


def few_at_once(array: Any) -> Any:
    """Let zarr work on so few chunks of an array at a time that they take little memory."""
    import zarr

    size = math.prod(array.chunks) * np.dtype(array.dtype).itemsize
    at_once = min(10, max(1, READ_AT_ONCE // max(1, size)))
    return zarr.config.set({"async.concurrency": at_once})


def _opened(path: Path, reopen: Callable[[Path], Any]) -> StoredArray:
    return StoredArray(path, reopen(path), reopen)


class Rearranged:
    """A lazy array with its axes in another order.

    Parameters
    ----------
    array
        The array.
    order
        Its axes in the order that is wanted; one that is left out has length 1.
    """

    def __init__(self, array: Any, order: Sequence[int]) -> None:
        self._array, self._order = array, tuple(order)
        self.shape: tuple[int, ...] = tuple(array.shape[axis] for axis in order)
        self.chunks: tuple[int, ...] = tuple(array.chunks[axis] for axis in order)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.ndim = len(self.shape)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        given = list(index) if isinstance(index, tuple) else [index]
        if Ellipsis in given:
            place = given.index(Ellipsis)
            given[place : place + 1] = [slice(None)] * (self.ndim - len(given) + 1)
        given += [slice(None)] * (self.ndim - len(given))
        below: list[Any] = [0] * len(self._array.shape)
        for axis, each in zip(self._order, given, strict=True):
            below[axis] = each
        kept = [axis for axis, each in enumerate(below) if isinstance(each, slice)]
        wanted = [kept.index(axis) for axis in self._order if axis in kept]
        return np.transpose(self._array[tuple(below)], wanted)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[...].astype(dtype or self.dtype, copy=False)


def rearranged(array: Any, order: Sequence[int]) -> Any:
    """Return an array with its axes in another order, lazy if it is; one left out has length 1."""
    if list(order) == list(range(array.ndim)):
        return array
    if isinstance(array, MappedArray):
        return array.transpose(order)
    if isinstance(array, (StoredArray, Rearranged)):
        return Rearranged(array, order)
    left = [axis for axis in range(array.ndim) if axis not in order]
    whole = np.transpose(np.asarray(array), [*order, *left])
    return whole.reshape(whole.shape[: len(order)])


def portable(value: Any) -> Any:
    """Return a memory-mapped numpy array as one that travels as its file's name.

    numpy itself would copy all of it into the message. Anything else is returned as it is.
    """
    # One that is copied on writing may hold what the file does not.
    if not isinstance(value, np.memmap) or value.filename is None or value.mode == "c":
        return value
    root: Any = value
    while isinstance(root.base, np.ndarray):
        root = root.base
    # numpy maps from the last page before the offset on; views begin somewhere behind it.
    page = root.offset % _granularity() if isinstance(root, np.memmap) else None
    if page is None:
        return value
    mapped = np.frombuffer(root._mmap, np.uint8)
    first = value.__array_interface__["data"][0] - mapped.__array_interface__["data"][0]
    if any(stride < 0 for stride in value.strides):
        return value
    offset = root.offset - page + first
    return MappedArray(value.filename, value.shape, value.dtype, offset, value.strides)


def _granularity() -> int:
    import mmap

    return mmap.ALLOCATIONGRANULARITY


def _c_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides = [itemsize]
    for length in reversed(shape[1:]):
        strides.insert(0, strides[0] * length)
    return tuple(strides[: len(shape)])
