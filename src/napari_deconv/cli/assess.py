"""``napari-deconv assess``: how good a result is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_deconv.cli.arguments import Parser
from napari_deconv.cli.common import (
    add_axes,
    check_outputs,
    chosen_spacing,
    command_record,
    open_image,
    say,
    spacing_parameter,
    write_json,
)
from napari_deconv.errors import InputError
from napari_deconv.registry import Parameter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_deconv.io import ImageFile

_PARAMETERS = {
    "background": Parameter(
        "background", float, 0.0, "What the data hold beside the blurred image, offset included."
    ),
    "spot": Parameter(
        "spot",
        float,
        None,
        "Where a spot is whose widths are measured; the brightest voxel when left out.",
        unit="voxels",
        length=0,
    ),
}


def run(words: Sequence[str]) -> int:
    """Print the figures of one image, or of each time point and channel."""
    parser = Parser(
        "napari-deconv assess",
        "IMAGE [--reference TRUTH] [--data DATA --psf PSF] ...",
        "Measure an image: its range and the width of its brightest spot; against a truth PSNR, "
        "SSIM and the like; against the data it was made from whether it explains them.",
    )
    parser.add_argument("image", metavar="IMAGE", help="TIFF or OME-Zarr")
    parser.add_argument("--reference", metavar="TRUTH", help="the truth, in the same units")
    parser.add_argument("--data", metavar="DATA", help="the image that was measured")
    parser.add_argument("--psf", metavar="PSF", help="with --data: what has blurred it")
    parser.add_argument("--details", metavar="FILE", help="write the figures there, as JSON")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    add_axes(parser)
    parser.add_parameters("the image", {"spacing": spacing_parameter(), **_PARAMETERS})
    arguments, values = parser.parse(words)

    import numpy as np

    from napari_deconv.assessment import assess

    image = open_image(arguments.image, arguments.axes)
    others = {
        name: open_image(path)
        for name in ("reference", "data")
        if (path := getattr(arguments, name)) is not None
    }
    for name, other in others.items():
        if other.data.shape != image.data.shape:
            raise InputError(
                f"{image.path} has the shape {image.data.shape}, "
                f"the {name} {other.path} {other.data.shape}: they have to be the same."
            )
    if arguments.details is not None:
        inputs = [arguments.image, *(str(other.path) for other in others.values())]
        check_outputs([], others=[arguments.details], overwrite=arguments.overwrite, inputs=inputs)
    if arguments.psf is not None:
        values["psf"] = np.squeeze(np.asarray(open_image(arguments.psf).data))
    spacing = chosen_spacing(values, image)

    figures = []
    for title, index in _images(image):
        given: dict[str, Any] = {
            name: np.asarray(other.data[index]) for name, other in others.items()
        }
        result = assess(np.asarray(image.data[index]), spacing=spacing, **given, **values)
        if title:
            say(f"{title}:")
        say(str(result))
        figures.append({"image": title, **result.as_dict()})
    if arguments.details is not None:
        write_json(arguments.details, command_record("assess", words, figures=figures))
    return 0


def _images(image: ImageFile) -> Iterator[tuple[str, Any]]:
    """Return a name and an index for the image of each time point and channel."""
    import numpy as np

    leading = image.axes[: -len(image.spatial_axes)]
    words = {"T": "time", "C": "channel"}
    for index in np.ndindex(image.data.shape[: len(leading)]):
        parts = (f"{words[axis]} {place}" for axis, place in zip(leading, index, strict=True))
        yield ", ".join(parts), index
