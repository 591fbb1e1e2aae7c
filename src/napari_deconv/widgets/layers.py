"""What a layer tells, and how a result becomes one that lies exactly over its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils.transforms import Affine

from napari_deconv.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where a layer of ours keeps what made it.
KEY = "napari-deconv"
# What a result takes over from its source.
_TAKEN_OVER = (
    "scale",
    "translate",
    "rotate",
    "shear",
    "affine",
    "units",
    "axis_labels",
    "colormap",
    "blending",
)
_SPATIAL = {"z", "y", "x"}


@dataclass(frozen=True)
class Snapshot:
    """A layer as it was when a job started; the layer itself may vanish meanwhile.

    Attributes
    ----------
    name, data
        The layer's name and its array (the finest one of several).
    spacing
        Voxel size on the last axes, um, None when the layer does not tell.
    settings
        What a result takes over.
    path
        File that the layer was read from, if there is one.
    metadata
        Our own entry in the layer's metadata.
    multiscale
        Whether ``data`` is the finest of several arrays.
    """

    name: str
    data: Any
    spacing: tuple[float, ...] | None
    settings: Mapping[str, Any]
    path: str | None
    metadata: Mapping[str, Any]
    multiscale: bool

    @classmethod
    def of(cls, layer: Image, level: int = 0) -> Snapshot:
        """Take down everything that a job needs to know about a layer.

        Parameters
        ----------
        layer
            The layer.
        level
            Which of its resolutions, 0 being the finest.

        Raises
        ------
        InputError
            When it is a colour picture.
        """
        described = layer.as_layer_data_tuple()[1]
        settings = {key: deepcopy(described[key]) for key in _TAKEN_OVER if key in described}
        spacing = voxel_size(layer)
        if level:
            factors = downsampling(layer, level)
            # A coarse voxel's middle is that of the fine ones it stands for, as napari draws it.
            settings["translate"] = _moved(settings, (factors - 1) / 2)
            settings["scale"] = np.asarray(settings["scale"]) * factors
            if spacing is not None:
                coarse = np.asarray(spacing) * factors[-len(spacing) :]
                spacing = tuple(float(f"{size:.9g}") for size in coarse)
        return cls(
            name=layer.name,
            data=pixels(layer, level),
            spacing=spacing,
            settings=settings,
            path=getattr(layer.source, "path", None),
            metadata=deepcopy(own_metadata(layer)),
            multiscale=bool(layer.multiscale),
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(int(n) for n in self.data.shape)

    def result(
        self,
        data: Any,
        name: str,
        provenance: Mapping[str, Any],
        *,
        start: Sequence[int] | None = None,
        limits: tuple[float, float] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Layer:
        """Return a new layer that lies where the data came from.

        Parameters
        ----------
        data
            The image, or a list of its resolutions.
        name
            The layer's name.
        provenance
            What made it; a copy is kept in the metadata.
        start
            Index of its first voxel in the source, when it is a part of it.
        limits
            Contrast limits.
        settings
            More of the layer's settings.
        """
        described = dict(self.settings) | dict(settings or {})
        if start is not None and any(start):
            described["translate"] = _moved(described, np.asarray(start, float))
        if limits is not None and limits[1] > limits[0]:
            described["contrast_limits"] = limits
        described |= {"rgb": False, "multiscale": isinstance(data, list)}
        described |= {"name": name, "metadata": {KEY: deepcopy(dict(provenance))}}
        return Layer.create(data, described, "image")


def _moved(settings: Mapping[str, Any], place: NDArray[Any]) -> Any:
    """Return where a place in voxels lies."""
    names = ("scale", "translate", "rotate", "shear")
    return Affine(**{name: settings[name] for name in names})(place)


def shown_level(layer: Image) -> int:
    """Return which of a layer's resolutions is shown now, 0 being the finest."""
    return int(layer.data_level) if layer.multiscale else 0


def downsampling(layer: Image, level: int) -> NDArray[np.float64]:
    """Return how many of the finest voxels one of a level stands for, along each axis."""
    if not layer.multiscale:
        return np.ones(layer.ndim)
    return np.asarray(layer.downsample_factors[level], np.float64)


def pixels(layer: Image, level: int = 0) -> Any:
    """Return a layer's array, the finest one of several unless told otherwise.

    Raises
    ------
    InputError
        When it is a colour picture.
    """
    if layer.rgb:
        raise InputError(
            f"{layer.name} is a colour picture (RGB), and light of several colours cannot be "
            "restored as one. Right-click the layer, choose Split RGB, and take one channel."
        )
    return layer.data[level] if layer.multiscale else layer.data


def own_metadata(layer: Layer) -> Mapping[str, Any]:
    """Return our own entry in a layer's metadata, empty when there is none."""
    entry = layer.metadata.get(KEY, {})
    return entry if isinstance(entry, Mapping) else {}


def voxel_size(layer: Image) -> tuple[float, ...] | None:
    """Return the voxel size on the last, spatial axes in um; None when the layer has no unit.

    A layer of ours that had to be put in pixels, since all others are, tells in its metadata.
    """
    sizes: list[float] = []
    labels = [str(label).strip().lower() for label in layer.axis_labels]
    named = _SPATIAL & set(labels)
    for label, unit, scale in zip(
        reversed(labels), reversed(layer.units), reversed(layer.scale), strict=True
    ):
        if len(sizes) == 3 or (named and label not in _SPATIAL):
            break
        if not unit.is_compatible_with("micrometer"):
            break
        sizes.insert(0, abs(float(scale) * float((1 * unit).to("micrometer").magnitude)))
    if len(sizes) >= min(2, layer.ndim):
        return tuple(float(f"{size:.9g}") for size in sizes)
    told = own_metadata(layer).get("spacing")
    return tuple(told) if told else None


def lacks_unit(layer: Image) -> bool:
    """Whether nothing tells how large the layer's voxels are."""
    return voxel_size(layer) is None


def spatial_ndim(layer: Image) -> int:
    """Return the number of spatial axes, as far as the layer tells: 2 or 3."""
    size = voxel_size(layer)
    if size is not None:
        return len(size)
    named = [label for label in layer.axis_labels if str(label).lower() in _SPATIAL]
    return min(3, len(named) or layer.ndim)


def set_voxel_size(layer: Image, spacing: Sequence[float]) -> None:
    """Write a voxel size in um into a layer's scale and units, on its last axes."""
    n = len(spacing)
    layer.scale = (*layer.scale[: layer.ndim - n], *spacing)
    layer.units = (*layer.units[: layer.ndim - n], *(("um",) * n))


def compatible_units(layers: Sequence[Layer], ndim: int) -> tuple[str, ...]:
    """Return units for a new layer with voxels in um that napari can show beside ``layers``.

    One layer in pixels beside one in micrometres makes napari drop the units of all of them.
    """
    others = [layer for layer in layers if layer.ndim >= 2]
    lengths = [layer.units[-1].is_compatible_with("micrometer") for layer in others]
    return ("um" if not lengths or any(lengths) else "pixel",) * ndim


def describe(layer: Image) -> str:
    """Return shape, voxel size and type in one line."""
    if layer.rgb:
        return "colour picture (RGB): cannot be used"
    array = pixels(layer)
    parts = [times(array.shape)]
    size = voxel_size(layer)
    parts.append(f"{lengths(size)} µm" if size else "no voxel size")
    parts.append(str(array.dtype))
    return "   ".join(parts)


def times(shape: Sequence[int]) -> str:
    """Return a shape as people write it."""
    return " × ".join(str(int(n)) for n in shape)


def lengths(sizes: Sequence[float]) -> str:
    """Return lengths as people write them."""
    return " × ".join(f"{size:.2f}" if size >= 0.095 else f"{size:.3g}" for size in sizes)


def contrast(data: NDArray[Any]) -> tuple[float, float] | None:
    """Return contrast limits that a few very bright voxels do not decide."""
    step = max(1, round((data.size / 500_000) ** (1 / data.ndim)))
    sample = data[(slice(None, None, step),) * data.ndim]
    low, high = np.percentile(sample, [0.1, 99.9])
    if not high > low:
        low, high = float(data.min()), float(data.max())
    return (float(low), float(high)) if high > low else None


def is_psf(layer: Layer) -> bool:
    """Whether a layer looks like a PSF."""
    return own_metadata(layer).get("kind") == "psf" or "psf" in layer.name.lower()


def is_result(layer: Layer) -> bool:
    """Whether a layer was made by us, or holds the truth of a sample."""
    return bool(own_metadata(layer)) and own_metadata(layer).get("kind") != "sample"


def image_guess(layer: Image) -> float:
    """Return how likely a layer is the one to restore."""
    return 0.0 if is_psf(layer) or is_result(layer) or layer.rgb else 1.0


def psf_guess(layer: Image) -> float:
    """Return how likely a layer is the PSF."""
    return 1.0 if is_psf(layer) else 0.0
