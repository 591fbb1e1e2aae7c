"""TIFF through tifffile: ImageJ hyperstacks, OME-TIFF, plain pages, BigTIFF."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.errors import FileError
from napari_deconv.io.image_file import (
    Channel,
    ImageFile,
    arrange,
    check_axes,
    complete,
    micrometres,
    without_spacing,
)
from napari_deconv.io.lazy import MappedArray, StoredArray
from napari_deconv.io.ome_xml import read_ome_xml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from tifffile import TiffFile, TiffPageSeries

# Beyond this pixels are read piece by piece: they may be more than the memory holds.
LAZY_FROM = 1 << 30
# Where ImageJ's 32-bit offsets end, with room for the header.
_CLASSIC_LIMIT = 2**32 - 2**25
# A pixel larger than this, told by the resolution tags alone, is a print size such as 72 dpi.
_LARGEST_PIXEL = 10.0
_MARK = "napari-deconv: "


def read_tiff(path: Path, *, lazy: bool = False) -> ImageFile:
    """Read the first image of a TIFF file; its pixels when they are asked for, if lazy or many.

    Raises
    ------
    FileError
        When the file is damaged, truncated, in colour or compressed by a codec that is missing.
    """
    import tifffile

    try:
        with complaints() as told, tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            image = _read(path, tiff, series, lazy)
    except (FileError, MemoryError):
        raise
    except Exception as error:  # tifffile meets damaged files with errors of every kind
        raise FileError(_why(path, error)) from error
    fatal = [text for text in told if any(word in text for word in _FATAL)]
    if fatal:
        raise FileError(
            f"{path} is damaged or was not copied to its end ({fatal[0].split('> ')[-1]}). "
            "Get the file again from where it came from."
        )
    return image


# tifffile only logs these, and goes on with the planes that are left.
_FATAL = ("invalid page offset", "invalid or corrupted", "failed to reshape", "TiffTag 270")


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Collect what tifffile logs as errors, and keep it from the screen."""
    texts: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.ERROR:
                texts.append(record.getMessage())

    logger = logging.getLogger("tifffile")
    collector, propagate = Collector(), logger.propagate
    logger.addHandler(collector)
    logger.propagate = False
    try:
        yield texts
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagate


def _why(path: Path, error: Exception) -> str:
    text = str(error)
    if "imagecodecs" in text:
        codec = text.split(":")[0].split(".")[-1].strip("<\"'")
        return (
            f"{path} is compressed with {codec}, which needs another package: "
            "pip install imagecodecs. Or save it without compression."
        )
    if "not a TIFF" in text:
        return f"{path} is not a TIFF file, whatever its name says."
    if isinstance(error, PermissionError):
        return f"{path} cannot be read: {error.strerror}."
    return (
        f"{path} is damaged or was not copied to its end ({text or type(error).__name__}). "
        "Get the file again from where it came from."
    )


def _read(path: Path, tiff: TiffFile, series: TiffPageSeries, lazy: bool) -> ImageFile:
    axes = series.axes
    page = tiff.pages.first
    if "S" in axes:
        if int(page.photometric) in (2, 5, 6, 8):  # RGB, CMYK, YCbCr, CIELab
            raise FileError(
                f"{path} is a colour (RGB) picture, made for showing. Use the grey-level data it "
                "was made from, or split it into channels first."
            )
        axes = axes.replace("S", "C")
    notes: tuple[str, ...] = ()
    axes, guess = _named(axes)
    if guess:
        notes += (guess,)
    check_axes(axes, path)
    if len(tiff.series) > 1:
        notes += (f"{path} holds {len(tiff.series)} images; the first one is read.",)

    data, axes = arrange(_pixels(path, tiff, series, lazy), axes)

    if tiff.is_ome and tiff.ome_metadata:
        told = read_ome_xml(tiff.ome_metadata)
        sizes, unit = told.sizes, told.unit
        channels, interval, optics = told.channels, told.time_interval, told.optics
        text = told.description
    elif tiff.is_imagej and tiff.imagej_metadata is not None:
        told_by = tiff.imagej_metadata
        sizes, unit = _imagej_sizes(tiff, told_by)
        channels = _imagej_channels(told_by, data.shape[axes.index("C")] if "C" in axes else 1)
        interval = float(told_by.get("finterval") or 0) or None
        optics, text = {}, str(told_by.get("Info", ""))
    else:
        sizes, unit = _printed_sizes(tiff)
        channels, interval, optics, text = [], None, {}, page.description
    return ImageFile(
        path=path,
        data=data,
        axes=axes,
        spacing=complete(sizes, axes),
        unit=unit,
        channels=tuple(channels),
        time_interval=interval,
        optics=optics,
        provenance=_provenance(text),
        notes=notes + without_spacing(sizes, axes),
    )


def _pixels(path: Path, tiff: TiffFile, series: TiffPageSeries, lazy: bool) -> Any:
    """Return a series' pixels, lazy where that is wanted or there are many."""
    if series.nbytes < LAZY_FROM and not lazy:
        return np.reshape(series.asarray(), series.shape)
    if series.dataoffset is not None:
        dtype = series.dtype.newbyteorder(tiff.byteorder)
        return MappedArray(path, series.shape, dtype, series.dataoffset)
    stored = StoredArray(path, _compressed(path), _compressed)
    return stored if stored.shape == series.shape else np.reshape(series.asarray(), series.shape)


def _compressed(path: Path) -> Any:
    """Open the first image of a file whose pixels have to be decoded, as a zarr array."""
    import tifffile
    import zarr

    return zarr.open(tifffile.imread(path, aszarr=True, series=0, level=0), mode="r")


def _named(axes: str) -> tuple[str, str]:
    """Name the axes that the file leaves open: pages are planes along z, then time, channels."""
    free = [axis for axis in "ZTC" if axis not in axes]
    named = list(axes)
    unknown = [index for index, axis in enumerate(axes) if axis in "IQ"]
    for index in reversed(unknown):
        if free:
            named[index] = free.pop(0)
    result = "".join(named)
    if len(unknown) < 2:
        return result, ""
    return result, f"The file does not name its axes; they are taken as {result}. (--axes)"


def _imagej_sizes(tiff: TiffFile, told: Mapping[str, Any]) -> tuple[dict[str, float | None], str]:
    unit = str(told.get("unit", ""))
    if not unit:
        return _printed_sizes(tiff)
    x, y = (_per_pixel(tiff, tag) for tag in ("XResolution", "YResolution"))
    # ImageJ leaves the spacing out when it is one unit.
    sizes = {
        "Z": micrometres(told.get("spacing", 1.0), unit),
        "Y": micrometres(y, unit),
        "X": micrometres(x, unit),
    }
    return sizes, unit


def _printed_sizes(tiff: TiffFile) -> tuple[dict[str, float | None], str]:
    """Voxel size from the resolution tags alone, where it is no print resolution."""
    tag = tiff.pages.first.tags.get("ResolutionUnit")
    unit = {2: "inch", 3: "cm"}.get(int(tag.value) if tag else 0, "")
    x, y = (micrometres(_per_pixel(tiff, tag), unit) for tag in ("XResolution", "YResolution"))
    if x is None or y is None or max(x, y) > _LARGEST_PIXEL:
        return {}, ""
    return {"Y": y, "X": x}, unit


def _per_pixel(tiff: TiffFile, name: str) -> float | None:
    tag = tiff.pages.first.tags.get(name)
    if tag is None or not tag.value[0]:
        return None
    return float(tag.value[1] / tag.value[0])


def _imagej_channels(told: Mapping[str, Any], count: int) -> list[Channel]:
    """Channel names from the slice labels, where these only tell the channel, and colours."""
    labels = [str(label) for label in told.get("Labels", [])]
    repeat = all(label == labels[index % count] for index, label in enumerate(labels))
    names = labels[:count] if count > 1 and len(labels) >= count and repeat else []
    tables = list(told.get("LUTs", []))
    colours = [_colour(table) for table in tables[:count]] if count > 1 else []
    if not names and not colours:
        return []
    return [
        Channel(
            names[index] if index < len(names) else "",
            colour=colours[index] if index < len(colours) else None,
        )
        for index in range(count)
    ]


def _colour(table: NDArray[np.uint8]) -> str | None:
    red, green, blue = (int(value) for value in np.asarray(table)[:, -1])
    return f"#{red:02x}{green:02x}{blue:02x}"


def _provenance(text: str) -> dict[str, Any]:
    """Find this package's record in a description."""
    for line in text.splitlines():
        if line.startswith(_MARK):
            try:
                record = json.loads(line.removeprefix(_MARK))
            except ValueError:
                return {}
            return record if isinstance(record, dict) else {}
    return {}


def write_tiff(
    path: Path,
    data: NDArray[Any],
    axes: str,
    *,
    ome: bool = False,
    spacing: Sequence[float] | None = None,
    channels: Sequence[Channel] = (),
    time_interval: float | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a TIFF for ImageJ, or an OME-TIFF; beyond 4 GB always the latter, as BigTIFF."""
    import tifffile

    order, options = _layout(
        data.shape, data.nbytes, axes, ome, spacing, channels, time_interval, provenance
    )
    # Opened here, because tifffile leaves it open when the disk is full at the header.
    with path.open("wb+") as file:
        tifffile.imwrite(file, np.transpose(data, order), **options)


def create_tiff(
    path: Path,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    axes: str,
    *,
    ome: bool = False,
    spacing: Sequence[float] | None = None,
    channels: Sequence[Channel] = (),
    time_interval: float | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> MappedArray:
    """Make a TIFF whose pixels are all zero yet; return where they are, axes as given."""
    import tifffile

    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    order, options = _layout(shape, nbytes, axes, ome, spacing, channels, time_interval, provenance)
    stored = tuple(shape[axis] for axis in order)
    with path.open("wb+") as file:
        told = tifffile.imwrite(
            file, shape=stored, dtype=dtype, byteorder="<", returnoffset=True, **options
        )
        assert told is not None, "pixels that are not compressed lie at one place"
        # However the writer leaves its end, the file has to hold every pixel.
        file.truncate(max(file.seek(0, 2), told[0] + nbytes))
    pixels = MappedArray(path, stored, dtype.newbyteorder("<"), told[0])
    return pixels.transpose([order.index(axis) for axis in range(len(order))])


def _layout(
    shape: Sequence[int],
    nbytes: int,
    axes: str,
    ome: bool,
    spacing: Sequence[float] | None,
    channels: Sequence[Channel],
    time_interval: float | None,
    provenance: Mapping[str, Any] | None,
) -> tuple[list[int], dict[str, Any]]:
    """Return the order of the axes in the file, and what tifffile has to be told."""
    sizes = dict(zip("ZYX"[-len(spacing) :], spacing, strict=True)) if spacing else {}
    record = _MARK + json.dumps(dict(provenance)) if provenance else ""
    big = nbytes > _CLASSIC_LIMIT
    options: dict[str, Any] = {"photometric": "minisblack"}
    if ome or big:
        metadata = _ome_metadata(axes, sizes, channels, time_interval, record)
        options |= {"ome": True, "bigtiff": big, "metadata": metadata}
        return list(range(len(axes))), options
    # ImageJ's order of axes is T, Z, C.
    metadata = _imagej_metadata(tuple(shape), axes, sizes, channels, time_interval, record)
    options |= {"imagej": True, "metadata": metadata}
    if sizes:
        options["resolution"] = (1 / sizes["X"], 1 / sizes["Y"])
    return [axes.index(axis) for axis in "TZCYX" if axis in axes], options


def _imagej_metadata(
    shape: tuple[int, ...],
    axes: str,
    sizes: Mapping[str, float],
    channels: Sequence[Channel],
    time_interval: float | None,
    record: str,
) -> dict[str, Any]:
    count = shape[axes.index("C")] if "C" in axes else 1
    metadata: dict[str, Any] = {"axes": "".join(axis for axis in "TZCYX" if axis in axes)}
    if sizes:
        metadata["unit"] = "um"
    if "Z" in sizes:
        metadata["spacing"] = sizes["Z"]
    if time_interval:
        metadata["finterval"] = time_interval
    if count > 1:
        metadata["mode"] = "composite"
    if record:
        metadata["Info"] = record
    if count > 1 and len(channels) == count:
        planes = int(np.prod(shape[:-2]))
        if any(channel.name for channel in channels):
            metadata["Labels"] = [channel.name for channel in channels] * (planes // count)
        if all(channel.colour for channel in channels):
            metadata["LUTs"] = [_table(channel.colour or "") for channel in channels]
    return metadata


def _table(colour: str) -> NDArray[np.uint8]:
    full = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)])
    return np.asarray(np.round(full[:, None] * np.linspace(0, 1, 256)), dtype=np.uint8)


def _ome_metadata(
    axes: str,
    sizes: Mapping[str, float],
    channels: Sequence[Channel],
    time_interval: float | None,
    record: str,
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": axes}
    for axis, size in sizes.items():
        metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    if time_interval:
        metadata |= {"TimeIncrement": time_interval, "TimeIncrementUnit": "s"}
    if record:
        metadata["Description"] = record
    told: dict[str, list[Any]] = {}
    if any(channel.name for channel in channels):
        told["Name"] = [channel.name for channel in channels]
    if all(channel.emission_wavelength for channel in channels):
        wavelengths = [1000 * (channel.emission_wavelength or 0) for channel in channels]
        told |= {
            "EmissionWavelength": wavelengths,
            "EmissionWavelengthUnit": ["nm"] * len(channels),
        }
    if all(channel.colour for channel in channels):
        told["Color"] = [_signed_rgba(channel.colour or "") for channel in channels]
    if channels and told:
        metadata["Channel"] = told
    return metadata


def _signed_rgba(colour: str) -> int:
    """OME-XML's colours are RGBA in a signed 32-bit integer."""
    return int(np.array(int(colour[1:] + "ff", 16), dtype=np.uint32).astype(np.int32))
