"""How far the data support what an estimate shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_deconv.arrays import as_image
from napari_deconv.assessment.noise import estimate_noise
from napari_deconv.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_deconv.assessment.noise import Noise


def support_map(
    data: ArrayLike,
    estimate: ArrayLike,
    psf: ArrayLike,
    *,
    background: ArrayLike | Literal["auto"] = "auto",
    noise: Noise | None = None,
) -> NDArray[np.float32]:
    r"""Return by how many standard deviations the data ask for more light, or less, at each place.

    What is left of the data once the blurred estimate is taken off is looked at through the PSF:
    a point of light that is missing in (or too much of) the estimate would leave its blurred image
    there, and the best test for that is

    .. math:: z = \frac{H^T (y - \hat y) / \sigma^2}{\sqrt{(H^2)^T 1 / \sigma^2}}

    with the variance of the noise, of mean 0 and standard deviation 1 where the estimate explains
    the data down to their noise (a matched filter; Turin 1960, doi:10.1109/TIT.1960.1057571).

    Parameters
    ----------
    data
        The measured image, axes ``..., (Z,) Y, X``.
    estimate
        What was restored of it, of the same shape and in the same units.
    psf
        The point spread function, origin at index n//2. Near an edge, about half of it from there,
        the map also shows what is not known about the outside.
    background
        What the data hold beside the blurred estimate, offset included: a number or an array.
        Automatic takes the median of what is left, which no structure changes.
    noise
        Of the data; estimated from them where not given.

    Returns
    -------
    float32 array
        Above about 3, light is missing in the estimate; below -3, it has light that the data do not
        support.

    Raises
    ------
    InputError
        When shapes do not fit or an image is not usable.
    """
    from napari_deconv.simulation.imaging import convolve

    measured, found = as_image(data, "data"), as_image(estimate)
    if measured.shape != found.shape:
        raise InputError(
            f"The data have shape {measured.shape} and the estimate {found.shape}; "
            "they have to be equal."
        )
    kernel = np.asarray(as_image(psf, "PSF"), np.float64)
    kernel = kernel / kernel.sum()
    expected = convolve(found, kernel, borders="reflect")
    if isinstance(background, str):
        background = np.median(measured - expected)
    expected += np.asarray(background, np.float64)
    known = estimate_noise(measured) if noise is None else noise
    # A hundredth photon is credited where neither photons nor read noise leave a variance.
    variance = np.maximum(known.variance(expected), 0.01 * known.gain**2)
    # The flipped kernel's origin stays at n // 2 only where n is odd.
    odd = np.pad(kernel, [(0, 1 - n % 2) for n in kernel.shape])
    back = odd[(slice(None, None, -1),) * odd.ndim]
    left = ((measured - expected) / variance).astype(np.float32)
    asked = convolve(left, back, borders="reflect")
    weights = (1 / variance).astype(np.float32)
    # convolve takes kernels of sum 1.
    scale = (back**2).sum() * convolve(weights, back**2, borders="reflect")
    return np.asarray(asked / np.sqrt(np.maximum(scale, 1e-30)), np.float32)
