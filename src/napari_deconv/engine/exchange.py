"""Blocks that go on from what all of them found: as exact as one piece, at the price of reading.

A block with a halo sees all that its core's next step depends on: one PSF's reach to predict the
image, another to bring the ratio back. If every block takes that step, and only then the next, with
its neighbours' newest estimates around it, the result is the whole image's but for rounding. With
a halo of k such reaches k steps can be taken before estimates are exchanged.

This holds for a method whose next estimate depends on the last one alone, and on no figure of the
whole image: :data:`METHODS`. The estimate lives on the image and beyond its borders, as far as the
PSF reaches; two stores of that size hold what all blocks had before a round, and what they found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.engine.plan import cores
from napari_deconv.errors import ParameterError
from napari_deconv.io.blockwise import TiffTarget
from napari_deconv.io.lazy import MappedArray
from napari_deconv.operators.convolution import LEAST_SENSITIVITY, grid_shape
from napari_deconv.operators.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, device

    from napari_deconv.engine.blocks import Piece, Place, Settled
    from napari_deconv.engine.problem import Problem
    from napari_deconv.operators.convolution import Convolution
    from napari_deconv.registry import Method

# Methods that can go on from an estimate (they ask the forward model for it), with the parameters
# that make their next one depend on nothing else.
METHODS: dict[str, dict[str, Any]] = {
    "richardson-lucy": {"acceleration": "none", "start": "flat", "projector": "matched"},
    "landweber": {},
}
# Methods whose first estimate is flat, by the image's mean, and can be given.
_FLAT = ("richardson-lucy", "richardson-lucy-tv")


def plain_parameters(method: Method, parameters: Mapping[str, Any], borders: str) -> dict[str, Any]:
    """Return a method's parameters, without what an exchange of estimates does not allow.

    Raises
    ------
    ParameterError
        When the method, one of its parameters, or the borders do not go together with it.
    """
    if method.id not in METHODS:
        raise ParameterError(
            f"{method.title} cannot exchange halos: that is for {' and '.join(METHODS)}. Leave "
            "halo_exchange out; blocks then overlap by a halo, which leaves no visible seam."
        )
    if borders != "extended":
        raise ParameterError("Halos are exchanged with borders='extended' only.")
    needed = METHODS[method.id]
    for name, value in needed.items():
        if parameters[name] not in (value, "auto"):
            raise ParameterError(f"Halos are exchanged with {name}={value!r} only.")
    return {**parameters, **needed}


@dataclass(frozen=True)
class Store:
    """Estimates of the whole image and of what lies beyond its borders, old and new.

    Attributes
    ----------
    halves
        Where rounds of even and of odd number leave what they find: frames, then the image's axes
        with ``before`` and ``after`` voxels around.
    before, after
        Voxels beyond the image's borders from which light comes.
    """

    halves: tuple[Any, Any]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @classmethod
    def within(cls, problem: Problem, folder: Path | None) -> Store:
        """Make the store in a folder, or in memory."""
        reaches = [_reach(k) for k in problem.kernels]
        before, after = (
            tuple(max(own) for own in zip(*(r[side] for r in reaches), strict=True))
            for side in (0, 1)
        )
        frames = problem.source.shape[: -len(before)]
        shape = (
            *frames,
            *(
                n + b + a
                for n, b, a in zip(problem.source.spatial_shape, before, after, strict=True)
            ),
        )
        if folder is None:
            return cls((np.zeros(shape, np.float32), np.zeros(shape, np.float32)), before, after)
        halves = []
        for name in ("even", "odd"):
            path = folder / f"{name}.raw"
            with path.open("ab") as file:
                file.truncate(4 * math.prod(shape))
            halves.append(MappedArray(path, shape, np.dtype(np.float32)))
        return cls((halves[0], halves[1]), before, after)

    def read(self, number: int, place: Place, start: Sequence[int], blur: Convolution) -> Tensor:
        """Return the estimate that the round before left, as a block's forward model has it.

        Parameters
        ----------
        number
            The round that is going to begin.
        place
            The block.
        start
            Where in the image its data begin.
        blur
            Its forward model.
        """
        import torch

        before, after = _reach(blur)
        window = tuple(
            slice(first + most - b, first + most + n + a)
            for first, most, b, n, a in zip(
                start, self.before, before, blur.data_shape, after, strict=True
            )
        )
        found = self.halves[(number - 1) % 2][(*place.frame, *window)]
        estimate = np.zeros(blur.object_shape, np.float32)
        ranges = [range(-b, n + a) for b, n, a in zip(before, blur.data_shape, after, strict=True)]
        estimate[_wrapped(ranges, blur.object_shape)] = found
        return torch.from_numpy(estimate).to(blur.device)

    def own(self, piece: Piece, whole: Sequence[int]) -> NDArray[np.float32]:
        """Return what a block found: its core, and what lies beyond the image's borders."""
        assert piece.run.estimate is not None
        ranges, padding = [], []
        each = zip(piece.place.core, piece.inner, whole, *_reach(piece.run.blur), strict=True)
        for axis, (core, inner, length, before, after) in enumerate(each):
            first, last = not core.start, core.stop == length
            ranges.append(range(inner.start - before * first, inner.stop + after * last))
            # Beyond a PSF's own reach there is nothing.
            padding.append(
                ((self.before[axis] - before) * first, (self.after[axis] - after) * last)
            )
        estimate = piece.run.estimate.cpu().numpy()
        return np.pad(estimate[_wrapped(ranges, estimate.shape)], padding)

    def write(
        self, number: int, place: Place, whole: Sequence[int], found: NDArray[np.float32]
    ) -> None:
        """Keep what a block found in a round."""
        window = tuple(
            slice(core.start + b if core.start else 0, core.stop + b + (a if core.stop == n else 0))
            for core, n, b, a in zip(place.core, whole, self.before, self.after, strict=True)
        )
        half = self.halves[number % 2]
        if isinstance(half, MappedArray):
            TiffTarget(half).write((*place.frame, *window), found)
        else:
            half[(*place.frame, *window)] = found


@dataclass(frozen=True)
class StoreWriter:
    """Keeps what blocks find in a round; it can be pickled where the store is a file."""

    store: Store
    number: int
    whole: tuple[int, ...]

    @property
    def target(self) -> TiffTarget:
        """The file."""
        return TiffTarget(self.store.halves[self.number % 2])

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.target.pixels.path

    def __call__(self, place: Place, block: NDArray[np.float32]) -> None:
        """Keep a block."""
        self.store.write(self.number, place, self.whole, block)


def begins_flat(method: Method, parameters: Mapping[str, Any]) -> bool:
    """Whether a method's first estimate has one intensity everywhere, which it can be given."""
    return method.id in _FLAT and parameters.get("start", "flat") == "flat"


def flat_levels(problem: Problem, settled: Settled, device: device) -> tuple[float, ...]:
    """Return the intensity that each frame's flat first estimate has.

    It is that of Richardson-Lucy on the whole frame: as much light as the image has, spread over
    all that sends light into it. A dark block that began with its own would lag behind the others.
    """
    shape = problem.source.spatial_shape
    voxels = math.prod(shape)
    variance = settled.read_noise**2 / settled.gain if problem.options.read_noise else 0.0
    levels = []
    for frame in problem.source.frames:
        light = dark = 0.0
        for core in cores(shape, settled.tile):
            block = problem.block(frame, core, halo=(0,) * len(shape))
            data, floor, _ = problem.as_wanted(block, settled.noise)
            inside = data[block.inner]
            light += float((inside + np.float32(variance)).clip(min=0).sum(dtype=np.float64))
            own = floor[block.inner] if isinstance(floor, np.ndarray) else np.float32(floor)
            dark += float(own.mean(dtype=np.float64) + variance) * inside.size
        seen = _seen(problem, frame, settled, device) if settled.exchange else voxels
        levels.append(max(light - dark, 1e-3 * light, 1e-30 * voxels) / seen)
    return tuple(levels)


def _seen(problem: Problem, frame: Sequence[int], settled: Settled, device: device) -> float:
    """Return how much of the light of a frame's whole estimate arrives in the image, in voxels."""
    shape, seen = problem.source.spatial_shape, 0.0
    kinds: dict[Any, float] = {}
    for core in cores(shape, settled.tile):
        edges = tuple((p.start == 0, p.stop == n) for p, n in zip(core, shape, strict=True))
        kind = (edges, tuple(p.stop - p.start for p in core))
        if kind not in kinds:
            block = problem.block(frame, core)
            blur = problem.blur(block, block.data.shape, device)
            ranges = [
                range(i.start - b * first, i.stop + a * last)
                for i, (first, last), b, a in zip(block.inner, edges, *_reach(blur), strict=True)
            ]
            own = blur.sensitivity.expand(blur.object_shape).cpu().numpy()
            kinds[kind] = float(own[_wrapped(ranges, own.shape)].sum(dtype=np.float64))
        seen += kinds[kind]
    kernel = block.kernel
    grid = grid_shape(shape, kernel.array.shape, kernel.origin, "extended")
    reached = math.prod(n + k - 1 for n, k in zip(shape, kernel.array.shape, strict=True))
    return float(seen + LEAST_SENSITIVITY * (math.prod(grid) - reached))


def _reach(of: Convolution | Kernel) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return from how far before and behind an image light comes."""
    shape, origin = (
        (of.array.shape, of.origin) if isinstance(of, Kernel) else (of.psf_shape, of.psf_origin)
    )
    return tuple(n - 1 - o for n, o in zip(shape, origin, strict=True)), tuple(origin)


def _wrapped(ranges: Sequence[range], grid: Sequence[int]) -> Any:
    """Return the index of positions in an estimate, whose end stands for what lies before it."""
    return np.ix_(*(np.arange(r.start, r.stop) % n for r, n in zip(ranges, grid, strict=True)))
