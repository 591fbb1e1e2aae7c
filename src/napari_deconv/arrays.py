"""Checks that every room makes on an image before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# Brightest values between which every method gives the same whatever the unit: numbers of 32 bits
# are squared on the way, and end at 1e38.
_FAINTEST, _BRIGHTEST = 1e-12, 1e15


def out_of_scale(low: float, high: float) -> bool:
    """Whether an image with these least and largest values is too faint or bright for float32."""
    return not _FAINTEST <= max(abs(low), abs(high)) <= _BRIGHTEST


def refuse_too_bright(block: NDArray[np.float32]) -> None:
    """Refuse a part of an image with values too large for float32's range in what follows.

    Raises
    ------
    InputError
        When there are.
    """
    high = max(float(block.max()), -float(block.min()))
    if high > _BRIGHTEST:
        raise InputError(
            f"The image holds values as large as {high:g}; the largest may be {_BRIGHTEST:g}. "
            "Multiply the image by a constant, and divide the result by it."
        )


def as_image(image: ArrayLike, name: str = "image") -> NDArray[np.float32]:
    """Return ``image`` as float32 in native byte order, never writing to the array given.

    Parameters
    ----------
    image
        Grey values, axes ``..., Y, X``, of any real type.
    name
        What the messages call it.

    Returns
    -------
    ndarray of float32
        The array itself where it is float32 already, else a copy.

    Raises
    ------
    InputError
        When it is empty, has fewer than two axes, is RGB, or holds anything but finite numbers.
    """
    array: NDArray[Any] = np.asarray(image)
    check_image(array, name)
    return as_finite(array, name)


def as_finite(array: NDArray[Any], name: str = "image") -> NDArray[np.float32]:
    """Return real numbers as float32 in native byte order; what is float32 already as it is.

    Raises
    ------
    InputError
        When some are not finite.
    """
    with np.errstate(over="ignore"):
        values = array.astype(np.float32, copy=False)
    # The sum is finite unless a value is not (or the sum overflows): one pass, no mask.
    if not np.isfinite(values.sum(dtype=np.float64)) and not np.isfinite(values).all():
        bad = int(values.size - np.isfinite(values).sum())
        raise InputError(
            f"The {name} holds {bad} values that are not finite (NaN or infinity) as float32; "
            "replace them first, for instance with numpy.nan_to_num."
        )
    return values


def check_image(array: Any, name: str = "image") -> None:
    """Check what can be told of an array, lazy or not, without looking at its values.

    Raises
    ------
    InputError
        When it is empty, has fewer than two axes, is RGB, or holds no real numbers.
    """
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"The {name} holds {array.dtype} values; grey values are needed, so convert it first."
        )
    if array.ndim < 2:
        raise InputError(f"The {name} has {array.ndim} axis; at least Y and X are needed.")
    if 0 in array.shape:
        raise InputError(f"The {name} is empty (shape {array.shape}).")
    if array.ndim > 2 and array.shape[-1] in (3, 4) and min(array.shape[-3:-1]) > 8:
        raise InputError(
            f"The {name} looks like a colour (RGB) picture (shape {array.shape}); "
            "give one colour channel, for instance image[..., 1]."
        )


def some_planes(image: NDArray[Any], enough: int) -> NDArray[Any]:
    """Take planes at regular steps, so that about ``enough`` voxels remain, and at least a plane.

    Parameters
    ----------
    image
        Axes ``..., Y, X``.
    enough
        Number of voxels beyond which planes are left out.

    Returns
    -------
    ndarray
        The planes taken, axes ``plane, Y, X``, or the image itself where it is small enough.
    """
    if image.ndim < 3 or image.size <= enough:
        return image
    return image.reshape(-1, *image.shape[-2:])[:: -(-image.size // enough)]
