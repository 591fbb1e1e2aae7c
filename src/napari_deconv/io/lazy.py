"""Images that stay where they are: pieces of files, read when they are asked for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.errors import FileError

if TYPE_CHECKING:
    from numpy.typing import NDArray


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

    def reshape(self, shape: tuple[int, ...]) -> MappedArray:
        """Return the same array with other axes; it has to be in C order."""
        assert self.strides == _c_strides(self.shape, self.dtype.itemsize)
        assert math.prod(shape) == math.prod(self.shape)
        return MappedArray(self.path, shape, self.dtype, self.offset)

    def transpose(self, order: list[int]) -> MappedArray:
        """Return the same array with its axes in another order."""
        shape = tuple(self.shape[axis] for axis in order)
        strides = tuple(self.strides[axis] for axis in order)
        return MappedArray(self.path, shape, self.dtype, self.offset, strides)

    def squeeze(self, axis: int) -> MappedArray:
        """Return the same array without an axis of length 1."""
        assert self.shape[axis] == 1
        shape, strides = list(self.shape), list(self.strides)
        del shape[axis], strides[axis]
        return MappedArray(self.path, tuple(shape), self.dtype, self.offset, tuple(strides))

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
