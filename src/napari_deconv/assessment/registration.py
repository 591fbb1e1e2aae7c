"""How far two images lie apart, and moving one onto the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.arrays import as_image
from napari_deconv.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]


def find_shift(
    image: ArrayLike, reference: ArrayLike, *, largest: float | None = None
) -> tuple[float, ...]:
    """Find the shift that moves ``image`` onto ``reference``, to a few hundredths of a voxel.

    The peak of the phase correlation gives the whole voxels. From there the image is moved and
    the peak of the cross-correlation, evaluated on ever finer grids by a matrix Fourier
    transform, gives the rest; twice over, since the faded edges of an image that is not yet in
    place draw the peak towards zero.

    Parameters
    ----------
    image, reference
        Of the same shape; all axes are searched.
    largest
        Largest shift along any axis to consider, in voxels; half of each axis where not given.

    Returns
    -------
    tuple of float
        What to give to :func:`shift_image`, in voxels per axis.

    Raises
    ------
    InputError
        When the shapes differ or an image is not usable.

    References
    ----------
    Guizar-Sicairos, Thurman and Fienup, Optics Letters 33 (2008) 156.
    """
    moving, fixed = as_image(image), as_image(reference, "reference")
    if moving.shape != fixed.shape:
        raise InputError(
            f"The image has shape {moving.shape} and the reference {fixed.shape}; "
            "they have to be equal."
        )
    limits = [size / 2 if largest is None else largest for size in fixed.shape]
    shift = _whole_shift(moving, fixed, limits)
    for reach in (2.0, 0.5, 0.1):
        shift += _fine_shift(shift_image(moving, shift.tolist()), fixed, reach)
    return tuple(shift.tolist())


def shift_image(image: ArrayLike, shift: Sequence[float]) -> NDArray[np.float32]:
    """Move an image by a fraction of a voxel, by phases; beyond its edges it is mirrored.

    Parameters
    ----------
    image
        Of any number of axes.
    shift
        How far to move the content towards higher indices, in voxels per axis.

    Returns
    -------
    ndarray of float32
        In the image's shape.

    Raises
    ------
    InputError
        When the number of shifts is not that of the axes, or the image is not usable.
    """
    from scipy.fft import irfftn, rfftn

    values = as_image(image)
    if len(shift) != values.ndim:
        raise InputError(f"{len(shift)} shifts are given for an image with {values.ndim} axes.")
    margins = [int(np.ceil(abs(value))) + 8 if value else 0 for value in shift]
    padded = np.pad(values.astype(np.float64), [(m, m) for m in margins], mode="symmetric")
    spectrum = rfftn(padded)
    for axis, (size, value) in enumerate(zip(padded.shape, shift, strict=True)):
        last = axis == values.ndim - 1
        frequency = np.fft.rfftfreq(size) if last else np.fft.fftfreq(size)
        along = [1] * values.ndim
        along[axis] = -1
        spectrum *= np.exp(-2j * np.pi * frequency * value).reshape(along)
    inside = tuple(slice(m, m + n) for m, n in zip(margins, values.shape, strict=True))
    moved: NDArray[np.float32] = irfftn(spectrum, padded.shape)[inside].astype(np.float32)
    return moved


def _faded(values: NDArray[np.float32]) -> Array:
    """Take off the mean and fade out an eighth at every edge, so that edges do not correlate."""
    faded: Array = values - values.mean(dtype=np.float64)
    for axis, size in enumerate(values.shape):
        margin = size // 8
        window = np.ones(size)
        ramp = np.sin(np.pi / 2 * (np.arange(margin) + 0.5) / max(margin, 1)) ** 2
        window[:margin], window[size - margin :] = ramp, ramp[::-1]
        along = [1] * values.ndim
        along[axis] = -1
        faded = faded * window.reshape(along)
    return faded


def _whole_shift(
    moving: NDArray[np.float32], fixed: NDArray[np.float32], limits: Sequence[float]
) -> Array:
    """Return the peak of the phase correlation."""
    from scipy.fft import fftn, ifftn

    spectrum = fftn(_faded(fixed)) * np.conj(fftn(_faded(moving)))
    magnitude = np.abs(spectrum)
    spectrum /= np.maximum(magnitude, 1e-3 * magnitude.max() + np.finfo(float).tiny)
    surface = ifftn(spectrum).real
    lags = [np.fft.fftfreq(size, 1 / size) for size in fixed.shape]
    for axis, (lag, limit) in enumerate(zip(lags, limits, strict=True)):
        along = [1] * fixed.ndim
        along[axis] = -1
        surface = np.where((np.abs(lag) <= limit).reshape(along), surface, -np.inf)
    peak = np.unravel_index(np.argmax(surface), surface.shape)
    return np.array([lag[index] for lag, index in zip(lags, peak, strict=True)])


def _fine_shift(moving: NDArray[np.float32], fixed: NDArray[np.float32], reach: float) -> Array:
    """Return the peak of the cross-correlation within ``reach`` voxels, to a hundredth of that."""
    from scipy.fft import fftn

    spectrum = fftn(_faded(fixed)) * np.conj(fftn(_faded(moving)))
    shift = np.zeros(fixed.ndim)
    for step in (reach / 5, reach / 25, reach / 125):
        offsets = np.arange(-5, 6) * step
        refined = spectrum
        for size, value in zip(fixed.shape, shift, strict=True):
            phases = np.fft.fftfreq(size)[:, None] * (value + offsets)
            refined = np.tensordot(refined, np.exp(2j * np.pi * phases), axes=(0, 0))
        best = np.unravel_index(np.argmax(refined.real), refined.shape)
        shift = shift + offsets[np.array(best)]
    return shift
