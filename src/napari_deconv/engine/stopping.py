"""When to stop: rules that read the figures of each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_deconv.engine.statistics import HELD_OUT_SHARE, LEAST_MISFIT, effective_offset

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deconv.assessment.noise import Noise
    from napari_deconv.engine.statistics import Statistics

# Nats of log-likelihood that are no evidence: a ratio of about seven to one.
NO_EVIDENCE = 2.0
_STREAM = 20051


class Rule(Protocol):
    """Sees each step's figures; tells how many steps are enough once it knows."""

    def enough(self, statistics: Statistics) -> int | None:
        """Return the number of steps to take, or None to go on."""
        ...


class HeldOut:
    """Stops where the likelihood of held-out photons has its maximum.

    It is sure of a maximum once the likelihood has stayed below it for a while; then it takes the
    first step whose likelihood cannot be told from the maximum's. Before that it stops where the
    residual is smaller than noise and the PSF's own error together: later steps would explain that
    error, which predicts photons well and restores nothing (Morozov's discrepancy principle).

    Parameters
    ----------
    voxels
        How many voxels the likelihood, which is given per voxel, is a mean of.
    """

    def __init__(self, voxels: int) -> None:
        self._margin = NO_EVIDENCE / voxels
        self._seen: list[float] = []

    def enough(self, statistics: Statistics) -> int | None:
        """Return where the maximum was, once it is surely passed."""
        if statistics.held_out is None:
            return None
        self._seen.append(statistics.held_out)
        if statistics.misfit is not None and statistics.misfit < LEAST_MISFIT:
            return self.best
        top = self._seen.index(max(self._seen)) + 1
        # Momentum swings: a dip of some steps may be followed by better ones.
        return self.best if len(self._seen) >= top + 15 + top // 4 else None

    @property
    def best(self) -> int:
        """The best number of steps so far."""
        top = max(self._seen)
        return next(i for i, seen in enumerate(self._seen, 1) if seen >= top - self._margin)


class RelativeChange:
    """Stops when a step changes the estimate by less than a tolerance.

    Where the method tells its residual, that has to be as small, too.
    """

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance

    def enough(self, statistics: Statistics) -> int | None:
        """Return this step's number when it changed little."""
        change = statistics.relative_change
        small = change is not None and change < self._tolerance
        small &= statistics.residual is None or statistics.residual < self._tolerance
        return statistics.iteration if small else None


def split_photons(
    data: NDArray[np.float32], noise: Noise, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Split an image's photons at random: most to restore from, some to test on.

    Whole numbers of photons are thinned binomially, which makes two independent Poisson numbers of
    one. From a camera's counts the same share is taken, with Gaussian noise of the variance that
    thinning would have given it: then the two parts are uncorrelated, whatever the law of the
    noise, as long as its variance is right.

    Returns
    -------
    kept
        The image as it would have been with the kept photons alone, scaled to the whole image's
        intensity.
    held_out
        Photons set aside; an unbiased estimate of them, which may be negative, for a camera.
    """
    # A stream of its own: an image that was simulated with the same seed must not meet its noise.
    generator = np.random.default_rng([_STREAM, seed])
    zero = effective_offset(noise)
    photons = (data.astype(np.float64) - zero) / noise.gain
    whole = np.rint(photons)
    if np.abs(photons - whole).max() < 1e-3 and whole.min() >= 0 and whole.max() < 1e15:
        held_out = generator.binomial(whole.astype(np.int64), HELD_OUT_SHARE).astype(np.float64)
    else:
        spread = np.sqrt(HELD_OUT_SHARE * (1 - HELD_OUT_SHARE) * photons.clip(min=0))
        held_out = HELD_OUT_SHARE * photons + spread * generator.standard_normal(data.shape)
    kept = (photons - held_out) * (noise.gain / (1 - HELD_OUT_SHARE)) + zero
    return kept.astype(np.float32), held_out.astype(np.float32)
