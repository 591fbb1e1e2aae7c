"""``napari-deconv simulate``: the image a microscope would take of an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deconv.cli.arguments import Parser
from napari_deconv.cli.common import (
    add_axes,
    add_output,
    check_outputs,
    chosen_spacing,
    command_record,
    open_image,
    say,
    size_of,
    spacing_parameter,
)
from napari_deconv.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Two voxel sizes closer than this are the same: files round them.
_SAME_SIZE = 0.01


def run(words: Sequence[str]) -> int:
    """Blur an object, and record it with a camera."""
    from napari_deconv.registry import parameters_of
    from napari_deconv.simulation import simulate

    parser = Parser(
        "napari-deconv simulate",
        "OBJECT --psf PSF -o IMAGE ...",
        "Make the image that a microscope would take of an object.",
    )
    parser.add_argument("object", metavar="OBJECT", help="TIFF or OME-Zarr")
    parser.add_argument("--psf", required=True, metavar="PSF", help="with the object's voxel size")
    add_axes(parser)
    add_output(parser, "image")
    parser.add_parameters("light and camera", parameters_of(simulate))
    parser.add_parameters("the image", {"spacing": spacing_parameter()})
    arguments, values = parser.parse(words)

    import numpy as np

    from napari_deconv.io import write_image

    obj = open_image(arguments.object, arguments.axes)
    psf = open_image(arguments.psf)
    inputs = [arguments.object, arguments.psf]
    size = 4 * int(np.prod(obj.data.shape))
    check_outputs([arguments.output], overwrite=arguments.overwrite, inputs=inputs, nbytes=size)
    spacing = chosen_spacing(values, obj)
    if spacing is not None and psf.spacing is not None:
        same = len(spacing) == len(psf.spacing) and np.allclose(
            spacing, psf.spacing, rtol=_SAME_SIZE
        )
        if not same:
            raise InputError(
                f"{arguments.object} and {arguments.psf} have different voxel sizes ({spacing} "
                f"and {psf.spacing} um). Make a PSF with the object's."
            )
    image = simulate(np.asarray(obj.data), np.squeeze(np.asarray(psf.data)), **values)
    write_image(
        arguments.output,
        image,
        axes=obj.axes,
        spacing=spacing,
        channels=obj.channels,
        time_interval=obj.time_interval,
        provenance=command_record("simulate", words, parameters=values),
        overwrite=arguments.overwrite,
        inputs=inputs,
        ome_zarr_version=arguments.ome_zarr,
    )
    say(f"{arguments.output}: {size_of(image.shape, spacing)}, {image.min()} to {image.max()}")
    return 0
