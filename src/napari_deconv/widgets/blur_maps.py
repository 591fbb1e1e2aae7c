"""Aberrations over the field as layers, each lying over the image they were found in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer
from napari.utils.colormaps import Colormap
from napari.utils.transforms import Affine

from napari_deconv.optics.zernike import name as zernike_name
from napari_deconv.widgets.layers import KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_deconv.optics.variant import VariantPsf
    from napari_deconv.widgets.layers import Snapshot

KIND = "aberration map"
# Pixels of a map along each axis; more show nothing more of a field that is smooth.
_CELLS = 64
# As the dock's bars: blue below zero, orange above.
_SIGNED = ("#5b9ff5", "#101216", "#e8924a")
# What tells where a layer lies; the latter only for planes.
_PLACE, _TURN = ("scale", "translate", "units", "axis_labels"), ("rotate", "shear", "affine")


@dataclass(frozen=True, kw_only=True)
class FieldMaps:
    """What changes over the field of an image.

    Attributes
    ----------
    psf
        The PSF over the field.
    coefficients
        Waves rms (row, column) by Noll index.
    strehl
        Brightness of the PSF's middle over that without aberration, (row, column).
    places
        Rows and columns, pixels of the image, at which these are told; ascending.
    """

    psf: VariantPsf
    coefficients: Mapping[int, NDArray[np.float64]]
    strehl: NDArray[np.float64]
    places: tuple[NDArray[np.float64], NDArray[np.float64]]

    @property
    def liveliest(self) -> int:
        """Noll index of the aberration that changes most."""
        return max(self.coefficients, key=lambda j: float(np.ptp(self.coefficients[j])))


def map_layers(maps: FieldMaps, source: Snapshot) -> list[Layer]:
    """Return a layer for each aberration and one for the Strehl ratio; one of them is visible.

    Aberrations have one range of contrast, so that colours mean the same in all of them.
    """
    largest = max(float(np.abs(each).max()) for each in maps.coefficients.values())
    made = []
    for j, values in maps.coefficients.items():
        look = {
            "name": f"{zernike_name(j)}, waves rms, {source.name}",
            "colormap": Colormap(list(_SIGNED), name="aberration"),
            "contrast_limits": (-max(largest, 0.01), max(largest, 0.01)),
            "visible": j == maps.liveliest,
        }
        made.append(_layer(maps, values, source, look, {"noll": j, "unit": "waves rms"}))
    look = {
        "name": f"Strehl ratio, {source.name}",
        "colormap": "viridis",
        "contrast_limits": (0.0, 1.0),
        "visible": False,
    }
    return [*made, _layer(maps, maps.strehl, source, look, {"unit": "1"})]


def _layer(
    maps: FieldMaps,
    values: NDArray[np.float64],
    source: Snapshot,
    look: Mapping[str, Any],
    record: Mapping[str, Any],
) -> Layer:
    """Return a map whose pixels together cover the places, over the last two axes of the image."""
    from scipy.interpolate import RectBivariateSpline

    first = np.array([nodes[0] for nodes in maps.places])
    step = np.array([nodes[-1] - nodes[0] + 1 for nodes in maps.places]) / _CELLS
    # From the outer edge of the first pixel to that of the last one.
    at = [start - 0.5 + (np.arange(_CELLS) + 0.5) * s for start, s in zip(first, step, strict=True)]
    inside = [np.clip(a, nodes[0], nodes[-1]) for a, nodes in zip(at, maps.places, strict=True)]
    fine = RectBivariateSpline(*maps.places, values, kx=2, ky=2)(*inside).astype(np.float32)
    described = {
        **_over(source, [float(a[0]) for a in at], step),
        **look,
        "opacity": 0.5,
        "blending": "translucent",
        "interpolation2d": "linear",
        "metadata": {KEY: {"kind": KIND, "source": source.name, **record}},
    }
    return Layer.create(fine, described, "image")


def _over(source: Snapshot, start: Sequence[float], step: NDArray[Any]) -> dict[str, Any]:
    """Return where a plane lies that begins there, pixels, and has pixels of ``step`` of them."""
    names = _PLACE + _TURN if len(source.shape) == 2 else _PLACE
    settings = {name: source.settings[name] for name in names if name in source.settings}
    # The maps of a series are the same at all times.
    settings = {k: tuple(v)[-2:] if k in _PLACE else v for k, v in settings.items()}
    scale, turned = np.asarray(settings["scale"]), {name: settings.get(name) for name in _TURN[:2]}
    offset = Affine(scale=scale, translate=settings["translate"], **turned)(start)
    return {**settings, "scale": scale * step, "translate": offset}
