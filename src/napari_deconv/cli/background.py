"""``napari-deconv background``: an image without its background."""

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

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(words: Sequence[str]) -> int:
    """Write ``image - background``."""
    from napari_deconv.background import estimate_background
    from napari_deconv.registry import parameters_of

    parser = Parser(
        "napari-deconv background",
        "IMAGE -o RESULT ...",
        "Estimate the background plane by plane and write the image without it.",
    )
    parser.add_argument("image", metavar="IMAGE", help="TIFF or OME-Zarr")
    add_axes(parser)
    add_output(parser)
    parser.add_argument(
        "--save-background", metavar="FILE", help="write the background itself, too"
    )
    parser.add_parameters("the background", parameters_of(estimate_background))
    parser.add_parameters("the image", {"spacing": spacing_parameter()})
    arguments, values = parser.parse(words)

    import numpy as np

    from napari_deconv.io import write_image

    image = open_image(arguments.image, arguments.axes)
    outputs = [arguments.output, arguments.save_background]
    size = 4 * int(np.prod(image.data.shape))
    check_outputs(outputs, overwrite=arguments.overwrite, inputs=[arguments.image], nbytes=size)
    spacing = chosen_spacing(values, image)
    data = np.asarray(image.data)
    background = estimate_background(data, **values)
    record = command_record("background", words, parameters=values)
    for path, pixels in ((arguments.output, data - background), (outputs[1], background)):
        if path is not None:
            write_image(
                path,
                pixels.astype(np.float32, copy=False),
                axes=image.axes,
                spacing=spacing,
                channels=image.channels,
                time_interval=image.time_interval,
                provenance=record,
                overwrite=arguments.overwrite,
                inputs=[arguments.image],
                ome_zarr_version=arguments.ome_zarr,
            )
    say(
        f"background: {background.min():.4g} to {background.max():.4g}, mean "
        f"{background.mean(dtype=np.float64):.4g} of {data.mean(dtype=np.float64):.4g}"
    )
    say(f"{arguments.output}: {size_of(data.shape, spacing)}")
    return 0
