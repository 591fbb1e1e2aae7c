"""Writing: by suffix, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_deconv.errors import FileError
from napari_deconv.io.image_file import AXES, Channel, check_axes
from napari_deconv.io.target import check_target, replacing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from numpy.typing import ArrayLike

# What ImageJ knows.
_DTYPES = (np.uint8, np.uint16, np.float32)
SUFFIXES = (".tif", ".tiff", ".zarr")


def write_image(
    path: str | PathLike[str],
    data: ArrayLike,
    *,
    axes: str,
    spacing: Sequence[float] | None = None,
    channels: Sequence[Channel] = (),
    time_interval: float | None = None,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    inputs: Sequence[str | PathLike[str]] = (),
    ome_zarr_version: Literal["0.4", "0.5"] = "0.5",
) -> Path:
    """Write an image with its voxel size, channels and provenance.

    uint8, uint16 and float32 are written as they are, all else as float32.

    The suffix decides: ``.tif`` (ImageJ's kind; BigTIFF with OME metadata beyond 4 GB),
    ``.ome.tif``, ``.zarr`` (OME-Zarr with a pyramid).

    Parameters
    ----------
    path
        The target. It is written under a temporary name beside it, then renamed.
    data
        The pixels.
    axes
        One letter for each axis: some of ``"TCZYX"``, in that order, ending in ``"YX"``.
    spacing
        Voxel size in micrometres for the spatial axes.
    channels
        One per entry of axis C.
    time_interval
        Seconds between time points.
    provenance
        What made this image: JSON-able, kept in the file's metadata.
    overwrite
        Whether another file of that name may be replaced.
    inputs
        Files the image is made from: never replaced.
    ome_zarr_version
        Version of the OME-Zarr format; 0.4 for programs that do not know zarr 3 yet.

    Returns
    -------
    Path
        The target.

    Raises
    ------
    FileError
        When the suffix is unknown, the axes do not fit or the file cannot be written.
    """
    path = check_output_suffix(path)
    pixels = np.asarray(data)
    kept = pixels.dtype.newbyteorder("=")
    pixels = pixels.astype(kept if kept in _DTYPES else np.float32, copy=False)
    check_axes(axes, path)
    if len(axes) != pixels.ndim or list(axes) != sorted(axes, key=AXES.index):
        raise FileError(f"An array of shape {pixels.shape} cannot have the axes {axes!r}.")
    if spacing is not None and len(spacing) != len([axis for axis in axes if axis in "ZYX"]):
        raise FileError(f"{len(spacing)} voxel sizes do not fit the axes {axes!r}.")
    check_target(path, overwrite=overwrite, inputs=inputs, nbytes=pixels.nbytes)
    with replacing(path) as temporary:
        if path.suffix.lower() == ".zarr":
            from napari_deconv.io.ome_zarr import write_ome_zarr

            write_ome_zarr(
                temporary,
                pixels,
                axes,
                version=ome_zarr_version,
                name=path.name.removesuffix(".zarr").removesuffix(".ome"),
                spacing=spacing,
                channels=channels,
                time_interval=time_interval,
                provenance=provenance,
            )
        else:
            from napari_deconv.io.tiff import write_tiff

            write_tiff(
                temporary,
                pixels,
                axes,
                ome=path.stem.lower().endswith(".ome"),
                spacing=spacing,
                channels=channels,
                time_interval=time_interval,
                provenance=provenance,
            )
    return path


def check_output_suffix(path: str | PathLike[str]) -> Path:
    """Check that the name says a format that can be written.

    Raises
    ------
    FileError
        When it does not.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise FileError(
            f"{path}: images are written as .tif, .ome.tif or .ome.zarr; "
            "let the name end in one of these."
        )
    return path
