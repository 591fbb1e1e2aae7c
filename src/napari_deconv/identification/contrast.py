"""Spectra of an image that trust its livelier places more, or all of its places alike.

Welch's estimate takes the mean over windows, bright and dull ones alike. Where windows differ in
contrast by factors ``a``, the mean weighted by ``a`` sees farther into the noise; and

    q = sum w a (power - noise) / sum w a**2,    w = 1 / (a q + noise)**2

is what is most likely where each window has the spectrum ``a q + noise``: near least squares, with
every window's own noise. The object behind each of these spectra is another one, and so are the
errors that a prior for objects makes: fits to all of them together err less than to one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.identification.spectrum import (
    SIDE,
    Spectrum,
    from_power,
    window_powers,
)

if TYPE_CHECKING:
    from torch import Tensor

# Frequencies, cycles per pixel, by which windows are compared; the least contrast of one; rounds.
_BAND, _LEAST, _ROUNDS = (0.03, 0.3), 0.02, 6
_FLOOR = 1e-3


def spectra(planes: Tensor, seen: Spectrum) -> list[Spectrum]:
    """Return two more spectra of planes (frames, y, x): by contrast, and the most likely one.

    Parameters
    ----------
    planes
        Grey values, at the trained cutoff.
    seen
        Their spectrum, with the level of noise.
    """
    variance = max(float(planes.double().var((-2, -1)).mean()), 1e-30)
    level = max(seen.noise * variance, 1e-30)
    powers = window_powers(planes.double(), seen.side).flatten(0, -3)
    mean = (powers.mean(0) - level).clamp(min=_FLOOR * level)
    contrast = _contrast(powers, mean, level)
    share = contrast / contrast.sum()
    lively = (share[:, None, None] * powers).sum(0)
    looks = seen.windows / (len(share) * float(share.square().sum()))
    each = contrast[:, None, None]
    likely = mean
    for _ in range(_ROUNDS):
        weight = each / (each * likely + level).square()
        likely = (weight * (powers - level)).sum(0) / (weight * each).sum(0)
        likely = likely.clamp(min=_FLOOR * level)
    made = [
        from_power(power.numpy(), variance, level, windows, seen.side)
        for power, windows in ((lively, looks), (likely + level, seen.windows))
    ]
    return [replace(each, noise=seen.noise) for each in made]


def _contrast(powers: Tensor, mean: Tensor, level: float) -> Tensor:
    """Return how far windows (n, SIDE, SIDE // 2 + 1) rise above noise, (n,), 1 on average."""
    import torch

    radius = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.arange(SIDE // 2 + 1) / SIDE)
    band = torch.from_numpy((radius > _BAND[0]) & (radius < _BAND[1]))
    weight = (mean / (mean + level)).square() * band
    rise = ((powers - level) / mean * weight).sum((1, 2)) / weight.sum()
    contrast = rise.clamp(min=_LEAST)
    return contrast / contrast.mean()
