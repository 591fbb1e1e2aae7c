"""Widefield: the whole field is lit, and a camera sees all the light."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deconv.registry import modality

if TYPE_CHECKING:
    from napari_deconv.optics.intensity import Intensity, Light
    from napari_deconv.optics.microscope import Microscope


@modality("widefield", title="Widefield")
def widefield(microscope: Microscope, light: Light) -> Intensity:
    """Light the whole field and take all the light on a camera: the emission alone counts."""
    emission: Intensity
    (emission,) = light(microscope.emission_wavelength)
    return emission
