"""Images brought to the trained cutoff, by the cosine transform: nothing is lost below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.errors import InputError, ParameterError
from napari_deconv.identification.spectrum import CUTOFF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Fewest pixels along an axis that say anything, at the trained cutoff.
LEAST = 48
# Above this an image is sampled too coarsely for its own PSF: light beyond Nyquist is folded back.
LARGEST_CUTOFF = 0.25
# Below this hardly a pixel's noise is left after resampling, and what is left is no longer white.
_SMALLEST_CUTOFF = 0.02
# Cutoffs nearer than this to the trained one are taken as they are.
_SAME = 0.01
_ISOTROPIC = 0.02


def cutoff_of(
    cutoff: float | None,
    spacing: Sequence[float] | None,
    numerical_aperture: float | None,
    emission_wavelength: float | None,
) -> tuple[float, bool]:
    """Return the cutoff, cycles per pixel, and whether it had to be assumed.

    Raises
    ------
    ParameterError
        When what is given is not enough, or is no microscope that this works for.
    """
    optics = (spacing, numerical_aperture, emission_wavelength)
    if cutoff is None and all(each is not None for each in optics):
        assert spacing is not None
        assert numerical_aperture is not None
        assert emission_wavelength is not None
        dy, dx = (float(each) for each in list(spacing)[-2:])
        if not (dy > 0 and dx > 0) or abs(dy / dx - 1) > _ISOTROPIC:
            raise ParameterError(
                f"Pixels of {dy:g} x {dx:g} um are not square: resample the image first."
            )
        cutoff = numerical_aperture * (dy * dx) ** 0.5 / emission_wavelength
    elif cutoff is None and (numerical_aperture is not None or emission_wavelength is not None):
        raise ParameterError(
            "Give spacing, numerical_aperture and emission_wavelength together (or the cutoff, "
            "NA * pixel / wavelength, alone)."
        )
    if cutoff is None:
        return CUTOFF, True
    if not cutoff > 0:
        raise ParameterError(f"cutoff is {cutoff:g}, but has to be above 0.")
    if cutoff > LARGEST_CUTOFF:
        raise ParameterError(
            f"The pixels are too large to see the PSF: NA * pixel / wavelength is {cutoff:.3g}, "
            f"and above {LARGEST_CUTOFF} the finest light is lost between pixels. Take images "
            "with smaller pixels, or check pixel size, NA and wavelength."
        )
    if cutoff < _SMALLEST_CUTOFF:
        raise ParameterError(
            f"The image is oversampled {CUTOFF / cutoff:.0f} times (NA * pixel / wavelength is "
            f"{cutoff:.3g}): bin its pixels first, or check pixel size, NA and wavelength."
        )
    return float(cutoff), False


def to_trained(planes: NDArray[np.float64], cutoff: float) -> tuple[NDArray[np.float64], float]:
    """Return planes (..., y, x) at the trained cutoff, and how many new pixels an old one became.

    White noise of standard deviation s has the spectrum ``(s * pixels)**2`` afterwards, up to the
    frequency ``0.5 / pixels``.

    Raises
    ------
    InputError
        When too few pixels are left.
    """
    from scipy.fft import dctn, idctn

    factor = cutoff / CUTOFF
    if abs(factor - 1) < _SAME:
        factor = 1.0
    old = planes.shape[-2:]
    new = (round(old[0] * factor), round(old[1] * factor))
    if min(new) < LEAST:
        left = f", of which {new[0]} x {new[1]} say something at this sampling" * (factor < 1)
        raise InputError(
            f"The image has {old[0]} x {old[1]} pixels{left}; at least {LEAST} along each axis are "
            "needed to see a PSF."
        )
    if new == old:
        return planes, 1.0
    spectrum = dctn(planes, axes=(-2, -1), norm="forward")
    kept = tuple(slice(min(a, b)) for a, b in zip(old, new, strict=True))
    made = np.zeros((*planes.shape[:-2], *new))
    made[..., kept[0], kept[1]] = spectrum[..., kept[0], kept[1]]
    return idctn(made, axes=(-2, -1), norm="forward"), factor
