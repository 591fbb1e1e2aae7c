"""What CiDeR takes of time and memory: its steps are not alike, and it works on parts."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor, nn

# Float32 maps that a network holds while it learns, and while it is only looked at; measured.
_LEARNING = {"refiner": 400.0, "random": 520.0, "stack": 260.0, "paper": 780.0}
_LOOKING = {"refiner": 230.0, "random": 230.0, "stack": 130.0, "paper": 0.0}
# Of the lesser of the two, what cannot be used again for the other.
_APART = 0.3
# Maps of a part of the photons and of the image itself: estimates, target, mixtures.
_PART, _IMAGE = 9.0, 13.0
# Steps that a set of classic estimates takes, in units of one with the Hessian; measured.
_SET, _SET_TIMED = 250, 12
# Sides of what is timed.
_TRIAL = {2: (240, 240), 3: (24, 56, 56)}


@dataclass(frozen=True)
class _Plan:
    """Voxels of each stage's object, and how often it is gone through."""

    network: str
    ndim: int
    inputs: int
    networks: int
    image: int
    studied: int
    piece: int
    parts: int
    guarded: bool


def floats(parameters: Mapping[str, Any], shape: Sequence[int], device: str) -> float:
    """Return the float32 values that are held beside data and operator, for an object's shape."""
    from napari_deconv.networks.precision import knows_bfloat16

    plan = _plan(parameters, shape)
    size = 0.5 if knows_bfloat16(device) else 1.0
    extra = plan.inputs - 7
    learning = size * _LEARNING[plan.network] * plan.piece
    looking = size * _LOOKING[plan.network] * _looked_at(plan)
    held = (_PART + extra) * plan.studied * plan.parts + (_IMAGE + extra) * plan.image
    return held + max(learning, looking) + _APART * min(learning, looking)


def seconds(
    parameters: Mapping[str, Any], shape: Sequence[int], device: str
) -> tuple[float, float]:
    """Return the seconds of a step, and of all that comes before the first."""
    import torch

    from napari_deconv.methods._cider_fast import worth_a_look

    plan = _plan(parameters, shape)
    threads = torch.get_num_threads()
    learn, look = _network_speed(plan.network, plan.ndim, plan.inputs, device, threads)
    estimate = _classic_speed(plan.ndim, device, threads)
    if plan.network == "paper":
        before = 16 * 50 / _SET * estimate * plan.image
        return learn * plan.piece, before
    steps = max(int(parameters["iterations"]), 1)
    part = plan.studied < plan.image
    looks = sum(worth_a_look(n, steps, part=part) for n in range(2, steps + 1))
    trained = plan.network == "refiner"
    once = look * plan.networks * (plan.image + plan.guarded * plan.studied)
    before = estimate * (plan.image + plan.parts * plan.studied) + trained * once
    return learn * plan.networks * plan.piece + once * looks / steps, before


def _plan(parameters: Mapping[str, Any], shape: Sequence[int]) -> _Plan:
    from napari_deconv.methods import _cider_fast as fast

    ndim, voxels = len(shape), math.prod(shape)
    if parameters["preset"] == "paper":
        return _Plan("paper", ndim, 16, 1, voxels, voxels, voxels, 0, False)
    estimates = parameters["features"] in ("auto", "estimates")
    trained = estimates and parameters["weights"] != "none"
    network = "refiner" if trained else "random" if ndim == 2 else "stack"
    studied = min(voxels, fast.STUDIED[ndim]) if trained else voxels
    largest = (fast.LARGEST_TRAINED if trained else fast.LARGEST)[ndim]
    guarded = bool(parameters["guard"])
    return _Plan(
        network,
        ndim,
        7 if estimates else 23,
        int(parameters["seeds"]),
        voxels,
        studied,
        # Halves are taken until a piece is small enough.
        min(studied, round(0.75 * largest)) if studied > largest else studied,
        fast.SPLITS[ndim] * int(parameters["seeds"]) + guarded,
        guarded,
    )


def _looked_at(plan: _Plan) -> int:
    """Return the voxels that a network sees at once when it is only looked at."""
    from napari_deconv.methods._cider_network import SEEN

    return min(plan.image, SEEN) if plan.network == "refiner" and plan.ndim == 3 else plan.image


@cache
def _network_speed(
    kind: str, ndim: int, inputs: int, device: str, threads: int
) -> tuple[float, float]:
    """Return seconds per voxel of learning from an object, and of looking at it."""
    import torch

    from napari_deconv.methods._cider_network import make_image, placed_network
    from napari_deconv.networks.generator import PAPER, STACK, Generator, Plan
    from napari_deconv.networks.refiner import Refiner

    del threads  # part of the key: torch has been set to it
    kinds: dict[str, Any] = {
        "refiner": lambda: Refiner(),
        "random": lambda: Generator(Plan(inputs=inputs)),
        "stack": lambda: Generator(Plan(**{**vars(STACK), "inputs": inputs})),
        "paper": lambda: Generator(PAPER),
    }
    network: nn.Module = placed_network(kinds[kind](), torch.device(device), ndim)
    shape = _TRIAL[ndim]
    stack = torch.rand((inputs, *shape), device=device)

    def learn() -> Tensor:
        with torch.enable_grad():
            image = make_image(network, stack)
            image.square().mean().backward()  # type: ignore[no-untyped-call]
        return image

    def look() -> Tensor:
        with torch.no_grad():
            return make_image(network, stack)

    found = []
    for work in (learn, look):
        work()
        begun = time.perf_counter()
        float(work().detach().sum())
        found.append((time.perf_counter() - begun) / math.prod(shape))
    return found[0], found[1]


@cache
def _classic_speed(ndim: int, device: str, threads: int) -> float:
    """Return seconds per voxel of a set of classic estimates."""
    import numpy as np
    import torch

    from napari_deconv.operators.classics import classics
    from napari_deconv.operators.convolution import Convolution

    del threads
    shape = _TRIAL[ndim]
    blur = Convolution(np.full((3,) * ndim, 3.0**-ndim), shape, device=device)
    data = 1 + torch.rand(shape, device=device)
    floor = torch.zeros((), device=device)
    steps = classics(data, blur, floor, level=1.5, strength=0.03, noise=1.0)
    next(steps)
    begun = time.perf_counter()
    for _ in range(_SET_TIMED):
        next(steps)
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    spent = (time.perf_counter() - begun) / _SET_TIMED
    return _SET * spent / math.prod(blur.object_shape)
