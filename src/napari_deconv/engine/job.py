"""Run a method over an array of any size: the one loop behind dock, shell and Python."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.engine import devices
from napari_deconv.engine.blind import find_psf, plain_psf, psf_of
from napari_deconv.engine.blocks import Piece, Settled, Work
from napari_deconv.engine.details import Details, Step
from napari_deconv.engine.exchange import Store, begins_flat, flat_levels
from napari_deconv.engine.forecast import forecast
from napari_deconv.engine.memory import SHARE
from napari_deconv.engine.options import OF_ITERATIONS, most_iterations, stopping_rule
from napari_deconv.engine.problem import Problem
from napari_deconv.engine.provenance import digest, plain, provenance
from napari_deconv.engine.strength import StrengthSearch
from napari_deconv.engine.trial import Trial, resolve_parameters
from napari_deconv.errors import JobError
from napari_deconv.optics.variant import VariantPsf
from napari_deconv.registry import Chosen, find, methods

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_deconv.assessment.noise import Noise
    from napari_deconv.engine.plan import Forecast
    from napari_deconv.engine.source import Source

# A person sees no more than twenty pictures a second, and an event loop bears no more.
_SHORTEST = 0.05
# What a PSF that was found is taken to be wrong by at most: what psf_error may be.
_LARGEST_ERROR = 0.5


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
    to_file
        Set before the job is settled where each block is written as it is made
        (:func:`~napari_deconv.engine.streaming.stream` does): the result takes no memory then.

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
        self.to_file = False
        self._shrink = 1.0
        self._keep = True
        self._psf, self._region, self._given = psf, region, options
        self._found: Mapping[str, Any] | None = None
        self._work: Work | None = None
        self._piece: Piece | None = None
        self._output: NDArray[np.float32] | None = None
        self.result: NDArray[np.float32] | None = None
        self.details = Details(method, warnings=self._problem.warnings, notes=self._problem.notes)

    @property
    def source(self) -> Source:
        """The image as it is read."""
        return self._problem.source

    @property
    def background(self) -> Source | None:
        """The background, where it is an image."""
        return self._problem.background_source

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Voxel size on the spatial axes, um, where it was given."""
        return self._problem.spacing

    def settings(self) -> dict[str, Any]:
        """Return all options and parameters as they were asked for, as plain values."""
        options = vars(self._problem.options) | self._problem.parameters
        told: dict[str, Any] = json.loads(json.dumps({n: plain(v) for n, v in options.items()}))
        return told

    def psf_digest(self) -> str:
        """Return a digest of the PSFs as they are used."""
        return self._problem.psf_digest()

    @property
    def forecast(self) -> Forecast:
        """Memory and time that the job will take; at first it measures the machine's speed."""
        return forecast(self._problem, self._device, self._budget(), to_file=self.to_file)

    @property
    def can_continue(self) -> bool:
        """Whether :meth:`more` can take further steps."""
        iterative = self._problem.method.iterative
        return iterative and self.result is not None and self._piece is not None

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
        yield from self.alone(self._restore())

    def more(self, iterations: int) -> Generator[Step, None, None]:
        """Take further steps from where the job stopped, without starting over.

        Raises
        ------
        JobError
            When the job cannot go on: not finished yet, or worked in several blocks.
        """
        if not self.can_continue or self._piece is None:
            raise JobError("Only a finished job that worked in one piece can go on.")
        yield from self.alone(self._go_on(self._piece, iterations))

    def settle(self) -> Generator[Step, None, Settled]:
        """Find what all blocks share: noise, automatic parameters, iterations, their size.

        Afterwards :attr:`work` holds all that restoring the blocks takes.
        """
        problem = self._problem
        problem.sample_within(self._device, self._budget())
        noise = problem.noise(self._device)
        if problem.is_blind:
            yield Step("Identifying the blur", 0, None, 0.0)
            found = find_psf(problem)
            self._take({**vars(found), "psf": plain_psf(found.psf)})
            yield Step("Identifying the blur", 0, None, 1.0)
        options = problem.options
        tile = self._fitting_tile()
        alone = tile == problem.source.spatial_shape and len(list(problem.source.frames)) == 1
        parameters = resolve_parameters(problem, problem.parameters, noise, self._device)
        parameters = yield from self._find_strengths(parameters, noise)
        goal, reason, tolerance = 1, "", None
        if problem.method.iterative:
            if options.iterations != "auto":
                goal, reason = int(options.iterations), "that many were asked for"
            elif problem.method.schedule is not None:
                goal = problem.method.schedule(parameters)
                reason = "that many are the method's own plan"
            elif stopping_rule(problem.method, options) == "relative-change" and alone:
                goal = most_iterations(problem.method, parameters, options)
                tolerance = options.tolerance
                reason = f"{goal} is the most that was allowed"
            else:
                trial = Trial(problem, parameters, noise, self._device)
                yield from self._count(trial)
                goal, reason = trial.iterations, trial.reason
        level = problem.background_level
        settled = Settled(
            tile,
            parameters,
            noise.gain,
            noise.offset,
            noise.read_noise,
            goal,
            reason,
            level,
            tolerance,
            self._found,
        )
        if tile != problem.source.spatial_shape:
            settled = replace(settled, exchange=options.halo_exchange)
            if begins_flat(problem.method, parameters):
                yield Step("Measuring the light", 0, None, 0.0)
                settled = replace(settled, levels=flat_levels(problem, settled, self._device))
        self.adopt(settled)
        return settled

    def adopt(self, settled: Settled) -> None:
        """Take for granted what another run of the same job has settled."""
        if settled.found is not None and self._problem.is_blind:
            self._take(settled.found)
        options, details = self._problem.options, self.details
        self._work = Work(
            self._image,
            self.details.method,
            self._psf,
            self._given,
            settled,
            region=self._region,
            problem=self._problem,
        )
        parameters = dict(settled.parameters)
        details.choices = {n: v for n, v in parameters.items() if isinstance(v, Chosen)}
        values = vars(options) | parameters | {"gain": settled.gain}
        if self._problem.method.iterative:
            values["iterations"] = settled.iterations
        else:
            for name in OF_ITERATIONS:
                del values[name]
        details.parameters = values
        details.stopped_because = settled.stopped_because
        details.gain, details.offset = settled.gain, settled.offset
        details.read_noise, details.tiles = settled.read_noise, settled.tile
        details.blocks, details.device = len(self._work.blocks), str(self._device)

    def _take(self, found: Mapping[str, Any]) -> None:
        """Go on with a PSF that was found in the image, as if it had been given."""
        error = min(float(found["error"]), _LARGEST_ERROR)
        self._found = found
        self._psf = psf_of(found["psf"])
        self._given = {**self._given, "psf_error": error, "psf_energy": 1.0}
        self._problem.take(self._psf, error)
        self.details.found = dict(found["record"])
        if isinstance(self._psf, VariantPsf):
            self.details.psf_field = self._psf
        psf = self._psf.mean if isinstance(self._psf, VariantPsf) else self._psf
        self.details.psf = psf.astype(np.float64)
        self.details.psf_origin = tuple(n // 2 for n in psf.shape)
        if found["reliable"]:
            self._problem.notes.append(found["verdict"])
        else:
            self._problem.warn(found["verdict"])

    @property
    def work(self) -> Work:
        """The blocks and all that restoring them takes, once the job is settled.

        Raises
        ------
        JobError
            Before :meth:`settle` has come to its end.
        """
        if self._work is None:
            raise JobError("What the blocks share is not known yet: settle the job first.")
        return self._work

    def alone(self, steps: Iterator[Step]) -> Generator[Step, None, None]:
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

    def advance(self, piece: Piece, stage: str, goal: int | None = None) -> Iterator[Step]:
        """Take a block's steps up to a goal, and keep its figures."""
        goal, first = goal or piece.goal, piece.run.iteration
        run, details = piece.run, self.details
        details.background = piece.background
        if self._problem.has_psf:
            details.psf, details.psf_origin = piece.kernel.array, piece.kernel.origin
        for _ in piece.steps(goal):
            last = run.statistics[-1] if run.statistics else None
            yield Step(
                stage, run.iteration, goal, (run.iteration - first) / max(1, goal - first), last
            )
        details.stopped_because = piece.stopped_because or details.stopped_because
        run.finish()
        details.statistics, details.iterations = run.statistics, run.iteration

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
            self.shrink()

    def shrink(self) -> None:
        """Let go of memory, and take smaller blocks from now on.

        Raises
        ------
        JobError
            When they cannot be any smaller.
        """
        self._piece = None
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
        yield from self.settle()
        rounds = self.work.settled.rounds
        if rounds > 1:
            self.work.store = Store.within(self._problem, None)
        yield from self._exchanges(rounds - 1)
        work = self.work.at(rounds - 1)
        count = len(work.blocks)
        self._output = np.zeros(self._problem.source.shape, np.float32)
        for number in range(count):
            self._piece = work.begin(number, self._device)
            place = f", block {number + 1} of {count}" if count > 1 else ""
            yield from self.advance(self._piece, f"Restoring{place}")
            self._write()
            if count > 1 or not self._keep:
                self._piece.run.close()
                self._piece = None
        if rounds > 1:
            self.details.iterations = work.settled.iterations

    def _exchanges(self, rounds: int) -> Iterator[Step]:
        """Go through all blocks, some steps at a time, before the last round."""
        for number in range(rounds):
            work = self.work.at(number)
            for block, place in enumerate(work.blocks):
                piece = work.begin(block, self._device)
                for _ in piece.steps():
                    taken = number * piece.goal + piece.run.iteration
                    share = (number + block / len(work.blocks)) / rounds
                    yield Step("Exchanging halos", taken, work.settled.iterations, share)
                work.writer(place, work.outcome(piece))
                piece.run.close()

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
        for run in trial.steps():
            self.details.trial = run.statistics
            taken, last, most = run.iteration, run.statistics[-1], trial.most
            yield Step("Finding the number of iterations", taken, most, taken / most, last)

    def _go_on(self, piece: Piece, iterations: int) -> Iterator[Step]:
        run = piece.run
        run.enough = None
        run.rule = None
        piece.stopped_because = ""
        self.details.stopped_because = "more were asked for"
        yield from self.advance(piece, "Going on", run.iteration + iterations)
        self.details.parameters["iterations"] = run.iteration
        self._write()

    def _write(self) -> None:
        """Put the running block's estimate into the output."""
        if self._piece is None or self._output is None:
            return
        inside = self._piece.restored
        if inside is None:
            return
        if self._keep or inside.shape != self._output.shape or not inside.flags.c_contiguous:
            self._output[self._piece.place.window] = inside
        else:
            self._output = inside

    def _conclude(self, seconds: float) -> None:
        self.result = self._output
        self.details.seconds = seconds
        self.details.provenance = self.record()

    def record(self) -> dict[str, Any]:
        """Return what is known by now of how the result is made, as plain values."""
        details, psf = self.details, self.details.psf
        names = "found iterations stopped_because psf_origin gain offset read_noise background "
        names += "seconds device tiles blocks notes warnings"
        return provenance(
            details.method,
            details.parameters,
            **{name: plain(getattr(details, name)) for name in names.split()},
            image_shape=[int(n) for n in np.shape(self._image)],
            image_dtype=str(getattr(self._image, "dtype", "")),
            image_sha256=digest(self._image),
            psf_shape=None if psf is None else list(psf.shape),
            psf_sha256=digest(psf),
        )

    @property
    def memory_limit(self) -> float | None:
        """GB that the job may take, where that was told."""
        return self._problem.options.memory_limit

    @cached_property
    def _memory_allowed(self) -> float:
        """Bytes that the job may take: the limit that was set, or a share of what was free.

        Looked up once: what the job itself holds later is not to be taken off a second time.
        """
        limit = self.memory_limit
        return limit * 1e9 if limit is not None else SHARE * devices.free_memory(self._device)

    def _budget(self) -> float:
        """Return the bytes that a block may take; what is needed anyway is taken off."""
        whole = self._memory_allowed
        beside = self._problem.beside(self._device, to_file=self.to_file)
        return max(0.0, whole - beside) * self._shrink

    def _fitting_tile(self) -> tuple[int, ...]:
        """Return the size of the blocks, and warn where even the smallest are too large."""
        problem, budget = self._problem, self._budget()
        tile = problem.tile(self._device, budget, to_file=self.to_file)
        demand = problem.demand(self._device)
        need = demand.bytes(demand.outer(tile, problem.source.spatial_shape))
        if need > budget:
            most = problem.options.memory_limit
            allowed = f"the {most:g} GB allowed" if most else f"{SHARE:.0%} of what is free"
            beside = problem.beside(self._device, to_file=self.to_file)
            words = (
                f"The job takes about {(need + beside) / 1e9:.2g} GB, which is more than {allowed}"
            )
            if not self.to_file and beside > need:
                words += "; the result alone is large: have it written into a file as it is made"
            problem.warn(f"{words}.")
        return tile
