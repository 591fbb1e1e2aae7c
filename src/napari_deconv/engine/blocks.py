"""A job cut into blocks that can be restored anywhere, in any order, with the same numbers."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_deconv.assessment.noise import Noise
from napari_deconv.engine import devices
from napari_deconv.engine.exchange import StoreWriter
from napari_deconv.engine.plan import cores
from napari_deconv.engine.problem import Problem
from napari_deconv.engine.stopping import RelativeChange
from napari_deconv.io.lazy import portable
from napari_deconv.registry import Chosen, methods

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, device

    from napari_deconv.engine.exchange import Store
    from napari_deconv.engine.run import Run


@dataclass(frozen=True)
class Settled:
    """What is found once for the whole image, so that its blocks agree.

    Attributes
    ----------
    tile
        Size of a block's core on the spatial axes.
    parameters
        The method's own, a number in place of every ``"auto"``.
    gain, offset, read_noise
        The camera, in counts.
    iterations
        How many steps every block takes; at most, where there is a tolerance.
    stopped_because
        Why so many, in words.
    background
        The level that was found or given; None where the background is an image.
    tolerance
        Relative change at which the only block stops by itself; None where steps are counted.
    exchange
        Steps after which blocks exchange what they found, where they do.
    levels
        Intensity of each frame's first estimate, for a method that begins with a flat one.
    found
        The PSF that was found in the image and what is known of it, where none was given.
    """

    tile: tuple[int, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    gain: float = 1.0
    offset: float = 0.0
    read_noise: float = 0.0
    iterations: int = 1
    stopped_because: str = ""
    background: float | None = 0.0
    tolerance: float | None = None
    found: Mapping[str, Any] | None = None
    exchange: int | None = None
    levels: tuple[float, ...] = ()

    @property
    def rounds(self) -> int:
        """How often blocks are gone through: once, unless they exchange what they find."""
        return -(-self.iterations // self.exchange) if self.exchange else 1

    @property
    def noise(self) -> Noise:
        """The camera model."""
        return Noise(self.gain, self.offset, self.read_noise)

    def to_json(self) -> str:
        """Return all of it as text, with every digit."""
        packed = {n: _packed(v) for n, v in asdict(self).items() if n in ("parameters", "found")}
        return json.dumps({**asdict(self), **packed})

    @classmethod
    def from_json(cls, text: str) -> Settled:
        """Return what :meth:`to_json` wrote."""
        told = _unpacked(json.loads(text))
        return cls(**told)


class Place(NamedTuple):
    """Where a block is: indices of its frame, and its core on the spatial axes."""

    frame: tuple[int, ...]
    core: tuple[slice, ...]

    @property
    def window(self) -> tuple[int | slice, ...]:
        """Index of the core in the result."""
        return (*self.frame, *self.core)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the core."""
        return tuple(piece.stop - piece.start for piece in self.core)


class Piece:
    """One block at work.

    Attributes
    ----------
    run
        The method's run on the block with its surroundings.
    stopped_because
        Why no more steps were taken, where that was not their number.
    background
        The block's mean background.
    kernel
        The PSF as it was used.
    """

    def __init__(
        self,
        problem: Problem,
        place: Place,
        settled: Settled,
        device: device,
        *,
        goal: int | None = None,
    ) -> None:
        block = problem.block(place.frame, place.core)
        self.start, self.goal = block.start, goal or settled.iterations
        self.place, self.kernel = place, block.kernel
        self.background = float(np.mean(block.floor))
        self.stopped_because = ""
        self.inner = block.inner
        self._tolerance = settled.tolerance
        rule = RelativeChange(settled.tolerance) if settled.tolerance is not None else None
        parameters = dict(settled.parameters)
        self.run = problem.start(block, parameters, settled.noise, device, rule=rule)

    def flat(self, level: float) -> Tensor:
        """Return an estimate that is the same everywhere."""
        import torch

        return torch.full(self.run.blur.object_shape, level, device=self.run.data.device)

    def begin_with(self, estimate: Tensor) -> None:
        """Let the method begin with an estimate, which it overwrites."""
        self.run.blur.start = estimate

    def steps(self, goal: int | None = None) -> Iterator[Run]:
        """Take steps up to a goal, or to where the run's rule or the method itself ends."""
        run, goal = self.run, goal or self.goal
        while run.iteration < goal and run.enough is None:
            if not run.advance():
                self.stopped_because = "the method came to its own end"
                break
            # The next block shares the forward model.
            run.blur.start = None
            yield run
        if run.enough is not None:
            self.stopped_because = (
                f"a step changed the estimate by less than {self._tolerance or 0:g}"
            )

    @property
    def restored(self) -> NDArray[np.float32] | None:
        """The core as far as it is restored; it may share the run's memory."""
        if self.run.estimate is None:
            return None
        inside: NDArray[np.float32] = (
            self.run.blur.crop(self.run.estimate)[self.inner].cpu().numpy()
        )
        return inside


class Work:
    """Everything that restoring the blocks of a job takes; it can be pickled and sent away.

    An image that a file holds travels as the file's name, so whoever restores has to see the same
    folders; an image in memory travels as a whole.

    Parameters
    ----------
    image, method, psf, options, region
        As for :class:`~napari_deconv.engine.Job`.
    settled
        What was found for the whole image.
    problem
        The same, checked already, where that has been done in this process.

    Attributes
    ----------
    blocks
        Where the blocks are; their numbers are what everything goes by.
    round
        How often all blocks have been gone through before, where they exchange what they find.
    store
        Where they leave it.
    """

    def __init__(
        self,
        image: Any,
        method: str,
        psf: Any,
        options: Mapping[str, Any],
        settled: Settled,
        *,
        region: Sequence[slice] | None = None,
        problem: Problem | None = None,
    ) -> None:
        self.image, self.method, self.psf, self.region = image, method, psf, region
        self.options, self.settled = dict(options), settled
        self.round = 0
        self.store: Store | None = None
        self._problem = problem
        source = self.problem.source
        pieces = list(cores(source.spatial_shape, settled.tile))
        self.blocks = [Place(tuple(f), core) for f in source.frames for core in pieces]

    def __getstate__(self) -> dict[str, Any]:
        options = {name: portable(value) for name, value in self.options.items()}
        travels = {"image": portable(self.image), "options": options, "_problem": None}
        return {**self.__dict__, **travels}

    @property
    def problem(self) -> Problem:
        """The image and all that is to be done, checked; made when it is first asked for."""
        if self._problem is None:
            method = methods()[self.method]
            self._problem = Problem(
                self.image,
                method,
                self.psf,
                self.region,
                self.options,
                level=self.settled.background,
            )
        return self._problem

    def find_device(self) -> device:
        """Return where this process computes."""
        return devices.find_device(self.problem.options.device)

    def at(self, number: int) -> Work:
        """Return the same work in another round, with the same store."""
        other = copy.copy(self)
        # What does not travel stays here: a problem made anew would know less.
        other.__dict__.update(self.__dict__, round=number)
        return other

    @property
    def writer(self) -> StoreWriter:
        """What keeps the outcome of blocks in a round before the last."""
        assert self.store is not None
        return StoreWriter(self.store, self.round, self.problem.source.spatial_shape)

    def begin(self, number: int, device: device | None = None) -> Piece:
        """Read a block and set the method to work on it."""
        place, settled, goal = self.blocks[number], self.settled, None
        if settled.exchange is not None:
            goal = min(settled.exchange, settled.iterations - self.round * settled.exchange)
        piece = Piece(self.problem, place, settled, device or self.find_device(), goal=goal)
        if self.round and self.store is not None:
            blur = piece.run.blur
            piece.begin_with(self.store.read(self.round, place, piece.start, blur))
        elif settled.levels:
            frames = self.problem.source.shape[: len(place.frame)]
            level = settled.levels[int(np.ravel_multi_index(place.frame, frames)) if frames else 0]
            piece.begin_with(piece.flat(level))
        return piece

    def outcome(self, piece: Piece) -> NDArray[np.float32]:
        """Return what a block that has taken its steps leaves behind.

        That is its core, restored; before the last round of an exchange also what it found beyond
        the image's borders. It may share the run's memory.
        """
        if self.store is not None and self.round < self.settled.rounds - 1:
            return self.store.own(piece, self.problem.source.spatial_shape)
        restored = piece.restored
        assert restored is not None, "a method yields an estimate"
        return restored

    def restore(self, number: int) -> NDArray[np.float32]:
        """Return one block's :meth:`outcome`."""
        with devices.thread_count(self.problem.options.threads):
            piece = self.begin(number)
            for _ in piece.steps():
                pass
            piece.run.close()
            return np.ascontiguousarray(self.outcome(piece))


def _packed(value: Any) -> Any:
    """Turn a parameter into what JSON knows, so that :func:`_unpacked` finds it again."""
    if isinstance(value, Chosen):
        return {"chosen": float(value), **{n: getattr(value, n) for n in _TRIED}}
    if isinstance(value, Mapping):
        return {"items": [[_packed(k), _packed(v)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_packed(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value


_TRIED = ("values", "scores", "score")


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        if "chosen" in value:
            tried = [_unpacked(value[name]) for name in _TRIED]
            return Chosen.among(value["chosen"], *tried)
        if "items" in value:
            return {_unpacked(k): _unpacked(v) for k, v in value["items"]}
        return {name: _unpacked(each) for name, each in value.items()}
    return tuple(_unpacked(each) for each in value) if isinstance(value, list) else value
