"""Where the PSF of a channel comes from: a file, or the numbers of the microscope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from napari_deconv.errors import InputError, ParameterError
from napari_deconv.io.companions import check_dimensions, psfs_in
from napari_deconv.registry import (
    Parameter,
    Range,
    find,
    modalities,
    parameters_of,
    psf_models,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_deconv.io import ImageFile
    from napari_deconv.recipes.document import Field

_OF_FILE = ("file", "spacing")
_OF_MICROSCOPE = ("microscope", "model", "modality", "parameters", "shape", "spacing")
_SPACING = Parameter("spacing", float, None, range=Range(1e-6, 1e6), length=0, allows_none=True)
_SHAPE = Parameter("shape", int, None, range=Range(1, 65536), length=0, allows_none=True)


@dataclass(frozen=True)
class PsfSource:
    """A PSF as a recipe tells it.

    Parameters
    ----------
    file
        TIFF or OME-Zarr, with an axis C where each channel has its own; or the .npz of a PSF that
        changes over the field. Without it, the PSF is computed.
    microscope
        Values of :class:`~napari_deconv.optics.Microscope`. The emission wavelength, the numerical
        aperture and the immersion index may be left to the image's file.
    settings
        Parameters of :func:`~napari_deconv.generate_psf`: model, modality and what belongs to them.
    shape
        Voxels, as many as the light needs when not given.
    spacing
        Size of the PSF's voxels, um; that of the file or, computed, of the image when not given.
    """

    file: Path | None = None
    microscope: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None

    @classmethod
    def read(cls, told: Field, shared: Field | None = None) -> PsfSource:
        """Take the PSF of one channel from a recipe.

        Parameters
        ----------
        told
            What the channel's entry says.
        shared
            What is said for all channels: it fills in what the entry leaves open.

        Raises
        ------
        FileError
            For an unknown name or a value that does not fit, with its line.
        """
        if isinstance(told.value, str):
            return cls(told.file())
        if "file" in told.named([*_OF_FILE, *_OF_MICROSCOPE[:-1]]):
            fields = told.named(_OF_FILE)
            return cls(fields["file"].file(), spacing=_checked(fields, _SPACING))
        if shared is not None and isinstance(shared.value, dict) and "file" not in shared.value:
            inner = {
                name: told.value[name].over(shared.value.get(name))
                for name in ("microscope", "parameters")
                if name in told.value
            }
            told = type(told)(shared.value | told.value | inner, told.line, told.name, told.path)
        fields = told.named(_OF_MICROSCOPE)
        if "microscope" not in fields:
            raise told.wrong(f"{told.name} needs a microscope or a file.")
        microscope, settings = _microscope(fields["microscope"])
        settings |= _settings(fields, settings)
        source = cls(
            None, microscope, settings, _checked(fields, _SHAPE), _checked(fields, _SPACING)
        )
        try:
            source.check()
        except ParameterError as error:
            raise fields["microscope"].wrong(str(error)) from error
        return source

    def check(self) -> None:
        """Check the numbers against each other, as far as they are known yet.

        Raises
        ------
        ParameterError
            When they contradict each other.
        """
        from napari_deconv.optics import Microscope

        if all(p.name in self.microscope for p in _microscope_fields().values() if p.required):
            Microscope(**self.microscope)

    def record(self, folder: Path) -> dict[str, Any]:
        """Return it as a recipe in a folder writes it."""
        if self.file is not None:
            file = _relative(self.file, folder)
            return {"file": file} | _plain({"spacing": self.spacing})
        rest = dict(self.settings)
        told: dict[str, Any] = {n: rest.pop(n) for n in ("model", "modality") if n in rest}
        return _plain(
            {
                "microscope": self.microscope,
                **told,
                "parameters": rest or None,
                "shape": self.shape,
                "spacing": self.spacing,
            }
        )

    def load(
        self, image: ImageFile, channel: int, spacing: tuple[float, ...] | None
    ) -> tuple[list[Any], tuple[float, ...] | None]:
        """Return the PSFs for a channel of an image, and the size of their voxels.

        Parameters
        ----------
        image
            What is to be restored.
        channel
            Which channel, from 0.
        spacing
            Size of the image's voxels, um.

        Returns
        -------
        list of arrays
            One, or one for each channel of the file.
        tuple of float
            Size of their voxels, um; None when nothing tells it.

        Raises
        ------
        FileError
            When the file cannot be read.
        InputError
            When it is no PSF for this image, or the image's file does not tell what the PSF needs.
        """
        if self.file is not None:
            return _from_file(self.file, image, self.spacing)
        from napari_deconv.optics import suggest_shape

        microscope = self._completed(image, channel)
        known = self.spacing or spacing
        if known is None:
            raise InputError(
                f"{image.path} has no voxel size, without which its PSF cannot be computed. Write "
                "spacing: [z, y, x] (um) into the recipe's parameters."
            )
        settings = dict(self.settings)
        shape = self.shape
        if shape is None:
            own = {k: v for k, v in settings.items() if k not in parameters_of(_generate())}
            named = {k: settings[k] for k in ("model", "modality") if k in settings}
            size = image.data.shape[-len(known) :]
            shape = suggest_shape(microscope, known, image_shape=size, **named, **own)
        return [_generated(microscope, shape, known, _frozen(settings))], tuple(known)

    def _completed(self, image: ImageFile, channel: int) -> Any:
        """Return the microscope, with what the image's file tells where the recipe does not."""
        from napari_deconv.optics import Microscope

        told: dict[str, Any] = dict(image.optics)
        if channel < len(image.channels):
            wavelength = image.channels[channel].emission_wavelength
            told |= {"emission_wavelength": wavelength} if wavelength is not None else {}
        values = told | dict(self.microscope)
        missing = [n for n, p in _microscope_fields().items() if p.required and n not in values]
        if missing:
            words = " and ".join(name.replace("_", " ") for name in missing)
            raise InputError(
                f"Neither the recipe nor {image.path} tells the {words} of channel {channel}: "
                f"write {' and '.join(missing)} under psf, microscope."
            )
        return Microscope(**values)


def _generate() -> Any:
    from napari_deconv.optics import generate_psf

    return generate_psf


def _microscope_fields() -> dict[str, Parameter]:
    from napari_deconv.optics import Microscope

    return parameters_of(Microscope)


def _microscope(told: Field) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a microscope's values, and those of its PSF where a saved microscope tells them."""
    if isinstance(told.value, str):
        from dataclasses import asdict

        from napari_deconv.optics.setup import Setup

        setup = Setup.load(told.file())
        settings = {"model": setup.model, "modality": setup.modality, **setup.parameters}
        return asdict(setup.microscope), settings
    return checked(told, _microscope_fields()), {}


def _settings(fields: Mapping[str, Field], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return model, modality and their parameters as they were given."""
    own = parameters_of(_generate())
    given: dict[str, Any] = {}
    entries: dict[str, Any] = {}
    for name, known in (("model", psf_models()), ("modality", modalities())):
        if name in fields:
            given[name] = fields[name].word()
        try:
            chosen = given.get(name) or before.get(name) or own[name].default
            entries |= find(known, chosen, "PSF model" if name == "model" else name).parameters
        except ParameterError as error:
            raise fields[name].wrong(str(error)) from error
    if "parameters" in fields:
        rest = {name: each for name, each in own.items() if name not in ("model", "modality")}
        given |= checked(fields["parameters"], rest | entries)
    return given


def checked(told: Field, known: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return the values of a mapping, each in its parameter's own type.

    Raises
    ------
    FileError
        When a name is unknown or a value does not fit.
    """
    return {name: _checked({name: each}, known[name]) for name, each in told.named(known).items()}


def _checked(fields: Mapping[str, Field], parameter: Parameter) -> Any:
    """Return one value in its parameter's own type; None when it is not there."""
    if parameter.name not in fields:
        return None
    told = fields[parameter.name]
    value = told.plain()
    if value == "none" and parameter.allows_none and "none" not in parameter.choices:
        value = None
    try:
        return parameter.check(value)
    except ParameterError as error:
        raise told.wrong(str(error)) from error


def _from_file(
    path: Path, image: ImageFile, spacing: tuple[float, ...] | None
) -> tuple[list[Any], tuple[float, ...] | None]:
    if path.suffix.lower() == ".npz":
        from napari_deconv.optics.variant import VariantPsf

        variant = VariantPsf.load(path)
        return [variant], None
    arrays, told = _stored(path, path.stat().st_mtime_ns if path.exists() else 0)
    check_dimensions(path, arrays, image)
    return arrays, spacing or told


@lru_cache(maxsize=8)
def _stored(path: Path, changed: int) -> tuple[list[Any], tuple[float, ...] | None]:
    """Return the PSFs in a file, read once for all images; a changed file is read again."""
    from napari_deconv.io import read_image

    del changed
    file = read_image(path)
    return psfs_in(file), file.spacing


@lru_cache(maxsize=8)
def _generated(
    microscope: Any,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    settings: tuple[tuple[str, Any], ...],
) -> NDArray[Any]:
    """Compute a PSF, once for all images that have it."""
    given = {name: dict(v) if isinstance(v, _Pairs) else v for name, v in settings}
    psf: NDArray[Any] = _generate()(microscope, shape, spacing, **given)
    psf.flags.writeable = False
    return psf


class _Pairs(tuple[Any, ...]):
    """A mapping that can be a key."""


def _frozen(settings: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (name, _Pairs(value.items()) if isinstance(value, Mapping) else value)
        for name, value in settings.items()
    )


def _relative(file: Path, folder: Path) -> str:
    """Return a path as it reads from a folder, where it lies in it."""
    try:
        return file.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return str(file.absolute())


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is there as YAML knows it: lists, and mappings of plain numbers."""
    return {name: plain_value(value) for name, value in values.items() if value is not None}


def plain_value(value: Any) -> Any:
    """Return a value as YAML knows it."""
    if isinstance(value, Mapping):
        return {key: plain_value(each) for key, each in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return [plain_value(each) for each in value]
    if isinstance(value, float):
        return float(value)
    return value
