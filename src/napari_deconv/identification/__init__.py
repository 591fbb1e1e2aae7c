"""Blind identification: the PSF and the aberrations of a microscope, found in an image.

``identify(image, ...)`` returns an ``Identification``.
"""

from napari_deconv.identification.identify import identify
from napari_deconv.identification.result import Candidate, Identification

__all__ = ["Candidate", "Identification", "identify"]
