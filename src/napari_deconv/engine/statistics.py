"""Figures of each step: how well the estimate explains the data, and how much it still moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_deconv.operators import fused
from napari_deconv.operators.slabs import slabs, total

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_deconv.assessment.noise import Noise

# Fewest photons that a prediction may promise: rounding makes specks below zero in the dark.
LEAST_PHOTONS = 1e-3
# Least share of a voxel's photons that a prediction is taken to promise: float32 does not tell one
# that promises next to none from one that promises nothing.
_LEAST_SHARE = 2.0**-20
# The share of photons that is set aside to test predictions on.
HELD_OUT_SHARE = 0.1
# Chi-squared per voxel of a residual that is noise, but for what any estimate takes away with it:
# in simulations of 20 to 5000 photons the best predictor left 0.9 to 1.05 of it.
LEAST_MISFIT = 0.9


@dataclass
class Statistics:
    """Figures of one step; None where they were not measured.

    Attributes
    ----------
    iteration
        Steps taken; 0 is the start.
    seconds
        Since the first step began.
    total_intensity
        Sum of the estimate within the image.
    relative_change
        ``|x - x_before| / |x_before|``, on a regular sample of the estimate.
    deviance
        Poisson deviance per voxel, ``2 mean(y log(y/p) - y + p)`` in photons, of the prediction p
        of this step's estimate (of the point extrapolated from it where a method accelerates).
    chi_squared
        ``mean((y - p)^2 / variance)``: about 1 when the residual is noise and nothing else.
    held_out
        Log-likelihood of the held-out photons, per voxel, beside one that tells them exactly.
    explained
        How much of them is explained when deblurred, in photons squared per voxel.
    misfit
        Chi-squared of the photons that were kept, with the variance of noise and of the PSF's own
        error, where that is the larger; measured while others are held out.
    residual
        How far the method says it is from its result: 0 there, about 1 at the start.
    terms
        Terms of what the method minimises, by name, where it tells them.
    """

    iteration: int
    seconds: float
    total_intensity: float | None = None
    relative_change: float | None = None
    deviance: float | None = None
    chi_squared: float | None = None
    held_out: float | None = None
    explained: float | None = None
    misfit: float | None = None
    residual: float | None = None
    terms: Mapping[str, float] | None = None


def effective_offset(noise: Noise) -> float:
    """Return the intensity at which the noise would vanish if all of it were that of photons.

    Read noise counts as that many more photons, which come without signal (Snyder et al. 1993).
    """
    return noise.offset - noise.read_noise**2 / noise.gain


def misfit(data: Tensor, prediction: Tensor, floor: Tensor, noise: Noise) -> tuple[float, float]:
    """Return deviance and chi-squared per voxel of ``prediction + floor`` against ``data``."""
    import torch

    deviance = squares = 0.0
    zero = effective_offset(noise)
    if fused.usable(data, (True,)):
        from napari_deconv.operators import fused_statistics

        deviance, squares = fused_statistics.misfit(
            data, prediction, floor, zero=zero, gain=noise.gain, least=LEAST_PHOTONS
        )
        return 2 * deviance / data.numel(), squares / data.numel()
    for y, p, b in slabs(data, prediction, floor):
        model = ((p + (b - zero)) / noise.gain).clamp_(min=LEAST_PHOTONS)
        counts = ((y - zero) / noise.gain).clamp_(min=0)
        deviance += total(torch.xlogy(counts, counts / model) - counts + model)
        squares += total((counts - model).square_().div_(model))
    return 2 * deviance / data.numel(), squares / data.numel()


def held_out_likelihood(
    photons: Tensor, prediction: Tensor, floor: Tensor, noise: Noise, share: float
) -> float:
    """Return the log-likelihood per voxel of held-out photons under a prediction of the whole.

    It is that beside a prediction which tells each voxel's photons exactly.

    Parameters
    ----------
    photons
        Held-out counts.
    prediction, floor
        What is predicted for the image, in its own intensity: their sum.
    noise
        Camera model, of which gain and offset turn intensity into photons.
    share
        Share of the photons that was held out.
    """
    likelihood, zero = 0.0, effective_offset(noise)
    if fused.usable(photons, (True,)):
        from napari_deconv.operators import fused_statistics

        likelihood = fused_statistics.held_out(
            photons,
            prediction,
            floor,
            zero=zero,
            gain=noise.gain / share,
            least=LEAST_PHOTONS,
            least_share=_LEAST_SHARE,
        )
        return likelihood / photons.numel()
    for n, p, b in slabs(photons, prediction, floor):
        model = (p + (b - zero)).mul_(share / noise.gain).clamp_(min=LEAST_PHOTONS)
        # Beside photons told exactly: of many, the differences would drown in rounding.
        exact = n.clamp(min=LEAST_PHOTONS)
        excess = model.sub_(exact)
        told = (excess / exact).clamp_(min=_LEAST_SHARE - 1)
        likelihood += total(told.log1p_().mul_(n).sub_(excess))
    return likelihood / photons.numel()


def uncertain_misfit(
    data: Tensor,
    prediction: Tensor,
    floor: Tensor,
    noise: Noise,
    psf_error: float,
    held_out: float = 0.0,
) -> tuple[float, float]:
    """Return chi-squared per voxel, PSF error allowed for, and the error's share.

    Parameters
    ----------
    data
        The image; without the photons that are held out, scaled to the intensity of all.
    prediction, floor
        What is predicted for it: their sum.
    noise
        Camera model.
    psf_error
        How far the PSF may be wrong, relative to the light.
    held_out
        Share of the photons that is held out.

    Returns
    -------
    float, float
        Chi-squared, with the variance of noise and error together; and the share of that variance,
        summed over all voxels, which is the error's.
    """
    zero = effective_offset(noise)
    if fused.usable(data, (True,)):
        from napari_deconv.operators import fused_statistics

        variances, errors, weights, residuals, squares = fused_statistics.uncertain(
            data,
            prediction,
            floor,
            zero=zero,
            gain=noise.gain,
            least=LEAST_PHOTONS,
            kept=1 - held_out,
            psf_error=psf_error,
        )
    else:
        squares = weights = residuals = variances = errors = 0.0
        for y, p, b in slabs(data, prediction, floor):
            light = (p / noise.gain).clamp_(min=0)
            model = (light + (b - zero) / noise.gain).clamp_(min=LEAST_PHOTONS)
            counts = ((y - zero) / noise.gain).clamp_(min=0)
            error = (psf_error * light).square_()
            # The noise of fewer photons, scaled up to all of them, is the stronger.
            variance = model / (1 - held_out) + error
            variances += total(variance)
            errors += total(error)
            weight = variance.reciprocal_()
            residual = counts - model
            weights += total(weight)
            residuals += total(residual * weight)
            squares += total(residual.square_().mul_(weight))
    # What is missing everywhere alike is haze, which some methods leave out, and no error.
    return (squares - residuals**2 / weights) / data.numel(), errors / variances
