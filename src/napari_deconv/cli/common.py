"""What several commands share: options for files, and a few words about an image."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deconv.cli.progress import duration
from napari_deconv.cli.shell import warn
from napari_deconv.errors import InputError, ParameterError
from napari_deconv.io import ImageFile, check_output_suffix, check_target, read_image, replacing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_deconv.cli.arguments import Parser
    from napari_deconv.engine import Forecast
    from napari_deconv.registry import Parameter


def add_output(parser: Parser, what: str = "result") -> None:
    """Add ``-o``, ``--overwrite`` and the version of OME-Zarr."""
    group = parser.add_argument_group("output")
    group.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help=f"the {what}: .tif, .ome.tif or .ome.zarr",
    )
    group.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    group.add_argument(
        "--ome-zarr",
        choices=("0.4", "0.5"),
        default="0.5",
        help="version of the OME-Zarr format [default: 0.5]",
    )


def add_axes(parser: Parser) -> None:
    """Add ``--axes``."""
    parser.add_argument(
        "--axes",
        metavar="AXES",
        help="names of the image's axes as they are stored, where the file tells them wrongly: "
        "TYX for a film of single planes that calls itself a stack",
    )


def spacing_parameter() -> Parameter:
    """Return the voxel size as an option of commands whose function takes none."""
    from napari_deconv.registry import Parameter, Range

    return Parameter(
        name="spacing",
        kind=float,
        default=None,
        help="Voxel size (z, y, x) or pixel size (y, x). The file's own when left out.",
        unit="um",
        range=Range(1e-4, 1e4),
        length=0,
        allows_none=True,
    )


def chosen_spacing(values: dict[str, Any], image: ImageFile) -> tuple[float, ...] | None:
    """Take ``--spacing`` out of the values, or the file's own.

    Raises
    ------
    ParameterError
        When it does not fit the image.
    """
    spacing: tuple[float, ...] | None = spacing_parameter().check(values.pop("spacing", None))
    if spacing is None:
        return image.spacing
    if len(spacing) != len(image.spatial_axes):
        raise ParameterError(
            f"--spacing has {len(spacing)} numbers, but {image.path} has the axes {image.axes}."
        )
    return spacing


def open_image(path: str, axes: str | None = None) -> ImageFile:
    """Read an image and show what was taken for granted."""
    image = read_image(path, axes=axes)
    for note in image.notes:
        warn(note)
    return image


def check_outputs(
    images: Sequence[str | None],
    *,
    others: Sequence[str | None] = (),
    overwrite: bool,
    inputs: Sequence[str],
    nbytes: int = 0,
) -> None:
    """Check every output before the work starts, also against each other.

    Parameters
    ----------
    images, others
        Names of images and of other files to be written; None where none is wanted.
    overwrite, inputs, nbytes
        As for ``check_target``.
    """
    for image in images:
        if image is not None:
            check_output_suffix(image)
    paths = [Path(name) for name in (*images, *others) if name is not None]
    for path in paths:
        check_target(path, overwrite=overwrite, inputs=inputs, nbytes=nbytes)
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError("Two results have the same name. Give each its own.")


def write_json(path: str, record: Mapping[str, Any]) -> None:
    """Write a record, whole or not at all."""
    text = json.dumps(record, indent=2, default=_plain, ensure_ascii=False)
    with replacing(Path(path)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """Turn numpy's and other values into what JSON knows."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def size_of(shape: Sequence[int], spacing: Sequence[float] | None) -> str:
    """Return "64 x 512 x 512, 0.2 x 0.1 x 0.1 um"."""
    voxels = " x ".join(map(str, shape))
    if spacing is None:
        return f"{voxels}, no voxel size"
    return f"{voxels}, {' x '.join(f'{size:.4g}' for size in spacing)} um"


def forecast_words(forecast: Forecast) -> str:
    """Return "about 0.6 GB, about 12 s, 4 blocks of 64 x 256 x 256"."""
    parts = [f"about {forecast.memory_bytes / 1e9:.2g} GB", f"about {duration(forecast.seconds)}"]
    if forecast.blocks > 1:
        parts.append(f"{forecast.blocks} blocks of {' x '.join(map(str, forecast.tiles))}")
    return ", ".join(parts)


def say(text: str) -> None:
    """Print a result."""
    print(text, flush=True)


def report(text: str) -> None:
    """Print what happens, beside the results."""
    print(text, file=sys.stderr, flush=True)


def command_record(command: str, words: Sequence[str], **facts: Any) -> dict[str, Any]:
    """Return the provenance of what a command made."""
    import shlex
    from importlib.metadata import version

    return {
        "program": "napari-deconv",
        "version": version("napari-deconv"),
        "command": shlex.join(["napari-deconv", command, *words]),
        **facts,
    }
