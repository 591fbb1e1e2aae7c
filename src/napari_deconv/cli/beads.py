"""``napari-deconv beads``: from images of beads to the PSF that they show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from napari_deconv.errors import InputError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deconv.optics import Microscope
    from napari_deconv.optics.beads import BeadAverage


def run(words: Sequence[str]) -> int:
    """Average beads."""
    from dataclasses import replace

    from napari_deconv.optics import Microscope
    from napari_deconv.optics.beads import Averaging
    from napari_deconv.optics.generate import generate_psf
    from napari_deconv.registry import modalities, parameters_of

    parser = Parser(
        "napari-deconv beads",
        "IMAGE ... -o PSF ...",
        "Find the beads of one or several images, leave out those that cannot be used, and average "
        "the others to a PSF. With the microscope's numbers, their widths are held against theory.",
    )
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="TIFF or OME-Zarr, of beads")
    add_axes(parser)
    add_output(parser, "PSF")
    parser.add_argument("--table", metavar="FILE", help="what was measured on each bead, as CSV")
    parser.add_argument(
        "--deviation", metavar="FILE", help="the standard deviation between beads, as an image"
    )
    parser.add_argument(
        "--microscope", metavar="FILE", help="a microscope saved by the PSF dock or by psf"
    )
    parser.add_parameters("averaging", parameters_of(Averaging))
    parser.add_parameters("the images", {"spacing": spacing_parameter()})
    modality = replace(parameters_of(generate_psf)["modality"], choices=tuple(modalities()))
    parser.add_parameters("the microscope", {**parameters_of(Microscope), "modality": modality})
    arguments, values = parser.parse(words)
    check_outputs(
        [arguments.output, arguments.deviation],
        others=[arguments.table],
        overwrite=arguments.overwrite,
        inputs=arguments.images,
    )
    scope, modality_id = _microscope(arguments.microscope, values)
    average, axes = _average(arguments, values, scope, modality_id)
    _write(average, axes, arguments, words)
    for bead, row in zip(average.beads, average.report.rows(), strict=True):
        place = " x ".join(f"{p:.1f}" for p in bead.position)
        say(f"bead {row['bead']} at {place}: {bead.reason or 'used'}")
    for sentence in average.report.sentences():
        say(sentence)
    say(f"{arguments.output}: {size_of(average.psf.shape, average.spacing)}")
    return 0


def _microscope(path: str | None, values: dict[str, Any]) -> tuple[Microscope | None, str]:
    """Take the microscope out of the values; None when nothing is said of it."""
    from dataclasses import asdict

    from napari_deconv.optics import Microscope
    from napari_deconv.optics.setup import Setup
    from napari_deconv.registry import parameters_of

    described = parameters_of(Microscope)
    given = {name: values.pop(name) for name in list(values) if name in described}
    modality = values.pop("modality", None)
    if path is not None:
        setup = Setup.load(path)
        given = asdict(setup.microscope) | given
        modality = modality or setup.modality
    if not given:
        if modality is not None:
            raise ParameterError("--modality says nothing without the microscope's numbers.")
        return None, "widefield"
    missing = [n for n, each in described.items() if each.required and n not in given]
    if missing:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in missing)
        raise ParameterError(f"The microscope needs {options}, or leave it out altogether.")
    return Microscope(**given), modality or "widefield"


def _average(
    arguments: Any, values: dict[str, Any], scope: Microscope | None, modality: str
) -> tuple[BeadAverage, str]:
    import numpy as np

    from napari_deconv.optics.beads import average_beads, find_beads

    typed = values.pop("spacing", None)
    arrays, beads, spacing, axes = [], [], None, ""
    for path in arguments.images:
        image = open_image(path, arguments.axes)
        size = chosen_spacing({} if typed is None else {"spacing": typed}, image)
        if size is None:
            raise InputError(f"{path} tells no voxel size: give --spacing Z Y X in um.")
        if spacing is not None and not np.allclose(size, spacing, rtol=1e-3):
            raise InputError(
                f"{path} has voxels of {size} um, the image before it of {spacing} um: average "
                "them apart."
            )
        if len(image.axes) != len(image.spatial_axes):
            raise InputError(
                f"{path} has the axes {image.axes}: save one time point and one channel of it."
            )
        spacing, axes = size, image.spatial_axes
        arrays.append(np.asarray(image.data))
        beads.append(find_beads(arrays[-1], spacing, scope, modality=modality))
    assert spacing is not None
    return average_beads(arrays, beads, spacing, scope, modality=modality, **values), axes


def _write(average: BeadAverage, axes: str, arguments: Any, words: Sequence[str]) -> None:
    from napari_deconv.io import write_image

    record = command_record("beads", words, beads=average.count, background=average.background)
    pairs = ((arguments.output, average.psf), (arguments.deviation, average.deviation))
    for path, pixels in pairs:
        if path is not None:
            write_image(
                path,
                pixels,
                axes=axes,
                spacing=average.spacing,
                overwrite=arguments.overwrite,
                ome_zarr_version=arguments.ome_zarr,
                provenance=record,
            )
    if arguments.table is not None:
        average.report.save(arguments.table)
