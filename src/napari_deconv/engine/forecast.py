"""Before a job: how much memory and time it will take."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.engine import devices
from napari_deconv.engine.blind import PIXELS
from napari_deconv.engine.options import stopping_rule
from napari_deconv.engine.plan import Forecast, cores, pace, work
from napari_deconv.engine.problem import REPRESENTATIVE, Problem
from napari_deconv.engine.strength import region_size
from napari_deconv.registry import methods

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import device

    from napari_deconv.registry import Method

# What is counted on where the number of steps is automatic, by held-out photons and, at most, until
# hardly anything changes; and of tries where a strength is.
_TYPICAL_ITERATIONS, _TYPICAL_UNTIL_CLOSE = 50, 80
_TYPICAL_TRIES = 8


def forecast(problem: Problem, device: device, budget: float, *, to_file: bool = False) -> Forecast:
    """Return what a job will take; the machine's speed is measured at first.

    Parameters
    ----------
    problem
        What is to be restored.
    device
        Where.
    budget
        Bytes that a block may take.
    to_file
        Whether blocks are written as they are made.
    """
    options, method = problem.options, problem.method
    shape, tile = problem.source.spatial_shape, problem.tile(device, budget, to_file=to_file)
    demand = problem.demand(device)
    outer = demand.outer(tile, shape)
    frames = len(list(problem.source.frames))
    blocks = frames * len(list(cores(shape, tile)))
    automatic = method.iterative and options.iterations == "auto"
    rule = stopping_rule(method, options)
    steps = int(options.iterations) if method.iterative and not automatic else 1
    if automatic:
        steps = _TYPICAL_ITERATIONS if rule == "held-out" else _until_close(method)
    if automatic and method.schedule is not None:
        steps = method.schedule(problem.parameters)
    with devices.thread_count(options.threads):
        started = time.perf_counter()
        problem.noise(device)
        seconds = time.perf_counter() - started
        one = pace(demand, outer)
    every = one.times(frames * work(demand, shape, tile))
    # Blocks that are alike share one forward model.
    seconds += every.rest + every.step * steps + (one if tile == shape else every).build

    if problem.is_blind and method.finding is not None:
        seconds += method.finding(problem.parameters, min(PIXELS, math.prod(shape[-2:])))

    def on_region(voxels: int, steps: float) -> float:
        part = one.times(min(1.0, voxels / float(np.prod(outer))))
        return part.build + part.choose + part.rest + part.step * steps

    wanted = [method.parameters[name] for name, v in problem.parameters.items() if v == "auto"]
    if any(each.auto is not None and each.auto.needs_data for each in wanted):
        seconds += on_region(REPRESENTATIVE, 0)
    # A rule that watches held-out photons projects once more a step, and deblurs them.
    planned = method.schedule is not None
    watched = automatic and not planned and rule == "held-out"
    dearer = 1.8 if watched else 1.0
    for each in wanted:
        if each.search is None:
            continue
        own, tried = steps * dearer, one
        if each.search.method:
            other = problem.with_method(methods()[each.search.method], {})
            own, tried = _until_close(other.method), pace(other.demand(device), outer)
        # Each is run once more with noise that is added, but where photons are set aside.
        times = _TYPICAL_TRIES * (1 if watched else 2)
        region = problem.sample_size(region_size(options))
        part = tried.times(_share(problem, region, outer))
        seconds += part.build + times * part.step * own
    if watched or (automatic and not planned and blocks > 1):
        # The trial takes half as many steps again to be sure.
        seconds += on_region(REPRESENTATIVE, 1.5 * steps * dearer)
    # What is subtracted beforehand makes a copy, too.
    modelled = "background" in method.parameters and options.background != "auto"
    subtracts = options.offset != 0 or (options.background != 0 and not modelled)
    copies = problem.source.copies or outer != problem.source.shape or subtracts
    memory = demand.bytes(outer, copies=copies) + problem.beside(device, to_file=to_file)
    return Forecast(memory, every.step, steps, seconds, tile, blocks)


def _share(problem: Problem, part: Sequence[int], whole: Sequence[int]) -> float:
    """Return how much smaller a part is than a whole, with what the PSF adds to both."""
    margin = problem.kernels[0].array.shape
    sizes = ([n + m for n, m in zip(of, margin, strict=True)] for of in (part, whole))
    small, large = map(math.prod, sizes)
    return min(1.0, float(small / large))


def _until_close(method: Method) -> int:
    """Return how many steps a method takes until hardly anything changes."""
    return min(_TYPICAL_UNTIL_CLOSE, int(method.parameters["iterations"].default))
