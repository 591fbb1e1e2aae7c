"""Two-photon: a focus so dense that two photons meet in one molecule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from napari_deconv.optics.lasers import excitation_wavelength
from napari_deconv.registry import Advanced, Range, modality

if TYPE_CHECKING:
    from napari_deconv.optics.intensity import Intensity, Light
    from napari_deconv.optics.microscope import Microscope


@modality(
    "two-photon",
    title="Two-photon",
    cites=["Denk, Strickler and Webb 1990, Science 248:73", "Sheppard and Gu 1990, Optik 86:104"],
)
def two_photon(
    microscope: Microscope,
    light: Light,
    *,
    photons: Annotated[int, Range(2, 3), Advanced()] = 2,
) -> Intensity:
    """Scan an infrared focus and collect all light: the square of the excitation.

    ``h = h_ex ** photons``, at the laser's wavelength. There is no pinhole: what is detected is
    counted for the place that was lit, wherever it comes out of the sample.

    Parameters
    ----------
    microscope
        With the laser's wavelength; that of the emission and the pinhole do not enter.
    light
        Of the point.
    photons
        How many photons a molecule takes up at once: 3 for three-photon microscopy.

    Raises
    ------
    ParameterError
        When the microscope has no excitation wavelength.
    """
    laser = excitation_wavelength(microscope, "two-photon", "0.92")
    image: Intensity
    image, *others = light(lasers=[laser] * photons)
    for other in others:
        image = image * other
    return image
