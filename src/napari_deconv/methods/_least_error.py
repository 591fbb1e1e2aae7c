"""The weights of direct filters that follow from the powers of noise and object.

The Wiener filter is their ratio. For a filter of another shape, the weight with the least expected
error follows from them in closed form. Cross-validation asks for less, and knows less: it finds the
weight that predicts the *image* best, while an object may be full of noise that its image does not
show; and it takes what shines in from beyond the border for a signal.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.methods._powers import object_power
from napari_deconv.methods._rehearsal import rehearse
from napari_deconv.methods._shells import Shells, on_grid
from napari_deconv.operators.slabs import total
from napari_deconv.operators.spectra import gather, highest, penalty_power

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.methods._rehearsal import Rehearsal
    from napari_deconv.operators.convolution import Convolution
    from napari_deconv.operators.spectra import Penalty
    from napari_deconv.registry import Chosen


def least_error(
    data: Tensor,
    blur: Convolution,
    penalty: Penalty,
    lower: float,
    upper: float,
    psf_error: float,
) -> Chosen:
    r"""Return the weight with the least expected error of a quadratic filter.

    .. math:: E(\lambda) = \sum_\omega
              \frac{(\lambda |L|^2)^2 S_x + |H|^2 S_n}{(|H|^2 + \lambda |L|^2)^2} + B(\lambda)

    the object's power that the filter takes away, the camera's noise that it lets through, and
    what it makes, within the image, of the light that the borders hide.

    Parameters
    ----------
    data, blur
        Image and forward model, of which a typical region is looked at.
    penalty
        What the weight weighs.
    lower, upper
        Bounds of the weight.
    psf_error
        How far the PSF may be wrong; unless it is exact, what is left unexplained is noise as well.
    """
    rehearsal = rehearse(data, blur)
    data, blur = rehearsal.data, rehearsal.blur
    weighed = penalty_power(blur, penalty)
    transfer = blur.otf.abs().square_().maximum(1e-14 * weighed).clamp_(min=1e-30)
    signal = on_grid(object_power(data, blur), blur)
    mean = (0,) * signal.ndim
    # What is known of the mean is its power; the Laplacian leaves it alone.
    signal[mean] = blur.spectrum(data)[mean].abs() ** 2 if penalty == "identity" else 0
    white = transfer.reciprocal().mul_(_white(rehearsal, psf_error))
    ratio, taken, passed, whole = gather(blur, weighed, signal, white, signal)
    let_in = _let_in(_hidden(rehearsal), blur, weighed, lower, upper)

    def score(weight: float) -> float:
        share = weight * ratio
        error = float(((share.square() * taken + passed) / (1 + share).square()).sum())
        error = max(error + let_in(weight), 1e-300)
        return 10 * math.log10(max(float(whole.sum()), 1e-300) / error)

    return highest(score, lower, upper, "expected signal to noise, in dB")


def ratios(data: Tensor, blur: Convolution, psf_error: float) -> NDArray[np.float64]:
    """Return noise over signal at the highest frequency and at each step below it.

    Noise is white, and besides it is what the borders hide. Most of that lies in the margin beyond
    them, where it harms nothing; so it is looked at within the image, once it has passed the filter
    that follows when all of it is counted.
    """
    import torch

    rehearsal = rehearse(data, blur)
    blur, shells = rehearsal.blur, Shells(rehearsal.blur)
    white = _white(rehearsal, psf_error)
    signal = object_power(rehearsal.data, blur)
    hidden, transfer = _hidden(rehearsal), blur.otf.abs().square_()
    all_of_it = shells.sums(hidden.abs().square_()) / shells.sums(torch.ones_like(transfer))
    gain = on_grid((white + shells.profile(all_of_it.clip(min=1e-300))) / signal, blur)
    gain.add_(transfer).reciprocal_()
    passed = shells.sums(_within(hidden.mul_(blur.otf.conj()).mul_(gain.to(hidden.dtype)), blur))
    passed /= shells.sums(gain.square_().mul_(transfer)).clip(min=1e-300)
    return (white + shells.profile(passed.clip(min=1e-300))) / signal


def _white(rehearsal: Rehearsal, psf_error: float) -> float:
    """Return the power of noise, and of what a PSF that is not quite right leaves unexplained.

    Of hollow bars that is 40 times the noise: Tikhonov's filter gains 0.4 dB.
    """
    left = total((rehearsal.prediction - rehearsal.data).square_()) / rehearsal.data.numel()
    variance = max(rehearsal.noise, left) if psf_error else rehearsal.noise
    return variance * math.prod(rehearsal.blur.grid)


def _hidden(rehearsal: Rehearsal) -> Tensor:
    """Return the spectrum of what the borders hide.

    It is what the stand-in's image has and a filter that knows no border cannot explain.
    """
    blur = rehearsal.blur
    explained = blur.spectrum(blur.crop(rehearsal.stand_in)) * blur.otf
    return blur.spectrum(rehearsal.prediction) - explained


def _within(spectrum: Tensor, blur: Convolution) -> Tensor:
    """Return the power that a spectrum has within the image, as if all of the grid were so."""
    import torch

    inside = blur.crop(blur.from_spectrum(spectrum))
    power: Tensor = torch.fft.rfftn(inside, s=blur.grid).abs().square_()
    return power.mul_(math.prod(blur.grid) / inside.numel())


def _let_in(
    hidden: Tensor, blur: Convolution, weighed: Tensor, lower: float, upper: float
) -> Callable[[float], float]:
    """Return, for any weight, the energy within the filtered image of what the borders hide.

    It is found for two weights in a decade; between them its logarithm is smooth.
    """
    import torch
    from scipy.interpolate import PchipInterpolator

    low, high = math.log10(lower), math.log10(upper)
    places = np.linspace(low, high, 1 + math.ceil(2 * (high - low)))
    passed, transfer = hidden * blur.otf.conj(), blur.otf.abs().square_()
    scale = math.prod(blur.grid) ** 2 / math.prod(blur.data_shape)
    energies = []
    for place in places:
        gain = torch.add(transfer, weighed, alpha=10**place).clamp_(min=1e-30).reciprocal_()
        inside = blur.crop(blur.from_spectrum(passed * gain))
        # Squares of what next to no weight lets through may be beyond float32.
        size = max(float(inside.abs().max()), 1e-30)
        energies.append(total(inside.div_(size).square_()) * size**2 * scale)
    logarithm = PchipInterpolator(places, np.log(np.maximum(energies, 1e-300)))
    return lambda weight: math.exp(float(logarithm(math.log10(weight))))
