"""Before a job: how much memory and time it takes, and in how many blocks it fits."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

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
        For the whole job.
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
    """What decides the memory of one block."""

    method: Method
    parameters: Mapping[str, Any]
    kernel_shape: tuple[int, ...]
    origin: tuple[int, ...]
    borders: Borders
    device: device
    halo: tuple[int, ...]

    def outer(self, core: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape that is read for a core of an image of this shape."""
        beyond = reads_beyond(self.method, self.borders)
        return tuple(
            c + 2 * h if beyond else (n if c >= n else min(n, c + 2 * h))
            for c, n, h in zip(core, shape, self.halo, strict=True)
        )

    def bytes(self, shape: Sequence[int], *, copies: bool = True) -> int:
        """Return the peak memory of a block of this shape, in bytes."""
        borders: Borders = self.borders
        grid = grid_shape(shape, self.kernel_shape, self.origin, borders)
        voxels = math.prod(shape)
        whole = math.prod(grid[:-1]) * (grid[-1] + 2)
        estimate = whole if borders == "extended" else voxels
        on_estimate, on_data = self.method.arrays(self.parameters)
        if borders != "circular":
            on_estimate += 1  # the sensitivity
        mkl = self.device.type == "cpu" and fft.backend().name != "torch.fft"
        # The OTF and the work buffer; torch adds the spectrum and a copy while it goes back.
        transforms = 2 if mkl else 4
        floats = transforms * whole + on_estimate * estimate + (on_data + copies) * voxels
        return int(_FLOAT * floats)


def reads_beyond(method: Method, borders: str) -> bool:
    """Whether the image is to be continued by its mirror image before the method sees it.

    A direct filter sees farther than the PSF reaches, and has no other way to a true border.
    """
    return borders in ("extended", "reflect") and not method.iterative


def choose_tiles(shape: Sequence[int], demand: Demand, budget: float) -> tuple[int, ...]:
    """Return the largest core of a block that fits the budget, stacks unsplit along z if possible.

    The image is cut along Y and X into as few equal parts as will do, and along Z only where even
    a column of 32 x 32 does not fit.
    """
    if demand.bytes(demand.outer(shape, shape)) <= budget:
        return tuple(shape)
    tile = tuple(shape)
    for depth in _depths(shape[:-2]):
        for part_y, part_x in _splits(shape[-2:]):
            tile = (*depth, math.ceil(shape[-2] / part_y), math.ceil(shape[-1] / part_x))
            if demand.bytes(demand.outer(tile, shape)) <= budget:
                return tile
    return tile


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


def seconds_per_iteration(demand: Demand, shape: Sequence[int]) -> float:
    """Measure how long one step takes on a block of this shape, or on a smaller one."""
    grid = grid_shape(shape, demand.kernel_shape, demand.origin, demand.borders)
    trial = list(grid)
    while math.prod(trial) > _LARGEST_TRIAL:
        longest = int(np.argmax(trial))
        trial[longest] = fft.fast_length(trial[longest] // 2)
    frozen = tuple(sorted((k, v) for k, v in demand.parameters.items() if isinstance(v, str)))
    import torch

    seconds = _measured(
        demand.method, frozen, tuple(trial), str(demand.device), torch.get_num_threads()
    )
    full, part = math.prod(grid), math.prod(trial)
    return seconds * (full * math.log(full)) / (part * math.log(part))


@cache
def _measured(
    method: Method,
    choices: tuple[tuple[str, str], ...],
    grid: tuple[int, ...],
    device: str,
    threads: int,
) -> float:
    """Time a few steps on a circular grid of noise."""
    import torch

    del threads  # part of the key: torch has been set to it
    generator = torch.Generator().manual_seed(0)
    data = torch.rand(grid, generator=generator).add_(1).to(device)
    blur = Convolution(
        np.full((3,) * len(grid), 1 / 3 ** len(grid)), grid, "circular", device=device
    )
    parameters = {name: p.default for name, p in method.parameters.items()} | dict(choices)
    for name, parameter in method.parameters.items():
        if parameters[name] == "auto" and parameter.auto is not None:
            parameters[name] = parameter.auto.resolve(data, blur, parameters)
        elif parameters[name] == "auto" and parameter.search is not None:
            parameters[name] = parameter.search.middle
    if method.iterative:
        parameters["iterations"] = _STEPS

    def synchronise() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    times = []
    if not method.iterative:
        for _ in range(2):
            started = time.perf_counter()
            method.function(data, blur, **parameters)
            synchronise()
            times.append(time.perf_counter() - started)
        return min(times)
    steps = method.function(data, blur, **parameters)
    for _ in range(_STEPS):
        started = time.perf_counter()
        if next(steps, None) is None:
            break
        synchronise()
        times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2]
