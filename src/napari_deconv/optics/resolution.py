"""How fine a microscope resolves, and how finely its image has to be recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.optics.instrument import Instrument

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_deconv.optics.microscope import Microscope

FINENESS = 32  # samples per finest period, from which a width is read


def nyquist_spacing(
    microscope: Microscope,
    modality: str = "widefield",
    *,
    model: str = "gibson-lanni",
    **parameters: Any,
) -> tuple[float, float, float]:
    """Return the largest voxel (z, y, x), um, that records all the microscope transmits.

    Half the finest period that the image can hold: widefield ``wavelength / (4 NA)`` laterally
    and ``wavelength / (2 (n - sqrt(n**2 - NA**2)))`` axially (Sheppard 1986, Optik 72:131); where
    a modality multiplies intensities, their frequencies add, so confocal is about half of that.
    A light sheet, a Gaussian along z, adds the frequency at which its contrast falls to 1 %.

    Parameters
    ----------
    microscope, modality, model, **parameters
        As for ``generate_psf``.
    """
    instrument = Instrument(microscope, model, modality, **parameters)
    lateral = instrument.lateral_period() / 2
    return instrument.axial_period() / 2, lateral, lateral


def expected_fwhm(
    microscope: Microscope,
    *,
    model: str = "gibson-lanni",
    modality: str = "widefield",
    **parameters: Any,
) -> tuple[float, float, float]:
    """Return the full widths at half maximum (z, y, x), um, through the peak of the PSF.

    Measured on the PSF itself, aberrations included, before pixels widen it. Without aberration,
    widefield, it is ``0.5145 wavelength / NA`` laterally and ``0.89`` (NA 0.3) to ``0.94`` (oil,
    NA 1.45) times ``wavelength / (n - sqrt(n**2 - NA**2))`` axially.

    Parameters
    ----------
    microscope, model, modality, **parameters
        As for ``generate_psf``.
    """
    instrument = Instrument(microscope, model, modality, **parameters)
    focus = instrument.focus()

    def along(z: NDArray[np.float64]) -> NDArray[np.float64]:
        return instrument.on_axis(focus + z)

    def across(shape: tuple[int, int], step: float) -> NDArray[np.float32]:
        intensity = instrument.intensity(np.array([focus]), step * max(shape))
        return intensity.voxels(shape, (step, step), integrate=False).ravel()

    step = instrument.lateral_period() / FINENESS
    return (
        _width(along, instrument.axial_period() / FINENESS),
        _width(lambda y: across((y.size, 1), step), step),
        _width(lambda x: across((1, x.size), step), step),
    )


def width(places: NDArray[np.float64], values: NDArray[Any]) -> float | None:
    """Return the width at half maximum of a profile around its middle; None if it is wider.

    Parameters
    ----------
    places
        An odd number of them, um, 0 in the middle.
    values
        There.
    """
    from scipy.interpolate import CubicSpline

    half = float(values[places.size // 2]) / 2
    crossings = CubicSpline(places, np.asarray(values, np.float64) - half).roots(extrapolate=False)
    below, above = crossings[crossings < 0], crossings[crossings > 0]
    return float(above.min() - below.max()) if below.size and above.size else None


def _width(profile: Callable[[NDArray[np.float64]], NDArray[Any]], step: float) -> float:
    """Return the width at half maximum around 0 of a profile, looking as far out as it takes."""
    half = FINENESS
    while True:
        places = step * np.arange(-half, half + 1, dtype=np.float64)
        found = width(places, profile(places))
        if found is not None:
            return found
        half *= 2
