"""What an estimate gets wrong of the object, as the image's own noise tells it (Stein)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.engine.deblurred import Deblurred
from napari_deconv.engine.statistics import LEAST_PHOTONS, effective_offset
from napari_deconv.operators.slabs import total

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.assessment.noise import Noise
    from napari_deconv.operators.convolution import Convolution

# How much of the noise is added once more to see what it does.
SMALL = 0.1
# Where the blur passes less of a wave's power than noise has, but such a share of the strongest
# wave's at most and at least, noise hides what an estimate gets wrong. Of 1e-2 to 1e-3 at most,
# the first chose strengths for pollen that were too weak, the last some for actin too strong.
_WINDOWS = 2e-3, 1e-4
_STREAM = 20052


def more_noise(data: NDArray[np.float32], noise: Noise, seed: int) -> NDArray[np.float32]:
    """Return noise like that of an image.

    A voxel's own photons are taken for its variance. For counts that is right on average (Hudson,
    Annals of Statistics 6 (1978) 473), and where there are none no noise is added that would have
    to be cut off below zero: with a mean over neighbours, dark stacks came out too noisy.
    """
    generator = np.random.default_rng([_STREAM, seed])
    photons = (data.astype(np.float64) - effective_offset(noise)) / noise.gain
    spread = np.sqrt(photons.clip(min=LEAST_PHOTONS)) * noise.gain
    return np.asarray(generator.standard_normal(data.shape) * spread, np.float32)


def expected_error(
    data: Tensor, prediction: Tensor, noise: Tensor, response: Tensor, blur: Convolution
) -> float:
    r"""Return an estimate's mean squared error, plus a constant, without knowing the object.

    .. math:: \frac 1 N \left( \| W (y - H x) \|^2 + 2\, b^T W^T W\,
              \frac{H x(y + \delta b) - H x(y)}{\delta} \right)

    with W that deblurs (:class:`~napari_deconv.engine.deblurred.Deblurred`). The first term falls
    as more and more of the image is explained. The second is twice what of that is noise: it is
    larger, the more an estimate follows noise that is added to its image. What is expected of both
    is :math:`\| W H (x - x_0) \|^2` and a constant: the object's error, but for the waves that the
    blur does not pass (Stein 1981, doi:10.1214/aos/1176345632; Ramani,
    Blu and Unser 2008, doi:10.1109/TIP.2008.2001404, for any method; Eldar 2009,
    doi:10.1109/TSP.2008.2008212, for errors of the object).

    Parameters
    ----------
    data
        Image y.
    prediction
        H x, with all that is added to it.
    noise
        Noise b like that of the image, drawn anew.
    response
        By how much the prediction changes, ``1 / SMALL`` times, when ``SMALL`` times that noise is
        added to the image.
    blur
        The forward model H; of one that varies the mean OTF is taken.
    """
    share = total(noise.square()) / max(total((data - data.mean()).square_()), 1e-30)
    deblurred = Deblurred(blur, data.shape, max(min(share, _WINDOWS[0]), _WINDOWS[1]))
    residual = deblurred(data - prediction)
    followed = deblurred.inner(deblurred(noise), deblurred(response))
    return (deblurred.inner(residual, residual) + 2 * followed) / data.numel()
