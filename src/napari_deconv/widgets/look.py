"""A look at the chosen layers, in a thread: the lights, and which method suits them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.errors import DeconvolutionError
from napari_deconv.widgets.layers import Snapshot, own_metadata, spatial_ndim
from napari_deconv.widgets.recommendation import Recommendation, bright_photons, recommend
from napari_deconv.widgets.torch_thread import import_torch

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_deconv.engine.preflight import Light
    from napari_deconv.optics import Microscope


@dataclass(frozen=True)
class Findings:
    """What was seen.

    Attributes
    ----------
    lights
        One for each thing that was looked at.
    recommendation
        A method that suits the image; None where the image cannot be restored at all.
    """

    lights: list[Light]
    recommendation: Recommendation | None = None


def look(
    image: Snapshot,
    psf: Any,
    psf_spacing: tuple[float, ...] | None,
    psf_record: Mapping[str, Any],
    method: str,
    options: Mapping[str, Any],
) -> Findings:
    """Look at the layers; runs in a thread."""
    from napari_deconv.engine.preflight import preflight, some_voxels

    import_torch()
    rest = {k: v for k, v in options.items() if k not in ("spacing", "psf_spacing")}
    arrays = psf if not isinstance(psf, list) else np.stack([np.asarray(each) for each in psf])
    lights = preflight(
        image.data,
        psf if psf is None else arrays,
        method=method,
        spacing=image.spacing,
        psf_spacing=psf_spacing,
        microscope=microscope_of(psf_record),
        modality=str(psf_record.get("modality", "widefield")),
        options=rest,
    )
    if any(light.name == "values" and light.level == "stop" for light in lights):
        return Findings(lights)
    return Findings(lights, recommend(bright_photons(some_voxels(image.data))))


def microscope_of(record: Mapping[str, Any]) -> Microscope | None:
    """Return the microscope that a PSF was computed for; of several channels, the sharpest."""
    from napari_deconv.optics import Microscope

    values = record.get("microscope") or (record.get("microscopes") or [None])[0]
    if not isinstance(values, Mapping):
        return None
    try:
        return Microscope(**values)
    except (DeconvolutionError, TypeError):
        return None


def psf_arrays(layer: Image | None) -> Any:
    """Return what a PSF layer holds: an array, a plane a channel as a list, or a field PSF."""
    if layer is None:
        return None
    if "variant" in own_metadata(layer):
        return own_metadata(layer)["variant"]
    data = layer.data[0] if layer.multiscale else layer.data
    if layer.ndim == 3 and spatial_ndim(layer) == 2:
        return [data[channel] for channel in range(data.shape[0])]
    return data


def spacings(image: Snapshot, psf: Snapshot | None) -> dict[str, Any]:
    """Return both voxel sizes, when both are known: one alone would say nothing."""
    found: dict[str, Any] = {}
    if image.spacing is not None:
        found["spacing"] = image.spacing
        if psf is not None and psf.spacing is not None:
            found["psf_spacing"] = psf.spacing
    return found


def colour_lights(image: Image | None) -> list[Light]:
    """Return what is said about no image, or a colour picture."""
    from napari_deconv.engine.preflight import Light

    if image is None:
        return []
    return [
        Light(
            "values",
            "stop",
            "a colour picture (RGB) cannot be restored",
            "Right-click the layer, choose Split RGB, and take one channel.",
        )
    ]


def broken_setting(error: Exception) -> Light:
    """Return the light of a setting that does not fit."""
    from napari_deconv.engine.preflight import Light

    return Light("settings", "stop", str(error), str(error))
