"""What modalities that light the sample with a laser ask of the microscope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deconv.errors import ParameterError

if TYPE_CHECKING:
    from napari_deconv.optics.microscope import Microscope


def excitation_wavelength(microscope: Microscope, modality: str, example: str = "0.488") -> float:
    """Return the laser's wavelength, um.

    Raises
    ------
    ParameterError
        When the microscope has none.
    """
    if microscope.excitation_wavelength is None:
        raise ParameterError(
            f"A {modality} PSF needs the laser's wavelength: set excitation_wavelength, "
            f"for instance {example} (um)."
        )
    return microscope.excitation_wavelength
