"""Light sheet: a sheet of laser light from the side, and a camera."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import numpy as np

from napari_deconv.optics.lasers import excitation_wavelength
from napari_deconv.registry import Advanced, Range, Unit, modality

if TYPE_CHECKING:
    from napari_deconv.optics.intensity import Intensity, Light
    from napari_deconv.optics.microscope import Microscope

# A Gaussian sheet holds all frequencies; finer than this the contrast is below 1 %.
CONTRAST = 0.01


@modality(
    "light-sheet",
    title="Light sheet",
    cites=["Huisken et al. 2004, Science 305:1007", "Siegman 1986, Lasers"],
)
def light_sheet(
    microscope: Microscope,
    light: Light,
    *,
    sheet_aperture: Annotated[float, Range(0.005, 1.0)] = 0.05,
    waist: Annotated[float, Range(0.1, 100.0), Unit("um")] | None = None,
    offset: Annotated[float, Range(-100.0, 100.0), Unit("um"), Advanced()] = 0.0,
    distance: Annotated[float, Range(0.0, 10000.0), Unit("um"), Advanced()] = 0.0,
) -> Intensity:
    """Light one plane from the side: the emission, where the sheet is.

    ``h = h_em * exp(-2 (z - offset)**2 / w**2)`` with the half thickness ``w = waist
    sqrt(1 + (distance / z_R)**2)`` and ``z_R = pi sample_index waist**2 / excitation_wavelength``:
    a Gaussian beam, thinnest at its waist. The sheet keeps its place relative to the objective,
    and z counts from where the emission is brightest.

    Parameters
    ----------
    microscope
        With the laser's wavelength; the pinhole does not enter.
    light
        Of the point.
    sheet_aperture
        Numerical aperture of the illumination: ``waist = excitation_wavelength / (pi NA)``, at
        0.05 and 0.488 um a sheet of 3.7 um (full width at half maximum).
    waist
        Half thickness of the sheet where it is thinnest, from its middle to where the intensity
        is 13.5 % (1/e**2); the full width at half maximum is 1.18 times as much. Empty: from the
        sheet's aperture.
    offset
        How far the middle of the sheet is from the plane that the objective sees sharply.
        Positive is deeper.
    distance
        How far from the waist, along the sheet, the point lies.

    Raises
    ------
    ParameterError
        When the microscope has no excitation wavelength.
    """
    laser = excitation_wavelength(microscope, "light sheet")
    thinnest = laser / (math.pi * sheet_aperture) if waist is None else waist
    rayleigh = math.pi * microscope.sample_index * thinnest**2 / laser
    width = thinnest * math.hypot(1.0, distance / rayleigh)
    # The sheet's transfer function is exp(-(pi w f)**2 / 2).
    finest = math.sqrt(-2 * math.log(CONTRAST)) / (math.pi * width)
    (emission,) = light(microscope.emission_wavelength, axial_frequency=finest)
    sheet = np.exp(-2 * ((light.z - light.focus - offset) / width) ** 2)
    image: Intensity = emission.weighted(sheet)
    return image
