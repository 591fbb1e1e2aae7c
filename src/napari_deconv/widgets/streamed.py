"""Restorations that do not fit into memory: written into a file, and shown while it fills."""

from __future__ import annotations

import re
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_deconv.widgets.tasks import Picture, Restoration, Update
from napari_deconv.widgets.torch_thread import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from napari_deconv.engine import Job, Statistics, Step
    from napari_deconv.io.lazy import StoredArray
    from napari_deconv.widgets.layers import Snapshot

# Seconds between two looks at a file that fills.
_OFTEN = 2.0


def goes_to_a_file(image: Snapshot, memory_limit: float | None) -> bool:
    """Whether the result had better go to a file.

    Parameters
    ----------
    image
        What is to be restored.
    memory_limit
        GB that the user allows, if they do.
    """
    from napari_deconv.engine.memory import outgrows

    voxels = int(np.prod(image.shape, dtype=np.int64))
    in_memory = isinstance(image.data, np.ndarray)
    lazy_bytes = 0 if in_memory else voxels * np.dtype(image.data.dtype).itemsize
    return outgrows(voxels, lazy_bytes, memory_limit)


def ask_for_file(parent: QWidget, image: Snapshot, method: str) -> Path | None:
    """Ask where a large result is to go; None when nowhere.

    One that was begun, and lies where this one would, is offered to be gone on with.
    """
    from napari_deconv.engine.streaming import unfinished_blocks

    name = re.sub(r"[^\w.-]+", "-", f"{image.name}-{method}").strip("-") + ".ome.zarr"
    folder = Path(image.path).absolute().parent if image.path else Path.home()
    usual = folder / name
    begun = unfinished_blocks(usual)
    if begun is not None and _goes_on(parent, usual, begun):
        return usual
    size = 4 * int(np.prod(image.shape, dtype=np.int64)) / 1e9
    chosen, _ = QFileDialog.getSaveFileName(
        parent,
        f"The result takes {size:.1f} GB: where to write it, block by block",
        str(usual),
        "OME-Zarr (*.ome.zarr)",
    )
    if not chosen:
        return None
    path = Path(chosen)
    return path if path.suffix.lower() == ".zarr" else path.with_name(f"{path.name}.ome.zarr")


def _goes_on(parent: QWidget, path: Path, begun: tuple[int, int]) -> bool:
    answer = QMessageBox.question(
        parent,
        "Go on?",
        f"{path} was begun: {begun[0]} of {begun[1]} blocks are done. Go on with it?",
    )
    return answer == QMessageBox.StandardButton.Yes


def levels_of(path: Path) -> list[StoredArray]:
    """Return the resolutions of an OME-Zarr image, the finest first, each read when it is shown."""
    import zarr

    from napari_deconv.io.lazy import StoredArray

    levels: list[StoredArray] = []
    while (path / str(len(levels))).is_dir():
        levels.append(StoredArray(path, zarr.open_array(path / str(len(levels)), mode="r")))
    return levels


class StreamedRestoration(Restoration):
    """A restoration into an OME-Zarr file, block by block; one that was begun is gone on with.

    Parameters
    ----------
    path
        The file.
    source, method, psf, options
        As for :class:`~napari_deconv.widgets.tasks.Restoration`.
    """

    def __init__(
        self, path: Path, source: Snapshot, method: str, psf: Any, options: Mapping[str, Any]
    ) -> None:
        super().__init__(source, method, psf, options)
        self.path = path
        self._seen: set[str] = set()
        self._range: tuple[float, float] | None = None

    def run(self) -> Iterator[Update]:
        """Restore; a task that is stopped leaves its blocks in the file."""
        from napari_deconv.engine import Job
        from napari_deconv.engine.streaming import stream

        yield Update("Preparing", open_ended=True)
        import_torch()
        self.job = Job(self.source.data, self.method, psf=self._psf, **self.options)
        self._psf = None
        inputs = [self.source.path] if self.source.path else []
        steps = stream(self.job, self.path, provenance={"kind": "restored"}, inputs=inputs)
        with closing(steps):
            yield from self._updates(self.job, steps)
        levels = levels_of(self.path)
        coarsest = levels[-1]
        plane = coarsest[tuple(n // 2 for n in coarsest.shape[:-2])]
        self.output = Picture(levels if len(levels) > 1 else levels[0], _limits(plane))

    def kept(self) -> str:
        """Return what is told after a cancel."""
        from napari_deconv.engine.streaming import unfinished_blocks

        begun = unfinished_blocks(self.path)
        if begun is None:
            return "Cancelled. No layer was changed."
        return (
            f"Cancelled: {begun[0]} of {begun[1]} blocks are done and kept in {self.path}. Restore "
            "again, into the same file, to go on from there."
        )

    def _updates(self, job: Job, steps: Iterator[Step]) -> Iterator[Update]:
        shown, stage = 0.0, ""
        figures: list[Statistics] = []
        for step in steps:
            if step.stage != stage:
                stage, figures = step.stage, []
            if step.statistics is not None and step.statistics not in figures[-1:]:
                figures.append(step.statistics)
            now = time.perf_counter()
            picture = self._look(job) if now - shown > _OFTEN else None
            if picture is not None:
                # Looking may take its time, but not more of it than the work.
                shown = time.perf_counter() + 2 * (time.perf_counter() - now)
            searching = not job.details.blocks
            yield Update(
                step.stage,
                step.iteration,
                None if searching else step.total,
                0.0 if searching else step.fraction,
                list(job.details.trial or figures),
                picture,
                open_ended=searching,
            )

    def _look(self, job: Job) -> Picture | None:
        """Return what is in the file by now; None where nothing new is."""
        from napari_deconv.engine.journal import Journal

        marks = Journal(self.path).done()
        new = [int(mark) for mark in marks - self._seen if mark.isdigit()]
        if not new:
            return None
        self._seen = marks
        finest = levels_of(self.path)[0]
        # Of one of the blocks: there is nothing to see yet in most of the others.
        place, core = job.work.blocks[new[0]]
        middle = [(piece.start + piece.stop) // 2 for piece in core[:-2]]
        low, high = _limits(finest[(*place, *middle, *core[-2:])])
        if self._range is not None:
            low, high = min(low, self._range[0]), max(high, self._range[1])
        self._range = (low, high)
        return Picture(finest, self._range)


def _limits(plane: NDArray[Any]) -> tuple[float, float]:
    """Return contrast limits."""
    low, high = np.percentile(plane, [0.1, 99.9])
    return float(low), float(high)
