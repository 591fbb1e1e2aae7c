"""Powers of noise and object at each frequency, and the weights that follow from them.

The Wiener filter is their ratio. For a filter of another shape, the weight with the least expected
error follows from them in closed form. Cross-validation asks for less, and knows less: it finds the
weight that predicts the *image* best, while an object may be full of noise that its image does not
show; and it takes what shines in from beyond the border for a signal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.methods._rehearsal import rehearse
from napari_deconv.operators.slabs import slabs, total
from napari_deconv.operators.spectra import gather, highest, penalty_power, squared_frequency

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.methods._rehearsal import Rehearsal
    from napari_deconv.operators.convolution import Convolution
    from napari_deconv.operators.spectra import Penalty
    from napari_deconv.registry import Chosen

# How far a direct filter sees, in sizes of the PSF.
HALO = 1.5
# Shells of frequencies in an octave, and most of them in all.
_PER_OCTAVE, _MOST = 2, 40
# Fewest frequencies of which a mean power is taken.
_FEW = 8


@dataclass(frozen=True)
class Powers:
    """Powers at the highest frequency and every half octave below it.

    Attributes
    ----------
    noise
        Of the camera's noise, and of what the borders hide.
    signal
        Of the object; it does not rise with the frequency.
    """

    noise: NDArray[np.float64]
    signal: NDArray[np.float64]


def least_error(
    data: Tensor, blur: Convolution, penalty: Penalty, lower: float, upper: float
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
    """
    import torch

    rehearsal = rehearse(data, blur)
    blur, hidden = rehearsal.blur, _hidden(rehearsal)
    weighed = penalty_power(blur, penalty)
    transfer = blur.otf.abs().square_().maximum(1e-14 * weighed).clamp_(min=1e-30)
    inside = _within(hidden, blur)
    signal = on_grid(_powers(rehearsal, inside, inside, torch.ones_like(inside)).signal, blur)
    mean = (0,) * signal.ndim
    # What is known of the mean is its power; the Laplacian leaves it alone.
    signal[mean] = blur.spectrum(rehearsal.data)[mean].abs() ** 2 if penalty == "identity" else 0
    white = transfer.reciprocal().mul_(rehearsal.noise * math.prod(blur.grid))
    ratio, taken, passed, whole = gather(blur, weighed, signal, white, signal)
    let_in = _let_in(hidden, blur, weighed, lower, upper)

    def score(weight: float) -> float:
        share = weight * ratio
        error = float(((share.square() * taken + passed) / (1 + share).square()).sum())
        error = max(error + let_in(weight), 1e-300)
        return 10 * math.log10(max(float(whole.sum()), 1e-300) / error)

    return highest(score, lower, upper, "expected signal to noise, in dB")


def measure(rehearsal: Rehearsal) -> Powers:
    """Measure the powers on a region of an image and its stand-in.

    In a shell of frequencies the object's power is the least-squares fit of ``|H|^2 S_x`` to what
    the image has beyond noise. Noise is white, and besides it is what the borders hide. Most of
    that lies in the margin beyond them, where it harms nothing; so it is looked at within the
    image, once it has passed the filter that follows when all of it is counted.
    """
    import torch

    blur, hidden = rehearsal.blur, _hidden(rehearsal)
    power = hidden.abs().square_()
    powers = _powers(rehearsal, power, power, torch.ones_like(power))
    transfer = blur.otf.abs().square_()
    gain = on_grid(powers.noise / powers.signal, blur).add_(transfer).reciprocal_()
    passed = _within(hidden * blur.otf.conj() * gain, blur)
    return _powers(rehearsal, power, passed, gain.square_().mul_(transfer))


def _hidden(rehearsal: Rehearsal) -> Tensor:
    """Return the spectrum of what the borders hide.

    It is what the stand-in's image has and a filter that knows no border cannot explain.
    """
    blur, stand_in = rehearsal.blur, rehearsal.stand_in
    explained = blur.spectrum(blur.crop(stand_in)) * blur.otf
    return blur.spectrum(blur(stand_in)) - explained


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


def _powers(rehearsal: Rehearsal, hidden: Tensor, passed: Tensor, gain: Tensor) -> Powers:
    """Return the powers when that of what is hidden is known, and what of it passes a filter.

    ``gain`` is what the filter makes of a power of 1.
    """
    data, blur = rehearsal.data, rehearsal.blur
    white = rehearsal.noise * math.prod(blur.grid)
    transfer = blur.otf.abs().square_()
    signal = blur.spectrum(data).abs().square_().sub_(white).sub_(hidden).mul_(transfer)
    shell = _shells(blur)
    shells = np.unique(shell)

    def sums(values: Tensor) -> NDArray[np.float64]:
        each = np.bincount(shell, values.flatten()[1:].cpu().double().numpy())
        return np.asarray(each[shells])

    noise = white + sums(passed) / sums(gain).clip(min=1e-300)
    found, fit = sums(signal), sums(transfer.square()).clip(min=1e-300)
    # What cannot be told from nothing may be as much as noise leaves by chance. From coarse to fine
    # the power may only fall: much of it where hardly anything is transmitted is no evidence.
    power = np.maximum(found, noise * np.sqrt(fit)) / fit
    power = np.minimum.accumulate(power[::-1])[::-1]

    def everywhere(values: NDArray[np.float64]) -> NDArray[np.float64]:
        logarithm = np.interp(np.arange(shells[-1] + 1), shells, np.log(values))
        return np.asarray(np.exp(logarithm))

    return Powers(everywhere(noise), everywhere(power))


def on_grid(profile: Sequence[float] | NDArray[np.float64], blur: Convolution) -> Tensor:
    """Return the values between those of a profile at each frequency of the half spectrum."""
    import torch

    steps = _steps_below(blur).clamp_(max=len(profile) - 1)
    values = torch.tensor(profile, dtype=torch.float64).clamp_(1e-300).log_()
    logarithm = values.to(blur.dtype).to(blur.device)
    # Slab by slab, since places are whole numbers of eight bytes.
    for (part,) in slabs(steps):
        below = part.long().clamp_(max=max(len(profile) - 2, 0))
        above = (below + 1).clamp_(max=len(profile) - 1)
        part.copy_(torch.lerp(logarithm[below], logarithm[above], part - below).exp_())
    return steps


def _shells(blur: Convolution) -> NDArray[np.int64]:
    """Return the shell of each frequency of the half spectrum, but for the mean.

    Waves longer than the filter's reach count as such: what differs among them would not fit a
    tile. Too few of them do not tell a power either.
    """
    place = _steps_below(blur).flatten()[1:].round_().clamp_(max=_MOST)
    shell = place.cpu().numpy().astype(np.int64)
    psf_size = max(n * spacing for n, spacing in zip(blur.psf_shape, blur.spacing, strict=True))
    longest = 2 * HALO * psf_size / min(blur.spacing)
    last = round(_PER_OCTAVE * math.log2(_highest(blur) * longest / (2 * math.pi)))
    coarser = np.bincount(shell)[::-1].cumsum()[::-1]
    enough = np.flatnonzero(coarser >= min(_FEW, shell.size))[-1]
    return np.minimum(shell, min(last, enough))


def _steps_below(blur: Convolution) -> Tensor:
    """Return how far below the highest frequency each one is; infinitely far for the mean."""
    octaves = (_highest(blur) ** 2 / squared_frequency(blur)).log2_().mul_(0.5)
    return octaves.mul_(_PER_OCTAVE)


def _highest(blur: Convolution) -> float:
    """Return the highest frequency, in radians per finest voxel."""
    finest = min(blur.spacing)
    return math.pi * math.hypot(*(finest / spacing for spacing in blur.spacing))
