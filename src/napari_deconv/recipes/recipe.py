"""How to restore a kind of image: method, parameters and PSF, for every channel or for each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deconv.errors import FileError, ParameterError
from napari_deconv.recipes.document import Field, read, written
from napari_deconv.recipes.psf import PsfSource, checked, plain_value
from napari_deconv.registry import Method, Parameter, find, methods

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

FORMAT = 1
KIND = "napari-deconv recipe"
SUFFIXES = (".yaml", ".yml")
OUTPUT = "{name}-restored{suffix}"
# What may stand in the pattern of a result's name.
_IN_OUTPUT = ("name", "suffix", "method")
_OF_CHANNEL = ("method", "parameters", "psf")
_HEADING = """\
How to restore images; lengths are micrometres. To restore some with it:
napari-deconv run RECIPE IMAGES... -o FOLDER"""


@dataclass(frozen=True)
class Treatment:
    """How one channel is restored, or every one.

    Parameters
    ----------
    method
        Id of the method.
    parameters
        What differs from the defaults, as for :func:`napari_deconv.restore`, without arrays.
    psf
        Where the PSF comes from, for a method that needs one.
    background
        An image file that holds the background; one that is a number is among the parameters.
    channel
        Name of the channel, or its number from 0; None for every one.
    """

    method: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    psf: PsfSource | None = None
    background: Path | None = None
    channel: int | str | None = None

    def __post_init__(self) -> None:
        entry = find(methods(), self.method, "method")
        if entry.needs_psf and self.psf is None:
            raise ParameterError(
                f"{entry.title} needs a PSF: add psf, with a microscope or a file."
            )

    def absolute(self) -> Treatment:
        """Return the same for whoever is in another folder."""
        psf = None
        if self.psf is not None:
            file = self.psf.file and self.psf.file.absolute()
            psf = replace(self.psf, file=file)
        return replace(self, psf=psf, background=self.background and self.background.absolute())

    def with_found(self, used: Mapping[str, Any]) -> Treatment:
        """Return the same with numbers in place of what was automatic, out of what was used."""
        known = _known(methods()[self.method])
        found = {
            name: used[name]
            for name, parameter in known.items()
            if self.parameters.get(name, parameter.default) == "auto"
            and isinstance(used.get(name), (int, float))
        }
        return replace(self, parameters={**self.parameters, **found})

    def record(self, folder: Path) -> dict[str, Any]:
        """Return it as a recipe in a folder writes it."""
        made: dict[str, Any] = {} if self.channel is None else {"channel": self.channel}
        made["method"] = self.method
        parameters = {name: plain_value(value) for name, value in self.parameters.items()}
        if self.background is not None:
            parameters["background"] = PsfSource(self.background).record(folder)
        made |= {"parameters": parameters} if parameters else {}
        return made | ({} if self.psf is None else {"psf": self.psf.record(folder)})


@dataclass(frozen=True)
class Recipe:
    """How to restore a kind of image.

    Parameters
    ----------
    treatments
        One for every channel, or one for each that is named.
    output
        Pattern of a result's name: ``{name}`` of the image, ``{method}``, and ``{suffix}``, which
        is .ome.zarr for an OME-Zarr image and .ome.tif for all others.
    axes
        Names of the images' axes, where their files tell them wrongly.
    """

    treatments: tuple[Treatment, ...]
    output: str = OUTPUT
    axes: str | None = None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recipe:
        """Read a recipe.

        Raises
        ------
        FileError
            When it cannot be read, or something in it is unknown or does not fit: the message
            tells the line and, where there is one, the nearest name that is known.
        """
        whole = read(Path(path))
        if isinstance(whole.value, dict) and KIND not in whole.value:
            raise FileError(
                f'{path} is no recipe: it has no line "{KIND}: {FORMAT}". Add it, or choose '
                "another file."
            )
        told = whole.named([KIND, "output", "axes", *_OF_CHANNEL, "channels"])
        _check_format(told[KIND])
        shared = {name: told[name] for name in _OF_CHANNEL if name in told}
        if "channels" in told:
            entries = [_entry(each, shared) for each in told["channels"].items()]
            treatments = tuple(_treatment(each) for each in entries)
            _check_once(entries)
            _check_shared(shared, treatments)
        else:
            treatments = (_treatment(Field(shared, whole.line, "", whole.path)),)
        return cls(
            treatments,
            _output(told["output"]) if "output" in told else OUTPUT,
            _axes(told["axes"]) if "axes" in told else None,
        )

    def text(self, folder: Path) -> str:
        """Return the recipe as a file in a folder holds it."""
        values: dict[str, Any] = {KIND: FORMAT}
        values |= {} if self.axes is None else {"axes": self.axes}
        entries = [each.record(folder) for each in self.treatments]
        if self.treatments[0].channel is None:
            values |= entries[0]
        else:
            values["channels"] = entries
        return written(values | {"output": self.output}, _HEADING)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recipe, in the place of any that is there.

        Raises
        ------
        FileError
            When it cannot be written.
        """
        from napari_deconv.io import replacing

        path = Path(path)
        with replacing(path) as temporary:
            temporary.write_text(self.text(path.parent), encoding="utf-8")

    def absolute(self) -> Recipe:
        """Return the same for whoever is in another folder."""
        return replace(self, treatments=tuple(each.absolute() for each in self.treatments))

    def with_found(self, jobs: Sequence[Mapping[str, Any]]) -> Recipe:
        """Return the same with numbers in place of what was automatic.

        Parameters
        ----------
        jobs
            What the jobs of an image tell: one for all treatments, or one for each.
        """
        each_its_own = len(jobs) == len(self.treatments)
        pairs = zip(
            self.treatments, jobs if each_its_own else [jobs[0]] * len(self.treatments), strict=True
        )
        return replace(self, treatments=tuple(t.with_found(job["parameters"]) for t, job in pairs))

    def output_name(self, image: Path) -> str:
        """Return the name of an image's result."""
        suffix = ".ome.zarr" if image.suffix.lower() == ".zarr" else ".ome.tif"
        return self.output.format(name=stem(image), suffix=suffix, method=self.treatments[0].method)


def stem(image: Path) -> str:
    """Return a file's name without its suffix, one of two such as .ome.tif included."""
    name = image.name.removesuffix(image.suffix)
    return name.removesuffix(".ome") or image.name


def _check_format(told: Field) -> None:
    version = told.plain()
    if isinstance(version, int) and version > FORMAT:
        raise told.wrong(
            f"it was written by a later napari-deconv (format {version}; this one knows {FORMAT}): "
            "update napari-deconv."
        )
    if version != FORMAT:
        raise told.wrong(f'the format is {version!r}; write "{KIND}: {FORMAT}".')


def _entry(told: Field, shared: Mapping[str, Field]) -> Field:
    """Return a channel's entry, with what it does not tell taken from what all share."""
    own = told.named(["channel", *_OF_CHANNEL])
    if "channel" not in own:
        raise told.wrong(f'an entry of {told.name} needs "channel: NAME", or its number from 0.')
    merged = {**shared, **own}
    for name in ("parameters", "psf"):
        if name in own and name in shared:
            merged[name] = own[name].over(shared[name]) if name == "parameters" else own[name]
    if "method" in own and "parameters" in shared:
        merged["parameters"] = _fitting(merged["parameters"], shared["parameters"], own["method"])
    if "psf" in own:
        merged["shared psf"] = shared.get("psf", own["psf"])
    return Field(merged, told.line, told.name, told.path)


def _fitting(merged: Field, shared: Field, method: Field) -> Field:
    """Leave out of the shared parameters what a channel's own method does not know."""
    known = _known(_method(method))
    value = {k: v for k, v in merged.value.items() if k in known or v is not shared.value.get(k)}
    return Field(value, merged.line, merged.name, merged.path)


def _treatment(told: Field) -> Treatment:
    fields = dict(told.value)
    if "method" not in fields:
        raise told.wrong('it needs "method: ...", such as "method: richardson-lucy".')
    method = _method(fields["method"])
    background, parameters = None, {}
    if "parameters" in fields:
        given = fields["parameters"].named(_known(method))
        if isinstance(given.get("background", told).plain(), dict) and "background" in given:
            background = given.pop("background").named(["file"])["file"].file()
        place = fields["parameters"]
        parameters = checked(Field(given, place.line, place.name, place.path), _known(method))
    psf = None
    if "psf" in fields:
        psf = PsfSource.read(fields["psf"], fields.get("shared psf"))
    channel = fields["channel"].plain() if "channel" in fields else None
    if channel is not None and (
        not isinstance(channel, (int, str)) or isinstance(channel, bool) or channel in (-1, "")
    ):
        raise fields["channel"].wrong(f"channel is {channel!r}, but has to be a name or a number.")
    try:
        return Treatment(method.id, parameters, psf, background, channel)
    except ParameterError as error:
        raise fields["method"].wrong(str(error)) from error


def _method(told: Field) -> Method:
    try:
        return find(methods(), told.word(), "method")
    except ParameterError as error:
        raise told.wrong(str(error)) from error


def _known(method: Method) -> dict[str, Parameter]:
    from napari_deconv.engine.options import parameters_for

    return parameters_for(method)


def _check_once(entries: Sequence[Field]) -> None:
    seen: dict[Any, int] = {}
    for entry in entries:
        told = entry.value["channel"]
        if told.plain() in seen:
            raise told.wrong(f"channel {told.plain()!r} is in line {seen[told.plain()]} already.")
        seen[told.plain()] = told.line


def _check_shared(shared: Mapping[str, Field], treatments: Sequence[Treatment]) -> None:
    """Refuse a shared parameter that no channel's method knows."""
    if "parameters" in shared:
        used = [methods()[each.method] for each in treatments]
        shared["parameters"].named({name for each in used for name in _known(each)})


def _output(told: Field) -> str:
    pattern = told.word()
    from napari_deconv.io import check_output_suffix

    try:
        name = pattern.format(**dict.fromkeys(_IN_OUTPUT, ".ome.tif"))
        check_output_suffix(name)
    except FileError as error:
        raise told.wrong(str(error)) from error
    except (KeyError, IndexError, ValueError) as error:
        names = ", ".join(f"{{{each}}}" for each in _IN_OUTPUT)
        raise told.wrong(f"output is {pattern!r}, but may have {names} in it only.") from error
    if "{name}" not in pattern or "/" in pattern or "\\" in pattern:
        raise told.wrong(
            f"output is {pattern!r}, but has to be the name of a file, with {{name}} in it, so "
            "that each image's result has a name of its own."
        )
    return pattern


def _axes(told: Field) -> str:
    from napari_deconv.io.image_file import check_axes

    try:
        check_axes(told.word().upper(), told.path)
    except FileError as error:
        raise told.wrong(str(error)) from error
    return told.word().upper()
