"""What an image file tells, in the terms of this package: axes T, C, Z, Y, X and micrometres."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.errors import FileError
from napari_deconv.io.lazy import rearranged

if TYPE_CHECKING:
    from pathlib import Path

AXES = "TCZYX"

# Micrometres per unit, by every spelling met in ImageJ, OME-XML and OME-Zarr.
_MICROMETRES = {
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "cm": 1e4,
    "centimeter": 1e4,
    "mm": 1e3,
    "millimeter": 1e3,
    "um": 1.0,
    "µm": 1.0,  # micro sign
    "μm": 1.0,  # Greek mu
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometers": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometers": 1e-3,
    "nanometre": 1e-3,
    "pm": 1e-6,
    "picometer": 1e-6,
    "å": 1e-4,  # U+00E5
    "angstrom": 1e-4,
    "in": 25400.0,
    "inch": 25400.0,
    "inches": 25400.0,
}


@dataclass(frozen=True)
class Channel:
    """One channel of an image.

    Attributes
    ----------
    name
        As it is shown; empty when the file has none.
    emission_wavelength
        In micrometres, ``None`` when the file has none.
    colour
        ``"#rrggbb"``, ``None`` when the file has none.
    """

    name: str = ""
    emission_wavelength: float | None = None
    colour: str | None = None


@dataclass(frozen=True)
class ImageFile:
    """An image with what its file tells about it.

    Attributes
    ----------
    path
        Where it was read.
    data
        The array, in the file's own dtype: numpy for a TIFF that is not very large, else a lazy
        array that is read piece by piece.
    axes
        One letter for each axis of ``data``: some of ``"TCZYX"``, in that order, ending in
        ``"YX"``.
    spacing
        Voxel size in micrometres for the spatial axes, (z, y, x) or (y, x); ``None`` when the file
        does not give all of them.
    unit
        The unit as it is written in the file, before conversion to micrometres; empty if none.
    channels
        One per entry of axis C (or one, without that axis); empty when the file tells nothing.
    time_interval
        Seconds between time points, if known.
    optics
        What the file tells of the microscope, by the names of ``Microscope``'s fields:
        ``numerical_aperture``, ``immersion_index``.
    provenance
        The record this package wrote when it made the file, empty for other files.
    notes
        What was taken for granted or left out on reading, in plain words.
    """

    path: Path
    data: Any
    axes: str
    spacing: tuple[float, ...] | None = None
    unit: str = ""
    channels: tuple[Channel, ...] = ()
    time_interval: float | None = None
    optics: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the pixels in the file."""
        dtype: np.dtype[Any] = np.dtype(self.data.dtype)
        return dtype

    @property
    def channel_count(self) -> int:
        """How many channels there are."""
        return int(self.data.shape[self.axes.index("C")]) if "C" in self.axes else 1

    @property
    def spatial_axes(self) -> str:
        """``"ZYX"`` or ``"YX"``."""
        return "ZYX" if "Z" in self.axes else "YX"

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels' names."""
        return tuple(channel.name for channel in self.channels)

    def with_axes(self, axes: str) -> ImageFile:
        """Return the same image with its axes named by the user, who knows better than the file.

        Raises
        ------
        FileError
            When the letters do not fit the array.
        """
        axes = axes.upper()
        shape = " x ".join(map(str, self.data.shape))
        if len(axes) != len(self.data.shape):
            raise FileError(
                f"{self.path} has {len(self.data.shape)} axes ({shape}), "
                f"but {axes!r} names {len(axes)}."
            )
        check_axes(axes, self.path)
        spacing = self.spacing
        if spacing is not None and "Z" not in axes:
            spacing = spacing[-2:]
        elif spacing is not None and len(spacing) == 2:
            spacing = None
        data, axes = arrange(self.data, axes)
        return replace(self, data=data, axes=axes, spacing=spacing)


def check_axes(axes: str, path: Path) -> None:
    """Check that ``axes`` are some of T, C, Z, Y, X, each once, with Y and X.

    Raises
    ------
    FileError
        Otherwise.
    """
    if set(axes) - set(AXES) or len(set(axes)) < len(axes) or not {"Y", "X"} <= set(axes):
        raise FileError(
            f"{path} has the axes {axes!r}. An image needs Y and X and may have T (time), "
            "C (channel) and Z, each once."
        )


def arrange(data: Any, axes: str) -> tuple[Any, str]:
    """Bring the axes into the order T, C, Z, Y, X and drop a Z of one plane.

    Lazy arrays stay lazy.
    """
    order = sorted(range(len(axes)), key=lambda axis: AXES.index(axes[axis]))
    # A single plane is a two-dimensional image, whatever the file's layout.
    order = [axis for axis in order if axes[axis] != "Z" or data.shape[axis] > 1]
    return rearranged(data, order), "".join(axes[axis] for axis in order)


def micrometres(value: Any, unit: str) -> float | None:
    """Convert a length to micrometres; ``None`` for what is no length or not positive."""
    factor = _MICROMETRES.get(unit.strip().replace("\\u00B5", "µ").lower())
    try:
        length = float(value) * (factor or math.nan)
    except (TypeError, ValueError):
        return None
    return length if math.isfinite(length) and length > 0 else None


def complete(sizes: dict[str, float | None], axes: str) -> tuple[float, ...] | None:
    """Return the sizes along the spatial axes, or ``None`` when one of them is unknown."""
    found = [sizes.get(axis) for axis in axes if axis in "ZYX"]
    known = tuple(size for size in found if size is not None)
    return known if len(known) == len(found) else None


def without_spacing(sizes: dict[str, float | None], axes: str) -> tuple[str, ...]:
    """Say which sizes are known when not all of them are."""
    known = [f"{axis.lower()} {size:g} um" for axis, size in sizes.items() if size and axis in axes]
    missing = [axis.lower() for axis in "ZYX" if axis in axes and not sizes.get(axis)]
    if not known or not missing:
        return ()
    return (
        f"The file gives {', '.join(known)}, but no voxel size along {', '.join(missing)}: "
        "none of it is used.",
    )
