"""Choose a method's strength: the one whose result has the least expected error."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.engine.options import most_iterations, stopping_rule
from napari_deconv.engine.statistics import LEAST_MISFIT, uncertain_misfit
from napari_deconv.engine.stein import SMALL, expected_error, more_noise
from napari_deconv.engine.stopping import HeldOut, RelativeChange, split_photons
from napari_deconv.engine.trial import resolve_parameters
from napari_deconv.registry import Chosen, methods

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    import torch
    from torch import Tensor

    from napari_deconv.assessment.noise import Noise
    from napari_deconv.engine.options import Options
    from napari_deconv.engine.problem import Block, Problem
    from napari_deconv.engine.run import Run
    from napari_deconv.engine.stopping import Rule

# Voxels of the region on which strengths are tried; what lies around it is left out. With that,
# tries took two to four times as long, and chose no better. Where the PSF is exact and there may be
# no noise, what a region cuts off is the largest error, and small images are better left whole.
_REGION, _EXACT_REGION = 150_000, 300_000
# Decades between the values that are tried.
_STRIDE = 0.5


def region_size(options: Options) -> int:
    """Return the most voxels of the region on which strengths are tried."""
    return _REGION if options.psf_error else _EXACT_REGION


class StrengthSearch:
    """Tries strengths on a lively region.

    It climbs from the middle of the bounds, half a decade at a time, until the error that Stein's
    estimate expects rises on both sides, looks half and a quarter as far away on both sides of the
    best, and takes the top of the parabola through the best three. A job that stops by photons set
    aside is judged by how much of them it explains. Where the PSF is not quite the image's own, an
    estimate that explains the PSF's errors as well looks best; so the strength is raised until the
    residual is no smaller than noise and the PSF's error together (Morozov's discrepancy
    principle).

    Parameters
    ----------
    problem, noise, device
        What is to be restored, its camera, and where.
    parameters
        The method's parameters, of which ``name`` is searched; others that are still "auto" are
        taken at the middle of their bounds.
    name
        The strength that is to be found.

    Attributes
    ----------
    chosen
        The value found with all that were tried, once :meth:`steps` has come to its end.
    """

    def __init__(
        self,
        problem: Problem,
        parameters: Mapping[str, Any],
        name: str,
        noise: Noise,
        device: torch.device,
    ) -> None:
        stands_in = problem.method.parameters[name].search
        if stands_in is not None and stands_in.method:
            problem = problem.with_method(methods()[stands_in.method], parameters)
            # Steps of another method are not those that were asked for.
            problem.options = replace(problem.options, iterations="auto")
            parameters = resolve_parameters(problem, problem.parameters, noise, device)
        entries = problem.method.parameters
        self._problem, self._name, self._noise, self._device = problem, name, noise, device
        self._parameters = dict(parameters)
        for key, value in parameters.items():
            search = entries[key].search
            if value == "auto" and search is not None:
                self._parameters[key] = search.middle
        self._search = stands_in
        options = problem.options
        self._watched = (
            options.iterations == "auto" and stopping_rule(problem.method, options) == "held-out"
        )
        frame, region = problem.lively_region(region_size(problem.options))
        block = problem.block(frame, region, halo=[0] * len(region))
        data = block.data.clip(min=0) if "background" in entries else block.data
        least = min(0.0, float(data.min()))
        if self._watched:
            data, self._held_out = split_photons(data, noise, options.seed)
        else:
            self._added = more_noise(data, noise, options.seed)
            noisier = (data + np.float32(SMALL) * self._added).clip(min=least)
            self._noisier = replace(block, data=noisier)
        self._block = replace(block, data=data.clip(min=least))
        self._scores: dict[float, float] = {}
        self._misfits: dict[float, float] = {}
        self.chosen = Chosen(0.0)

    def steps(self) -> Iterator[tuple[int, Run]]:
        """Yield the number of the try, and its run, after each of its steps."""
        assert self._search is not None
        low, high = math.log10(self._search.lower), math.log10(self._search.upper)
        place = (low + high) / 2
        # Where the PSF is exact, an image without noise may want next to none.
        weakest = self._problem.method.parameters[self._name].range.lower
        if self._problem.options.psf_error == 0 and weakest:
            low = math.log10(weakest)
        yield from self._try(place)
        while True:
            for side in (-_STRIDE, _STRIDE):
                beside = min(max(place + side, low), high)
                if beside not in self._scores:
                    yield from self._try(beside)
            best = max(self._scores, key=lambda key: self._scores[key])
            if best == place:
                break
            place = best
        # A narrow top may lie between, or the foot of a cliff, of which no parabola tells.
        for stride in (_STRIDE / 2, _STRIDE / 4):
            for side in (-stride, stride):
                if low < place + side < high:
                    yield from self._try(place + side)
            place = max(self._scores, key=lambda key: self._scores[key])
        while place < high and self._misfits.get(place, 1.0) < LEAST_MISFIT:
            place = min(place + _STRIDE, high)
            if place not in self._scores:
                yield from self._try(place)
        values = sorted(self._scores)
        scores = [self._scores[value] for value in values]
        best = _top(values, scores)
        if self._misfits:
            best = max(best, _crossing(values, [self._misfits[value] for value in values]))
        if not self._watched:
            # What is the same for all is no part of the error, and would hide the differences.
            scores = [score - max(scores) for score in scores]
        self.chosen = Chosen.among(
            10**best,
            [10**value for value in values],
            scores,
            "held-out photons explained, squared, per voxel"
            if self._watched
            else "expected squared error above the least, negative",
        )

    def _try(self, place: float) -> Iterator[tuple[int, Run]]:
        """Restore with one strength, and score it."""
        options = self._problem.options
        steps = most_iterations(self._problem.method, self._parameters, options)
        if self._watched:
            rule = HeldOut(self._block.data.size)
            run = yield from self._run(place, self._block, steps, rule)
            # Of the step that will be taken, whatever later ones explain.
            explained = [s.explained for s in run.statistics if s.explained is not None]
            self._scores[place] = explained[rule.best - 1]
            run.close()
            return
        asked, close = options.iterations, None
        if asked == "auto":
            close = RelativeChange(options.tolerance)
        else:
            steps = int(asked)
        run = yield from self._run(place, self._block, steps, close)
        prediction = _prediction(run)
        if options.psf_error and run.statistics[-1].chi_squared is not None:
            self._misfits[place], _ = uncertain_misfit(
                run.data, prediction - run.floor, run.floor, run.noise, options.psf_error
            )
        run.close()
        noisier = yield from self._run(place, self._noisier, run.iteration)
        response = (_prediction(noisier) - prediction) / SMALL
        noisier.close()
        added = run.on_device(self._added)
        error = expected_error(run.data, prediction, added, response, run.blur)
        self._scores[place] = -error

    def _run(
        self, place: float, block: Block, steps: int, rule: Rule | None = None
    ) -> Generator[tuple[int, Run], None, Run]:
        """Take so many steps, or fewer when the rule says so; return the run."""
        run = self._problem.start(
            block,
            self._parameters | {self._name: 10**place},
            self._noise,
            self._device,
            rule=rule,
            held_out=self._held_out if self._watched else None,
        )
        number = len(self._scores) + 1
        while run.enough is None and run.iteration < steps and run.advance():
            yield number, run
        run.finish()
        return run


def _prediction(run: Run) -> Tensor:
    """Return what a run's estimate says of the image."""
    assert run.estimate is not None
    return run.blur(run.estimate, borrow=True) + run.floor


def _crossing(places: list[float], misfits: list[float]) -> float:
    """Return where the misfit rises to that of noise; the first place if it is there already."""
    for i in range(len(places) - 1, -1, -1):
        if misfits[i] < LEAST_MISFIT:
            if i == len(places) - 1:
                return places[i]
            share = (LEAST_MISFIT - misfits[i]) / (misfits[i + 1] - misfits[i])
            return places[i] + share * (places[i + 1] - places[i])
    return places[0]


def _top(places: list[float], scores: list[float]) -> float:
    """Return the top of the parabola through the best place and its neighbours."""
    best = scores.index(max(scores))
    if not 0 < best < len(places) - 1:
        return places[best]
    (a, b, c), (x, y, z) = places[best - 1 : best + 2], scores[best - 1 : best + 2]
    left, right = (y - x) / (b - a), (z - y) / (c - b)
    bend = (left - right) / (c - a)
    return (a + b) / 2 + left / (2 * bend) if bend > 0 else b
