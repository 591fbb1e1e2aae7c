"""How near an image comes to its reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.arrays import as_image
from napari_deconv.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

# Wang et al. 2004: an 11-point Gaussian window and the two stabilising constants.
_SSIM_SIGMA = 1.5
_SSIM_RADIUS = 5
_SSIM_K1 = 0.01
_SSIM_K2 = 0.03


def psnr(image: ArrayLike, reference: ArrayLike) -> float:
    """Return the peak signal-to-noise ratio, ``20 log10(max(reference) / rmse)``, in dB.

    Parameters
    ----------
    image, reference
        Of the same shape and in the same units; nothing is fitted.

    Returns
    -------
    float
        Infinite where both are equal.

    Raises
    ------
    InputError
        When the shapes differ, the reference is nowhere above zero, or an image is not usable.
    """
    x, truth = _pair(image, reference)
    if not truth.max() > 0:
        raise InputError("The reference is nowhere above zero, so it has no peak to compare with.")
    return _decibels(float(truth.max()), _rms(x - truth))


def snr(image: ArrayLike, reference: ArrayLike) -> float:
    """Return the signal-to-noise ratio, ``20 log10(rms(reference) / rmse)``, in dB.

    Parameters
    ----------
    image, reference
        Of the same shape and in the same units; nothing is fitted.

    Returns
    -------
    float
        Infinite where both are equal.

    Raises
    ------
    InputError
        When the shapes differ, the reference is all zero, or an image is not usable.
    """
    x, truth = _pair(image, reference)
    return _decibels(_norm(truth), _rms(x - truth))


def scale_invariant_snr(image: ArrayLike, reference: ArrayLike) -> float:
    """Return the signal-to-noise ratio after the best scaling of the image, in dB.

    ``20 log10(|reference| / |reference - a image|)`` with the ``a`` that makes it greatest,
    ``a = <reference, image> / <image, image>``.

    Parameters
    ----------
    image, reference
        Of the same shape, in any units.

    Returns
    -------
    float
        Infinite where the image is a multiple of the reference, 0 where it tells nothing of it.

    Raises
    ------
    InputError
        When the shapes differ, the reference is all zero, or an image is not usable.
    """
    x, truth = _pair(image, reference)
    energy = float(np.sum(x * x))
    best = float(np.sum(x * truth)) / energy if energy > 0 else 0.0
    return _decibels(_norm(truth), _rms(truth - best * x))


def nrmse(image: ArrayLike, reference: ArrayLike) -> float:
    """Return the root mean square error over the reference's root mean square.

    Parameters
    ----------
    image, reference
        Of the same shape and in the same units; nothing is fitted.

    Returns
    -------
    float
        0 where both are equal.

    Raises
    ------
    InputError
        When the shapes differ, the reference is all zero, or an image is not usable.
    """
    x, truth = _pair(image, reference)
    return _rms(x - truth) / _norm(truth)


def correlation(image: ArrayLike, reference: ArrayLike) -> float:
    """Return Pearson's correlation coefficient.

    Parameters
    ----------
    image, reference
        Of the same shape, in any units.

    Returns
    -------
    float
        -1 to 1; not a number where one of them is constant.

    Raises
    ------
    InputError
        When the shapes differ or an image is not usable.
    """
    x, truth = _pair(image, reference)
    x, truth = x - x.mean(), truth - truth.mean()
    norm = float(np.sqrt(np.sum(x * x) * np.sum(truth * truth)))
    return float(np.sum(x * truth)) / norm if norm > 0 else float("nan")


def ssim(image: ArrayLike, reference: ArrayLike) -> float:
    """Return the mean structural similarity.

    An 11-point Gaussian window (standard deviation 1.5) slides over Y, X and, in a stack, Z; axes
    shorter than that are taken section by section, and so are axes before Z. Only windows that
    lie wholly inside count. The dynamic range is ``max(reference) - min(reference)``.

    Parameters
    ----------
    image, reference
        Of the same shape and in the same units; nothing is fitted.

    Returns
    -------
    float
        At most 1, which means equal; not a number where the reference is constant or no axis has
        room for the window.

    Raises
    ------
    InputError
        When the shapes differ or an image is not usable.

    References
    ----------
    Wang, Bovik, Sheikh and Simoncelli, IEEE Trans. Image Processing 13 (2004) 600, equation 13.
    """
    x, truth = _pair(image, reference)
    spatial = range(max(0, x.ndim - 3), x.ndim)
    windowed = [axis for axis in spatial if x.shape[axis] > 2 * _SSIM_RADIUS]
    span = float(np.ptp(truth))
    if not span > 0 or not windowed:
        return float("nan")
    sigma = [_SSIM_SIGMA if axis in windowed else 0.0 for axis in range(x.ndim)]
    inside = tuple(
        slice(_SSIM_RADIUS, n - _SSIM_RADIUS) if axis in windowed else slice(None)
        for axis, n in enumerate(x.shape)
    )

    def local_mean(values: Array) -> Array:
        from scipy.ndimage import gaussian_filter

        mean: Array = gaussian_filter(values, sigma, radius=_SSIM_RADIUS)[inside]
        return mean

    mean_x, mean_truth = local_mean(x), local_mean(truth)
    variance_x = local_mean(x * x) - mean_x**2
    variance_truth = local_mean(truth * truth) - mean_truth**2
    covariance = local_mean(x * truth) - mean_x * mean_truth
    c1, c2 = (_SSIM_K1 * span) ** 2, (_SSIM_K2 * span) ** 2
    similarity = (2 * mean_x * mean_truth + c1) * (2 * covariance + c2)
    similarity /= (mean_x**2 + mean_truth**2 + c1) * (variance_x + variance_truth + c2)
    return float(similarity.mean())


def _pair(image: ArrayLike, reference: ArrayLike) -> tuple[Array, Array]:
    x, truth = as_image(image), as_image(reference, "reference")
    if x.shape != truth.shape:
        raise InputError(
            f"The image has shape {x.shape} and the reference {truth.shape}; they have to be equal."
        )
    return x.astype(np.float64), truth.astype(np.float64)


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values * values)))


def _norm(truth: Array) -> float:
    """Return the reference's root mean square, which has to be above zero."""
    norm = _rms(truth)
    if not norm > 0:
        raise InputError("The reference is zero everywhere, so there is nothing to compare with.")
    return norm


def _decibels(signal: float, error: float) -> float:
    return 20 * float(np.log10(signal / error)) if error > 0 else float("inf")
