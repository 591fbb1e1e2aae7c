"""Blind identification: the PSF and the aberrations of a microscope, found in an image.

``identify(image, ...)`` returns an ``Identification``; ``identify_field`` finds PSFs that change,
``identify_stack`` also the sign that a single plane does not tell.
"""

from napari_deconv.identification.identify import identify
from napari_deconv.identification.identify_field import FieldIdentification, identify_field
from napari_deconv.identification.identify_stack import identify_stack
from napari_deconv.identification.result import Candidate, Identification

__all__ = [
    "Candidate",
    "FieldIdentification",
    "Identification",
    "identify",
    "identify_field",
    "identify_stack",
]
