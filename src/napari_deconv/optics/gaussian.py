"""A Gaussian that curves like the diffraction pattern at its peak (Zhang et al. 2007)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from napari_deconv.optics.radial import Radial, radii
from napari_deconv.registry import Advanced, psf_model

if TYPE_CHECKING:
    from napari_deconv.optics.intensity import Sampling
    from napari_deconv.optics.microscope import Microscope


@psf_model(
    "gaussian", title="Gaussian", cites=["Zhang, Zerubia and Olivo-Marin 2007, Appl. Opt. 46:1819"]
)
def gaussian(
    microscope: Microscope,
    wavelength: float,
    sampling: Sampling,
    *,
    approximation: Annotated[Literal["auto", "paraxial", "nonparaxial"], Advanced()] = "auto",
) -> Radial:
    """Approximate the PSF simply: no rings, no cone of blur above and below, no aberration.

    Its widths are such that the peak is as sharp as that of the unaberrated diffraction pattern:
    with the wave number ``k = 2 pi / wavelength`` and the refractive index n of the immersion,
    ``sigma_xy = sqrt(2) / (k NA)`` and ``sigma_z = 2 sqrt(6) n / (k NA**2)`` for small angles;
    else ``sigma_xy = 1 / (k n sqrt(<sin(t)**2>))`` and ``sigma_z = 1 / (k n sqrt(2 var(cos(t))))``,
    over the angles t of the cone with the weight ``sqrt(cos(t)) sin(t)``.

    Parameters
    ----------
    microscope
        NA and immersion index; depth, sample index and coverslip do not enter.
    wavelength
        In vacuum, um.
    sampling
        Where the intensity is wanted.
    approximation
        Small angles (paraxial) or all angles (nonparaxial); "auto" takes the latter from NA 0.7
        on.

    Returns
    -------
    Radial
        With peak 1.
    """
    n, na = microscope.immersion_index, microscope.numerical_aperture
    k = 2 * math.pi / wavelength
    if approximation == "paraxial" or (approximation == "auto" and na < 0.7):
        lateral, axial = math.sqrt(2) / (k * na), 2 * math.sqrt(6) * n / (k * na**2)
    else:
        edge = math.cos(microscope.half_angle)
        # Means of cos(t)**m over the cone: integrals of cos(t)**(m + 1/2) sin(t).
        whole, first, second = ((1 - edge ** (m + 1.5)) / (m + 1.5) for m in range(3))
        mean, square = first / whole, second / whole
        lateral = 1 / (k * n * math.sqrt(1 - square))
        axial = 1 / (k * n * math.sqrt(2 * (square - mean**2)))
    across = np.exp(-((radii(sampling) / lateral) ** 2) / 2)
    along = np.exp(-((sampling.z / axial) ** 2) / 2)
    return Radial(np.outer(along, across), sampling.step)
