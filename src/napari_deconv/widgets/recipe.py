"""The work of a dock, written down for Python and for the shell."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deconv.errors import InputError
from napari_deconv.registry import Parameter, methods, parameters_of
from napari_deconv.widgets.layers import KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_deconv.widgets.layers import Snapshot

# What belongs to this machine rather than to the work.
_LOCAL = ("device", "threads")


@dataclass(frozen=True)
class Recipe:
    """One restoration, with where its images came from.

    Attributes
    ----------
    method, options
        As for :func:`napari_deconv.restore`, without arrays.
    image, psf, background
        The layers; psf and background where there are some.
    """

    method: str
    options: Mapping[str, Any]
    image: Snapshot
    psf: Snapshot | None = None
    background: Snapshot | None = None

    def changed(self) -> dict[str, Any]:
        """Return the options that are not at their default."""
        known = _parameters(self.method)
        return {
            name: value
            for name, value in self.options.items()
            if name not in _LOCAL and not (name in known and known[name].default == value)
        }


def as_python(recipe: Recipe) -> str:
    """Return code that does the same, in napari's console or, with files, in a script."""
    lines = ["import napari_deconv as nd", "", *_load("image", recipe.image)]
    arguments = ["image", repr(recipe.method)]
    if recipe.psf is not None:
        lines += _psf_python(recipe.psf)
        arguments.append("psf=psf")
    if recipe.background is not None:
        lines += _load("background", recipe.background)
        arguments.append("background=background")
    arguments += [f"{name}={value!r}" for name, value in recipe.changed().items()]
    lines.append(_call("out", "nd.restore", arguments))
    return "\n".join(lines) + "\n"


def as_command(recipe: Recipe) -> str:
    """Return shell commands that do the same.

    Raises
    ------
    InputError
        When the shell has no words for it.
    """
    from napari_deconv.cli.arguments import restore_command

    if recipe.background is not None:
        raise InputError(
            "The shell knows a background only as a number, not as a layer. Copy as Python instead."
        )
    lines, image = _file(recipe.image)
    psf = None
    if recipe.psf is not None:
        if recipe.psf.metadata.get("microscope"):
            psf = "psf.tif"
            lines.append(_psf_command(recipe.psf, psf))
        elif "variant" in recipe.psf.metadata:
            psf = "field-psf.npz"
            where = f"layer.metadata[{KEY!r}]['variant'].save({psf!r})"
            lines.append(f"# first save the field PSF: {where}")
        else:
            more, psf = _file(recipe.psf)
            lines += more
    output = f"{Path(image).name.split('.')[0]}-{recipe.method}.tif"
    lines.append(restore_command(recipe.method, image, output, psf=psf, **recipe.changed()))
    return "\n".join(lines) + "\n"


def background_python(image: Snapshot, parameters: Mapping[str, Any]) -> str:
    """Return code that removes the background in the same way."""
    from napari_deconv.background import estimate_background

    known = parameters_of(estimate_background)
    changed = [f"{k}={v!r}" for k, v in parameters.items() if known[k].default != v]
    lines = ["import napari_deconv as nd", "", *_load("image", image)]
    lines.append(_call("background", "nd.estimate_background", ["image", *changed]))
    lines.append("out = image - background")
    return "\n".join(lines) + "\n"


def background_command(image: Snapshot, parameters: Mapping[str, Any]) -> str:
    """Return a shell command that removes the background in the same way."""
    from napari_deconv.background import estimate_background
    from napari_deconv.cli.arguments import options_for

    lines, path = _file(image)
    words = ["napari-deconv", "background", path]
    words += options_for(parameters_of(estimate_background), parameters)
    words += ["-o", f"{Path(path).name.split('.')[0]}-without-background.tif"]
    return "\n".join([*lines, shlex.join(words)]) + "\n"


def psf_python(record: Mapping[str, Any]) -> str:
    """Return code that computes the PSF of a record."""
    return "\n".join(["import napari_deconv as nd", "", *_generate(record)]) + "\n"


def psf_command(record: Mapping[str, Any], output: str = "psf.tif") -> str:
    """Return a shell command that computes the PSF of a record."""
    from napari_deconv.cli.arguments import options_for
    from napari_deconv.optics import Microscope

    words = ["napari-deconv", "psf", str(record["model"])]
    words += options_for(parameters_of(Microscope), record["microscope"])
    words += ["--shape", *(str(n) for n in record["shape"])]
    words += ["--spacing", *(f"{s:g}" for s in record["spacing"])]
    if record["modality"] != "widefield":
        words += ["--modality", str(record["modality"])]
    words += options_for(psf_parameters(record), record.get("parameters", {}))
    return shlex.join([*words, "-o", output])


def beads_python(record: Mapping[str, Any]) -> str:
    """Return code that makes the PSF of a record from beads."""
    from napari_deconv.optics import Microscope
    from napari_deconv.optics.beads import Averaging

    lines = ["import napari_deconv as nd", "", f"image = viewer.layers[{record['source']!r}].data"]
    if record["source_path"]:
        lines[-1] += f"  # in a script: tifffile.imread({str(record['source_path'])!r})"
    scope = ""
    known = parameters_of(Microscope)
    for microscope in record["microscopes"]:
        given = [
            f"{name}={value!r}"
            for name, value in microscope.items()
            if known[name].required or known[name].default != value
        ]
        lines.append(_call("scope", "nd.Microscope", given))
        scope = ", scope"
        if record["modality"] != "widefield":
            scope += f", modality={record['modality']!r}"
    spacing = repr(tuple(record["spacing"]))
    lines.append(f"beads = nd.find_beads(image, {spacing}{scope})")
    defaults = parameters_of(Averaging)
    settings = [
        f"{name}={value!r}"
        for name, value in record["parameters"].items()
        if defaults[name].default != value
    ]
    lines.append(
        _call("average", "nd.average_beads", ["image", "beads", spacing + scope, *settings])
    )
    return "\n".join([*lines, "psf = average.psf"]) + "\n"


def beads_command(record: Mapping[str, Any], output: str = "psf.tif") -> str:
    """Return a shell command that makes the PSF of a record from beads.

    Raises
    ------
    InputError
        When the beads come from no file.
    """
    from napari_deconv.cli.arguments import options_for
    from napari_deconv.optics import Microscope
    from napari_deconv.optics.beads import Averaging

    path = record["source_path"]
    if not path:
        raise InputError(
            f"The layer {record['source']!r} comes from no file, which the shell needs: save it "
            "first, open the file and average its beads again. Or copy as Python."
        )
    words = ["napari-deconv", "beads", str(path)]
    words += ["--spacing", *(f"{s:g}" for s in record["spacing"])]
    for microscope in record["microscopes"]:
        words += options_for(parameters_of(Microscope), microscope)
        if record["modality"] != "widefield":
            words += ["--modality", str(record["modality"])]
    words += options_for(parameters_of(Averaging), record["parameters"])
    return shlex.join([*words, "-o", output])


def _psf_command(psf: Snapshot, output: str) -> str:
    return psf_command(psf.metadata, output)


def psf_parameters(record: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return the parameters of a PSF beside microscope, shape and spacing."""
    from napari_deconv.optics import generate_psf
    from napari_deconv.registry import modalities, psf_models

    known = dict(parameters_of(generate_psf))
    known |= psf_models()[record["model"]].parameters
    return known | modalities()[record["modality"]].parameters


def _parameters(method: str) -> dict[str, Parameter]:
    from napari_deconv.engine import Options

    return parameters_of(Options) | {
        name: each
        for name, each in methods()[method].parameters.items()
        if name not in parameters_of(Options)
    }


def _generate(record: Mapping[str, Any]) -> list[str]:
    from napari_deconv.optics import Microscope

    known = parameters_of(Microscope)
    scope = [
        f"{name}={value!r}"
        for name, value in record["microscope"].items()
        if known[name].required or known[name].default != value
    ]
    arguments = ["scope", f"{tuple(record['shape'])!r}", f"{tuple(record['spacing'])!r}"]
    arguments += [f"model={record['model']!r}", f"modality={record['modality']!r}"]
    others = psf_parameters(record)
    arguments += [
        f"{name}={value!r}"
        for name, value in record.get("parameters", {}).items()
        if others[name].default != value
    ]
    return [_call("scope", "nd.Microscope", scope), _call("psf", "nd.generate_psf", arguments)]


def _psf_python(psf: Snapshot) -> list[str]:
    return _generate(psf.metadata) if psf.metadata.get("microscope") else _load("psf", psf)


def _load(name: str, layer: Snapshot) -> list[str]:
    """Return the line that gets a layer's array in napari's console."""
    if "variant" in layer.metadata:
        return [f'{name} = viewer.layers[{layer.name!r}].metadata["{KEY}"]["variant"]']
    finest = "[0]" if layer.multiscale else ""
    line = f"{name} = viewer.layers[{layer.name!r}].data{finest}"
    if layer.path:
        line += f"  # in a script: tifffile.imread({str(layer.path)!r})"
    return [line]


def _file(layer: Snapshot) -> tuple[list[str], str]:
    """Return a layer's file, and a remark when it has none yet."""
    if layer.path:
        return [], str(layer.path)
    name = re.sub(r"\W+", "-", layer.name).strip("-") + ".tif"
    return [f"# first save the layer {layer.name!r} as {name}"], name


def _call(target: str, function: str, arguments: Sequence[str]) -> str:
    line = f"{target} = {function}({', '.join(arguments)})"
    if len(line) <= 88:
        return line
    inside = "".join(f"    {argument},\n" for argument in arguments)
    return f"{target} = {function}(\n{inside})"
