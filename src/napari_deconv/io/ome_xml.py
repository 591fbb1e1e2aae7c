"""What OME-XML tells about an image's first series."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.etree import ElementTree

from napari_deconv.io.image_file import Channel, micrometres

# Where the objective's immersion is named but its index is not given.
_IMMERSION = {
    "oil": 1.515,
    "water": 1.333,
    "waterdipping": 1.333,
    "glycerol": 1.47,
    "glycerin": 1.47,
    "air": 1.0,
}


@dataclass(frozen=True)
class OmeXml:
    """Voxel size in micrometres by axis, channels, and what is known of the objective."""

    sizes: dict[str, float | None] = field(default_factory=dict)
    unit: str = ""
    channels: list[Channel] = field(default_factory=list)
    time_interval: float | None = None
    optics: dict[str, float] = field(default_factory=dict)
    description: str = ""


def read_ome_xml(text: str) -> OmeXml:
    """Read the metadata of the first image; units are micrometres where the file names none."""
    root = ElementTree.fromstring(text)
    image = root.find("{*}Image")
    pixels = image.find("{*}Pixels") if image is not None else None
    if image is None or pixels is None:
        return OmeXml()
    description = image.findtext("{*}Description") or ""
    sizes = {
        axis: micrometres(
            pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")
        )
        for axis in "ZYX"
    }
    interval = _number(pixels.get("TimeIncrement"))
    seconds = {"s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0}
    factor = seconds.get(pixels.get("TimeIncrementUnit", "s"))
    return OmeXml(
        sizes=sizes,
        unit=pixels.get("PhysicalSizeXUnit", "µm") if sizes["X"] else "",
        channels=[_channel(channel) for channel in pixels.findall("{*}Channel")],
        time_interval=interval * factor if interval and factor else None,
        optics=_optics(root, image),
        description=description,
    )


def _channel(channel: ElementTree.Element) -> Channel:
    colour = None
    if channel.get("Color") is not None:
        colour = f"#{(int(channel.get('Color', '0')) & 0xFFFFFFFF) >> 8:06x}"
    return Channel(
        name=channel.get("Name", ""),
        emission_wavelength=micrometres(
            channel.get("EmissionWavelength"), channel.get("EmissionWavelengthUnit", "nm")
        ),
        colour=colour,
    )


def _optics(root: ElementTree.Element, image: ElementTree.Element) -> dict[str, float]:
    settings = image.find("{*}ObjectiveSettings")
    objectives = root.findall("{*}Instrument/{*}Objective")
    wanted = settings.get("ID") if settings is not None else None
    objective = next(
        (each for each in objectives if each.get("ID") == wanted),
        objectives[0] if len(objectives) == 1 else None,
    )
    optics: dict[str, float] = {}
    told = _number(objective.get("LensNA")) if objective is not None else None
    if told and 0.02 <= told <= 2:
        optics["numerical_aperture"] = told
    candidates: list[float | None] = []
    if settings is not None:
        candidates.append(_number(settings.get("RefractiveIndex")))
        candidates.append(_IMMERSION.get(settings.get("Medium", "").lower()))
    if objective is not None:
        candidates.append(_IMMERSION.get(objective.get("Immersion", "").lower()))
    # Some programs write the index 1 for every objective; an aperture of 1.4 cannot have that.
    aperture = optics.get("numerical_aperture", 0.0)
    for index in candidates:
        if index and index > aperture and 1 <= index <= 2.6:
            optics["immersion_index"] = index
            break
    return optics


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
