"""When to stop: rules that read the figures of each step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_deconv.engine.statistics import effective_offset

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deconv.assessment.noise import Noise
    from napari_deconv.engine.statistics import Statistics

# The share of photons that is set aside to test predictions on.
HELD_OUT_SHARE = 0.1


class Rule(Protocol):
    """Sees each step's figures; tells how many steps are enough once it knows."""

    def enough(self, statistics: Statistics) -> int | None:
        """Return the number of steps to take, or None to go on."""
        ...


class HeldOut:
    """Stops where the likelihood of held-out photons has its maximum.

    It is sure of a maximum once the likelihood has stayed below it for a while: ten steps and a
    fifth of what it took to get there.
    """

    def __init__(self) -> None:
        self._best = -math.inf
        self._steps = 1

    def enough(self, statistics: Statistics) -> int | None:
        """Return where the maximum was, once it is surely passed."""
        if statistics.held_out is None or statistics.iteration < 1:
            return None
        if statistics.held_out > self._best:
            self._best, self._steps = statistics.held_out, statistics.iteration
        patience = 10 + self._steps // 5
        return self._steps if statistics.iteration >= self._steps + patience else None

    @property
    def best(self) -> int:
        """The best number of steps so far."""
        return self._steps


class RelativeChange:
    """Stops when a step changes the estimate by less than a tolerance."""

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance

    def enough(self, statistics: Statistics) -> int | None:
        """Return this step's number when it changed little."""
        change = statistics.relative_change
        small = change is not None and change < self._tolerance
        return statistics.iteration if small else None


def split_photons(
    data: NDArray[np.float32], noise: Noise, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Split an image's photons at random: most to restore from, some to test on.

    Binomial thinning of a Poisson number gives two independent Poisson numbers. Fractional
    photons are rounded at random, so that their mean stays.

    Returns
    -------
    kept
        The image as it would have been with the kept photons alone, scaled to the whole image's
        intensity.
    held_out
        Photon numbers set aside.
    """
    generator = np.random.default_rng(seed)
    zero = effective_offset(noise)
    photons = np.clip((data.astype(np.float64) - zero) / noise.gain, 0, 1e15)
    whole = np.floor(photons + generator.random(data.shape)).astype(np.int64)
    held_out = generator.binomial(whole, HELD_OUT_SHARE)
    kept = (whole - held_out) * (noise.gain / (1 - HELD_OUT_SHARE)) + zero
    return kept.astype(np.float32), held_out.astype(np.float32)
