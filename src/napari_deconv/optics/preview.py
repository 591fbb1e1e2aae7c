"""A look at a PSF: two sections, two profiles and its transfer function, in milliseconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.optics.instrument import Instrument
from napari_deconv.optics.intensity import SKETCH
from napari_deconv.optics.resolution import expected_fwhm, width

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deconv.optics.microscope import Microscope

    Array = NDArray[np.float32]

# Samples in the finest period, and planes and pixels at most.
_FINENESS = 4
_ACROSS, _ALONG = 65, 129


@dataclass(frozen=True)
class Preview:
    """What a PSF looks like, sampled more finely than the image will be.

    Attributes
    ----------
    lateral, axial
        Sections through the brightest voxel: (y, x) and (z, x), the peak at 1.
    spacing
        Size of their pixels (z, x), um.
    transfer
        Modulus of the optical transfer function, (kz, kx) at ky = 0, 1 in the middle.
    frequencies
        Size of its pixels (kz, kx), cycles per um.
    fwhm
        Full widths at half maximum (z, y, x), um, before pixels widen them.
    nyquist
        The largest voxel (z, y, x), um, that holds all that the microscope transmits.
    shift
        How far beyond the point's depth the stage has to move to see it brightest, um.
    """

    lateral: Array
    axial: Array
    spacing: tuple[float, float]
    transfer: Array
    frequencies: tuple[float, float]
    fwhm: tuple[float, float, float]
    nyquist: tuple[float, float, float]
    shift: float

    def profiles(self) -> tuple[NDArray[np.float64], Array, NDArray[np.float64], Array]:
        """Return places (um) and values along x, and along z."""
        (dz, dx), (nz, nx) = self.spacing, self.axial.shape
        along, across = self.axial[:, nx // 2], self.axial[nz // 2]
        return dx * (np.arange(nx) - nx // 2), across, dz * (np.arange(nz) - nz // 2), along


def preview_psf(
    microscope: Microscope,
    *,
    model: str = "gibson-lanni",
    modality: str = "widefield",
    **parameters: Any,
) -> Preview:
    """Compute a PSF at preview size.

    Parameters
    ----------
    microscope, model, modality, **parameters
        As for ``generate_psf``.

    Returns
    -------
    Preview
        Eight of the finest periods to either side of the focus, and along z as many more as the
        spherical aberration takes.
    """
    instrument = Instrument(microscope, model, modality, **parameters)
    dx = instrument.lateral_period() / _FINENESS
    period, focus = instrument.axial_period(), instrument.focus(SKETCH)
    half = 8 * period + 2 * min(abs(focus - end) for end in instrument.foci())
    planes = min(_ALONG, 1 + 2 * math.ceil(_FINENESS * half / period))
    dz = 2 * half / (planes - 1)
    z = dz * (np.arange(planes, dtype=np.float64) - planes // 2)
    # For the eye, and for widths to a few thousandths, half of the samples are enough.
    image = instrument.intensity(focus + z, math.sqrt(0.5) * _ACROSS * dx, SKETCH)
    stack: Array = image.voxels((_ACROSS, _ACROSS), (dx, dx), integrate=False)
    middle = stack[planes // 2]
    peak = float(stack.max())
    x = dx * (np.arange(_ACROSS, dtype=np.float64) - _ACROSS // 2)
    along: tuple[NDArray[Any], NDArray[Any]] = z, image.on_axis()
    if dz > 1.01 * period / _FINENESS:  # too few planes for the width
        near = period / _FINENESS * np.arange(-4 * _FINENESS, 4 * _FINENESS + 1, dtype=np.float64)
        along = near, instrument.on_axis(focus + near, SKETCH)
    fwhm = (
        width(*along) or 0.0,
        width(x, middle[:, _ACROSS // 2]) or 0.0,
        width(x, middle[_ACROSS // 2]) or 0.0,
    )
    if 0 in fwhm:  # wider than the look
        fwhm = expected_fwhm(microscope, model=model, modality=modality, **parameters)
    return Preview(
        lateral=middle / peak,
        axial=stack[:, _ACROSS // 2] / peak,
        spacing=(dz, dx),
        transfer=_transfer(stack),
        frequencies=(1 / (planes * dz), 1 / (_ACROSS * dx)),
        fwhm=fwhm,
        nyquist=(period / 2, 2 * dx, 2 * dx),
        shift=focus,
    )


def _transfer(stack: Array) -> Array:
    """Return the modulus of the transfer function where ky is zero."""
    # Without the edges' steps, whose spectrum would cover what the microscope leaves out.
    windows = [np.hanning(n + 2)[1:-1].astype(np.float32) for n in stack.shape]
    tapered = stack * windows[0][:, None, None] * windows[1][:, None] * windows[2]
    projected = tapered.sum(axis=1)
    spectrum = np.abs(np.fft.fftshift(np.fft.fft2(projected)))
    return np.asarray(spectrum / spectrum.max(), np.float32)
