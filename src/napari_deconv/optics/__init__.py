"""The microscope and the image it makes of a point."""

from napari_deconv.optics.generate import focal_shift, generate_psf, suggest_shape
from napari_deconv.optics.microscope import Microscope

__all__ = ["Microscope", "focal_shift", "generate_psf", "suggest_shape"]
