"""A whole set-up, microscope and the way its PSF is computed, as a small file to keep."""

from __future__ import annotations

import difflib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deconv.errors import FileError, ParameterError
from napari_deconv.optics.generate import generate_psf
from napari_deconv.optics.instrument import Instrument
from napari_deconv.optics.microscope import Microscope

if TYPE_CHECKING:
    from numpy.typing import NDArray

KIND = "napari-deconv microscope"
VERSION = 1
UNITS = {"lengths": "um", "pinhole": "Airy units"}
_KEYS = ("file", "version", "units", "name", "microscope", "model", "modality", "parameters")


@dataclass(frozen=True)
class Setup:
    """A microscope, and how its PSF is computed.

    Parameters
    ----------
    microscope
        The microscope.
    model
        Id of the PSF model, see ``psf_models()``.
    modality
        Id of the modality, see ``modalities()``.
    parameters
        Of the model and of the modality.
    name
        What people call it.
    spacing
        Size of the voxels (z, y, x) or pixels (y, x) it records, um, where it is always the same.

    Raises
    ------
    ParameterError
        For an unknown model, modality or parameter, or one out of bounds.
    """

    microscope: Microscope
    model: str = "gibson-lanni"
    modality: str = "widefield"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    spacing: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("model", "modality", "name"):
            if not isinstance(getattr(self, name), str):
                raise ParameterError(f"{name} is {getattr(self, name)!r}, but has to be a word.")
        checked = self.instrument().parameters
        given = {name: checked[name] for name in self.parameters}
        object.__setattr__(self, "parameters", given)
        if self.spacing is not None:
            object.__setattr__(self, "spacing", _checked_spacing(self.spacing))

    def instrument(self) -> Instrument:
        """Return the microscope seen through its model and modality."""
        return Instrument(self.microscope, self.model, self.modality, **self.parameters)

    def psf(self, shape: Sequence[int], spacing: Sequence[float] | None = None) -> NDArray[Any]:
        """Compute the PSF, as ``generate_psf`` does.

        Parameters
        ----------
        shape
            Numbers of voxels (z, y, x), or (y, x) for the plane in focus.
        spacing
            Size of a voxel, um, in the same order. The set-up's own where not given.

        Returns
        -------
        float32 array of ``shape``
            With sum 1 and its origin at index ``n // 2`` on every axis.

        Raises
        ------
        ParameterError
            When there is no spacing, or as ``generate_psf`` does.
        """
        if spacing is None:
            spacing = self.spacing
        if spacing is None:
            raise ParameterError("The voxel size is needed: give spacing (z, y, x) in micrometres.")
        return generate_psf(
            self.microscope,
            shape,
            spacing,
            model=self.model,
            modality=self.modality,
            **self.parameters,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a small, readable JSON file, in the place of any that is there.

        Raises
        ------
        FileError
            When it cannot be written.
        """
        path = Path(path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        text = json.dumps(self._record(), indent=2, ensure_ascii=False) + "\n"
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise FileError(
                f"{path} could not be written: {error.strerror or error}. Choose another place."
            ) from error

    def _record(self) -> dict[str, Any]:
        return {
            "file": KIND,
            "version": VERSION,
            "units": UNITS,
            "name": self.name,
            "microscope": asdict(self.microscope),
            "model": self.model,
            "modality": self.modality,
            "parameters": {name: _plain(value) for name, value in self.parameters.items()},
            "spacing": None if self.spacing is None else list(self.spacing),
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Setup:
        """Read what ``save`` wrote, or what a person changed in it.

        Only the numerical aperture and the emission wavelength have to be there; the rest takes
        its default.

        Raises
        ------
        FileError
            When it cannot be read, is no such file, is of a later version, or holds an unknown
            field or a value that cannot be.
        """
        path = Path(path)
        record = _read(path)
        scope = record.get("microscope")
        if record.get("file") != KIND or not isinstance(scope, dict):
            raise FileError(
                f'{path} holds no microscope: it has no "file": "{KIND}". Choose a file that was '
                "saved as a microscope."
            )
        _check_version(path, record.get("version"))
        if record.get("units", UNITS) != UNITS:
            raise FileError(
                f"{path} has the units {record['units']}, but has to have {UNITS}. Convert its "
                "numbers."
            )
        _check_names(path, record, (*_KEYS, "spacing"))
        _check_names(path, scope, [each.name for each in fields(Microscope)])
        missing = {"numerical_aperture", "emission_wavelength"} - scope.keys()
        if missing:
            raise FileError(f"{path} does not tell {' and '.join(sorted(missing))}: add it.")
        own = {name: record[name] for name in ("model", "modality", "name") if name in record}
        spacing, parameters = record.get("spacing"), record.get("parameters") or {}
        try:
            if not isinstance(parameters, dict):
                raise ParameterError(f"parameters is {parameters!r}, but has to be a list of names")
            return cls(
                Microscope(**scope),
                parameters={name: _keyed(value) for name, value in parameters.items()},
                spacing=spacing,
                **own,
            )
        except ParameterError as error:
            raise FileError(f"{path}: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
        record = json.loads(raw.decode("utf-8-sig")) if len(raw) <= _LARGEST else None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise FileError(
            f"{path} is not a microscope's file, or was not copied to its end: it is not JSON "
            "with named values. Choose another, or save the microscope again."
        )
    return record


_LARGEST = 1 << 20  # bytes; a set-up takes two thousand


def _check_version(path: Path, version: object) -> None:
    if isinstance(version, int) and version > VERSION:
        raise FileError(
            f"{path} was written by a later napari-deconv (format {version}; this one knows "
            f"{VERSION}): update napari-deconv, or save the microscope with this one."
        )
    if version != VERSION or isinstance(version, bool):
        raise FileError(f'{path} has the version {version!r}; write "version": {VERSION}.')


def _check_names(path: Path, found: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in found:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else " Take it out."
            raise FileError(f"{path} has an unknown field {name!r}.{hint}")


def _checked_spacing(spacing: Any) -> tuple[float, ...]:
    try:
        sizes = tuple(float(size) for size in spacing)
        fits = len(sizes) in (2, 3) and all(math.isfinite(size) and size > 0 for size in sizes)
    except (TypeError, ValueError):
        fits = False
    if not fits or isinstance(spacing, str):
        raise ParameterError(
            f"spacing is {spacing!r}, but has to be 2 or 3 positive lengths, (y, x) or (z, y, x), "
            "in micrometres."
        )
    return sizes


def _plain(value: Any) -> Any:
    """Return a parameter's value as JSON knows it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _keyed(value: Any) -> Any:
    """Undo what JSON does to the whole numbers of a mapping's keys."""
    if isinstance(value, dict) and all(key.lstrip("-").isdigit() for key in value):
        return {int(key): each for key, each in value.items()}
    return value
