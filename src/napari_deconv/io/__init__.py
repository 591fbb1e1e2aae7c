"""Image files: TIFF and OME-Zarr in and out, with voxel size, channels and provenance."""

from napari_deconv.io.image_file import Channel, ImageFile
from napari_deconv.io.read import read_image
from napari_deconv.io.target import check_target, replacing
from napari_deconv.io.write import check_output_suffix, write_image

__all__ = [
    "Channel",
    "ImageFile",
    "check_output_suffix",
    "check_target",
    "read_image",
    "replacing",
    "write_image",
]
