"""Any aberration of the pupil, by its Zernike coefficients."""

from __future__ import annotations

import math
from collections.abc import Mapping  # noqa: TC003  (the registry reads annotations)
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from napari_deconv.errors import ParameterError
from napari_deconv.optics import zernike
from napari_deconv.optics.bessel import bessel
from napari_deconv.optics.hankel import along_axis, intensity
from napari_deconv.optics.optical_path import OpticalPath, shortest_range
from napari_deconv.optics.polar import Polar
from napari_deconv.optics.polynomials import product
from napari_deconv.optics.pupil_grid import APODISATION, polar, ray_slopes
from napari_deconv.optics.radial import Radial, radii
from napari_deconv.optics.zernike import LARGEST
from napari_deconv.registry import Advanced, Keys, Range, Unit, psf_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deconv.optics.intensity import Sampling
    from napari_deconv.optics.microscope import Microscope

NONE: Mapping[int, float] = MappingProxyType({})
RADII = 1024  # between which the aberrations' harmonics are interpolated
WEAK = 10  # times as strong as those left out of the light: harmonics of a pupil that count
PUPILS = 2**18  # values of pupils held at once
TABLE = 2**19  # values of Bessel functions held at once


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
    apodisation: Annotated[Literal["sine", "uniform", "herschel"], Advanced()] = "uniform",
) -> Radial | Polar:
    r"""Add any aberration to the layers of Gibson and Lanni, by its Zernike coefficients.

    .. math:: I(x, z) = \left| \int A(s)\, e^{i k [OPD(s, z) + \sum_j c_j Z_j(s / NA)]}\,
              e^{-i k s \cdot x}\, d^2 s \right|^2

    over the pupil :math:`|s| \le NA`, with the optical path difference OPD of ``gibson-lanni``
    and Noll's polynomials, orthonormal over the pupil. A positive coefficient is a longer path
    where its polynomial is positive: ``2=c`` moves the image by ``2 c wavelength / NA`` to larger
    x, ``3=c`` to larger y, and ``4=c`` the focus to smaller z. Without aberrations it is
    ``gibson-lanni``. The aberrated pupil is taken apart into harmonics ``exp(i m phi)``, each of
    which has a Hankel transform of its order: nothing comes back from the edge of a grid.

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
        How the pupil's amplitude depends on the angle in the immersion, for light that is
        collected as for a laser that is focused: the same all over, as in ``gibson-lanni``; as the
        sine condition has it that objectives are made for, ``1 / sqrt(cos)`` per area of the
        pupil; or Herschel's condition, ``1 / cos``. The same as in ``richards-wolf``.

    Returns
    -------
    Radial or Polar
        In units of the unaberrated intensity in focus; Radial where the light is the same all
        around.

    Raises
    ------
    ParameterError
        When aberrations spread the light so far that it takes more memory than is free.
    """
    path, bent = OpticalPath(microscope), _lengths(microscope, aberrations)
    k, power = 2 * math.pi / wavelength, APODISATION[apodisation]
    reach = sampling.reach + _aside(microscope, bent)
    r = radii(replace(sampling, reach=reach))
    # Aberrations turn the phase along the pupil's radius as distance from the axis does.
    turn = float(r[-1]) + _steepest(tuple(bent.items()))[0] / microscope.numerical_aperture
    s, weights = path.pupil_nodes(wavelength, sampling.z, turn, evanescent=evanescent)
    amplitude: NDArray[np.float64] = weights * (path.axial(s) / microscope.immersion_index) ** power
    amplitude /= _brightest(microscope, power)
    harmonics = _harmonics(bent, s / microscope.numerical_aperture, k, WEAK * sampling.faint)
    last = len(harmonics) // 2
    if r.size == 1:
        line = along_axis(
            amplitude * harmonics[last] * np.exp(1j * k * path.fixed(s)),
            k * path.axial(s),
            sampling.z,
        )
        return Radial(intensity(line)[:, None], sampling.step)
    count = _even(6 * last)
    _check_memory(sampling.z.size, r.size, last, count)
    fields = np.empty((2 * last + 1, sampling.z.size, r.size), np.complex64)
    # Slices of the planes, whose pupils are not held all at once.
    planes = max(1, PUPILS // s.size)
    for first in range(0, sampling.z.size, planes):
        some = slice(first, first + planes)
        phase = path.fixed(s) - sampling.z[some, None] * path.axial(s)
        wave: Any = np.exp(1j * k * phase) * amplitude
        _transform(wave, harmonics, k * s, r, fields[:, some])
    if last == 0:
        return Radial(intensity(fields[0].astype(np.complex128)), sampling.step)
    values = np.empty((sampling.z.size, r.size, count), np.float32)
    for plane, field in zip(values, fields.swapaxes(0, 1), strict=True):
        plane[:] = _all_around(field, count)
    return Polar(values, sampling.step, sampling.faint)


def _lengths(
    microscope: Microscope, aberrations: Mapping[int, float], least: int = 2
) -> dict[int, float]:
    """Return aberrations in um; piston does nothing."""
    wavelength = microscope.emission_wavelength
    return {j: c * wavelength for j, c in aberrations.items() if c and j >= least}


def _aside(microscope: Microscope, lengths: Mapping[int, float]) -> float:
    """Return how far from the axis, um, the brightest point may be."""
    tilt = 2 * math.hypot(lengths.get(2, 0), lengths.get(3, 0)) / microscope.numerical_aperture
    uneven = any(zernike.degrees(j)[1] % 2 for j in lengths)
    return tilt + (microscope.airy_unit if uneven else 0.0)


@lru_cache(maxsize=16)
def _steepest(lengths: tuple[tuple[int, float], ...]) -> tuple[float, float]:
    """Return the steepest slopes, um, of aberrations along the pupil's radius and around it."""
    radii = np.linspace(0.05, 1, 20)
    y, x = polar(radii, 48)
    dy, dx = np.zeros_like(y), np.zeros_like(x)
    for j, c in lengths:
        gradient = c * zernike.gradients([j], y, x)[0]
        dy, dx = dy + gradient[0], dx + gradient[1]
    return float(np.hypot(dy, dx).max()), float(abs(x * dy - y * dx).max())


def _harmonics(
    lengths: Mapping[int, float], radius: NDArray[np.float64], k: float, weak: float
) -> NDArray[np.complex128]:
    """Return the aberrations' ``exp(i k W)`` at radii as harmonics (order, radii).

    Orders run from the highest that counts to the opposite: 0 is in the middle.
    """
    from scipy import fft

    count = 1
    if any(zernike.degrees(j)[1] for j in lengths):
        count = _even(2 * math.ceil(1.2 * k * _steepest(tuple(lengths.items()))[1]) + 48)
    if radius.size > RADII:  # smooth functions of the radius, needed at many
        from scipy.interpolate import CubicSpline

        knots = np.linspace(0, 1, RADII)
        spline = CubicSpline(knots, _harmonics(lengths, knots, k, weak), axis=1)
        found: NDArray[np.complex128] = spline(radius)
        return found
    y, x = polar(radius, count)
    waves = np.exp(1j * k * _path(lengths, y, x)).reshape(-1, count).T
    spectrum: NDArray[np.complex128] = fft.fft(waves, axis=0, norm="forward")
    strength = abs(spectrum).max(axis=1)
    orders = abs(np.fft.fftfreq(count, 1 / count))
    last = int(orders[strength > weak].max(initial=min(count - 1, 1)))
    return spectrum[np.arange(-last, last + 1)]


def _path(
    lengths: Mapping[int, float], y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    path = np.zeros_like(y)
    for j, c in lengths.items():
        path += c * zernike.basis([j], y, x)[0]
    return path


def _transform(
    wave: NDArray[np.complex128],
    harmonics: NDArray[np.complex128],
    frequencies: NDArray[np.float64],
    r: NDArray[np.float64],
    out: NDArray[np.complex64],
) -> None:
    """Sum the waves (z, s) of the pupil up into the field's harmonics (order, z, r).

    ``integral of exp(i m phi - i k s r cos(phi - psi)) dphi`` is ``(-i)**|m| J_|m|(k s r)
    exp(i m psi)``.
    """
    last, planes = len(harmonics) // 2, len(wave)
    chunk = max(1, TABLE // frequencies.size)
    for first in range(0, r.size, chunk):
        some = slice(first, first + chunk)
        for m, kernel in enumerate(bessel(np.outer(frequencies, r[some]), last)):
            orders = [m, -m] if m else [0]
            pupils = np.concatenate([wave * harmonics[last + order] for order in orders])
            sums = product(np.concatenate([pupils.real, pupils.imag]), kernel)
            field = (-1j) ** m * (sums[: len(pupils)] + 1j * sums[len(pupils) :])
            for order, part in zip(orders, field.reshape(-1, planes, kernel.shape[1]), strict=True):
                out[last + order, :, some] = part


def _all_around(field: NDArray[np.complex64], count: int) -> NDArray[np.float32]:
    """Return the intensity (r, direction) of a field's harmonics (order, r)."""
    from scipy import fft

    last = len(field) // 2
    spectrum = np.zeros((field.shape[1], count), np.complex64)
    spectrum[:, np.arange(-last, last + 1)] = field.T
    around = fft.ifft(spectrum, axis=1, norm="forward")
    values: NDArray[np.float32] = around.real**2 + around.imag**2
    return values


def _brightest(microscope: Microscope, power: float) -> float:
    """Return the field in focus without aberration: the integral of ``cos**power`` over s ds."""
    n, c = microscope.immersion_index, math.cos(microscope.half_angle)
    return float(n * n * (1 - c ** (power + 2)) / (power + 2))


def _even(least: int) -> int:
    from scipy import fft

    return 2 * int(fft.next_fast_len(max(least // 2 + 1, 8)))


def _check_memory(planes: int, count: int, last: int, directions: int) -> None:
    needed = planes * count * (8 * (2 * last + 1) + 8 * directions)
    if needed < 2**28:
        return
    import psutil

    available = psutil.virtual_memory().available
    if needed > available:
        raise ParameterError(
            f"Light spreads so far that it takes {needed / 1e9:.1f} GB, but only "
            f"{available / 1e9:.1f} GB are free: choose fewer planes or voxels, or smaller "
            "aberrations."
        )
