"""Run a method over an array of any size: the one loop behind dock, shell and Python."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.engine import devices
from napari_deconv.engine.forecast import forecast
from napari_deconv.engine.options import stopping_rule
from napari_deconv.engine.plan import Forecast, cores
from napari_deconv.engine.problem import Problem
from napari_deconv.engine.provenance import digest, plain, provenance
from napari_deconv.engine.stopping import RelativeChange
from napari_deconv.engine.strength import StrengthSearch
from napari_deconv.engine.trial import Trial, resolve_parameters
from napari_deconv.errors import JobError
from napari_deconv.registry import Chosen, find, methods

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_deconv.assessment.noise import Noise
    from napari_deconv.engine.run import Run
    from napari_deconv.engine.statistics import Statistics

# A person sees no more than twenty pictures a second, and an event loop bears no more.
_SHORTEST = 0.05
# Share of the free memory that a job takes unless it is told otherwise.
_SHARE = 0.6


@dataclass(frozen=True)
class Step:
    """Where a job is.

    Attributes
    ----------
    stage
        What is being done, in plain words.
    iteration, total
        Steps taken in this stage, and how many there will be at most.
    fraction
        Share of this stage that is done, 0 to 1.
    statistics
        The newest figures.
    """

    stage: str
    iteration: int
    total: int | None
    fraction: float
    statistics: Statistics | None = None


@dataclass
class Details:
    """What came out besides the image.

    Attributes
    ----------
    method, parameters
        What ran, with every parameter as it was used.
    iterations, stopped_because
        Steps taken, and why no more.
    statistics
        Figures of the steps (of the last block, where there are several).
    trial
        Figures of the steps on which the number of iterations was found.
    choices
        Numbers that were automatic, by parameter, with all that were tried and how good they were.
    psf, psf_origin
        The kernel as it was used (sum 1), and the index of its origin.
    gain, offset, read_noise
        Camera model behind the figures and the stopping rule, in counts.
    background
        Intensity taken as background (its mean where it is an image).
    seconds, device, tiles, blocks
        How long, where, and in which pieces.
    notes, warnings
        What was done on the way, and what the user should look at, in plain words.
    provenance
        All of this as plain values that can be stored.
    """

    method: str
    parameters: dict[str, Any] = field(default_factory=dict)
    iterations: int = 0
    stopped_because: str = ""
    statistics: list[Statistics] = field(default_factory=list)
    trial: list[Statistics] = field(default_factory=list)
    choices: dict[str, Chosen] = field(default_factory=dict)
    psf: NDArray[np.float64] | None = None
    psf_origin: tuple[int, ...] | None = None
    gain: float = 1.0
    offset: float = 0.0
    read_noise: float = 0.0
    background: float = 0.0
    seconds: float = 0.0
    device: str = ""
    tiles: tuple[int, ...] = ()
    blocks: int = 0
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)


class Job:
    """One restoration: checked when it is made, run by iterating over :meth:`steps`.

    Parameters
    ----------
    image
        Array with axes ``..., (Z,) Y, X``: numpy, dask, zarr, anything with a shape and slices.
        Axes before the PSF's are frames, restored one by one.
    method
        Id of a method, see :func:`napari_deconv.methods`.
    psf
        PSF with axes ``(Z,) Y, X``; or a list of them, one for each index of the last axis before
        the spatial ones (channels); or an array with such axes in front.
    region
        Slices on the image's last axes, to restore only that part; what lies around it is seen.
    **options
        Parameters of the method and of :class:`~napari_deconv.engine.options.Options`;
        ``background`` may also be an array of the image's shape.

    Attributes
    ----------
    result
        The restored image, float32, once the job has finished.
    details
        What came out besides.

    Raises
    ------
    InputError
        When image or PSF cannot be used.
    ParameterError
        When the method or a parameter is unknown, or a value does not fit.
    """

    def __init__(
        self,
        image: Any,
        method: str,
        psf: Any = None,
        *,
        region: Sequence[slice] | None = None,
        **options: Any,
    ) -> None:
        entry = find(methods(), method, "method")
        self._problem = Problem(image, entry, psf, region, options)
        self._device = devices.find_device(self._problem.options.device)
        self._image = image
        self._shrink = 1.0
        self._keep = True
        self._run: Run | None = None
        self._place: tuple[Any, ...] = ()
        self._output: NDArray[np.float32] | None = None
        self.result: NDArray[np.float32] | None = None
        self.details = Details(method, warnings=self._problem.warnings, notes=self._problem.notes)

    @property
    def forecast(self) -> Forecast:
        """Memory and time that the job will take; at first it measures the machine's speed."""
        return forecast(self._problem, self._device, self._budget())

    @property
    def can_continue(self) -> bool:
        """Whether :meth:`more` can take further steps."""
        iterative = self._problem.method.iterative
        return iterative and self.result is not None and self._run is not None

    def estimate(self) -> NDArray[np.float32] | None:
        """Return a copy of the image as far as it is restored; None before the first step."""
        if self._output is None:
            return None
        self._write()
        return self._output.copy()

    def steps(self, *, keep: bool = True) -> Generator[Step, None, None]:
        """Run the job; yields at most twenty times a second.

        Closing the generator cancels the job within one step; :meth:`estimate` still has what was
        reached.

        Parameters
        ----------
        keep
            Keep what :meth:`more` needs to go on; without it the job takes less memory.

        Raises
        ------
        JobError
            When it does not fit into memory, whatever is tried.
        """
        self._keep = keep
        yield from self._alone(self._restore())

    def more(self, iterations: int) -> Generator[Step, None, None]:
        """Take further steps from where the job stopped, without starting over.

        Raises
        ------
        JobError
            When the job cannot go on: not finished yet, or worked in several blocks.
        """
        if not self.can_continue or self._run is None:
            raise JobError("Only a finished job that worked in one piece can go on.")
        yield from self._alone(self._go_on(self._run, iterations))

    def _alone(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Wait for the device, take the steps at a bearable pace, give the device back."""
        lock = devices.lock(self._device)
        while not lock.acquire(timeout=0.1):
            yield Step("Waiting for another job", 0, None, 0.0)
        try:
            with devices.thread_count(self._problem.options.threads):
                started = shown = time.perf_counter()
                for step in steps:
                    if step.fraction >= 1 or time.perf_counter() - shown >= _SHORTEST:
                        yield step
                        shown = time.perf_counter()
                self._conclude(self.details.seconds + time.perf_counter() - started)
        finally:
            lock.release()

    def _restore(self) -> Iterator[Step]:
        """Restore every block; where memory runs out, start again with smaller ones."""
        while True:
            try:
                yield from self._blocks()
                return
            except (MemoryError, RuntimeError) as error:
                if not devices.is_out_of_memory(error):
                    raise
            # Outside the except clause, since the error holds on to the frames that hold memory.
            self._run = None
            self._problem.forget()
            devices.release_memory(self._device)
            self._shrink /= 2
            if self._shrink < 1 / 64 or self._problem.options.tiles != "auto":
                need = self._problem.demand(self._device).bytes(self._problem.source.spatial_shape)
                raise JobError(
                    f"There is not enough memory on {self._device}; in one piece the job needs "
                    f"about {need / 1e9:.1f} GB. Close other programs, choose a smaller PSF or "
                    "region, or leave tiles automatic."
                )
            self._problem.warn(f"{self._device} ran out of memory; smaller tiles were used.")

    def _blocks(self) -> Iterator[Step]:
        problem, options, details = self._problem, self._problem.options, self.details
        noise = problem.noise()
        tile = problem.tile(self._device, self._budget())
        pieces = list(cores(problem.source.spatial_shape, tile))
        blocks = [(frame, core) for frame in problem.source.frames for core in pieces]
        parameters = resolve_parameters(problem, problem.parameters, noise, self._device)
        parameters = yield from self._find_strengths(parameters, noise)
        details.choices = {n: v for n, v in parameters.items() if isinstance(v, Chosen)}
        rule = None
        goal = 1
        if problem.method.iterative:
            if options.iterations != "auto":
                goal, details.stopped_because = int(options.iterations), "that many were asked for"
            elif problem.method.schedule is not None:
                goal = problem.method.schedule(parameters)
                details.stopped_because = "that many are the method's own plan"
            elif stopping_rule(problem.method, options) == "relative-change" and len(blocks) == 1:
                goal, rule = options.max_iterations, RelativeChange(options.tolerance)
                details.stopped_because = f"{goal} is the most that was allowed"
            else:
                trial = Trial(problem, parameters, noise, self._device)
                yield from self._count(trial)
                goal = trial.iterations
        details.parameters = self._parameters(parameters, noise, goal)
        details.gain, details.offset, details.read_noise = (
            noise.gain,
            noise.offset,
            noise.read_noise,
        )
        details.tiles, details.blocks, details.device = tile, len(blocks), str(self._device)
        self._output = np.zeros(problem.source.shape, np.float32)
        for number, (frame, core) in enumerate(blocks, 1):
            block = problem.block(frame, core)
            details.background = float(np.mean(block.floor))
            if problem.has_psf:
                details.psf, details.psf_origin = block.kernel.array, block.kernel.origin
            run = problem.start(block, parameters, noise, self._device, rule=rule)
            self._run, self._place = run, (frame, core, block.inner)
            del block
            place = f", block {number} of {len(blocks)}" if len(blocks) > 1 else ""
            yield from self._advance(run, goal, f"Restoring{place}")
            run.finish()
            self._write()
            details.statistics, details.iterations = run.statistics, run.iteration
            if len(blocks) > 1 or not self._keep:
                run.close()
                self._run = None

    def _find_strengths(
        self, parameters: dict[str, Any], noise: Noise
    ) -> Generator[Step, None, dict[str, Any]]:
        """Find the strengths that are automatic, one after the other."""
        for name, value in parameters.items():
            if value != "auto":
                continue
            search = StrengthSearch(self._problem, parameters, name, noise, self._device)
            label = self._problem.method.parameters[name].label
            for number, run in search.steps():
                # How many tries it takes shows only at the end: the bar draws near to it.
                done = 1 - 0.8**number
                last = run.statistics[-1] if run.statistics else None
                yield Step(f"Finding the {label}: try {number}", run.iteration, None, done, last)
            parameters = parameters | {name: search.chosen}
        return parameters

    def _count(self, trial: Trial) -> Iterator[Step]:
        """Show the steps of a trial, and keep what it found."""
        most = self._problem.options.max_iterations
        for run in trial.steps():
            self.details.trial = run.statistics
            taken, last = run.iteration, run.statistics[-1]
            yield Step("Finding the number of iterations", taken, most, taken / most, last)
        self.details.stopped_because = trial.reason

    def _go_on(self, run: Run, iterations: int) -> Iterator[Step]:
        run.enough = None
        run.rule = None
        yield from self._advance(run, run.iteration + iterations, "Going on")
        run.finish()
        self.details.stopped_because = "more were asked for"
        self.details.iterations = run.iteration
        self.details.parameters["iterations"] = run.iteration
        self._write()

    def _advance(self, run: Run, goal: int, stage: str) -> Iterator[Step]:
        """Take steps up to a goal, or to where the run's rule or the method itself ends."""
        first = run.iteration
        while run.iteration < goal and run.enough is None:
            if not run.advance():
                self.details.stopped_because = "the method came to its own end"
                break
            last = run.statistics[-1] if run.statistics else None
            fraction = (run.iteration - first) / (goal - first)
            yield Step(stage, run.iteration, goal, fraction, last)
        if run.enough is not None:
            tolerance = self._problem.options.tolerance
            self.details.stopped_because = f"a step changed the estimate by less than {tolerance:g}"

    def _write(self) -> None:
        """Put the running block's estimate into the output."""
        if self._run is None or self._run.estimate is None or self._output is None:
            return
        frame, core, inner = self._place
        inside = self._run.blur.crop(self._run.estimate)[inner].cpu().numpy()
        if self._keep or inside.shape != self._output.shape or not inside.flags.c_contiguous:
            self._output[(*frame, *core)] = inside
        else:
            self._output = inside

    def _conclude(self, seconds: float) -> None:
        details = self.details
        self.result = self._output
        details.seconds = seconds
        names = "iterations stopped_because psf_origin gain offset read_noise background seconds "
        names += "device tiles blocks notes warnings"
        psf = details.psf
        details.provenance = provenance(
            details.method,
            details.parameters,
            **{name: plain(getattr(details, name)) for name in names.split()},
            image_shape=[int(n) for n in np.shape(self._image)],
            image_dtype=str(getattr(self._image, "dtype", "")),
            image_sha256=digest(self._image),
            psf_shape=None if psf is None else list(psf.shape),
            psf_sha256=digest(psf),
        )

    def _parameters(self, own: dict[str, Any], noise: Noise, goal: int) -> dict[str, Any]:
        """Return every parameter as it was used."""
        options = self._problem.options
        values = vars(options) | own | {"gain": noise.gain}
        if self._problem.method.iterative:
            values["iterations"] = goal
        else:
            for name in ("iterations", "stopping", "tolerance", "max_iterations"):
                del values[name]
        return values

    def _budget(self) -> float:
        """Return the bytes that a block may take."""
        limit = self._problem.options.memory_limit
        if limit is not None:
            return limit * 1e9 * self._shrink
        return _SHARE * devices.free_memory(self._device) * self._shrink
