"""CiDeR's fast preset: classic images, a trained start, photons that judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.methods import _zero_shot as zero_shot
from napari_deconv.methods._cider_features import inputs_of
from napari_deconv.methods._cider_fit import Part, fit
from napari_deconv.methods._cider_judge import Judge
from napari_deconv.methods._cider_network import mean_image, new_network

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from torch import Tensor

    from napari_deconv.methods._cider_task import Task

# Parts of the photons that the network sees while the others judge it, and how many such splits.
_SHARE, SPLITS = 0.8, {2: 4, 3: 2}
# Share that is set aside for the guard.
_GUARDED = 0.1
# Voxels of an object that is worked on in one piece: 2D, 3D. A trained network knows planes, and
# learns as well from smaller pieces of a stack.
LARGEST = {2: 330 * 330, 3: 48 * 112 * 112}
LARGEST_TRAINED = {2: 330 * 330, 3: 200_000}
# Voxels of an object that a trained network is fitted to and judged by: of a larger image, a part.
STUDIED = {2: 600 * 600, 3: 500_000}


def fast(
    task: Task, features: str, weights: str, seeds: int, guard: bool, seed: int
) -> Iterator[Any]:
    """Yield the classic image, then what the guard lets through of the networks fitted to it."""
    import torch

    generator = np.random.default_rng([seed, 7])
    ndim = task.data.ndim
    stack = yield from task.classics(task.data)
    classic = stack[task.classic] * task.level
    yield classic, None, _terms(task, classic)
    trained = features == "estimates" and weights != "none"
    make = inputs_of(features, weights)
    study = task.part(STUDIED[ndim]) if trained else task
    held = seen = None
    if guard:
        # The guard's photons are never shown to a network that it judges.
        kept, held = zero_shot.thinned(study.data, 1 - _GUARDED, task.gain, 0.0, generator)
        seen = yield from _part(study, make, kept, held)
    source = study.data if held is None else kept
    parts: list[list[Part]] = []
    if trained or not task.clean:
        for _ in range(seeds):
            own = []
            for _ in range(SPLITS[ndim]):
                one, other = zero_shot.thinned(source, _SHARE, task.gain, 0.0, generator)
                own.append((yield from _part(study, make, one, other)))
            parts.append(own)
    else:
        parts = [[(yield from _part(study, make, source, source))]] * seeds
    inputs = yield from make(task, task.data, stack)
    networks = []
    for number in range(seeds):
        torch.manual_seed(seed + number)
        networks.append(new_network(len(inputs), weights if trained else "none", task))
    del stack
    judge = Judge(study, seen, classic)
    if trained:
        judge.remember(networks, mean_image(networks, inputs, task))
    largest = (LARGEST_TRAINED if trained else LARGEST)[ndim]
    pieces = zero_shot.Pieces(study.blur, largest)
    steps = fit(study, networks, parts, pieces, generator, trained)
    best = classic
    for number, terms in enumerate(steps, 2):
        if worth_a_look(number, task.steps, part=study is not task):
            best = judge(networks, mean_image(networks, inputs, task))
            terms = {**terms, "share of the network": judge.share}
            task.blur(best, borrow=True)
        yield best, None, terms


def worth_a_look(number: int, steps: int, *, part: bool) -> bool:
    """Whether the whole image is made at a step: seldom where only a part is studied."""
    if part:
        return number >= steps or number == 2
    return number >= steps or number & (number - 1) == 0 or number % 25 == 0


def _terms(task: Task, image: Tensor) -> dict[str, float]:
    model = task.blur(image) + task.floor
    misfit = zero_shot.photon_misfit(model, task.data, task.darkest) / task.level
    return {"misfit": float(misfit)}


def _part(
    task: Task,
    make: Callable[..., Generator[None, None, Tensor]],
    shown: Tensor,
    judged: Tensor,
) -> Generator[None, None, Part]:
    stack = yield from task.classics(shown)
    inputs = yield from make(task, shown, stack)
    return Part(inputs, stack[task.classic].clone(), judged)
