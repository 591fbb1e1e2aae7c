"""When to stop: rules that read the figures of each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_deconv.engine.deblurred import Deblurred
from napari_deconv.engine.statistics import (
    HELD_OUT_SHARE,
    effective_offset,
    held_out_likelihood,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.assessment.noise import Noise
    from napari_deconv.engine.statistics import Statistics
    from napari_deconv.operators.convolution import Convolution

# Nats of log-likelihood that are no evidence: a ratio of about seven to one.
NO_EVIDENCE = 2.0
# Where the blur passes less of a wave's power than such a share of the strongest wave's, held-out
# photons do not tell what is wrong with it. Of 0.01, 0.003 and 1e-3 the last chose the best steps.
_WIDTH = 1e-3
# Chi-squared per voxel, where the PSF's own error is most of the variance, at which to stop: the
# error is no noise, and part of it is explained from the first step on. With 0.9, three methods
# stopped early on 16 photographs.
_LEAST_MISFIT = 0.5
_STREAM = 20051


class Rule(Protocol):
    """Sees each step's figures; tells how many steps are enough once it knows."""

    def enough(self, statistics: Statistics) -> int | None:
        """Return the number of steps to take, or None to go on."""
        ...


class HeldOutPhotons:
    r"""Photons that were set aside, and how well they are told.

    Parameters
    ----------
    photons
        Held-out counts, or an unbiased estimate of them.
    blur
        The forward model H.
    noise
        Camera model, of which gain and offset turn photons into intensity.
    """

    def __init__(self, photons: Tensor, blur: Convolution, noise: Noise) -> None:
        self._photons, self._noise = photons, noise
        self._deblurred = Deblurred(blur, photons.shape, _WIDTH)
        self._image = photons * (noise.gain / HELD_OUT_SHARE) + effective_offset(noise)
        self._whole = self._size(self._image.mean(), 0.0)

    def likelihood(self, prediction: Tensor, floor: Tensor) -> float:
        """Return their log-likelihood per voxel when the image is prediction and floor."""
        return held_out_likelihood(self._photons, prediction, floor, self._noise, HELD_OUT_SHARE)

    def explained(self, prediction: Tensor, floor: Tensor) -> float:
        r"""Return how much of them is explained, in photons squared per voxel.

        .. math:: \frac 1 N \left( \| W (n - \bar n) \|^2 - \| W (n - p) \|^2 \right)

        with W that deblurs (:class:`~napari_deconv.engine.deblurred.Deblurred`). The noise of the
        photons n themselves is in both, so that differences tell how the object's error changes.
        """
        return self._whole - self._size(prediction, floor)

    def _size(self, prediction: Tensor, floor: Tensor | float) -> float:
        """Return the size of what a prediction leaves of the image, deblurred."""
        import torch

        errors = self._deblurred.errors
        torch.sub(self._image, prediction, out=errors).sub_(floor)
        return self._deblurred.energy() / (self._noise.gain**2 * errors.numel())


class HeldOut:
    """Stops where held-out photons are told best: their likelihood, or they themselves, deblurred.

    The likelihood tells how well the *image* is predicted, which more steps than are good for the
    object often do better. What is explained of the photons when both are deblurred tells of the
    object, but weighs all voxels alike, which is late for a few bright ones. So the earlier of the
    two decides; of likelihoods, the first that cannot be told from the highest.

    It is sure of a maximum once the figure has stayed below it for a while. Before that it stops
    where the residual is half of what noise and the PSF's own error are: later steps would explain
    that error, which predicts photons well and restores nothing (Morozov's discrepancy
    principle).

    Parameters
    ----------
    voxels
        How many voxels the likelihood, which is given per voxel, is a mean of.

    Attributes
    ----------
    reason
        Why that many steps are enough, in words.
    """

    def __init__(self, voxels: int) -> None:
        self.reason = "they explain held-out photons best"
        self._margin = NO_EVIDENCE / voxels
        self._likelihoods: list[float] = []
        self._explained: list[float] = []

    def enough(self, statistics: Statistics) -> int | None:
        """Return where the maximum was, once it is surely passed."""
        if statistics.held_out is None or statistics.explained is None:
            return None
        self._likelihoods.append(statistics.held_out)
        self._explained.append(statistics.explained)
        if statistics.misfit is not None and statistics.misfit < _LEAST_MISFIT:
            self.reason = "more would explain what the PSF gets wrong"
            return self.best
        first = 1 + min(seen.index(max(seen)) for seen in (self._likelihoods, self._explained))
        # Momentum swings: a dip of some steps may be followed by better ones.
        return self.best if len(self._explained) >= first + 15 + first // 4 else None

    @property
    def best(self) -> int:
        """The best number of steps so far."""
        least = max(self._likelihoods) - self._margin
        likeliest = next(i for i, seen in enumerate(self._likelihoods, 1) if seen >= least)
        return min(likeliest, self._explained.index(max(self._explained)) + 1)


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
