"""What the docks let run in a thread: generators of updates that keep what came out."""

from __future__ import annotations

import time
import warnings
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_deconv.widgets.layers import Snapshot, contrast
from napari_deconv.widgets.torch_thread import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_deconv.engine import Job, Statistics, Step


@dataclass(frozen=True)
class Update:
    """Where a task is.

    Attributes
    ----------
    stage
        What is being done, in plain words.
    iteration, total
        Steps taken, and how many there will be; 0 and None where there are no steps to count.
    fraction
        Share of the whole task that is done, 0 to 1.
    statistics
        Figures of the steps so far, in their order.
    picture
        What the result looks like so far, when it is time to show it.
    open_ended
        Whether nobody can tell yet how long it takes.
    """

    stage: str
    iteration: int = 0
    total: int | None = None
    fraction: float = 0.0
    statistics: Sequence[Statistics] = ()
    picture: Picture | None = None
    open_ended: bool = False


@dataclass(frozen=True)
class Picture:
    """An image for a layer, and its contrast limits.

    The image is a copy that nobody else writes to; or what reads a file, or its resolutions.
    """

    data: Any
    limits: tuple[float, float] | None

    @classmethod
    def of(cls, data: NDArray[Any]) -> Picture:
        """Take contrast limits, which is better done in the thread."""
        return cls(data, contrast(data))


class Task(Protocol):
    """Something that takes a while."""

    def run(self) -> Iterator[Update]:
        """Do it, in a thread."""
        ...


class Restoration:
    """One restoration of a layer, or of a part of it.

    Parameters
    ----------
    source
        What to restore.
    method, psf, options
        As for :class:`~napari_deconv.engine.Job`.
    region
        Slices on all axes, for a preview.
    preview_seconds
        How often to hand over a picture; None for never.

    Attributes
    ----------
    level
        Which of the layer's resolutions it is, 0 being the finest.
    """

    def __init__(
        self,
        source: Snapshot,
        method: str,
        psf: Any,
        options: Mapping[str, Any],
        *,
        region: tuple[slice, ...] | None = None,
        preview_seconds: float | None = None,
    ) -> None:
        self.source, self.method, self.region = source, method, region
        self.options = dict(options)
        self.job: Job | None = None
        self.output: Picture | None = None
        self.last: Picture | None = None
        self.steps = self.level = 0
        self._psf, self._seconds, self._more = psf, preview_seconds, 0

    def __str__(self) -> str:
        what = "Preview of" if self.region is not None else "Restoring"
        return f"{what} {self.source.name}"

    @property
    def continues(self) -> bool:
        """Whether it goes on from another one."""
        return self._more > 0

    def continued(self, iterations: int) -> Restoration:
        """Return the task of taking further steps."""
        again = Restoration(
            self.source,
            self.method,
            self._psf,
            self.options,
            region=self.region,
            preview_seconds=self._seconds,
        )
        again.job, again._more = self.job, iterations
        return again

    def run(self) -> Iterator[Update]:
        """Restore; a task that is stopped leaves its last estimate in ``last``."""
        from napari_deconv.engine import Job

        if self.job is None:
            yield Update("Preparing", open_ended=True)
            import_torch()
            self.job = Job(
                self.source.data, self.method, psf=self._psf, region=self.region, **self.options
            )
            self._psf = None
        job = self.job
        steps = job.more(self._more) if self._more else job.steps()
        try:
            with closing(steps):
                yield from self._updates(job, steps)
        except GeneratorExit:
            # Stopped: we are in the thread still, which is where copying belongs.
            estimate = job.estimate()
            self.last = None if estimate is None else Picture.of(estimate)
            raise
        assert job.result is not None
        self.output = Picture.of(job.result.copy())

    def _updates(self, job: Job, steps: Iterator[Step]) -> Iterator[Update]:
        shown, blocks_begun, stage = time.perf_counter(), 0, ""
        figures: list[Statistics] = []
        for step in steps:
            picture = None
            self.steps = step.iteration
            now = time.perf_counter()
            if step.stage != stage:
                # Another run: its figures are no continuation of the last one's.
                stage, figures = step.stage, []
                blocks_begun += bool(job.details.blocks)
            if self._seconds is not None and now - shown >= self._seconds:
                estimate = job.estimate()
                if estimate is not None:
                    picture = Picture.of(estimate)
                # A picture may take its time, but not more of it than the work.
                shown = time.perf_counter() + 2 * (time.perf_counter() - now)
            if step.statistics is not None and step.statistics not in figures[-1:]:
                figures.append(step.statistics)
            searching = not job.details.blocks
            blocks = 1 if self._more else max(1, job.details.blocks)
            before = 0 if self._more else max(0, blocks_begun - 1)
            yield Update(
                step.stage,
                step.iteration,
                None if searching else step.total,
                0.0 if searching else min(1.0, (before + step.fraction) / blocks),
                list(job.details.trial or figures),
                picture,
                open_ended=searching,
            )


class BackgroundRemoval:
    """Estimate a layer's background and subtract it.

    Parameters
    ----------
    source
        The image.
    parameters
        Of :func:`~napari_deconv.background.estimate_background`.
    region
        Slices on all axes, for a preview.
    """

    def __init__(
        self,
        source: Snapshot,
        parameters: Mapping[str, Any],
        *,
        region: tuple[slice, ...] | None = None,
    ) -> None:
        self.source, self.region = source, region
        self.parameters = dict(parameters)
        self.output: Picture | None = None
        self.background: Picture | None = None
        self.seconds = 0.0

    def __str__(self) -> str:
        return f"Background of {self.source.name}"

    def run(self) -> Iterator[Update]:
        """Estimate plane by plane, so that it can be stopped and tells how far it is."""
        from napari_deconv.arrays import as_image
        from napari_deconv.background import estimate_background

        yield Update("Reading", open_ended=True)
        started = time.perf_counter()
        image = self.source.data
        if self.region is not None:
            image = image[self.region]
        values = as_image(np.asarray(image))
        background = np.empty(values.shape, np.float32)
        planes = values.reshape(-1, *values.shape[-2:])
        results = background.reshape(planes.shape)
        # A constant is the whole image's; planes are each by themselves.
        together = len(planes) if self.parameters.get("method") == "constant" else 4
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for first in range(0, len(planes), together):
                part = slice(first, first + together)
                results[part] = estimate_background(planes[part], **self.parameters)
                done = min(1.0, (first + together) / len(planes))
                yield Update(
                    "Estimating the background", int(done * len(planes)), len(planes), done
                )
        for words in dict.fromkeys(str(w.message) for w in caught if w.category is UserWarning):
            warnings.warn(words, stacklevel=1)
        self.seconds = time.perf_counter() - started
        self.background = Picture.of(background)
        self.output = Picture.of(values - background)
