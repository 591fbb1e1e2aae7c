"""What is left of the data once the estimate, seen through the microscope, is taken off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.arrays import as_image
from napari_deconv.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_deconv.assessment.noise import Noise


def chi_squared(data: ArrayLike, prediction: ArrayLike, noise: Noise) -> float:
    """Return the mean squared residual in units of the noise's variance.

    ``mean((data - prediction)**2 / noise.variance(prediction))``: about 1 where the prediction
    explains the data down to their noise, more where it misses something, less where it has
    followed the noise.

    Parameters
    ----------
    data
        The measured image.
    prediction
        The estimate, blurred and with its background and offset: what should have been measured.
    noise
        Gain, offset and read noise of the data.

    Returns
    -------
    float
        Per voxel.

    Raises
    ------
    InputError
        When the shapes differ or an image is not usable.
    """
    measured, expected = _pair(data, prediction)
    # Neither photons nor read noise leave no variance to divide by: a hundredth photon is credited.
    variance = np.maximum(noise.variance(expected), 0.01 * noise.gain**2)
    return float(np.mean((measured - expected) ** 2 / variance))


def residual_correlation(data: ArrayLike, prediction: ArrayLike, noise: Noise) -> float:
    """Return how much neighbouring residuals resemble each other: about 0 for pure noise.

    Residuals are divided by the noise's standard deviation; the result is the root mean square of
    their correlation coefficients with the neighbours up to two voxels away in Y and X. White
    noise in n voxels leaves 1/sqrt(n); structure that the estimate lacks, or has too much of,
    raises it towards 1.

    Parameters
    ----------
    data
        The measured image.
    prediction
        What should have been measured; see :func:`chi_squared`.
    noise
        Gain, offset and read noise of the data.

    Returns
    -------
    float
        0 to 1; not a number where there is no residual.

    Raises
    ------
    InputError
        When the shapes differ, planes are smaller than 5 x 5 or an image is not usable.
    """
    measured, expected = _pair(data, prediction)
    if min(measured.shape[-2:]) < 5:
        raise InputError(f"Planes of at least 5 x 5 pixels are needed, not {measured.shape[-2:]}.")
    deviation = np.sqrt(np.maximum(noise.variance(expected), 0.01 * noise.gain**2))
    residual = (measured - expected) / deviation
    residual -= residual.mean()
    energy = float(np.mean(residual**2))
    if not energy > 0:
        return float("nan")
    height, width = residual.shape[-2:]
    squares = []
    for dy in range(3):
        for dx in range(-2, 3):
            if dy == 0 and dx <= 0:
                continue
            here = residual[..., : height - dy, max(0, -dx) : width - max(0, dx)]
            there = residual[..., dy:, max(0, dx) : width - max(0, -dx)]
            squares.append((float(np.mean(here * there)) / energy) ** 2)
    return float(np.sqrt(np.mean(squares)))


def _pair(
    data: ArrayLike, prediction: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    measured, expected = as_image(data, "data"), as_image(prediction, "prediction")
    if measured.shape != expected.shape:
        raise InputError(
            f"The data have shape {measured.shape} and the prediction {expected.shape}; "
            "they have to be equal."
        )
    return measured.astype(np.float64), expected.astype(np.float64)
