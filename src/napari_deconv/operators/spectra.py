"""Quadratic penalties and direct filters in Fourier space: what several methods share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from napari_deconv.operators.slabs import slabs
from napari_deconv.registry import Chosen

if TYPE_CHECKING:
    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution

Penalty = Literal["laplacian", "identity"]

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


def penalty_power(blur: Convolution, penalty: Penalty) -> Tensor:
    r"""Return :math:`|L|^2` of a penalty :math:`|Lx|^2` on the half spectrum of the grid.

    The Laplacian's is :math:`|\omega|^4` (see :func:`squared_frequency`), the identity's is 1.
    """
    import torch

    if penalty == "identity":
        return torch.ones((), dtype=blur.dtype, device=blur.device)
    return squared_frequency(blur).square_()


def is_torus(blur: Convolution) -> bool:
    """Tell whether the objects of a forward model live on the grid of its Fourier transform."""
    return set(getattr(blur, "borders", ("unknown",))) <= {"circular", "extended"}


def spectral_inner(first: Tensor, second: Tensor, length: int) -> float:
    """Return the inner product of slabs of two half spectra, each frequency's mirror included.

    Parameters
    ----------
    first, second
        Slabs.
    length
        Of the last axis of the grid.
    """
    import torch

    product = first.real * second.real
    product.addcmul_(first.imag, second.imag)
    alone = product[..., 0].sum()
    if length % 2 == 0:
        alone += product[..., -1].sum()
    return float(2 * torch.sum(product) - alone)


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


def cross_validated_weight(
    data: Tensor, blur: Convolution, penalty: Tensor, lower: float = 1e-12, upper: float = 1e3
) -> Chosen:
    r"""Choose :math:`\lambda` by generalised cross-validation.

    The score :math:`\sum (1-f)^2 |Y|^2 / (\sum (1-f))^2` with
    :math:`f = |H|^2 / (|H|^2 + \lambda |L|^2)` is least where leaving out any one pixel and
    predicting it from the others works best (Golub, Heath and Wahba 1979,
    doi:10.1080/00401706.1979.10489751). It depends on the frequencies only by
    :math:`|L|^2/|H|^2`, so they are gathered in bins of its logarithm, and the score of any weight
    is then a short sum.

    Parameters
    ----------
    data, blur, penalty
        As for :func:`regularised_inverse`.
    lower, upper
        Bounds of the weight.
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
        """Return minus the logarithm of the cross-validated error."""
        share = 10**logarithm * centres
        left = share / (1 + share)
        error = float((left.square() * energy).sum() / (left * count).sum().square())
        return -math.log10(max(error, 1e-300))

    from scipy.optimize import minimize_scalar

    low, high = math.log10(lower), math.log10(upper)
    steps = math.ceil(4 * (high - low))
    places = [low + i * (high - low) / steps for i in range(steps + 1)]
    scores = [score(place) for place in places]
    best = places[scores.index(max(scores))]
    bounds = (max(best - 0.25, low), min(best + 0.25, high))
    found = minimize_scalar(lambda place: -score(place), bounds=bounds, method="bounded")
    return Chosen.among(
        10**found.x,
        [10**place for place in places],
        scores,
        "cross-validation, -log10 of the error",
    )
