"""Any aberration of the pupil, by its Zernike coefficients."""

from __future__ import annotations

import math
from collections.abc import Mapping  # noqa: TC003  (the registry reads annotations)
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from napari_deconv.errors import ParameterError
from napari_deconv.optics.gibson_lanni import gibson_lanni
from napari_deconv.optics.gridded import PLANES, Gridded
from napari_deconv.optics.intensity import PERIOD
from napari_deconv.optics.optical_path import OpticalPath, shortest_range
from napari_deconv.optics.pupil_grid import PupilGrid, field_width, polar, ray_slopes
from napari_deconv.optics.zernike import LARGEST
from napari_deconv.registry import Advanced, Keys, Range, Unit, psf_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deconv.optics.intensity import Sampling
    from napari_deconv.optics.microscope import Microscope

NONE: Mapping[int, float] = MappingProxyType({})


def foci(
    microscope: Microscope, *, aberrations: Mapping[int, float] = NONE, **_: Any
) -> tuple[float, float]:
    """Return the shortest range of stage positions, um, in which half the rays have a focus."""
    path = OpticalPath(microscope)
    bent = _lengths(microscope, aberrations, least=4)  # tilt moves the focus aside
    if not bent:
        return path.focal_range()
    na = microscope.numerical_aperture
    edge = min(na, microscope.sample_index) / na
    radii = edge * np.sqrt((np.arange(32) + 0.5) / 32)
    y, x = polar(radii, 16)
    slopes = ray_slopes(path, y, x, bent, np.zeros(1))[0]
    radial = (slopes[0] * y + slopes[1] * x) / np.hypot(y, x)
    return shortest_range(radial / path.axial_slope(na * np.hypot(y, x)))


@psf_model(
    "pupil",
    title="Aberrated pupil",
    cites=[
        "Hanser et al. 2004, J. Microsc. 216:32",
        "Noll 1976, J. Opt. Soc. Am. 66:207",
    ],
    foci=foci,
)
def pupil(
    microscope: Microscope,
    wavelength: float,
    sampling: Sampling,
    *,
    aberrations: Annotated[
        Mapping[int, float], Range(-10, 10), Unit("waves"), Keys(1, LARGEST, "Noll index")
    ] = NONE,
    evanescent: Annotated[bool, Advanced()] = True,
    apodisation: Annotated[Literal["none", "emission", "illumination"], Advanced()] = "none",
    padding: Annotated[float, Range(0.5, 8), Advanced()] = 1.0,
) -> Gridded:
    r"""Add any aberration to the layers of Gibson and Lanni, by its Zernike coefficients.

    .. math:: I(x, z) = \left| \int A(s)\, e^{i k [OPD(s, z) + \sum_j c_j Z_j(s / NA)]}\,
              e^{-i k s \cdot x}\, d^2 s \right|^2

    over the pupil :math:`|s| \le NA`, with the optical path difference OPD of ``gibson-lanni``
    and Noll's polynomials, orthonormal over the pupil. A positive coefficient is a longer path
    where its polynomial is positive: ``2=c`` moves the image by ``2 c wavelength / NA`` to larger
    x, ``3=c`` to larger y, and ``4=c`` the focus to smaller z. Without aberrations it is
    ``gibson-lanni`` to 0.1 %, which is faster and more exact.

    Parameters
    ----------
    microscope
        NA, indices, depth and the coverslip.
    wavelength
        In vacuum, um.
    sampling
        Where the intensity is wanted.
    aberrations
        Noll indices and coefficients, such as 5=0.05 8=-0.1: waves rms at the emission
        wavelength. 4 is defocus, 5 and 6 astigmatism, 7 and 8 coma, 9 and 10 trefoil,
        11 spherical. Light of other wavelengths has the same path in micrometres.
    evanescent
        Keep the light that only a point close to the coverslip sends into the objective, when
        the NA is above the sample index.
    apodisation
        How strong light is over the pupil: as an objective collects the light of a point
        (emission), as it focuses a laser (illumination), or even.
    padding
        How much wider the field is computed than the rule has it. Light that spreads farther
        comes back from the other side; the error falls with the square.

    Returns
    -------
    Gridded
        In units of the unaberrated intensity in focus.

    Raises
    ------
    ParameterError
        When the field, wide as light spreads, takes more memory than is free.
    """
    path = _lengths(microscope, aberrations)
    if sampling.reach == 0 and not path and apodisation == "none":  # the axis alone
        line = gibson_lanni(microscope, wavelength, sampling, evanescent=evanescent).on_axis()
        return Gridded(line[:, None, None].astype(np.float32), sampling.step)
    width = padding * field_width(microscope, path, sampling.z, sampling.reach)
    finest = sampling.step * PERIOD
    across = 2 * width * microscope.numerical_aperture / wavelength  # points of the pupil
    n = _count(math.ceil(max(2 * across + 8, 2.2 * width / finest)))
    _check_memory(sampling.z.size, n)
    grid = PupilGrid(microscope, wavelength, width, evanescent=evanescent, apodisation=apodisation)
    values = np.empty((sampling.z.size, n, n), np.float32)
    for first in range(0, sampling.z.size, PLANES):
        some = slice(first, first + PLANES)
        values[some] = _intensity(grid, grid.light(sampling.z[some], path), n)
    return Gridded(values, width / n)


def _lengths(
    microscope: Microscope, aberrations: Mapping[int, float], least: int = 2
) -> dict[int, float]:
    """Return aberrations in um; piston does nothing."""
    wavelength = microscope.emission_wavelength
    return {j: c * wavelength for j, c in aberrations.items() if c and j >= least}


def _intensity(grid: PupilGrid, light: NDArray[np.complex128], n: int) -> NDArray[np.float32]:
    from scipy import fft

    planes = np.zeros((len(light), n, n), np.complex64)
    planes[:, grid.rows - grid.half, grid.columns - grid.half] = light / grid.total
    fields = fft.fft2(planes, overwrite_x=True)
    # Means over cells of the pupil have done this to the field.
    faded = np.sinc(np.fft.fftfreq(n)).astype(np.float32)
    fields /= faded[:, None] * faded
    values: NDArray[np.float32] = fields.real**2 + fields.imag**2
    return values


def _count(least: int) -> int:
    from scipy import fft

    return int(fft.next_fast_len(least))


def _check_memory(planes: int, n: int) -> None:
    needed = 4 * planes * n * n + 24 * PLANES * n * n
    if needed < 2**28:
        return
    import psutil

    available = psutil.virtual_memory().available
    if needed > available:
        raise ParameterError(
            f"Light spreads so far that its field takes {needed / 1e9:.1f} GB, but only "
            f"{available / 1e9:.1f} GB are free: choose fewer planes, a smaller depth or padding, "
            'or the model "gibson-lanni", which has no aberrations by coefficients.'
        )
