"""Confocal: a scanned focus lights the sample, a pinhole sees its light."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deconv.optics.lasers import excitation_wavelength
from napari_deconv.registry import modality

if TYPE_CHECKING:
    from napari_deconv.optics.intensity import Intensity, Light
    from napari_deconv.optics.microscope import Microscope


@modality(
    "confocal", title="Confocal", cites=["Sheppard 1986, Optik 72:131", "Wilson and Sheppard 1984"]
)
def confocal(microscope: Microscope, light: Light) -> Intensity:
    """Scan a laser focus and look through a pinhole: being lit times being seen.

    ``h = h_ex * (h_em (x) disc)``: the intensity of the excitation, times that of the emission
    averaged over the pinhole, whose radius in the sample is ``0.61 pinhole emission_wavelength
    / NA``.

    Raises
    ------
    ParameterError
        When the microscope has no excitation wavelength.
    """
    laser = excitation_wavelength(microscope, "confocal")
    radius = microscope.pinhole * microscope.airy_unit / 2
    excitation, emission = light(microscope.emission_wavelength, lasers=[laser], margin=radius)
    image: Intensity = excitation * emission.blur_disc(radius)
    return image
