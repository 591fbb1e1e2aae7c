"""Quadratic penalties and direct filters in Fourier space: what several methods share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from napari_deconv.operators import fused
from napari_deconv.operators.slabs import slabs
from napari_deconv.registry import Chosen

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution

Penalty = Literal["laplacian", "identity"]

# Bins of the logarithm of |L|^2 / |H|^2, of which the scores of weights are made.
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
    """Tell whether objects live on the grid of the Fourier transform, where the blur is a product.

    Not so with mirrored or dark borders, nor where the blur changes from place to place.
    """
    return blur.invariant and set(blur.borders) <= {"circular", "extended"}


def blurred(spectrum: Tensor, otf: Tensor, into: Tensor) -> None:
    """Set ``into`` to ``otf spectrum``; all half spectra."""
    import torch

    if fused.usable(torch.view_as_real(into)[..., 0], (True,)):
        fused.blurred(spectrum, otf, into)
        return
    for x, h, s in slabs(spectrum, otf, into):
        torch.mul(x, h, out=s)


def is_circular(blur: Convolution) -> bool:
    """Tell whether, besides, the image is all there is, so that H itself is a product."""
    return blur.invariant and set(blur.borders) == {"circular"}


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

    def product(a: Tensor, b: Tensor) -> float:
        # In float32 and quickly: see napari_deconv.operators.slabs.inner.
        pairs = torch.view_as_real(a).reshape(-1), torch.view_as_real(b).reshape(-1)
        return float(torch.dot(*pairs))

    alone = product(first[..., 0], second[..., 0])
    if length % 2 == 0:
        alone += product(first[..., -1], second[..., -1])
    return 2 * product(first, second) - alone


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
    import torch

    spectrum = blur.spectrum(data)
    if fused.usable(torch.view_as_real(spectrum)[..., 0], (True,)):
        fused.invert(spectrum, blur.otf, penalty, weight)
        return blur.from_spectrum(spectrum)
    for s, h, p in slabs(spectrum, blur.otf, penalty):
        gain = (h.real.square() + h.imag.square()).add_(p, alpha=weight).reciprocal_()
        # Real numbers times complex ones are slow in torch.
        s.mul_(h.conj()).mul_(gain.to(s.dtype))
    return blur.from_spectrum(spectrum)


def cross_validated_weight(
    data: Tensor, blur: Convolution, penalty: Tensor, lower: float = 1e-12, upper: float = 1e3
) -> Chosen:
    r"""Choose :math:`\lambda` by generalised cross-validation.

    The score :math:`\sum (1-f)^2 |Y|^2 / (\sum (1-f))^2` with
    :math:`f = |H|^2 / (|H|^2 + \lambda |L|^2)` is least where leaving out any one pixel and
    predicting it from the others works best (Golub, Heath and Wahba 1979,
    doi:10.1080/00401706.1979.10489751). What is best for the object is another weight: see
    :mod:`napari_deconv.methods._powers`.

    Parameters
    ----------
    data, blur, penalty
        As for :func:`regularised_inverse`.
    lower, upper
        Bounds of the weight.
    """
    power = blur.spectrum(data).abs().square_()
    power[(0,) * power.ndim] = 0  # the mean passes whatever the weight
    ratio, count, energy = gather(blur, penalty, power.new_ones(()), power)

    def score(weight: float) -> float:
        left = weight * ratio / (1 + weight * ratio)
        error = float((left.square() * energy).sum() / (left * count).sum().square())
        return -math.log10(max(error, 1e-300))

    return highest(score, lower, upper, "cross-validation, -log10 of the error")


def gather(blur: Convolution, penalty: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    r"""Sum values on the half spectrum over all frequencies with about the same ratio.

    What a quadratic filter does to a frequency depends on :math:`|L|^2 / |H|^2` alone; with sums
    in bins of its logarithm, what it does to all of them is a short sum for any weight.

    Returns
    -------
    ratio
        That of each bin, in float64 on the CPU.
    *sums
        Of each of the values in each bin, mirrored frequencies included.
    """
    import torch

    lowest, step = -6.0, 20 / _BINS
    sums = torch.zeros(len(values), _BINS, dtype=torch.float64)
    # A half spectrum shows every frequency and its mirror once, but for the first column and, of
    # an even row, the last.
    twice = torch.full((blur.otf.shape[-1],), 2.0, dtype=blur.dtype, device=blur.device)
    twice[0] = 1
    if blur.grid[-1] % 2 == 0:
        twice[-1] = 1
    for h, p, *parts in slabs(blur.otf, penalty, *values):
        response = (h.real.square() + h.imag.square()).clamp_(min=1e-30)
        place = (p / response).clamp_(min=1e-30).log10_().sub_(lowest).div_(step)
        bins = place.long().clamp_(0, _BINS - 1).flatten().cpu()
        for each, part in zip(sums, parts, strict=True):
            each.index_add_(0, bins, (part * twice).expand_as(h).flatten().cpu().double())
    ratio = 10 ** (lowest + (torch.arange(_BINS, dtype=torch.float64) + 0.5) * step)
    return ratio, *sums


def highest(score: Callable[[float], float], lower: float, upper: float, name: str) -> Chosen:
    """Return the weight with the highest score, among some in each decade and then between."""
    from scipy.optimize import minimize_scalar

    low, high = math.log10(lower), math.log10(upper)
    steps = math.ceil(4 * (high - low))
    places = [low + i * (high - low) / steps for i in range(steps + 1)]
    scores = [score(10**place) for place in places]
    best = places[scores.index(max(scores))]
    bounds = (max(best - 0.25, low), min(best + 0.25, high))
    found = minimize_scalar(lambda place: -score(10**place), bounds=bounds, method="bounded")
    return Chosen.among(10**found.x, [10**place for place in places], scores, name)
