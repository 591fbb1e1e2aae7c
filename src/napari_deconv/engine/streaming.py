"""Results written as they are made, block by block; a run that was killed is taken up again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from napari_deconv.engine import devices, memory
from napari_deconv.engine.blocks import Place, Settled, Work
from napari_deconv.engine.details import Step
from napari_deconv.engine.exchange import Store
from napari_deconv.engine.journal import Journal
from napari_deconv.engine.memory import outgrows
from napari_deconv.errors import FileError, JobError
from napari_deconv.io import Channel, check_output_suffix, check_target
from napari_deconv.io.blockwise import TiffTarget, ZarrTarget
from napari_deconv.io.lazy import MappedArray
from napari_deconv.io.ome_zarr import UNFINISHED, create_ome_zarr, set_provenance
from napari_deconv.io.target import in_plain_words, move, remove
from napari_deconv.io.tiff import create_tiff

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from napari_deconv.engine.job import Job
    from napari_deconv.engine.source import Source

# Options that tell how a result is computed, but not what it is.
_NO_MATTER = ("device", "threads", "memory_limit")
# Places along each axis at which an image is looked at to know it again, and voxels of each.
_GLANCES, _GLANCE = 3, 16


class Runner(Protocol):
    """Restores blocks somewhere: here, in other processes, on other machines.

    It is given the work, the numbers of the blocks that are missing, and ``write(place, block)``,
    which can be pickled and called in any process that sees the file. It yields a block's number
    once that block is written. In between it may yield steps to be shown, which is when the job
    can be cancelled: the iterator is closed.
    """

    def __call__(
        self,
        work: Work,
        numbers: Sequence[int],
        write: Callable[[Place, NDArray[np.float32]], None],
    ) -> Iterator[int | Step]:
        """Restore and write blocks."""
        ...


@dataclass(frozen=True)
class Writer:
    """Puts a restored block into the file; on return it is on the disk itself."""

    target: ZarrTarget | TiffTarget

    @property
    def path(self) -> Path:
        """The file."""
        return self.target.path if isinstance(self.target, ZarrTarget) else self.target.pixels.path

    def __call__(self, place: Place, block: NDArray[np.float32]) -> None:
        """Write a block."""
        self.target.write(place.window, block)


@dataclass(frozen=True)
class Form:
    """What is written besides the pixels, as for :func:`napari_deconv.io.write_image`."""

    axes: str
    spacing: Sequence[float] | None
    channels: Sequence[Channel]
    time_interval: float | None
    ome_zarr_version: Literal["0.4", "0.5"]


def stream(
    job: Job,
    path: str | PathLike[str],
    *,
    axes: str | None = None,
    overwrite: bool = False,
    resume: bool = True,
    runner: Runner | None = None,
    spacing: Sequence[float] | None = None,
    channels: Sequence[Channel] = (),
    time_interval: float | None = None,
    provenance: Mapping[str, Any] | None = None,
    inputs: Sequence[str | PathLike[str]] = (),
    ome_zarr_version: Literal["0.4", "0.5"] = "0.5",
) -> Generator[Step, None, Path]:
    """Restore into a file, block by block.

    What is settled for the whole image, and which blocks are done, is kept beside the file
    (``.NAME.unfinished``) until it is whole. The same call after a run that was killed, cancelled
    or had an error restores the blocks that are missing.

    Parameters
    ----------
    job
        A job that has not been run.
    path
        The file. An OME-Zarr folder has its name from the beginning, and can be looked at while
        it fills; a TIFF gets its name when it is whole.
    axes
        One letter for each axis of the image; where not given, the axes before the spatial ones
        are time and channels.
    overwrite
        Whether something else of that name may be replaced, or an unfinished result of other
        settings begun anew. An OME-Zarr folder is removed at once.
    resume
        Take up what was begun; False begins anew.
    runner
        Restores the blocks; in this process, one after the other, when not given.
    spacing, channels, time_interval, inputs, ome_zarr_version
        As for :func:`napari_deconv.io.write_image`; the job's own voxel size when not given.
    provenance
        What to record besides what the job tells of itself.

    Yields
    ------
    Step
        Its fraction is the share of all blocks.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileError
        When it cannot be written, or holds the beginning of another result.
    JobError
        When there is not enough memory.
    """
    path = check_output_suffix(path)
    job.to_file = True
    memory.keep_large_apart()
    source = job.source
    form = Form(
        axes or _usual_axes(source),
        spacing if spacing is not None else job.spacing,
        channels,
        time_interval,
        ome_zarr_version,
    )
    own = _identity(job) | {"format": [path.suffix.lower(), form.axes, ome_zarr_version]}
    journal = Journal(path)
    unfinished = resume and _unfinished(journal, own, path, overwrite)
    if not unfinished:
        nbytes = 4 * int(np.prod(source.shape, dtype=np.int64))
        check_target(path, overwrite=overwrite, inputs=inputs, nbytes=nbytes)
        journal.forget()
    result = _Result(job, path, journal, form, own, overwrite, dict(provenance or {}))
    yield from job.alone(result.steps(runner or _Here(job)))
    result.finish()
    return path


def is_large(job: Job) -> bool:
    """Whether a job's result had better be written as it is made."""
    source = job.source
    voxels = int(np.prod(source.shape, dtype=np.int64))
    return outgrows(voxels, 0 if source.in_memory else source.nbytes, job.memory_limit)


def unfinished_blocks(path: str | PathLike[str]) -> tuple[int, int] | None:
    """Return how many blocks of an unfinished result are done, of how many; None where none is."""
    journal = Journal(Path(path))
    if not journal.exists:
        return None
    return sum(mark.isdigit() for mark in journal.done()), int(journal.plan["blocks"])


class _Here:
    """Restores blocks in this process, one after the other."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __call__(
        self,
        work: Work,
        numbers: Sequence[int],
        write: Callable[[Place, NDArray[np.float32]], None],
    ) -> Iterator[int | Step]:
        done, count = len(work.blocks) - len(numbers), len(work.blocks)
        for number in numbers:
            piece = work.begin(number)
            words = f"Restoring, block {number + 1} of {count}" if count > 1 else "Restoring"
            for step in self._job.advance(piece, words):
                share = (done + step.fraction) / count
                yield Step(step.stage, step.iteration, step.total, share, step.statistics)
            write(piece.place, work.outcome(piece))
            piece.run.close()
            del piece
            done += 1
            yield number


class _Result:
    """A file in the making."""

    def __init__(
        self,
        job: Job,
        path: Path,
        journal: Journal,
        form: Form,
        identity: Mapping[str, Any],
        overwrite: bool,
        record: dict[str, Any],
    ) -> None:
        self._job, self._path, self._journal, self._form = job, path, journal, form
        self._identity, self._overwrite, self._record = identity, overwrite, record
        self._zarr = path.suffix.lower() == ".zarr"
        self._nameless = journal.folder / path.name

    def steps(self, runner: Runner) -> Iterator[Step]:
        """Do what is missing; where memory runs out at once, start again with smaller blocks."""
        job, journal = self._job, self._journal
        if journal.exists:
            job.adopt(Settled.from_json(journal.plan["settled"]))
        while True:
            if not journal.exists:
                yield from job.settle()
                with in_plain_words(self._path):
                    self._create()
            journal.claim()
            try:
                yield from self._blocks(runner)
                return
            except (MemoryError, RuntimeError) as error:
                if not devices.is_out_of_memory(error):
                    raise
            done = len(journal.done())
            if done:
                raise JobError(
                    f"Memory ran out after {done} of {len(job.work.blocks)} blocks. They are "
                    "kept: close other programs and run the same again."
                )
            job.shrink()
            if self._zarr:
                remove(self._path)
            journal.forget()

    def finish(self) -> None:
        """Give a whole file its name and the last word of its record."""
        with in_plain_words(self._path):
            if self._zarr:
                set_provenance(self._path, self._record | {"job": self._job.details.provenance})
            elif self._nameless.exists():
                self._name()
        self._journal.forget()

    def _blocks(self, runner: Runner) -> Iterator[Step]:
        work, journal = self._job.work, self._journal
        target = self._open()
        rounds = work.settled.rounds
        if rounds > 1:
            work.store = Store.within(work.problem, journal.folder)
        for number in range(rounds - 1):
            before = work.at(number)
            mark = f"round-{number}-"
            for step in self._round(before, runner, before.writer, mark):
                share = (number + step.fraction) / rounds
                words = f"Exchanging halos, {number + 1} of {rounds - 1}"
                yield replace(step, stage=words, fraction=share)
        for step in self._round(work.at(rounds - 1), runner, Writer(target), ""):
            yield replace(step, fraction=(rounds - 1 + step.fraction) / rounds)
        self._job.details.iterations = work.settled.iterations
        done = journal.done()
        if not isinstance(target, ZarrTarget):
            return
        parts = [(f"level-{n}", level, window) for n, (level, window) in enumerate(target.parts())]
        for number, (mark, level, window) in enumerate(parts, 1):
            if mark not in done:
                target.halve(level, window)
                journal.mark(mark)
            yield Step("Writing smaller copies to look at", number, len(parts), 0.999)

    def _round(
        self,
        work: Work,
        runner: Runner,
        write: Callable[[Place, NDArray[np.float32]], None],
        mark: str,
    ) -> Iterator[Step]:
        """Restore the blocks that are missing, and mark each once it is written."""
        done, count = self._journal.done(), len(work.blocks)
        missing = [n for n in range(count) if f"{mark}{n}" not in done]
        finished = count - len(missing)
        for each in runner(work, missing, write):
            if isinstance(each, Step):
                yield each
                continue
            self._journal.mark(f"{mark}{each}")
            finished += 1
            words = f"Restoring, block {finished} of {count}"
            yield Step(words, finished, count, min(finished / count, 0.999))

    def _create(self) -> None:
        """Make the file, empty, and begin the journal: in an order that survives a sudden end."""
        form, journal, work = self._form, self._journal, self._job.work
        shape, dtype = self._job.source.shape, np.dtype(np.float32)
        what: dict[str, Any] = {
            "spacing": form.spacing,
            "channels": form.channels,
            "time_interval": form.time_interval,
        }
        journal.prepare()
        plan = dict(self._identity) | {
            "settled": work.settled.to_json(),
            "blocks": len(work.blocks),
            "overwrite": self._overwrite,
        }
        if self._zarr:
            create_ome_zarr(
                self._nameless,
                shape,
                dtype,
                form.axes,
                tile=work.settled.tile,
                name=self._path.name.removesuffix(".zarr").removesuffix(".ome"),
                version=form.ome_zarr_version,
                provenance=self._record | {UNFINISHED: True},
                **what,
            )
        else:
            # A TIFF's record stands before its pixels: it tells what is known beforehand.
            known = self._job.record() | {"iterations": work.settled.iterations}
            del known["seconds"], known["finished"]
            pixels = create_tiff(
                self._nameless,
                shape,
                dtype,
                form.axes,
                ome=self._path.stem.lower().endswith(".ome"),
                provenance=self._record | {"job": known},
                **what,
            )
            plan["pixels"] = [pixels.shape, pixels.dtype.str, pixels.offset, pixels.strides]
        journal.begin(plan)

    def _open(self) -> ZarrTarget | TiffTarget:
        if self._zarr:
            if self._nameless.exists():
                self._name()
            return ZarrTarget(self._path)
        shape, dtype, offset, strides = self._journal.plan["pixels"]
        return TiffTarget(
            MappedArray(self._nameless, tuple(shape), np.dtype(dtype), offset, tuple(strides))
        )

    def _name(self) -> None:
        """Let the file appear where it is to be."""
        if self._path.exists():
            if not self._journal.plan["overwrite"]:
                raise FileError(f"{self._path} has appeared in the meantime. Move it away.")
            if self._zarr:
                remove(self._path)
        move(self._nameless, self._path)


def _unfinished(journal: Journal, own: Mapping[str, Any], path: Path, overwrite: bool) -> bool:
    """Whether a result was begun that can be taken up."""
    if not journal.exists:
        return False
    if not path.exists() and not (journal.folder / path.name).exists():
        return False  # somebody has thrown it away
    plan = journal.plan
    other = [name for name in own if plan.get(name) != own[name]]
    if not other:
        return True
    if overwrite:
        return False
    told = "; ".join(_difference(name, plan.get(name), own[name]) for name in other)
    raise FileError(
        f"{path} was begun, but not finished, as something else ({told}). Finish that, choose "
        "another name, or add --overwrite (overwrite=True) to begin anew."
    )


def _difference(name: str, there: Any, here: Any) -> str:
    """Say what tells two plans apart."""
    if isinstance(there, dict) and isinstance(here, dict):
        keys = [key for key in here | there if there.get(key) != here.get(key)]
        return ", ".join(f"{key} {there.get(key)} there, {here.get(key)} here" for key in keys)
    if name == "program":
        return f"it was begun by {there}, this is {here}"
    return f"another {name}"


def _identity(job: Job) -> dict[str, Any]:
    """Return what makes a result the same, as plain values."""
    from importlib.metadata import version

    source = job.source
    return {
        "program": f"napari-deconv {version('napari-deconv')}",
        "method": job.details.method,
        "settings": {k: v for k, v in job.settings().items() if k not in _NO_MATTER},
        "image": [list(source.shape), str(source.dtype), _glance(source)],
        "PSF": job.psf_digest(),
        "background": _glance(job.background) if job.background is not None else "",
    }


def _glance(source: Source) -> str:
    """Return the digest of a few pieces of an image."""
    told = hashlib.sha256()
    frames = list(source.frames)
    starts = [
        sorted({round(place * max(0, n - _GLANCE) / (_GLANCES - 1)) for place in range(_GLANCES)})
        for n in source.spatial_shape
    ]
    for frame in sorted({frames[0], frames[len(frames) // 2], frames[-1]}):
        for place in product(*starts):
            core = [
                slice(a, min(a + _GLANCE, n))
                for a, n in zip(place, source.spatial_shape, strict=True)
            ]
            outer, _ = source.outer(core, (0,) * len(core), "zero")
            told.update(np.ascontiguousarray(source.read(frame, outer)).data)
    return told.hexdigest()


def _usual_axes(source: Source) -> str:
    """Name the axes as people order them: time before channels before space."""
    spatial = "ZYX"[-len(source.spatial_shape) :]
    leading = len(source.shape) - len(spatial)
    if leading > 2:
        raise FileError(
            f"An image with {len(source.shape)} axes can be written only when they are named: axes."
        )
    return {0: "", 1: "T", 2: "TC"}[leading] + spatial
