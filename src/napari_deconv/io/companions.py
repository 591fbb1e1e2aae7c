"""What goes with an image in files of their own: its PSF, its background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_deconv.io.image_file import ImageFile


def psfs_in(file: ImageFile) -> list[NDArray[Any]]:
    """Return a file's PSFs: one, or one for each channel.

    Raises
    ------
    InputError
        When it is a time series.
    """
    if "T" in file.axes and file.data.shape[file.axes.index("T")] > 1:
        raise InputError(f"{file.path} is a time series; a PSF has Z, Y, X, or C before them.")
    shape = file.data.shape[-len(file.spatial_axes) :]
    return list(np.reshape(file.data, (-1, *shape)))


def check_dimensions(path: Path, psfs: list[NDArray[Any]], image: ImageFile) -> None:
    """Check that a file's PSFs have no more dimensions than an image.

    Raises
    ------
    InputError
        When they have.
    """
    if psfs[0].ndim == 3 and "Z" not in image.axes:
        raise InputError(
            f"{path} has three dimensions, {image.path} has planes without a z axis. Use a "
            "two-dimensional PSF, or name the image's axes (axes, --axes), such as ZYX."
        )


def background_in(file: ImageFile, image: ImageFile) -> Any:
    """Return the background that a file holds, in the image's shape.

    Raises
    ------
    InputError
        When it has another shape.
    """
    if file.data.shape != image.data.shape:
        raise InputError(
            f"The background {file.path} has the shape {file.data.shape}, "
            f"{image.path} {image.data.shape}: they have to be the same."
        )
    return file.data
