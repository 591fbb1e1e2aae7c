"""The Wiener filter, with one ratio of noise to signal or one for each frequency."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from napari_deconv.methods._rehearsal import rehearse
from napari_deconv.operators.slabs import total
from napari_deconv.operators.spectra import penalty_power, regularised_inverse, squared_frequency
from napari_deconv.registry import Advanced, Auto, Range, Unit, method

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.methods._rehearsal import Rehearsal
    from napari_deconv.operators.convolution import Convolution

# How far the filter sees, in sizes of the PSF.
_HALO = 1.5
# Steps of a measured spectrum in an octave of frequency.
_PER_OCTAVE = 2


def _spectrum(data: None, blur: None, parameters: Mapping[str, Any]) -> str:
    """Return "constant" for a ratio that somebody gives, as in a textbook."""
    del data, blur
    return "radial" if parameters["noise_to_signal"] == "auto" else "constant"


def _profile(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> tuple[float, ...]:
    return _measured(rehearse(data, blur)) if parameters["spectrum"] == "radial" else (1.0,)


def _level(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> float:
    del blur, parameters
    return total(data) / data.numel()


def _ratio(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> float:
    if parameters["spectrum"] == "radial":
        return 1.0
    return rehearse(data, blur).choose(
        lambda image, model, ratio: wiener(image, model, noise_to_signal=ratio),
        "identity",
        1e-12,
        1e3,
    )


@method(
    "wiener",
    title="Wiener filter",
    group="fast",
    cites=["Wiener 1949", "Wu 1986, doi:10.1214/aos/1176350142"],
    halo=_HALO,
    arrays=lambda _: (1.5, 0.0),
)
def wiener(
    data: Tensor,
    blur: Convolution,
    *,
    spectrum: Annotated[
        Literal["auto", "radial", "constant"], Auto(_spectrum, needs_data=False)
    ] = "auto",
    noise_to_signal: Annotated[
        float | Literal["auto"], Range(1e-12, 1e3, logarithmic=True), Auto(_ratio)
    ] = "auto",
    profile: Annotated[
        tuple[float, ...] | Literal["auto"], Range(0), Auto(_profile), Advanced()
    ] = "auto",
    level: Annotated[float | Literal["auto"], Unit("counts"), Auto(_level), Advanced()] = "auto",
) -> Tensor:
    r"""For a quick, linear first look: start here before anything that takes steps.

    .. math:: \hat x = \frac{\bar H}{|H|^2 + S_n/S_x} \, \hat y

    Parameters
    ----------
    data
        Image y.
    blur
        Convolution H, by its spectrum; the image is continued smoothly beyond its borders.
    spectrum
        Measure the ratio at each frequency on the image, averaged over directions, or take one
        ratio for all. A measured one keeps the mean and coarse structures as bright as they are.
        Automatic measures, unless a ratio is given.
    noise_to_signal
        Power of the noise over that of the object, :math:`S_n/S_x`, or, where that is measured at
        each frequency, a factor on it: larger is smoother. Automatic takes what is measured, or
        finds the one ratio for all frequencies in a rehearsal.
    profile
        The ratio of a radial spectrum at the highest frequency and at every half octave below it.
        Automatic measures it: the object's power from what the image has beyond noise, and in the
        noise, beside the camera's, what the borders hide.
    level
        Intensity about which the object varies, where the spectrum is radial; automatic takes the
        image's mean, which the result then has as well.
    """
    if spectrum == "radial":
        ratio = _on_grid([float(each) for each in profile], blur)
        found = regularised_inverse(data, blur, ratio, float(noise_to_signal))
        lost = float(noise_to_signal) * float(ratio[(0,) * ratio.ndim])
        return found.add_(float(level) * lost / (1 + lost))
    one = penalty_power(blur, "identity")
    return regularised_inverse(data, blur, one, float(noise_to_signal))


def _measured(rehearsal: Rehearsal) -> tuple[float, ...]:
    """Return the noise-to-signal ratio at the highest frequency and each half octave below.

    The object's power in a shell of frequencies is the least-squares fit of ``|H|^2 S_x`` to what
    the image has beyond noise; it may not rise with the frequency. Noise is white, and besides it
    is what the stand-in's image has in that shell and a filter that knows no border cannot explain.
    """
    data, blur, stand_in = rehearsal.data, rehearsal.blur, rehearsal.stand_in
    explained = blur.spectrum(blur.crop(stand_in)) * blur.otf
    hidden = (blur.spectrum(blur(stand_in)) - explained).abs().square_()
    white = rehearsal.noise * math.prod(blur.grid)
    transfer = blur.otf.abs().square_()
    signal = blur.spectrum(data).abs().square_().sub_(white).sub_(hidden).mul_(transfer)

    # Waves longer than the filter's reach count as such: what differs among them would not fit a
    # tile. The mean is left out.
    psf_size = max(n * spacing for n, spacing in zip(blur.psf_shape, blur.spacing, strict=True))
    longest = 2 * _HALO * psf_size / min(blur.spacing)
    last = round(_PER_OCTAVE * math.log2(_highest(blur) * longest / (2 * math.pi)))
    shell = _steps_below(blur).round_().clamp_(max=last).flatten()[1:].cpu().numpy().astype(int)
    shells = np.unique(shell)

    def sums(values: Tensor) -> NDArray[np.float64]:
        each = np.bincount(shell, values.flatten()[1:].cpu().double().numpy())
        return np.asarray(each[shells])

    noise = white + sums(hidden) / np.bincount(shell)[shells]
    found, fit = sums(signal), sums(transfer.square()).clip(min=1e-300)
    # What cannot be told from nothing may be as much as noise leaves by chance. From coarse to fine
    # the power may only fall: much of it where hardly anything is transmitted is no evidence.
    power = np.maximum(found, noise * np.sqrt(fit) + 1.0 * sums(hidden * transfer)) / fit
    power = np.minimum.accumulate(power[::-1])[::-1]
    ratio = np.interp(np.arange(shells[-1] + 1), shells, np.log(noise / power))
    return tuple(float(r) for r in np.exp(ratio))


def _on_grid(profile: Sequence[float], blur: Convolution) -> Tensor:
    """Return a profile's ratio at each frequency of the half spectrum."""
    import torch

    steps = _steps_below(blur).clamp_(max=len(profile) - 1)
    logarithm = torch.tensor(profile, dtype=blur.dtype, device=blur.device).clamp_(1e-30).log_()
    below = steps.long().clamp_(max=max(len(profile) - 2, 0))
    above = (below + 1).clamp_(max=len(profile) - 1)
    return torch.lerp(logarithm[below], logarithm[above], steps - below).exp_()


def _steps_below(blur: Convolution) -> Tensor:
    """Return how far below the highest frequency each one is; infinitely far for the mean."""
    octaves = (_highest(blur) ** 2 / squared_frequency(blur)).log2_().mul_(0.5)
    return octaves.mul_(_PER_OCTAVE)


def _highest(blur: Convolution) -> float:
    """Return the highest frequency, in radians per finest voxel."""
    finest = min(blur.spacing)
    return math.pi * math.hypot(*(finest / spacing for spacing in blur.spacing))
