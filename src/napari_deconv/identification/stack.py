"""The sign of the even modes, which a plane in focus cannot tell, from its neighbours in a z-stack.

Aberrations with all even modes negated make the same PSF in focus, and above it that which the
others make below: a stack seen the other way up. So the planes before and after the one in which
aberrations were found have other spectra with one sign than with the other. What the object shows
is the same at all heights as far as it is thin, and is eliminated frequency by frequency.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.identification import spectrum
from napari_deconv.identification.optics import MODES, even_twin
from napari_deconv.optics.microscope import Microscope
from napari_deconv.optics.pupil_field import PupilModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

_SHAPE = (63, 63)
# Planes on each side, at most, and how far away, in depths of field (wavelength n / NA^2).
_AROUND, _FARTHEST = 4, 1.5
# Steps of the object's spectrum and the planes' brightness to their likeliest.
_STEPS = 60
# How many frequencies there are for one that errs by itself: so many that the odds on simulated
# stacks, thick ones among them, seldom speak for the wrong sign.
_ALIKE = 200.0
_FLOOR = 1e-9


def neighbours(count: int, middle: int, step: float, depth: float) -> list[int]:
    """Return the planes that tell the sign: the middle one, and some before and after.

    Parameters
    ----------
    count
        Planes in the stack.
    middle
        The plane in which aberrations were found.
    step, depth
        Distance of planes and depth of field, um.
    """
    reach = math.floor(_FARTHEST * depth / step + 1e-6)
    stride = max(1, math.ceil(reach / _AROUND))
    chosen = range(middle - stride * (reach // stride), middle + reach + 1, stride)
    return [plane for plane in chosen if 0 <= plane < count]


def depth_of_field(numerical_aperture: float, emission_wavelength: float) -> float:
    """Return wavelength n / NA^2, um."""
    return index_for(numerical_aperture) * emission_wavelength / numerical_aperture**2


def index_for(numerical_aperture: float) -> float:
    """Return the index of what the planes are in: it only scales their distance, a little."""
    return 1.33 if numerical_aperture < 1.25 else 1.518


def sign_odds(
    planes: Tensor,
    heights: Sequence[float],
    coefficients: NDArray[np.float64],
    *,
    numerical_aperture: float,
    emission_wavelength: float,
    noise: float | None = None,
    band: float = 0.5,
) -> float:
    """Return the logarithm of the odds that aberrations have the right sign, not their twin.

    Parameters
    ----------
    planes
        Images (n, y, x) at the trained cutoff, with all of the light that the stack shows.
    heights
        Where they are, um; the aberrations are those at 0.
    coefficients
        Aberrations (mode,), waves.
    numerical_aperture, emission_wavelength
        Of the objective, and in vacuum, um.
    noise, band
        As for ``spectrum.spectrum_of``.
    """
    import torch

    side = min(spectrum.SIDE, *planes.shape[-2:])
    power = spectrum.welch(planes.double(), side)
    level = (
        float(np.median([spectrum.noise_level(each, side, band) for each in power.numpy()]))
        if noise is None
        else noise**2
    )
    seen = torch.from_numpy(spectrum.at_disc(power.numpy()))
    index = index_for(numerical_aperture)
    microscope = Microscope(
        numerical_aperture=numerical_aperture,
        emission_wavelength=emission_wavelength,
        immersion_index=index,
        sample_index=index,
    )
    pixel = spectrum.CUTOFF * emission_wavelength / numerical_aperture
    model = PupilModel(
        microscope,
        (len(heights), *_SHAPE),
        (1.0, pixel, pixel),
        z=list(heights),
        indices=MODES,
        pixel_integration=False,
    )
    both = np.stack([coefficients, even_twin(coefficients)])
    through = spectrum.transfer(_SHAPE, side)(model.psf(both)).double()
    ours, twins = (_misfit(seen, each, level) for each in through)
    count = seen.numel() / _ALIKE
    return 0.5 * count * math.log(twins / ours)


def _misfit(seen: Tensor, through: Tensor, noise: float) -> float:
    """Return the sum of squares of what an object's likeliest spectrum leaves of the logarithms.

    Parameters
    ----------
    seen
        Power spectra (plane, n).
    through
        Squares of the OTFs (plane, n).
    noise
        Level of the noise, in units of ``seen``.
    """
    import torch

    floor = _FLOOR * float(seen.mean())
    gain = torch.ones_like(seen[:, :1])
    light = (seen - noise).clamp(min=floor)
    object_ = (light.sum(0) / through.sum(0).clamp(min=_FLOOR)).clamp(min=floor)
    # Of exponential deviates whose mean is light through the OTF, and noise: no step makes the
    # likelihood smaller (Fevotte and Idier 2011).
    for _ in range(_STEPS):
        mean = gain * through * object_ + noise + floor
        up, down = through * gain * seen / mean**2, through * gain / mean
        object_ = object_ * (up.sum(0) / down.sum(0).clamp(min=1e-30)).sqrt()
        mean = gain * through * object_ + noise + floor
        up, down = through * object_ * seen / mean**2, through * object_ / mean
        gain = gain * (up.sum(1, keepdim=True) / down.sum(1, keepdim=True)).sqrt()
    mean = gain * through * object_ + noise + floor
    return float((torch.log(seen.clamp(min=floor)) - torch.log(mean)).square().sum())
