"""Direct filters in Fourier space: what they share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_deconv.operators.slabs import slabs

if TYPE_CHECKING:
    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution

# Bins of the logarithm of |L|^2 / |H|^2, of which a cross-validation score is made.
_BINS = 2048


def squared_frequency(blur: Convolution) -> Tensor:
    """Return |omega|^2 on the half spectrum of the grid, in (radians per finest voxel)^2.

    Physical: with voxels four times as deep as wide, the axial frequencies are a quarter as high,
    so that smoothness means the same along every axis.
    """
    import torch

    finest = min(blur.spacing)
    square = torch.zeros((), dtype=blur.dtype, device=blur.device)
    for axis, (length, spacing) in enumerate(zip(blur.grid, blur.spacing, strict=True)):
        half = axis == len(blur.grid) - 1
        cycles = (torch.fft.rfftfreq if half else torch.fft.fftfreq)(
            length, dtype=blur.dtype, device=blur.device
        )
        shape = [-1 if i == axis else 1 for i in range(len(blur.grid))]
        square = square + ((2 * math.pi * finest / spacing) * cycles).square().reshape(shape)
    return square


def regularised_inverse(data: Tensor, blur: Convolution, penalty: Tensor, weight: float) -> Tensor:
    r"""Return the minimiser of :math:`|Hx - y|^2 + \lambda |Lx|^2`.

    Parameters
    ----------
    data
        Image y.
    blur
        Convolution H, by its spectrum; the image is continued smoothly beyond its borders.
    penalty
        :math:`|L|^2` on the half spectrum, or one number for all of it.
    weight
        :math:`\lambda`.
    """
    spectrum = blur.spectrum(data)
    for s, h, p in slabs(spectrum, blur.otf, penalty):
        s *= h.conj() / (h.real.square() + h.imag.square() + weight * p)
    return blur.from_spectrum(spectrum)


def cross_validated_weight(data: Tensor, blur: Convolution, penalty: Tensor) -> float:
    r"""Choose :math:`\lambda` by generalised cross-validation.

    The score :math:`\sum (1-f)^2 |Y|^2 / (\sum (1-f))^2` with
    :math:`f = |H|^2 / (|H|^2 + \lambda |L|^2)` is least where leaving out any one pixel and
    predicting it from the others works best (Golub, Heath and Wahba 1979,
    doi:10.1080/00401706.1979.10489751). It depends on the frequencies only by
    :math:`|L|^2/|H|^2`, so they are gathered in bins of its logarithm, and the score of any weight
    is then a short sum.
    """
    import torch

    spectrum = blur.spectrum(data)
    energy = torch.zeros(_BINS, dtype=torch.float64)
    count = torch.zeros(_BINS, dtype=torch.float64)
    lowest, highest = -6.0, 14.0
    last = blur.grid[-1]
    # A half spectrum shows every frequency and its mirror once, but for the first column and, of
    # an even row, the last.
    twice = torch.full((spectrum.shape[-1],), 2.0, dtype=blur.dtype, device=blur.device)
    twice[0] = 1
    if last % 2 == 0:
        twice[-1] = 1
    spectrum[(0,) * spectrum.ndim] = 0  # the mean passes whatever the weight
    for s, h, p in slabs(spectrum, blur.otf, penalty):
        response = (h.real.square() + h.imag.square()).clamp_(min=1e-30)
        place = (p / response).clamp_(min=1e-30).log10_()
        bins = ((place - lowest) * (_BINS / (highest - lowest))).long().clamp_(0, _BINS - 1)
        flat = bins.flatten().cpu()
        weights = twice.expand_as(bins).flatten().cpu().double()
        power = (s.real.square() + s.imag.square()).flatten().cpu().double()
        count.index_add_(0, flat, weights)
        energy.index_add_(0, flat, weights * power)
    step = (highest - lowest) / _BINS
    centres = 10 ** (lowest + (torch.arange(_BINS, dtype=torch.float64) + 0.5) * step)

    def score(logarithm: float) -> float:
        left = 1 - 1 / (1 + 10**logarithm * centres)
        return float((left.square() * energy).sum() / (left * count).sum().square())

    from scipy.optimize import minimize_scalar

    coarse = [i / 4 for i in range(-48, 13)]
    best = min(coarse, key=score)
    found = minimize_scalar(score, bounds=(best - 0.25, best + 0.25), method="bounded")
    return float(10**found.x)
