"""What an image file tells of the microscope that took it, to fill a form with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from napari_deconv.errors import FileError
from napari_deconv.io.image_file import micrometres
from napari_deconv.io.ome_xml import read_ome_xml
from napari_deconv.io.read import TIFF_SUFFIXES, ZARR_SUFFIXES

if TYPE_CHECKING:
    import os

# OME's names of acquisition modes that are modalities of this package.
_MODALITIES = {
    "widefield": "widefield",
    "laserscanningconfocalmicroscopy": "confocal",
    "laserscanningconfocal": "confocal",
    "spinningdiskconfocal": "spinning-disk",
    "multiphotonmicroscopy": "two-photon",
    "spim": "light-sheet",
}
_WAVELENGTHS = 0.2, 3.0  # um; beyond them no light is meant


def microscope_fields(source: str | os.PathLike[str], *, channel: int = 0) -> dict[str, Any]:
    """Return what an image file, or OME-XML, tells of the microscope.

    OME-TIFF, OME-Zarr (its OME-XML where a converter kept it, else its channels) and OME-XML are
    understood; of every other file nothing is known. Of several images the first counts.

    Parameters
    ----------
    source
        The file, the OME-Zarr folder, or the text of OME-XML itself.
    channel
        Which channel's light is meant, from 0.

    Returns
    -------
    dict
        Only what is told and can be, lengths in um. By the names of ``Microscope``'s fields:
        ``numerical_aperture``, ``immersion_index``, ``emission_wavelength``,
        ``excitation_wavelength``. Beside them ``modality`` (the id of one), ``magnification``,
        ``objective`` (its name), ``channel`` (its name), and ``pinhole_diameter`` as it is at the
        pinhole: how many Airy units that makes, the magnification up to there decides, which no
        file tells. Empty when nothing is told.

    Raises
    ------
    FileError
        When there is no such file.
    """
    if isinstance(source, str) and source.lstrip("\ufeff \t\r\n").startswith("<"):
        return _from_xml(source.lstrip("\ufeff \t\r\n"), channel)
    path = Path(source)
    if not path.exists():
        raise FileError(f"There is no file {path}.")
    suffix = path.suffix.lower()
    try:
        if suffix in ZARR_SUFFIXES:
            return _from_zarr(path, channel)
        if suffix in TIFF_SUFFIXES:
            return _from_xml(_tiff_xml(path), channel)
        if suffix in (".ome", ".xml"):
            return _from_xml(path.read_text("utf-8-sig"), channel)
    except (OSError, ValueError):  # the image itself, when it is read, tells what is wrong
        pass
    return {}


def _tiff_xml(path: Path) -> str:
    import tifffile

    from napari_deconv.io.tiff import complaints

    with complaints():
        try:
            with tifffile.TiffFile(path) as tiff:
                return tiff.ome_metadata or ""
        except Exception:  # tifffile meets damaged files with errors of every kind
            return ""


def _from_zarr(path: Path, channel: int) -> dict[str, Any]:
    kept = path / "OME" / "METADATA.ome.xml"
    if kept.exists():
        return _from_xml(kept.read_text("utf-8-sig"), channel)
    from napari_deconv.io.ome_zarr import read_ome_zarr

    channels = read_ome_zarr(path).channels
    if not 0 <= channel < len(channels):
        return {}
    told = channels[channel]
    return _kept({"channel": told.name, "emission_wavelength": _light(told.emission_wavelength)})


def _from_xml(text: str, channel: int) -> dict[str, Any]:
    try:
        told = read_ome_xml(text)
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        return {}
    image = root.find("{*}Image")
    if image is None:
        return {}
    settings = image.find("{*}ObjectiveSettings")
    wanted = settings.get("ID") if settings is not None else None
    objective = _referenced(root.findall("{*}Instrument/{*}Objective"), wanted)
    fields: dict[str, Any] = dict(told.optics)
    if objective is not None:
        magnification = objective.get("CalibratedMagnification") or objective.get(
            "NominalMagnification"
        )
        fields["magnification"] = _number(magnification)
        fields["objective"] = objective.get("Model")
    if 0 <= channel < len(told.channels):
        element = image.findall("{*}Pixels/{*}Channel")[channel]
        mode = (element.get("AcquisitionMode") or "").lower()
        fields |= {
            "channel": told.channels[channel].name,
            "emission_wavelength": _light(told.channels[channel].emission_wavelength),
            "excitation_wavelength": _excitation(root, element),
            "modality": _MODALITIES.get(mode),
            "pinhole_diameter": micrometres(
                element.get("PinholeSize"), element.get("PinholeSizeUnit", "µm")
            ),
        }
    return _kept(fields)


def _excitation(root: ElementTree.Element, channel: ElementTree.Element) -> float | None:
    """Return the channel's own excitation, or else that of its light source."""
    own = micrometres(
        channel.get("ExcitationWavelength"), channel.get("ExcitationWavelengthUnit", "nm")
    )
    source = channel.find("{*}LightSourceSettings")
    if own is not None or source is None:
        return _light(own)
    laser = _referenced(root.findall("{*}Instrument/{*}Laser"), source.get("ID"), alone=False)
    for element in (source, laser):
        if element is not None and element.get("Wavelength"):
            return _light(
                micrometres(element.get("Wavelength"), element.get("WavelengthUnit", "nm"))
            )
    return None


def _referenced(
    elements: list[ElementTree.Element], identity: str | None, *, alone: bool = True
) -> ElementTree.Element | None:
    """Return the element of an id, or the only one there is."""
    found = next((each for each in elements if each.get("ID") == identity), None)
    return elements[0] if found is None and alone and len(elements) == 1 else found


def _light(wavelength: float | None) -> float | None:
    low, high = _WAVELENGTHS
    return wavelength if wavelength is not None and low <= wavelength <= high else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None


def _kept(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "")}
