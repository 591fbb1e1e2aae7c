"""Blind identification: the PSF and the aberrations of a microscope, found in an image.

``identify(image, ...)`` returns an ``Identification``.
"""

from napari_deconv.identification.identify import identify
from napari_deconv.identification.result import Candidate, Identification

# As it is called among all the names of the package.
__all__ = ["Candidate", "Identification", "identify"]
