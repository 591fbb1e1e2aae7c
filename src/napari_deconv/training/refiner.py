"""Train CiDeR's refiner: what improves on classic estimates of an image.

    python -m napari_deconv.training.refiner NATURAL OUTPUT --minutes 30

The pairs are made once and kept in OUTPUT; a second run goes on where the first stopped. A new
OUTPUT can begin with weights that there are, and with pairs that they have not seen: ``--start
cider-refiner --seed 1``. At the end OUTPUT has ``cider-refiner.safetensors`` and its card.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_deconv.networks.precision import autocast, layout
from napari_deconv.networks.refiner import Refiner
from napari_deconv.networks.weights import load_weights, save_weights
from napari_deconv.operators.classics import CHANNELS, classics
from napari_deconv.operators.convolution import Convolution
from napari_deconv.training.samples import SIZE, Samples
from napari_deconv.training.schooling import School, parser

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.training.samples import Sample

# The strength that photons want, by the square of the relative noise; a search finds it within
# this many decades. What is below the last figure is not searched for.
_BY_NOISE, _DECADES, _WEAKEST, _STRONGEST = 0.8, 0.4, 3e-4, 3.0
# Pairs that a seed may draw before it comes to those of the next.
_DRAWING = 1_000_000


def main(arguments: Sequence[str] | None = None) -> Mapping[str, float]:
    """Train for a while, and write the weights."""
    made = parser(__doc__.splitlines()[0])
    made.add_argument("--start", help="weights to begin with: a name or a file")
    given = made.parse_args(arguments)
    torch.manual_seed(given.seed)
    given.output.mkdir(parents=True, exist_ok=True)
    first, last = given.seed * _DRAWING, given.seed * _DRAWING + given.samples
    seen = pairs(given.natural, given.output / "pairs.npz", range(first, last), scored=False)
    apart = pairs(given.natural, given.output / "scored.npz", range(given.scored), scored=True)
    network = Refiner().to(given.device)
    if given.start is not None:
        network.load_state_dict(load_weights(given.start, "refiner").tensors)
    network.to(memory_format=layout(torch.device(given.device)))  # type: ignore[call-overload]
    school = School(network, given.output / "refiner.pt", given.rate)
    generator = np.random.default_rng([given.seed, school.steps])

    def loss() -> Tensor:
        stack, truth = crop(*seen, given.batch, given.crop, generator)
        return relative_loss(_run(network, stack.to(given.device)), stack, truth)

    def score() -> Mapping[str, float]:
        gains = []
        for first in range(0, len(apart[0]), 8):
            stack, truth = (
                torch.from_numpy(part[first : first + 8].astype(np.float32)) for part in apart
            )
            refined = _run(network, stack.to(given.device)).clamp(min=0).cpu()
            gains.append((decibels(refined, truth) - decibels(stack[:, 1], truth)).numpy())
        gain = np.concatenate(gains)
        return {"mean gain in dB": float(gain.mean()), "least": float(gain.min())}

    scores = school.teach(given.minutes, loss, score)
    begun = "" if given.start is None else f", begun with {given.start}"
    card = {
        "title": "CiDeR's refiner: corrects the classic image",
        "network": "skip generator, 7 inputs, 32-32-64-64 channels, no normalisation",
        "training": (
            f"{school.steps} steps of {given.batch} crops of {given.crop} x {given.crop} from "
            f"{len(seen[0])} pairs (seed {given.seed}{begun}): Kodak photographs and "
            "synthetic microscopy, as drawn by napari_deconv.training.samples; relative "
            "squares, Adam, mean of the last weights"
        ),
        "scores": {f"on {len(apart[0])} pairs apart, over the Hessian image": dict(scores)},
        "licence": "BSD-3-Clause; made by the napari-deconv developers",
        "limits": "planes only; photographs and fluorescence; noise of 15 to 5000 photons",
    }
    half = {name: value.half() for name, value in school.mean.items()}
    save_weights(given.output / "cider-refiner.safetensors", half, "refiner", {}, card)
    print(dict(scores))
    return scores


def pairs(
    natural: Path, stored: Path, numbers: range, *, scored: bool
) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Return stacks of classic estimates and truths, in units of the typical intensity."""
    if stored.exists():
        with np.load(stored) as found:
            return found["stacks"], found["truths"]
    samples = Samples(natural, scored=scored)
    stacks = np.zeros((len(numbers), CHANNELS, SIZE, SIZE), np.float16)
    truths = np.zeros((len(numbers), SIZE, SIZE), np.float16)
    for place, number in enumerate(numbers):
        random = np.random.default_rng([number, 1])
        stacks[place], truths[place] = _estimates(samples[number], random)
        if place % 100 == 99:
            print(f"{place + 1} of {len(numbers)} pairs", flush=True)
    np.savez(stored, stacks=stacks, truths=truths)
    return stacks, truths


def _estimates(sample: Sample, random: np.random.Generator) -> tuple[Any, Any]:
    data, floor = torch.from_numpy(sample.image), torch.tensor(sample.background)
    level = max(float((data - floor).mean()), 0.02 * float(data.mean()), 1e-12)
    strength = _BY_NOISE * (sample.noise / level) ** 2 * 10 ** random.uniform(-_DECADES, _DECADES)
    steps = classics(
        data,
        Convolution(sample.psf, data.shape),
        floor.float(),
        level=level,
        strength=min(max(strength, _WEAKEST), _STRONGEST),
        noise=sample.noise,
    )
    while True:
        try:
            next(steps)
        except StopIteration as end:
            stack: Tensor = end.value
            break
    inside = stack[:, : data.shape[0], : data.shape[1]]
    return inside.clamp(-1000, 1000).numpy(), sample.truth / level


def crop(
    stacks: NDArray[Any],
    truths: NDArray[Any],
    count: int,
    side: int,
    generator: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Draw a batch: crops at one random place, turned and mirrored at random."""
    chosen = generator.integers(len(stacks), size=count)
    y, x = generator.integers(0, stacks.shape[-1] - side + 1, 2)
    turns, mirrored = int(generator.integers(4)), generator.random() < 0.5
    made = []
    for array in (stacks, truths):
        part = array[chosen][..., y : y + side, x : x + side].astype(np.float32)
        part = np.rot90(part, turns, (-2, -1))
        made.append(torch.from_numpy((part[..., ::-1] if mirrored else part).copy()))
    return made[0], made[1]


def relative_loss(refined: Tensor, stack: Tensor, truth: Tensor) -> Tensor:
    """Return the squared error over that of the classic image: every image counts the same."""
    refined = refined.cpu()
    error = (refined - truth).square().mean((1, 2))
    before = (stack[:, 1] - truth).square().mean((1, 2)) + 1e-4
    relative = error / before
    # Beyond ten a hopeless image pulls no harder, but still pulls.
    beyond = 10 * (1 + torch.log(relative.clamp(min=10) / 10))
    return torch.where(relative < 10, relative, beyond).mean()


def decibels(image: Tensor, truth: Tensor) -> Tensor:
    """Return the signal over the error, for each image."""
    spread = (truth - truth.mean((1, 2), keepdim=True)).square().mean((1, 2))
    error = (image - truth).square().mean((1, 2))
    return 10 * torch.log10(spread.clamp(min=1e-12) / error.clamp(min=math.ulp(1.0)))


def _run(network: Refiner, stack: Tensor) -> Tensor:
    with autocast(stack.device):
        refined: Tensor = network(stack.contiguous(memory_format=layout(stack.device)))
    return refined


if __name__ == "__main__":
    main()
