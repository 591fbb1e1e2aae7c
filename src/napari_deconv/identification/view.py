"""What is looked at: an image checked, in frames, and brought to the trained cutoff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.arrays import as_image
from napari_deconv.errors import InputError, ParameterError
from napari_deconv.identification import resample

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

_LARGEST_AMPLITUDE = 0.2


@dataclass(frozen=True)
class View:
    """An image at the trained cutoff.

    Attributes
    ----------
    planes
        Frames (n, y, x), float64.
    shape
        Pixels (y, x) of the image itself.
    cutoff, assumed
        NA * pixel / wavelength of the image, cycles per pixel, and whether it had to be assumed.
    noise
        Standard deviation of the planes' noise where it was given, else None.
    band
        Highest frequency that the camera saw, see ``spectrum.spectrum_of``.
    unit
        What a standard deviation in units of the planes' own is in the image.
    """

    planes: Tensor
    shape: tuple[int, int]
    cutoff: float
    assumed: bool
    noise: float | None
    band: float
    unit: float


def look_at(image: ArrayLike, cutoff: float, assumed: bool, noise: float | str) -> View:
    """Bring an image to the trained cutoff.

    Parameters
    ----------
    image
        Grey values (y, x) or (frames, y, x).
    cutoff, assumed
        See ``resample.cutoff_of``.
    noise
        Standard deviation in the image's units, or "auto".

    Raises
    ------
    InputError
        When the image is too small, empty of structure, or of the wrong shape.
    """
    import torch

    array = as_image(image)
    if array.ndim not in (2, 3):
        raise InputError(
            f"The image has {array.ndim} axes; give a plane (y, x) or frames (n, y, x)."
        )
    frames = array.reshape(-1, *array.shape[-2:]).astype(np.float64)
    planes, pixels = resample.to_trained(frames, cutoff)
    scale = float(np.sqrt(np.var(planes, axis=(-2, -1)).mean()))
    if not scale > 1e-9 * max(float(np.abs(planes).max()), 1e-30):
        raise InputError("The image is the same everywhere: there is nothing to see a PSF by.")
    return View(
        torch.from_numpy(planes),
        (int(frames.shape[1]), int(frames.shape[2])),
        cutoff,
        assumed,
        None if isinstance(noise, str) else float(noise) * pixels,
        0.5 / max(pixels, 1.0),
        scale / pixels,
    )


def check(amplitude: float, shape: tuple[int, int], noise: Any) -> None:
    """Refuse what cannot be."""
    if not 0 < amplitude <= _LARGEST_AMPLITUDE:
        raise ParameterError(
            f"amplitude is {amplitude:g} waves, but has to be above 0 and at most "
            f"{_LARGEST_AMPLITUDE}: beyond that, images do not tell one PSF from another."
        )
    if len(shape) != 2 or min(shape) < 3:
        raise ParameterError(f"shape is {tuple(shape)}, but has to be (y, x) of at least 3 each.")
    if isinstance(noise, str) and noise != "auto":
        raise ParameterError(f'noise is {noise!r}, but has to be a number or "auto".')
    if not isinstance(noise, str) and not noise >= 0:
        raise ParameterError(f"noise is {noise!r}, but has to be at least 0.")
