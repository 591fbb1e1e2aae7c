"""Before a job: how much memory and time it takes, and in how many blocks it fits."""

from __future__ import annotations

import math
import time
from dataclasses import astuple, dataclass, replace
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.assessment.noise import Noise
from napari_deconv.engine.options import Options
from napari_deconv.engine.provenance import digest
from napari_deconv.operators import fft
from napari_deconv.operators.convolution import Convolution, grid_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import device

    from napari_deconv.operators.convolution import Borders
    from napari_deconv.registry import Method

_FLOAT = 4
# Voxels up to which speed is measured on a grid of the job's own size.
_LARGEST_TRIAL = 9_000_000
# Steps that are timed; their median counts.
_STEPS = 5


@dataclass(frozen=True)
class Forecast:
    """What a job will take.

    Attributes
    ----------
    memory_bytes
        Peak memory beyond the image itself.
    seconds_per_iteration
        For all blocks together.
    iterations
        The number counted on; a guess where it is automatic.
    seconds
        For the whole job: all iterations, what is found before them, reading and setting up.
    tiles
        Size of a block's core on the spatial axes; the image's own size when it is not split.
    blocks
        Number of blocks, frames included.
    """

    memory_bytes: int
    seconds_per_iteration: float
    iterations: int
    seconds: float
    tiles: tuple[int, ...]
    blocks: int


@dataclass(frozen=True)
class Demand:
    """What decides the memory of one block.

    The last two are of a PSF that changes: how many eigen-PSFs, and how many full maps of them.
    """

    method: Method
    parameters: Mapping[str, Any]
    kernel_shape: tuple[int, ...]
    origin: tuple[int, ...]
    borders: Borders
    device: device
    halo: tuple[int, ...]
    components: int = 1
    maps: int = 0

    def outer(self, core: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape that is read for a core of an image of this shape."""
        beyond = reads_beyond(self.method, self.borders)
        rim = rim_of(self.method, self.borders)
        if rim is not None:
            return tuple(
                min(c + 2 * h, n + 2 * rim) for c, n, h in zip(core, shape, self.halo, strict=True)
            )
        return tuple(
            n if c >= n else (c + 2 * h if beyond else min(n, c + 2 * h))
            for c, n, h in zip(core, shape, self.halo, strict=True)
        )

    def grid(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the Fourier transforms on a block of this shape."""
        return grid_shape(shape, self.kernel_shape, self.origin, self.borders, self.method.grid)

    def bytes(self, shape: Sequence[int], *, copies: bool = True) -> int:
        """Return the peak memory of a block of this shape, in bytes."""
        borders: Borders = self.borders
        grid = self.grid(shape)
        voxels = math.prod(shape)
        whole = math.prod(grid[:-1]) * (grid[-1] + 2)
        extended = borders == "extended"
        estimate = whole if extended else voxels
        on_estimate, on_data = self.method.arrays(self.parameters)
        if borders != "circular":
            on_estimate += 1  # the sensitivity
        mkl = self.device.type == "cpu" and fft.backend().name != "torch.fft"
        # The OTF and the work buffer; torch adds the spectrum and a copy while it goes back.
        transforms = 2 if mkl else 4
        if self.components > 1:
            # Every eigen-PSF's OTF, a spectrum and an object to add up in, and one times its map.
            transforms += self.components + 1
            on_estimate += 2 + self.maps
        floats = transforms * whole + on_estimate * estimate + (on_data + copies) * voxels
        if self.method.floats is not None:
            floats += self.method.floats(
                self.parameters, grid if extended else shape, self.device.type
            )
        return int(_FLOAT * floats)


def reads_beyond(method: Method, borders: str) -> bool:
    """Whether pieces of an image are continued beyond its borders, along the axes that are cut.

    A direct filter sees farther than the PSF reaches, into the margin that makes its data
    periodic: where margins differ, the pieces would show a seam. An image that is not cut meets
    nothing, and is restored no better with it.
    """
    return borders in ("extended", "reflect") and not method.iterative


def rim_of(method: Method, borders: str) -> int | None:
    """Return by how many voxels an image is continued on all sides, cut there or not, if it is."""
    return method.rim if method.margin > 0 and reads_beyond(method, borders) else None


def choose_tiles(
    shape: Sequence[int], demand: Demand, budget: float, grids: Sequence[int]
) -> tuple[int, ...]:
    """Return the largest core of a block that fits the budget, stacks unsplit along z if possible.

    The image is cut along Y and X into as few equal parts as will do, multiples of the grids, and
    along Z only where even a column of 32 x 32 does not fit.
    """
    if demand.bytes(demand.outer(shape, shape)) <= budget:
        return tuple(shape)
    tile = tuple(shape)
    for depth in _depths(shape[:-2]):
        for part_y, part_x in _splits(shape[-2:]):
            parts = (*depth, math.ceil(shape[-2] / part_y), math.ceil(shape[-1] / part_x))
            tile = on_grid(parts, shape, grids)
            if demand.bytes(demand.outer(tile, shape)) <= budget:
                return tile
    return tile


def on_grid(tile: Sequence[int], shape: Sequence[int], grids: Sequence[int]) -> tuple[int, ...]:
    """Return the next larger tile of whole multiples of the grids, within the image."""
    return tuple(min(-(-t // g) * g, n) for t, g, n in zip(tile, grids, shape, strict=True))


def _depths(stack: Sequence[int]) -> list[tuple[int, ...]]:
    """Return depths of a block: the whole stack, then its halves; nothing for a plane."""
    if not stack:
        return [()]
    depths: list[tuple[int, ...]] = [(stack[0],)]
    while depths[-1][0] > 16:
        depths.append((math.ceil(depths[-1][0] / 2),))
    return depths


def _splits(plane: Sequence[int]) -> list[tuple[int, int]]:
    """Return numbers of parts along Y and X, from few to many, the parts as square as may be."""
    splits: list[tuple[int, int]] = []
    parts = [1, 1]
    while True:
        sizes = [n / p for n, p in zip(plane, parts, strict=True)]
        longer = 0 if sizes[0] >= sizes[1] else 1
        if sizes[longer] <= 32:
            return splits
        parts[longer] += 1
        splits.append((parts[0], parts[1]))


def cores(shape: Sequence[int], tile: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Cut a shape into blocks of at most ``tile``."""
    pieces = [
        [slice(a, min(a + t, n)) for a in range(0, n, t)] for n, t in zip(shape, tile, strict=True)
    ]
    return product(*pieces)


@dataclass(frozen=True)
class Pace:
    """Seconds that each part of the work on one block takes.

    Attributes
    ----------
    build
        Setting up the forward model.
    choose
        Finding the parameters that follow from data in closed form.
    step
        One step of the method; all of it where it takes none.
    rest
        Reading the block, the method's own set-up, the last figures, keeping the result.
    """

    build: float
    choose: float
    step: float
    rest: float

    def times(self, factor: float) -> Pace:
        """Return the same for so many times the work."""
        return Pace(*(factor * each for each in astuple(self)))


def pace(demand: Demand, shape: Sequence[int]) -> Pace:
    """Measure how long the work on a block of this shape takes, on a smaller one if need be."""
    import torch

    grid = demand.grid(shape)
    if demand.method.seconds is not None:
        parameters = {name: p.default for name, p in demand.method.parameters.items()}
        parameters |= demand.parameters
        if parameters["iterations"] == "auto" and demand.method.schedule is not None:
            parameters["iterations"] = demand.method.schedule(parameters)
        step, before = demand.method.seconds(parameters, grid, str(demand.device))
        return Pace(0.0, 0.0, step, before)
    trial = list(grid)
    while math.prod(trial) > _LARGEST_TRIAL:
        longest = int(np.argmax(trial))
        trial[longest] = fft.fast_length(trial[longest] // 2)
    frozen = tuple(sorted((k, v) for k, v in demand.parameters.items() if isinstance(v, str)))
    measured = _measured(
        demand.method,
        frozen,
        tuple(trial),
        demand.borders,
        str(demand.device),
        torch.get_num_threads(),
    )
    one = measured.times(_work(grid) / _work(trial))
    if demand.components == 1:
        return one
    # A projection takes a transform for each eigen-PSF and one back, in place of two; and to set
    # up, the power method takes two dozen projections.
    dearer = (demand.components + 1) / 2
    return replace(one, step=one.step * dearer, build=one.build + 12 * one.step * dearer)


def work(demand: Demand, shape: Sequence[int], tile: Sequence[int]) -> float:
    """Return the work on all blocks of a frame, in units of that on the largest one."""
    beyond = reads_beyond(demand.method, demand.borders)
    rim = rim_of(demand.method, demand.borders)

    def read(piece: slice, halo: int, length: int) -> int:
        first, last = piece.start - halo, piece.stop + halo
        if rim is not None:
            return int(min(last, length + rim) - max(first, -rim))
        if piece == slice(0, length):
            return length
        return int(last - first if beyond else min(last, length) - max(first, 0))

    def weight(outer: Sequence[int]) -> float:
        return _work(demand.grid(outer))

    blocks = sum(
        weight([read(*each) for each in zip(core, demand.halo, shape, strict=True)])
        for core in cores(shape, tile)
    )
    return blocks / weight(demand.outer(tile, shape))


def _work(grid: Sequence[int]) -> float:
    return math.prod(grid) * math.log(math.prod(grid))


@cache
def _measured(
    method: Method,
    choices: tuple[tuple[str, str], ...],
    grid: tuple[int, ...],
    borders: Borders,
    device: str,
    threads: int,
) -> Pace:
    """Time all parts of a job of few steps on a block of noise."""
    import torch

    from napari_deconv.engine.run import Run

    del threads  # part of the key: torch has been set to it
    # A PSF of three voxels: the block nearly fills the grid.
    shape = tuple(n if borders == "circular" else n - 2 for n in grid)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(shape, generator=generator).add_(1).numpy()
    lap = _Stopwatch(device)
    data = torch.from_numpy(image.copy()).to(device)
    read = lap()
    blur = Convolution(np.full((3,) * len(grid), 3.0 ** -len(grid)), shape, borders, device=device)
    build = lap()
    parameters = {name: p.default for name, p in method.parameters.items()} | dict(choices)
    for name, parameter in method.parameters.items():
        if parameters[name] == "auto" and parameter.auto is not None:
            known = {"psf_error": Options().psf_error} | parameters
            parameters[name] = parameter.auto.resolve(data, blur, known)
        if parameters[name] == "auto" and parameter.search is not None:
            parameters[name] = math.sqrt(parameter.search.lower * parameter.search.upper)
    choose = lap()
    if method.iterative:
        plan = method.schedule
        parameters["iterations"] = min(10 * _STEPS, plan(parameters) if plan else 10 * _STEPS)
    floor = torch.zeros((), device=device)
    run = Run(method, parameters, data, blur, floor=floor, noise=Noise(1.0, 0.0, 0.0))
    begun = lap()
    times: list[float] = []
    while len(times) < (_STEPS if method.iterative else 1) and run.advance():
        if run.iteration > len(times):
            times.append(lap())
    run.finish()
    assert run.estimate is not None
    np.zeros(shape, np.float32)[...] = blur.crop(run.estimate).cpu().numpy()
    digest(image)
    if not method.iterative:
        return Pace(build, choose, begun, read + sum(times) + lap())
    step = sorted(times)[len(times) // 2]
    return Pace(build, choose, step, max(read + begun + sum(times) - len(times) * step, 0) + lap())


class _Stopwatch:
    """Tells the seconds since it was made or last asked."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._started = time.perf_counter()

    def __call__(self) -> float:
        import torch

        if self._device.startswith("cuda"):
            torch.cuda.synchronize(self._device)
        before, self._started = self._started, time.perf_counter()
        return self._started - before
