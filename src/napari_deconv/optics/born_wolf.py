"""The scalar model of Born and Wolf: an ideal lens, and nothing in the light's way."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from napari_deconv.optics.hankel import along_axis, field, intensity
from napari_deconv.optics.optical_path import OpticalPath
from napari_deconv.optics.radial import Radial, radii
from napari_deconv.registry import Advanced, psf_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deconv.optics.intensity import Sampling
    from napari_deconv.optics.microscope import Microscope


@psf_model(
    "born-wolf",
    title="Born-Wolf",
    cites=["Born and Wolf 1999, Principles of Optics, section 8.8"],
)
def born_wolf(
    microscope: Microscope,
    wavelength: float,
    sampling: Sampling,
    *,
    defocus: Annotated[Literal["exact", "paraxial"], Advanced()] = "exact",
) -> Radial:
    r"""Take the lens as perfect: diffraction alone, whatever the depth, sample and coverslip.

    .. math:: I(r, z) = \left| \frac{2}{NA^2} \int_0^{NA} J_0(k s r)\, e^{-i k z q(s)}\, s\, ds
              \right|^2, \quad q = \sqrt{n^2 - s^2}

    with the index n of the immersion. It is what ``gibson-lanni`` gives without depth and with
    all layers as designed.

    Parameters
    ----------
    microscope
        NA and immersion index; depth, sample index and coverslip do not enter.
    wavelength
        In vacuum, um.
    sampling
        Where the intensity is wanted.
    defocus
        How the path changes out of focus: exactly, or as in the book (and programs that follow
        it) with the first term of its series, ``q = n - s**2 / (2 n)``, which blurs too little
        above NA 0.5.

    Returns
    -------
    Radial
        In units of the intensity in focus.
    """
    n, na = microscope.immersion_index, microscope.numerical_aperture
    path = OpticalPath(without_aberration(microscope))
    r = radii(sampling)
    k = 2 * math.pi / wavelength
    s, weights = path.pupil_nodes(wavelength, sampling.z, float(r[-1]), evanescent=False)
    axial = path.axial(s) if defocus == "exact" else n - s**2 / (2 * n)
    weights = weights * (2 / na**2)
    if r.size == 1:
        line = along_axis(weights.astype(np.complex128), k * axial, sampling.z)
        return Radial(intensity(line)[:, None], sampling.step)

    def waves(z: NDArray[np.float64]) -> list[NDArray[np.complex128]]:
        return [weights * np.exp(-1j * k * z[:, None] * axial)]

    (light,) = field(waves, sampling.z, k * s, r)
    return Radial(intensity(light), sampling.step)


def without_aberration(microscope: Microscope) -> Microscope:
    """Return the microscope with a sample like its immersion and all layers as designed."""
    return dataclasses.replace(
        microscope,
        sample_index=microscope.immersion_index,
        immersion_index_design=None,
        coverslip_index=microscope.coverslip_index_design,
        coverslip_thickness=microscope.coverslip_thickness_design,
    )
