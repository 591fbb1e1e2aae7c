"""The scalar model of Gibson and Lanni: an ideal lens behind layers it was not made for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

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
    "gibson-lanni",
    title="Gibson-Lanni",
    cites=["Gibson and Lanni 1992, J. Opt. Soc. Am. A 9:154", "Li, Xue and Blu 2017"],
)
def gibson_lanni(
    microscope: Microscope,
    wavelength: float,
    sampling: Sampling,
    *,
    evanescent: Annotated[bool, Advanced()] = True,
) -> Radial:
    r"""Follow the light through sample, coverslip and immersion to an ideal lens; start here.

    .. math:: I(r, z) = \left| \int_0^{NA} J_0(k s r)\, e^{i k\, OPD(s, z)}\, s\, ds \right|^2

    with :math:`k = 2 \pi / \lambda` and the optical path difference OPD of the layers that the
    lens was not made for (Gibson and Lanni 1992; see ``OpticalPath``). The integral is evaluated
    by Gauss-Legendre quadrature to ten digits.

    Parameters
    ----------
    microscope
        NA, indices, depth and the coverslip.
    wavelength
        In vacuum, um.
    sampling
        Where the intensity is wanted.
    evanescent
        Keep the light that only a point close to the coverslip sends into the objective, when
        the NA is above the sample index. It is there in reality; some programs leave it out.

    Returns
    -------
    Radial
        In units of the unaberrated intensity in focus.
    """
    path = OpticalPath(microscope)
    r = radii(sampling)
    k, step = 2 * math.pi / wavelength, sampling.step
    s, weights = path.pupil_nodes(wavelength, sampling.z, float(r[-1]), evanescent=evanescent)
    weights = weights * (2 / microscope.numerical_aperture**2)
    if r.size == 1:
        pupil: Any = weights * np.exp(1j * k * path.fixed(s))
        return Radial(intensity(along_axis(pupil, k * path.axial(s), sampling.z))[:, None], step)

    def waves(z: NDArray[np.float64]) -> list[Any]:
        # Phases of thousands of radians: float32 would not do.
        phase = path.fixed(s) - z[:, None] * path.axial(s)
        return [weights * np.exp(1j * k * phase)]

    (light,) = field(waves, sampling.z, k * s, r)
    return Radial(intensity(light), step)
