"""Images written block by block, by several processes if need be: no two touch the same bytes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.io.lazy import few_at_once
from napari_deconv.io.ome_zarr import halved
from napari_deconv.io.target import in_plain_words, sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_deconv.io.lazy import MappedArray

Window = tuple["int | slice", ...]


@dataclass(frozen=True)
class ZarrTarget:
    """The levels of an OME-Zarr folder.

    Attributes
    ----------
    path
        The folder.
    """

    path: Path

    def write(self, window: Window, block: NDArray[Any]) -> None:
        """Write a block of the largest level; its borders have to be those of chunks."""
        self._write("0", window, block)

    def parts(self) -> list[tuple[int, Window]]:
        """Return the pieces of the smaller levels, in the order in which they can be made."""
        return [
            (number, window)
            for number, level in enumerate(self._levels())
            if number
            for window in _windows(level)
        ]

    def halve(self, level: int, window: Window) -> None:
        """Make a piece of a smaller level from the one before it."""
        array = self._level(str(level - 1))
        twice = tuple(
            slice(2 * part.start, 2 * part.stop) if isinstance(part, slice) else part
            for part in window[-2:]
        )
        with few_at_once(array):
            larger = np.asarray(array[(*window[:-2], *twice)])
        self._write(str(level), window, halved(larger))

    def _write(self, level: str, window: Window, block: NDArray[Any]) -> None:
        array = self._level(level)
        with in_plain_words(self.path), few_at_once(array):
            array[window] = block
            for file in self._files(array, level, window):
                sync(file)

    def _files(self, array: Any, level: str, window: Window) -> Iterator[Path]:
        """Yield the files that hold a window."""
        ranges = []
        for part, chunk in zip(window, array.chunks, strict=True):
            first = part.start if isinstance(part, slice) else part
            last = part.stop - 1 if isinstance(part, slice) else part
            ranges.append(range(first // chunk, last // chunk + 1))
        for each in product(*ranges):
            yield self.path / level / array.metadata.encode_chunk_key(each)

    def _levels(self) -> list[Any]:
        found: list[Any] = []
        while (self.path / str(len(found))).is_dir():
            found.append(self._level(str(len(found))))
        return found

    def _level(self, name: str) -> Any:
        import zarr

        return zarr.open_array(self.path / name, mode="r+")


@dataclass(frozen=True)
class TiffTarget:
    """The pixels of an uncompressed TIFF file.

    Attributes
    ----------
    pixels
        Where they are.
    """

    pixels: MappedArray

    @property
    def path(self) -> Path:
        """The file."""
        return self.pixels.path

    def write(self, window: Window, block: NDArray[Any]) -> None:
        """Write a block row by row: mapped, the file would count as this process's memory."""
        pixels = self.pixels
        starts = [part.start if isinstance(part, slice) else part for part in window]
        lengths = [part.stop - part.start if isinstance(part, slice) else 1 for part in window]
        # Whole rows that follow each other in the file are written as one.
        tail = len(lengths)
        run = pixels.dtype.itemsize
        while tail and pixels.strides[tail - 1] == run:
            tail -= 1
            run *= lengths[tail]
            if lengths[tail] != pixels.shape[tail]:
                break
        rows = np.ascontiguousarray(block.reshape(lengths), dtype=pixels.dtype)
        first = pixels.offset + sum(
            s * step for s, step in zip(starts, pixels.strides, strict=True)
        )
        with in_plain_words(pixels.path), pixels.path.open("rb+", buffering=0) as file:
            for index in np.ndindex(*lengths[:tail]):
                place = sum(i * step for i, step in zip(index, pixels.strides, strict=False))
                file.seek(first + place)
                left = rows[index].data.cast("B")
                while left:
                    left = left[file.write(left) :]
            os.fsync(file.fileno())


def _windows(level: Any) -> Iterator[Window]:
    """Yield the places of an array's chunks."""
    ranges = [
        [slice(a, min(a + chunk, length)) for a in range(0, length, chunk)]
        for length, chunk in zip(level.shape, level.chunks, strict=True)
    ]
    return product(*ranges)
