"""A supply of crops to learn from: some whole pairs in memory, of which one is renewed at times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_deconv.training.degradations import Degradation, Volume

# A crop that shows less than this share of the pair's mean object is drawn again, this often.
_LIVELY, _TRIES = 0.3, 4
_TRAINING, _APART = 0, 1


@dataclass(frozen=True)
class Variation:
    """How the intensities of images vary beyond the degradation.

    Attributes
    ----------
    gain
        Range of factors on object and image, drawn evenly by decades.
    background
        Range of constants added to both. Half of the images have one from a quarter of the range.
    """

    gain: tuple[float, float] = (0.5, 1.5)
    background: tuple[float, float] = (-0.03, 0.3)


AS_IT_IS = Variation((1.0, 1.0), (0.0, 0.0))


class Supply:
    """Draws batches.

    Parameters
    ----------
    degradation
        Makes the pairs.
    shape
        Shape of a whole pair.
    seed
        Start of the random numbers: a batch depends on it and on its number alone, but for which
        pairs are in memory.
    pairs
        How many are in memory.
    renewed
        Batches after which one pair gives way to a new one; 0 for never.
    variation
        Of intensities.
    """

    def __init__(
        self,
        degradation: Degradation,
        shape: Sequence[int],
        seed: int,
        *,
        pairs: int = 16,
        renewed: int = 25,
        variation: Variation = AS_IT_IS,
    ) -> None:
        self.degradation, self._shape, self._seed = degradation, tuple(shape), seed
        self._renewed, self._variation = renewed, variation
        self._pairs = [self._draw(number) for number in range(pairs)]

    def batch(self, number: int, count: int, side: int) -> tuple[Tensor, Tensor]:
        """Return images and objects as (count, 1, ...) arrays with this side."""
        if self._renewed and number and number % self._renewed == 0:
            drawn = len(self._pairs) + number // self._renewed
            self._pairs[drawn % len(self._pairs)] = self._draw(drawn)
        random = np.random.default_rng([self._seed, 2, number])
        noise = torch.Generator().manual_seed(int(random.integers(2**62)))
        crops = [self._crop(random, side) for _ in range(count)]
        truths, images = (
            torch.from_numpy(np.stack(each))[:, None] for each in zip(*crops, strict=True)
        )
        images = self.degradation.noisy(images, noise)
        gain, background = self._intensities(count, images.ndim, noise)
        return gain * images + background, gain * truths + background

    def _draw(self, number: int) -> tuple[Volume, Volume]:
        return self.degradation.pair(self._shape, [self._seed, _TRAINING, number])

    def _crop(self, random: np.random.Generator, side: int) -> tuple[Volume, Volume]:
        truth, image = self._pairs[int(random.integers(len(self._pairs)))]
        least = _LIVELY * float(truth.mean())
        sides = [_even(side, n) for n in truth.shape]
        for _ in range(_TRIES):
            start = [
                int(random.integers(n - s + 1)) for n, s in zip(truth.shape, sides, strict=True)
            ]
            box = tuple(slice(a, a + s) for a, s in zip(start, sides, strict=True))
            if float(truth[box].mean()) >= least:
                break
        axes = np.arange(truth.ndim)
        if self.degradation.turns:
            random.shuffle(axes)
        else:
            random.shuffle(axes[-2:])
        # Only what a microscope may show: its PSF need not look the same from below.
        mirrored = random.random(truth.ndim) < 0.5
        if not self.degradation.turns and truth.ndim == 3:
            mirrored[0] = False
        flips = tuple(slice(None, None, -1 if flip else 1) for flip in mirrored)
        made = [part[box].transpose(axes)[flips].copy() for part in (truth, image)]
        return made[0], made[1]

    def _intensities(self, count: int, ndim: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        shape = (count, *(1,) * (ndim - 1))
        low, high = np.log(self._variation.gain)
        gain = torch.exp(low + (high - low) * torch.rand(shape, generator=random))
        least, most = self._variation.background
        share = torch.rand(shape, generator=random)
        small = torch.rand(shape, generator=random) < 0.5
        return gain, least + (most - least) * torch.where(small, 0.25 * share, share)


def apart(
    degradation: Degradation, shape: Sequence[int], seed: int, count: int, side: int
) -> tuple[Tensor, Tensor]:
    """Return images and objects to judge by, of pairs that no training with this seed sees."""
    images, truths = [], []
    for number in range(count):
        truth, image = degradation.pair(shape, [seed, _APART, number])
        random = torch.Generator().manual_seed(1_000_003 * seed + number)
        sides = [_even(side, n) for n in truth.shape]
        box = tuple(
            slice((n - s) // 2, (n + s) // 2) for n, s in zip(truth.shape, sides, strict=True)
        )
        seen = torch.from_numpy(image[box].copy())[None, None]
        images.append(degradation.noisy(seen, random))
        truths.append(torch.from_numpy(truth[box].copy())[None, None])
    return torch.cat(images), torch.cat(truths)


def _even(side: int, length: int) -> int:
    """Return the side of a crop from a pair of some length: the network wants even ones."""
    return 2 * (min(side, length) // 2)
