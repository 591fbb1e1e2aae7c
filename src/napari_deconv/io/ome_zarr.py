"""OME-Zarr 0.4 and 0.5 (NGFF): lazy in, with a pyramid out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

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
from napari_deconv.io.lazy import StoredArray

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Version = Literal["0.4", "0.5"]
_KEY = "napari-deconv"
# Told by an image that is still being made.
UNFINISHED = "unfinished"
_KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_CHUNK = {"T": 1, "C": 1, "Z": 16, "Y": 512, "X": 512}
# Levels are added until a plane fits on a screen.
_SMALLEST_PLANE = 512


def read_ome_zarr(path: Path, axes: str | None = None) -> ImageFile:
    """Open the full-resolution level of an OME-Zarr image, lazily.

    Parameters
    ----------
    path
        The folder.
    axes
        Names of the axes when the folder does not tell them: a plain zarr array has none.

    Raises
    ------
    FileError
        When it is no OME-Zarr image.
    """
    import zarr

    try:
        node = zarr.open(path, mode="r")
        if isinstance(node, zarr.Group) and "bioformats2raw.layout" in _attributes(node):
            node = node["0"]
        if isinstance(node, zarr.Group) and "plate" in _attributes(node):
            raise FileError(
                f"{path} is a plate of many images. Name one of them: "
                f"{path}/<row>/<column>/<field>, renamed or linked to end in .zarr."
            )
        if isinstance(node, zarr.Array):
            return _plain(path, node, axes)
        image = _image(path, node)
    except (FileError, MemoryError):
        raise
    except Exception as error:  # zarr meets damaged folders with errors of every kind
        raise FileError(f"{path} is not an OME-Zarr image, or is damaged ({error}).") from error
    return image.with_axes(axes) if axes is not None else image


def _attributes(group: Any) -> dict[str, Any]:
    """Return the OME attributes: at the top in 0.4, under "ome" in 0.5."""
    attributes = dict(group.attrs)
    inner = attributes.get("ome")
    return dict(inner) if isinstance(inner, Mapping) else attributes


def _plain(path: Path, array: Any, axes: str | None) -> ImageFile:
    names = getattr(array.metadata, "dimension_names", None)
    if axes is None and names and all(names):
        axes = "".join(str(name)[0] for name in names).upper()
    axes = axes or {2: "YX", 3: "ZYX", 5: "TCZYX"}.get(array.ndim)
    if axes is None:
        raise FileError(f"{path} does not name its {array.ndim} axes: say which they are (--axes).")
    return ImageFile(path, StoredArray(path, array), axes).with_axes(axes)


def _image(path: Path, group: Any) -> ImageFile:
    attributes = _attributes(group)
    try:
        multiscale = attributes["multiscales"][0]
        dataset = multiscale["datasets"][0]
        array = group[dataset["path"]]
    except (KeyError, IndexError, TypeError) as error:
        raise FileError(f"{path} is a zarr folder, but holds no OME-Zarr image.") from error
    told = multiscale.get("axes") or [{"name": name} for name in "tczyx"]  # 0.3 and before
    named = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in told]
    axes = "".join(str(axis["name"]) for axis in named).upper()
    check_axes(axes, path)
    if len(axes) != array.ndim:
        raise FileError(f"{path} names the axes {axes!r}, but its array has {array.ndim}.")

    scale = [1.0] * array.ndim
    for transformation in [
        *dataset.get("coordinateTransformations", []),
        *multiscale.get("coordinateTransformations", []),
    ]:
        if transformation.get("type") == "scale":
            scale = [a * float(b) for a, b in zip(scale, transformation["scale"], strict=True)]
    units = {axis: str(entry.get("unit", "")) for axis, entry in zip(axes, named, strict=True)}
    sizes = {
        axis: micrometres(size, units[axis])
        for axis, size in zip(axes, scale, strict=True)
        if axis in "ZYX"
    }
    interval = scale[axes.index("T")] if units.get("T") == "second" else None
    data, axes = arrange(StoredArray(path, array), axes)
    return ImageFile(
        path=path,
        data=data,
        axes=axes,
        spacing=complete(sizes, axes),
        unit=units["X"],
        channels=_channels(attributes),
        time_interval=interval,
        provenance=dict(group.attrs.get(_KEY, {})),
        notes=without_spacing(sizes, axes) + _half_made(path, group),
    )


def _half_made(path: Path, group: Any) -> tuple[str, ...]:
    if not group.attrs.get(_KEY, {}).get(UNFINISHED):
        return ()
    return (f"{path} is not finished: blocks that are missing are zero. Run the same job again.",)


def _channels(attributes: Mapping[str, Any]) -> tuple[Channel, ...]:
    told = attributes.get("omero", {}).get("channels", [])
    return tuple(
        Channel(
            str(channel.get("label", "")),
            # Not in the specification, but in files made from OME-XML.
            micrometres(channel.get("emissionWavelength"), "nm"),
            f"#{channel['color'].lower()}" if channel.get("color") else None,
        )
        for channel in told
    )


def write_ome_zarr(
    path: Path,
    data: NDArray[Any],
    axes: str,
    *,
    name: str = "image",
    version: Version = "0.5",
    spacing: Sequence[float] | None = None,
    channels: Sequence[Channel] = (),
    time_interval: float | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write an OME-Zarr image with a pyramid, halved along y and x from level to level."""
    levels = create_ome_zarr(
        path,
        data.shape,
        data.dtype,
        axes,
        name=name,
        version=version,
        spacing=spacing,
        channels=channels,
        time_interval=time_interval,
        provenance=provenance,
    )
    for number, level in enumerate(levels):
        data = halved(data) if number else data
        level[...] = data


def create_ome_zarr(
    path: Path,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    axes: str,
    *,
    tile: Sequence[int] | None = None,
    name: str = "image",
    version: Version = "0.5",
    spacing: Sequence[float] | None = None,
    channels: Sequence[Channel] = (),
    time_interval: float | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> list[Any]:
    """Make an OME-Zarr image whose pixels are all zero yet, and return its levels, largest first.

    Parameters
    ----------
    path, shape, dtype, axes
        Where, and what.
    tile
        Size of the blocks, on the last axes, in which the largest level will be written: no chunk
        belongs to two of them.
    name, version, spacing, channels, time_interval, provenance
        As for :func:`napari_deconv.io.write_image`.
    """
    import zarr

    group = zarr.open_group(path, mode="w-", zarr_format=3 if version == "0.5" else 2)
    layout: dict[str, Any] = {"dimension_names": list(axes.lower())}
    if version == "0.4":
        layout = {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    datasets: list[dict[str, Any]] = []
    levels: list[Any] = []
    size = tuple(shape)
    # Leading axes, which are walked one by one, are never cut.
    blocks = (*size[: len(size) - len(tile or ())], *(tile or ()))
    while True:
        factor = 2 ** len(datasets)
        array = group.create_array(
            str(len(datasets)),
            shape=size,
            dtype=dtype,
            chunks=tuple(
                # Smaller levels are made chunk by chunk, each out of four times as much.
                min(_CHUNK[axis], length, 256) if datasets else _chunk(_CHUNK[axis], length, block)
                for axis, length, block in zip(axes, size, blocks, strict=True)
            ),
            **layout,
        )
        levels.append(array)
        datasets.append(
            {
                "path": str(len(datasets)),
                "coordinateTransformations": _transformations(axes, spacing, time_interval, factor),
            }
        )
        if max(size[-2:]) <= _SMALLEST_PLANE or min(size[-2:]) < 2:
            break
        size = (*size[:-2], size[-2] // 2, size[-1] // 2)

    multiscale: dict[str, Any] = {
        "name": name,
        "axes": [_axis(axis, spacing is not None, time_interval) for axis in axes],
        "datasets": datasets,
        "type": "mean",
    }
    attributes: dict[str, Any] = {"multiscales": [multiscale]}
    if channels:
        attributes["omero"] = {"channels": [_omero(channel) for channel in channels]}
    if version == "0.5":
        attributes = {"ome": {"version": version, **attributes}}
    else:
        multiscale["version"] = version
    if provenance:
        attributes[_KEY] = dict(provenance)
    group.attrs.update(attributes)
    return levels


def set_provenance(path: Path, provenance: Mapping[str, Any]) -> None:
    """Replace the record of what made an image."""
    import zarr

    zarr.open_group(path, mode="r+").attrs[_KEY] = dict(provenance)


def _chunk(most: int, length: int, block: int) -> int:
    """Return a chunk's length that divides the blocks', and is about so large at most."""
    if block >= length:
        return min(most, length)
    fits = next(n for n in range(min(most, block), 0, -1) if block % n == 0)
    # Thousands of slivers would be worse than chunks that are somewhat large.
    return fits if 8 * fits >= min(most, block) else block


def halved(data: NDArray[Any]) -> NDArray[Any]:
    """Average 2 x 2 pixels; an odd last row or column is left out, as the pyramids of others do."""
    rows, columns = (size // 2 * 2 for size in data.shape[-2:])
    even = data[..., :rows, :columns]
    total = even[..., ::2, ::2].astype(np.float32)
    for part in (even[..., 1::2, ::2], even[..., ::2, 1::2], even[..., 1::2, 1::2]):
        total += part
    total /= 4
    return (np.rint(total) if data.dtype.kind == "u" else total).astype(data.dtype)


def _transformations(
    axes: str, spacing: Sequence[float] | None, time_interval: float | None, factor: int
) -> list[dict[str, Any]]:
    sizes = dict(zip("ZYX"[-len(spacing) :], spacing, strict=True)) if spacing else {}
    sizes["T"] = time_interval or 1.0
    steps = [float(sizes.get(axis, 1.0)) for axis in axes]
    scale = [step * (factor if axis in "YX" else 1) for axis, step in zip(axes, steps, strict=True)]
    transformations: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    if factor > 1:
        # The centre of a level's first pixel lies inside the block it averages.
        shift = [
            step * (factor - 1) / 2 if axis in "YX" else 0.0
            for axis, step in zip(axes, steps, strict=True)
        ]
        transformations.append({"type": "translation", "translation": shift})
    return transformations


def _axis(axis: str, has_spacing: bool, time_interval: float | None) -> dict[str, str]:
    entry = {"name": axis.lower(), "type": _KINDS[axis.lower()]}
    if axis in "ZYX" and has_spacing:
        entry["unit"] = "micrometer"
    if axis == "T" and time_interval:
        entry["unit"] = "second"
    return entry


def _omero(channel: Channel) -> dict[str, Any]:
    entry: dict[str, Any] = {"label": channel.name, "active": True}
    entry["color"] = (channel.colour or "#ffffff")[1:].upper()
    if channel.emission_wavelength:
        entry["emissionWavelength"] = round(1000 * channel.emission_wavelength, 6)
    return entry
