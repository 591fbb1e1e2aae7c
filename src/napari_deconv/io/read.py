"""Reading: by suffix, with every failure in plain words."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from napari_deconv.errors import FileError

if TYPE_CHECKING:
    from os import PathLike

    from napari_deconv.io.image_file import ImageFile

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk")
ZARR_SUFFIXES = (".zarr",)
PICTURE_SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg")


def read_image(
    path: str | PathLike[str], *, axes: str | None = None, lazy: bool = False
) -> ImageFile:
    """Read an image with its axes, voxel size and channels.

    TIFF (plain, ImageJ, OME-TIFF, BigTIFF), OME-Zarr 0.4 and 0.5, and grey PNG or JPEG pictures.

    Parameters
    ----------
    path
        The file, or for OME-Zarr the folder.
    axes
        Names of the axes as they are stored, such as ``"TYX"`` for a film of single planes, when
        the file tells them wrongly or not at all.
    lazy
        Leave the pixels of a TIFF in the file even where they are few.

    Returns
    -------
    ImageFile
        The array and what the file tells about it. Lengths are micrometres.

    Raises
    ------
    FileError
        When there is no such file, it cannot be read, is truncated or no grey-level image.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        if not path.exists():
            raise FileError(f"There is no file {path}.{_similar(path)}")
        if suffix in ZARR_SUFFIXES:
            from napari_deconv.io.ome_zarr import read_ome_zarr

            image = read_ome_zarr(path, axes)
        elif path.is_dir():
            raise FileError(
                f"{path} is a folder, but not an OME-Zarr one (its name ends in .zarr)."
            )
        elif path.stat().st_size == 0:
            raise FileError(f"{path} is empty: it holds no bytes at all.")
        elif suffix in PICTURE_SUFFIXES:
            from napari_deconv.io.picture import read_picture

            image = read_picture(path)
        elif suffix in TIFF_SUFFIXES:
            from napari_deconv.io.tiff import read_tiff

            image = read_tiff(path, lazy=lazy)
        else:
            raise FileError(
                f"{path}: this kind of file cannot be read. Save it as TIFF (.tif, .ome.tif) "
                "or OME-Zarr (.ome.zarr) first."
            )
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}.") from error
    if axes is not None and suffix not in ZARR_SUFFIXES:
        image = image.with_axes(axes)
    if image.dtype.kind not in "biuf":
        raise FileError(f"{path} holds {image.dtype} values; grey levels are needed.")
    if 0 in image.data.shape:
        raise FileError(f"{path} holds no pixels: its shape is {image.data.shape}.")
    return image


def _similar(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f" (There is no folder {path.parent} either.)"
    close = difflib.get_close_matches(path.name, names, n=1)
    return f" Did you mean {path.parent / close[0]}?" if close else ""
