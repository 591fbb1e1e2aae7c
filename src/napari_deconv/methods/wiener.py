"""The Wiener filter, with one ratio of noise to signal or one for each frequency."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from napari_deconv.methods._rehearsal import rehearse
from napari_deconv.operators.spectra import regularised_inverse, squared_frequency
from napari_deconv.registry import Advanced, Auto, Range, method

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.methods._rehearsal import Rehearsal
    from napari_deconv.operators.convolution import Convolution

# Steps of a measured spectrum in an octave of frequency.
_PER_OCTAVE = 2
# Ratio of noise to signal where nothing but noise was found.
_ONLY_NOISE = 1e6


def _spectrum(data: None, blur: None, parameters: Mapping[str, Any]) -> str:
    """Return "constant" for a ratio that somebody gives, as in a textbook."""
    del data, blur
    return "radial" if parameters["noise_to_signal"] == "auto" else "constant"


def _profile(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> tuple[float, ...]:
    return _measured(rehearse(data, blur)) if parameters["spectrum"] == "radial" else (1.0,)


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
    halo=1.5,
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
    """
    import torch

    if spectrum == "radial":
        penalty = _on_grid([float(ratio) for ratio in profile], blur)
    else:
        penalty = torch.ones((), dtype=data.dtype, device=data.device)
    return regularised_inverse(data, blur, penalty, float(noise_to_signal))


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

    shell = _steps_below(blur).round_().flatten().cpu().numpy().astype(int)
    shells = np.unique(shell)[:-1]  # the last one is the mean

    def total(values: Tensor) -> NDArray[np.float64]:
        sums = np.bincount(shell, values.flatten().cpu().double().numpy())
        return np.asarray(sums[shells])

    noise = white + total(hidden) / np.bincount(shell)[shells]
    power = total(signal) / total(transfer.square()).clip(min=1e-300)
    seen = power > 0
    if not seen.any():
        return (_ONLY_NOISE,)
    # From coarse to fine it may only fall: what is divided by hardly any transfer is no evidence.
    power = np.interp(shells, shells[seen], np.log(power[seen]))
    power = np.exp(np.minimum.accumulate(power[::-1])[::-1])
    ratio = np.interp(np.arange(shells[-1] + 1), shells, np.log(noise / power))
    return tuple(float(r) for r in np.exp(ratio))


def _on_grid(profile: Sequence[float], blur: Convolution) -> Tensor:
    """Return a profile's ratio at each frequency of the half spectrum; zero for the mean."""
    import torch

    steps = _steps_below(blur).clamp_(max=len(profile) - 1)
    logarithm = torch.tensor(profile, dtype=blur.dtype, device=blur.device).clamp_(1e-30).log_()
    below = steps.long().clamp_(max=max(len(profile) - 2, 0))
    above = (below + 1).clamp_(max=len(profile) - 1)
    ratio = torch.lerp(logarithm[below], logarithm[above], steps - below).exp_()
    ratio[(0,) * ratio.ndim] = 0
    return ratio


def _steps_below(blur: Convolution) -> Tensor:
    """Return how far below the highest frequency each one is; the mean lies one step farther."""
    square = squared_frequency(blur)
    finest = min(blur.spacing)
    highest = sum((math.pi * finest / s) ** 2 for s in blur.spacing)
    octaves = (highest / square).log2_().mul_(0.5)
    octaves[(0,) * octaves.ndim] = 0
    octaves[(0,) * octaves.ndim] = octaves.max() + 1
    return octaves.mul_(_PER_OCTAVE)
