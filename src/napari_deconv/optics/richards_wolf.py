"""The vectorial model: light as a transverse wave, through the same layers (Török 1995)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from napari_deconv.optics.angular import Angular
from napari_deconv.optics.hankel import along_axis, field, intensity
from napari_deconv.optics.optical_path import OpticalPath
from napari_deconv.optics.pupil_grid import APODISATION
from napari_deconv.optics.radial import Radial, radii
from napari_deconv.registry import Advanced, psf_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deconv.optics.intensity import Sampling
    from napari_deconv.optics.microscope import Microscope


@psf_model(
    "richards-wolf",
    title="Richards-Wolf",
    cites=[
        "Richards and Wolf 1959, Proc. R. Soc. A 253:358",
        "Török, Varga, Laczik and Booker 1995, J. Opt. Soc. Am. A 12:325",
        "Haeberlé 2003, Opt. Commun. 216:55",
        "Aguet, Geissbühler, Märki, Lasser and Unser 2009, Opt. Express 17:6829",
    ],
)
def richards_wolf(
    microscope: Microscope,
    wavelength: float,
    sampling: Sampling,
    *,
    polarisation: Literal["unpolarised", "linear", "circular"] = "unpolarised",
    apodisation: Annotated[Literal["sine", "uniform", "herschel"], Advanced()] = "sine",
    evanescent: Annotated[bool, Advanced()] = True,
) -> Radial | Angular:
    r"""Count light as the transverse wave it is, from NA 0.7 on: wider spots, layers that reflect.

    .. math:: I = |I_0|^2 + 2 |I_1|^2 + |I_2|^2 \left[ + 2 (|I_1|^2 + \mathrm{Re}\, I_0 I_2^*)
              \cos 2 \varphi \right], \quad
              I_n(r, z) = \int_0^{NA} a(s)\, T_n(s)\, J_n(k s r)\, e^{i k\, OPD(s, z)}\, s\, ds

    with :math:`T_0 = t_s + t_p \cos\theta_s`, :math:`T_1 = t_p \sin\theta_s`,
    :math:`T_2 = t_s - t_p \cos\theta_s`, the transmissions :math:`t_s, t_p` from immersion
    through coverslip to sample and the angle :math:`\theta_s` in the sample. The path difference
    is that of ``gibson-lanni``; the term in brackets is there for linear polarisation. By
    reciprocity the same holds for a laser's focus and for the light of molecules that turn
    freely.

    Parameters
    ----------
    microscope
        NA, indices, depth and the coverslip.
    wavelength
        In vacuum, um.
    sampling
        Where the intensity is wanted.
    polarisation
        Of the laser, where a laser's focus lights the sample; else of the light that is detected,
        as when an analyser stands before the camera. Linear is along x, and widens the spot along
        x. Circular gives the same intensity as unpolarised.
    apodisation
        How the pupil's amplitude depends on the angle in the immersion: the sine condition that
        objectives are made for, ``1 / sqrt(cos)`` per area of the pupil, which is ``sqrt(cos)``
        per solid angle; the same for all angles, as in scalar models; or Herschel's condition,
        ``1 / cos``.
    evanescent
        Keep the light that only a point close to the coverslip sends into the objective, when
        the NA is above the sample index. It is there in reality; some programs leave it out.

    Returns
    -------
    Radial or Angular
        In units of the unaberrated intensity in focus.
    """
    path = OpticalPath(microscope)
    r = radii(sampling)
    k = 2 * math.pi / wavelength
    s, weights = path.pupil_nodes(wavelength, sampling.z, float(r[-1]), evanescent=evanescent)
    amplitude = weights * (path.axial(s) / microscope.immersion_index) ** APODISATION[apodisation]
    amplitude /= _brightest(microscope, APODISATION[apodisation])
    transmitted_s, transmitted_p, cosine = transmission(microscope, s)
    if r.size == 1:
        pupil = (
            np.exp(1j * k * path.fixed(s)) * amplitude * (transmitted_s + transmitted_p * cosine)
        )
        line = intensity(along_axis(pupil, k * path.axial(s), sampling.z))[:, None]
        return Radial(line, sampling.step)
    terms = (
        transmitted_s + transmitted_p * cosine,
        transmitted_p * (s / microscope.sample_index),
        transmitted_s - transmitted_p * cosine,
    )

    def waves(z: NDArray[np.float64]) -> list[NDArray[np.complex128]]:
        wave = np.exp(1j * k * (path.fixed(s) - z[:, None] * path.axial(s))) * amplitude
        return [wave * term for term in terms]

    i0, i1, i2 = field(waves, sampling.z, k * s, r)
    radial = intensity(i0) + 2 * intensity(i1) + intensity(i2)
    if polarisation != "linear":
        return Radial(radial, sampling.step)
    parts = {0: radial}
    if sampling.polarised:
        parts[2] = 2 * (intensity(i1) + i0.real * i2.real + i0.imag * i2.imag)
    return Angular(parts, sampling.step)


def transmission(microscope: Microscope, s: NDArray[np.float64]) -> tuple[Any, Any, Any]:
    """Return how much of a wave's amplitude gets from the immersion into the sample.

    Fresnel's coefficients of the two interfaces, without light that is reflected to and fro.

    Parameters
    ----------
    microscope
        Its indices count.
    s
        ``n sin(theta)`` of the waves.

    Returns
    -------
    t_s, t_p, cosine
        For fields across and in the plane of incidence, and the cosine in the sample: complex,
        where s is above the sample's index.
    """
    indices = [microscope.immersion_index, microscope.sample_index]
    if microscope.coverslip_thickness > 0:
        indices.insert(1, microscope.coverslip_index)
    axial = [np.sqrt((index**2 - s**2).astype(np.complex128)) for index in indices]
    across, along = np.ones_like(axial[0]), np.ones_like(axial[0])
    for n, next_n, q, next_q in zip(indices, indices[1:], axial, axial[1:], strict=False):
        across *= 2 * q / (q + next_q)
        along *= 2 * n * next_n * q / (next_n**2 * q + n**2 * next_q)
    return across, along, axial[-1] / microscope.sample_index


def _brightest(microscope: Microscope, power: float) -> Any:
    """Return the amplitude in focus without aberration: the integral over ``cos**p (1 + cos)``."""
    n = microscope.immersion_index
    c = math.cos(microscope.half_angle)
    # s ds = -n**2 cos d(cos)
    return n * n * sum((1 - c ** (power + m)) / (power + m) for m in (2, 3))
