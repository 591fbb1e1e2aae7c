"""From an object to its image: blur, light level, camera."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray  # noqa: TC002  (the registry reads the annotations)

from napari_deconv.arrays import as_image
from napari_deconv.errors import InputError
from napari_deconv.registry import Advanced, Range, Unit, check_parameters, parameters_of
from napari_deconv.simulation.camera import record

# What lies beyond the edge of the object, in the words of numpy.pad.
_BEYOND = {"zero": "constant", "reflect": "symmetric", "circular": "wrap"}


def simulate(
    obj: ArrayLike,
    psf: ArrayLike,
    *,
    photons: Annotated[float, Range(0.01, 1e6, logarithmic=True), Unit("photons")] = 100.0,
    background_photons: Annotated[float, Range(0, 1e6), Unit("photons")] = 0.0,
    offset: Annotated[float, Range(0, 1e6), Unit("counts")] = 100.0,
    read_noise: Annotated[float, Range(0, 1e4), Unit("counts")] = 2.0,
    gain: Annotated[float, Range(1e-3, 1e4), Unit("counts per photon")] = 1.0,
    bits: Annotated[int | None, Range(1, 32)] = 16,
    borders: Annotated[Literal["zero", "reflect", "circular"], Advanced()] = "zero",
    seed: Annotated[int, Range(0)] = 0,
) -> NDArray[Any]:
    """Simulate the image that a microscope takes of an object.

    The object is blurred by the PSF and scaled to a number of photons; a camera then records it
    (:func:`~napari_deconv.simulation.camera.record`), so that

    ``variance = gain * (mean - offset) + read_noise**2``.

    Parameters
    ----------
    obj
        The object: fluorescence per voxel, not negative, axes ``..., (Z,) Y, X``. Axes before the
        PSF's are time, channel and the like; each of their images is blurred by itself.
    psf
        The point spread function, with the object's voxel size and its origin at index n//2. It is
        divided by its sum.
    photons
        Expected photons in the brightest voxel of the blurred object.
    background_photons
        Expected photons that are added in every voxel.
    offset
        Counts without light.
    read_noise
        Standard deviation of the camera's noise.
    gain
        Counts per photon.
    bits
        Depth of the camera: counts are rounded and clipped to 0 ... 2**bits - 1. None gives
        float32, neither rounded nor clipped.
    borders
        What lies beyond the object's edges: nothing (``zero``), its mirror image (``reflect``) or
        the object again (``circular``).
    seed
        Start of the random numbers: the same seed gives the same image.

    Returns
    -------
    ndarray of uint8, uint16, uint32 or float32
        Counts, in the object's shape.

    Raises
    ------
    InputError
        When the object or the PSF is empty, negative, all zero or not finite, or the PSF has more
        axes than the object.
    ParameterError
        When a parameter is out of bounds.
    """
    given = {
        "photons": photons,
        "background_photons": background_photons,
        "offset": offset,
        "read_noise": read_noise,
        "gain": gain,
        "bits": bits,
        "borders": borders,
        "seed": seed,
    }
    check_parameters("simulate", parameters_of(simulate), given)
    emitting = as_image(obj, "object")
    if emitting.min() < 0 or not emitting.max() > 0:
        raise InputError("The object has to be zero or more everywhere, and more somewhere.")
    blurred = convolve(emitting, as_image(psf, "PSF"), borders=borders)
    brightest = blurred.max()
    # The FFT's rounding leaves values just below zero, which no photon number can be.
    expected = np.maximum(blurred * (photons / brightest), 0) + background_photons
    return record(expected, gain=gain, offset=offset, read_noise=read_noise, bits=bits, seed=seed)


def convolve(
    obj: NDArray[np.float32], psf: NDArray[np.float32], *, borders: str = "zero"
) -> NDArray[np.float64]:
    """Convolve an object with a PSF, keeping the object's shape.

    Parameters
    ----------
    obj
        Axes ``..., (Z,) Y, X``; axes before the PSF's are taken one image at a time.
    psf
        Divided by its sum; its origin is at index n//2. It may be larger than the object.
    borders
        ``zero``, ``reflect`` or ``circular``: what lies beyond the edges.

    Returns
    -------
    ndarray of float64
        In the object's shape.

    Raises
    ------
    InputError
        When the PSF has more axes than the object, or its sum is not positive.
    """
    from scipy.fft import irfftn, next_fast_len, rfftn

    if psf.ndim > obj.ndim:
        raise InputError(
            f"The PSF has {psf.ndim} axes and the object {obj.ndim}; give a PSF of at most as many."
        )
    total = psf.sum(dtype=np.float64)
    if not total > 0 or (psf < 0).any():
        raise InputError("The PSF has to be zero or more everywhere, and more somewhere.")
    spatial = obj.shape[obj.ndim - psf.ndim :]
    axes = tuple(range(psf.ndim))
    # The object's surroundings as far as the PSF reaches: n//2 voxels of it lie before its origin.
    margins = [((n - 1) - n // 2, n // 2) for n in psf.shape]
    # What wraps around stays within the first m - 1 values, which are cut off.
    size = [next_fast_len(n + m - 1, real=True) for n, m in zip(spatial, psf.shape, strict=True)]
    otf = rfftn(psf.astype(np.float64) / total, size, axes)
    inside = tuple(slice(m - 1, m - 1 + n) for n, m in zip(spatial, psf.shape, strict=True))
    result = np.empty(obj.shape, np.float64)
    images = obj.reshape(-1, *spatial)
    for image, blurred in zip(images, result.reshape(images.shape), strict=True):
        padded = np.pad(image.astype(np.float64), margins, mode=_BEYOND[borders])  # type: ignore[call-overload]
        blurred[...] = irfftn(rfftn(padded, size, axes) * otf, size, axes)[inside]
    return result
