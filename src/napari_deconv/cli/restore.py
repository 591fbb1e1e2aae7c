"""``napari-deconv restore METHOD``: an image, sharper."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from napari_deconv.cli.arguments import Parser
from napari_deconv.cli.common import (
    add_axes,
    add_output,
    check_outputs,
    chosen_spacing,
    command_record,
    forecast_words,
    open_image,
    report,
    say,
    size_of,
    write_json,
)
from napari_deconv.cli.distribution import add_distribution, open_cluster
from napari_deconv.cli.progress import Progress, duration
from napari_deconv.cli.psf import choose
from napari_deconv.cli.shell import warn
from napari_deconv.errors import InputError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_deconv.engine import Step
    from napari_deconv.io import ImageFile
    from napari_deconv.registry import Method


def run(words: Sequence[str]) -> int:
    """Restore one image."""
    from napari_deconv.registry import methods

    name, rest = choose("restore", "METHOD", methods(), words)
    if name is None:
        return 0
    method = methods()[name]
    parser = _parser(method)
    arguments, values = parser.parse(rest)
    if method.needs_psf and not arguments.psf:
        raise ParameterError(
            f"{method.title} needs a point spread function: --psf FILE. "
            "napari-deconv psf MODEL --help tells how to make one."
        )
    with ExitStack() as stack:
        return _restore(method, arguments, values, words, stack)


def _restore(
    method: Method, arguments: Any, values: dict[str, Any], words: Sequence[str], stack: ExitStack
) -> int:
    import numpy as np

    from napari_deconv.engine import Job
    from napari_deconv.engine.streaming import is_large, stream, unfinished_blocks
    from napari_deconv.io import check_output_suffix, write_image
    from napari_deconv.io.companions import background_in

    image = open_image(arguments.image, arguments.axes)
    field = _field_psf(arguments.psf or ())
    psf_files = [] if field is not None else [open_image(path) for path in arguments.psf or ()]
    inputs = [arguments.image, *(arguments.psf or ())]
    background = values.get("background")
    if isinstance(background, str) and background != "auto":
        values["background"] = background_in(open_image(background), image)
        inputs.append(background)
    begun = unfinished_blocks(check_output_suffix(arguments.output))
    check_outputs(
        # What was begun is looked at when it is taken up.
        [arguments.output] if begun is None else [],
        others=[arguments.details],
        overwrite=arguments.overwrite,
        inputs=inputs,
        nbytes=4 * int(np.prod(image.data.shape)),
    )
    psf = _psf(image, psf_files) if field is None else field
    values = _spacings(image, psf_files, values)

    cluster = open_cluster(arguments, values, stack)
    job = Job(image.data, method.id, psf=psf, **values)
    job.to_file = begun is not None or cluster is not None or is_large(job)
    if not arguments.quiet:
        spacing = values.get("spacing")
        report(f"{arguments.image}: {size_of(image.data.shape, spacing)}, {image.dtype}")
        report(f"{method.title}, {forecast_words(job.forecast)}")
    record = command_record("restore", words)
    form: dict[str, Any] = {
        "axes": image.axes,
        "spacing": values.get("spacing"),
        "channels": image.channels,
        "time_interval": image.time_interval,
        "overwrite": arguments.overwrite,
        "inputs": inputs,
        "ome_zarr_version": arguments.ome_zarr,
    }
    if job.to_file:
        if begun is not None:
            report(f"Going on with {arguments.output}: {begun[0]} of {begun[1]} blocks are done.")
        runner = cluster.runner if cluster is not None else None
        try:
            steps = stream(job, arguments.output, runner=runner, provenance=record, **form)
            _run(steps, quiet=arguments.quiet)
        except KeyboardInterrupt:
            report("Interrupted. Run the same again to go on from here.")
            return 130
    else:
        _run(job.steps(), quiet=arguments.quiet)
    details = job.details
    record |= {"job": details.provenance}
    if job.result is not None:
        write_image(arguments.output, job.result, provenance=record, **form)
    if arguments.details is not None:
        write_json(arguments.details, _details(details, record))
    if details.found is not None and details.found["verdict"] not in details.warnings:
        report(details.found["verdict"])
    for warning in details.warnings:
        warn(warning)
    say(_summary(method, details, arguments.output))
    return 0


def _parser(method: Method) -> Parser:
    from napari_deconv.engine.options import parameters_for

    parser = Parser(
        f"napari-deconv restore {method.id}",
        f"IMAGE {'--psf PSF ' if method.needs_psf else ''}-o RESULT ...",
        f"{method.title}. {method.summary}",
        f"Sources: {'; '.join(method.cites)}." if method.cites else "",
    )
    parser.add_argument("image", metavar="IMAGE", help="TIFF or OME-Zarr")
    parser.add_argument(
        "--psf",
        action="append",
        metavar="PSF",
        help="the point spread function; give it once, or once for each channel"
        + ("" if method.needs_psf else " (this method needs none)"),
    )
    add_axes(parser)
    add_output(parser)
    parser.add_argument(
        "--details", metavar="FILE", help="write statistics and provenance there, as JSON"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_distribution(parser)
    parameters = parameters_for(method)
    own = {name: each for name, each in parameters.items() if name in method.parameters}
    background = parameters["background"]
    own["background"] = replace(
        background,
        help=f"{background.help} Or the name of an image that holds it, such as "
        "napari-deconv background --save-background writes.",
    )
    common = {name: each for name, each in parameters.items() if name not in own}
    plain = {name: replace(each, advanced=False) for name, each in own.items()}
    parser.add_parameters("the method", plain)
    parser.add_parameters("image and PSF", common, advanced_title="more, the same for all methods")
    return parser


def _field_psf(paths: Sequence[str]) -> Any:
    """Return the PSF that changes over the field, when that is what the file holds."""
    from pathlib import Path

    fields = [path for path in paths if Path(path).suffix.lower() == ".npz"]
    if not fields:
        return None
    if len(paths) > 1:
        raise InputError("A PSF that changes over the field (.npz) is given alone.")
    from napari_deconv.optics.variant import VariantPsf

    return VariantPsf.load(fields[0])


def _psf(image: ImageFile, files: Sequence[ImageFile]) -> Any:
    """Return the PSF's array, or a list of one per channel, after a look at its axes."""
    from napari_deconv.io.companions import check_dimensions, psfs_in

    arrays: list[Any] = []
    for file in files:
        found = psfs_in(file)
        check_dimensions(file.path, found, image)
        arrays += found
    if len(arrays) < 2:
        return arrays[0] if arrays else None
    channels = image.channel_count
    if len(arrays) != channels:
        raise InputError(
            f"{len(arrays)} PSFs were given, but {image.path} has {channels} channel(s). "
            "Give one PSF for all, or one for each."
        )
    if len({array.ndim for array in arrays}) > 1:
        raise InputError("Some PSFs are planes and some are stacks. Give all alike.")
    return arrays


def _spacings(
    image: ImageFile, psfs: Sequence[ImageFile], values: dict[str, Any]
) -> dict[str, Any]:
    """Fill in what the files tell, where the user has said nothing."""
    spacing = chosen_spacing(values, image)
    told = {psf.spacing for psf in psfs if psf.spacing is not None}
    if len(told) > 1:
        raise InputError(f"The PSFs have different voxel sizes: {sorted(told)} um.")
    psf_spacing = values.get("psf_spacing") or (told.pop() if told else None)
    if psf_spacing is not None and spacing is None:
        if "psf_spacing" in values:
            raise ParameterError("--psf-spacing needs the image's voxel size, too: --spacing.")
        warn(
            f"{image.path} has no voxel size: it is taken to be the PSF's. (--spacing sets it)",
        )
        psf_spacing = None
    filled = {"spacing": spacing, "psf_spacing": psf_spacing}
    return values | {name: value for name, value in filled.items() if value is not None}


def _run(job: Generator[Step, None, object], *, quiet: bool) -> None:
    """Run to the end; Ctrl-C ends the job within a step."""
    progress = Progress()
    with closing(job) as steps:
        try:
            for step in steps:
                if not quiet:
                    progress.show(step)
        finally:
            progress.close()


def _details(details: Any, record: dict[str, Any]) -> dict[str, Any]:
    """Return what ``--details`` writes: everything but the arrays."""
    named = ("iterations", "stopped_because", "parameters", "gain", "seconds", "tiles", "device")
    facts = {name: getattr(details, name) for name in named}
    statistics = [asdict(each) for each in details.statistics]
    return {
        **record,
        **facts,
        "background": details.background,
        "warnings": details.warnings,
        "statistics": statistics,
    }


def _summary(method: Method, details: Any, output: str) -> str:
    parts = [method.title]
    if method.iterative:
        parts.append(f"{details.iterations} iterations ({details.stopped_because})")
    parts.append(f"{duration(details.seconds)} on {details.device}")
    return f"{output}: {', '.join(parts)}"
