"""``napari-deconv psf MODEL``: a point spread function from the numbers of a microscope."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deconv.cli.arguments import Parser, option, suggest
from napari_deconv.cli.common import (
    add_output,
    check_outputs,
    command_record,
    open_image,
    say,
    size_of,
)
from napari_deconv.cli.shell import warn
from napari_deconv.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_deconv.optics import Microscope
    from napari_deconv.registry import Entry


def run(words: Sequence[str]) -> int:
    """Make a PSF."""
    from napari_deconv.registry import modalities, psf_models

    models = psf_models()
    model, rest = choose("psf", "MODEL", models, _with_model(words))
    if model is None:
        return 0
    parser = _parser(model, models[model], modalities())
    arguments, values = parser.parse(rest)
    if arguments.like is not None:
        values = _from_image(arguments.like, arguments.channel) | values
    if arguments.microscope is not None:
        values = _from_setup(arguments.microscope, models[model], values) | values
    check_outputs(
        [arguments.output],
        others=[arguments.save_microscope],
        overwrite=arguments.overwrite,
        inputs=[name for name in (arguments.like, arguments.microscope) if name is not None],
    )
    _make(model, values, arguments, ["psf", *words])
    return 0


def _with_model(words: Sequence[str]) -> Sequence[str]:
    """Put the model of a microscope's file before the words that name none."""
    if not words or not words[0].startswith("-") or words[0] in ("-h", "--help"):
        return words
    parser = Parser("napari-deconv psf", "MODEL ...", "")
    parser.add_argument("--microscope")
    named, _ = parser.parse_known_args(words)
    if named.microscope is None:
        return words
    from napari_deconv.optics.setup import Setup

    return [Setup.load(named.microscope).model, *words]


def choose(
    command: str, kind: str, entries: Mapping[str, Entry], words: Sequence[str]
) -> tuple[str | None, Sequence[str]]:
    """Take the entry's id off the words, or list the entries when help is asked for.

    Raises
    ------
    ParameterError
        When it is missing or unknown.
    """
    known = ", ".join(sorted(entries))
    if words and words[0] in ("-h", "--help"):
        say(f"usage: napari-deconv {command} {kind} ...\n\nFor {kind} give one of:")
        for name, entry in sorted(entries.items()):
            say(f"  {name:<20} {entry.title}")
        say(f"\nnapari-deconv {command} {kind} --help shows its options.")
        return None, ()
    if not words or words[0].startswith("-"):
        raise ParameterError(
            f"The {kind.lower()} comes first: napari-deconv {command} {kind} ... Known: {known}."
        )
    if words[0] not in entries:
        raise ParameterError(
            f"There is no {kind.lower()} {words[0]!r}.{suggest(words[0], entries)} Known: {known}."
        )
    return words[0], words[1:]


def _parser(model: str, entry: Entry, modes: Mapping[str, Entry]) -> Parser:
    from dataclasses import replace

    from napari_deconv.optics import Microscope, generate_psf
    from napari_deconv.registry import Parameter, Range, parameters_of

    empty = Parameter("", str, None)
    array = {
        "shape": replace(
            empty,
            name="shape",
            kind=int,
            range=Range(1, 65536),
            length=0,
            help="Voxels (z, y, x), or (y, x) for the plane in focus. Chosen to hold the PSF when "
            "left out.",
        ),
        "spacing": replace(
            empty,
            name="spacing",
            kind=float,
            range=Range(1e-4, 1e4),
            unit="um",
            length=0,
            help="Voxel size (z, y, x) or pixel size (y, x); needed unless --like tells it.",
        ),
        "modality": replace(
            empty,
            name="modality",
            default="widefield",
            choices=tuple(modes),
            help="How the sample is lit and the light detected.",
        ),
    }
    array |= parameters_of(generate_psf, skip=("model", "modality"))
    own = dict(entry.parameters)
    for mode in modes.values():
        own |= mode.parameters
    parser = Parser(
        f"napari-deconv psf {model}",
        "--numerical-aperture X --emission-wavelength X --spacing Z Y X -o FILE ...",
        f"{entry.title}. {entry.summary}",
        f"Sources: {'; '.join(entry.cites)}." if entry.cites else "",
    )
    add_output(parser, "PSF")
    parser.add_argument(
        "--like",
        metavar="IMAGE",
        help="take voxel size, planes and, where the file tells them, numerical aperture, "
        "immersion and emission wavelength from this image; other options overrule it",
    )
    parser.add_argument(
        "--channel", type=int, default=0, metavar="N", help="channel of IMAGE, from 0 [default: 0]"
    )
    parser.add_argument(
        "--microscope",
        metavar="FILE",
        help="take what neither other options nor IMAGE tell from this microscope, saved by the "
        "PSF dock or by --save-microscope; with it, MODEL may be left out",
    )
    parser.add_argument(
        "--save-microscope",
        metavar="FILE",
        help="write the microscope, the model and the voxel size to a small JSON file",
    )
    parser.add_parameters("the array", array)
    parser.add_parameters(
        "the microscope", parameters_of(Microscope), advanced_title="more about the microscope"
    )
    parser.add_parameters("the model", own)
    return parser


def _from_image(path: str, channel: int) -> dict[str, Any]:
    """Return what an image file tells about the PSF it needs."""
    image = open_image(path)
    values: dict[str, Any] = dict(image.optics)
    if image.channels:
        if not 0 <= channel < len(image.channels):
            raise ParameterError(f"{path} has channels 0 to {len(image.channels) - 1}.")
        wavelength = image.channels[channel].emission_wavelength
        if wavelength is not None:
            values["emission_wavelength"] = wavelength
    if image.spacing is not None:
        values["spacing"] = image.spacing
    told = ", ".join(f"{name} {value}" for name, value in values.items())
    warn(f"from {path}: {told}." if told else f"{path} tells nothing about its microscope.")
    values["image_shape"] = image.data.shape[-len(image.spatial_axes) :]
    return values


def _from_setup(path: str, model: Entry, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a saved microscope tells, beside the values that are known already."""
    from dataclasses import asdict

    from napari_deconv.optics.setup import Setup
    from napari_deconv.registry import modalities

    setup = Setup.load(path)
    mode = modalities().get(values.get("modality", setup.modality))
    # The file's model may be another, whose parameters this one does not have.
    own = {*model.parameters, *(mode.parameters if mode is not None else ())}
    told = {name: value for name, value in setup.parameters.items() if name in own}
    told |= {**asdict(setup.microscope), "modality": setup.modality}
    if setup.spacing is not None:
        ndim = len(values.get("shape", setup.spacing))
        told["spacing"] = setup.spacing[-ndim:]
    return told


def _make(
    model: str,
    values: dict[str, Any],
    arguments: Any,
    words: Sequence[str],
) -> None:
    from napari_deconv.io import write_image
    from napari_deconv.optics import Microscope, generate_psf, suggest_shape
    from napari_deconv.registry import parameters_of

    described = parameters_of(Microscope)
    given = {name: values.pop(name) for name in list(values) if name in described}
    missing = [
        option(name) for name, each in described.items() if each.required and name not in given
    ]
    if missing:
        raise ParameterError(f"The microscope needs {' and '.join(missing)}.")
    microscope = Microscope(**given)
    image_shape = values.pop("image_shape", None)
    spacing = values.pop("spacing", None)
    if spacing is None:
        raise ParameterError("The voxel size is needed: --spacing Z Y X in um, or --like IMAGE.")
    shape = values.pop("shape", None)
    if shape is None:
        modality = values.get("modality", "widefield")
        shape = suggest_shape(microscope, spacing, modality=modality, image_shape=image_shape)
    psf = generate_psf(microscope, shape, spacing, model=model, **values)
    write_image(
        arguments.output,
        psf,
        axes="ZYX"[-psf.ndim :],
        spacing=spacing,
        overwrite=arguments.overwrite,
        ome_zarr_version=arguments.ome_zarr,
        provenance=command_record(
            words[0],
            words[1:],
            model=model,
            microscope={name: getattr(microscope, name) for name in described},
            parameters=values,
        ),
    )
    if arguments.save_microscope is not None:
        _save(arguments.save_microscope, microscope, model, values, spacing)
    say(f"{arguments.output}: {model} PSF, {size_of(psf.shape, spacing)}")


def _save(
    path: str,
    microscope: Microscope,
    model: str,
    values: Mapping[str, Any],
    spacing: Sequence[float],
) -> None:
    from napari_deconv.optics.setup import Setup
    from napari_deconv.registry import modalities, psf_models

    modality = values.get("modality", "widefield")
    own = {**psf_models()[model].parameters, **modalities()[modality].parameters}
    Setup(
        microscope,
        model,
        modality,
        {name: value for name, value in values.items() if name in own},
        Path(path).stem,
        tuple(spacing),
    ).save(path)
