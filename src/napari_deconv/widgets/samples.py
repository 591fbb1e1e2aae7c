"""The samples under File > Open Sample: generated, with PSF and truth."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.widgets.layers import KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deconv.simulation.samples import Sample

LayerData = tuple[Any, dict[str, Any], str]


def widefield_stack() -> list[LayerData]:
    """Return a widefield stack of filaments and beads, its PSF and the truth."""
    from napari_deconv.simulation import samples

    return _layers(samples.widefield_stack(), modality="widefield")


def hazy_image() -> list[LayerData]:
    """Return an image under haze, its PSF and the truth."""
    from napari_deconv.simulation import samples

    return _layers(samples.hazy_image(), modality="widefield")


def confocal_series() -> list[LayerData]:
    """Return a confocal time series with two channels, its PSFs and the truth."""
    from napari_deconv.simulation import samples

    return _layers(samples.confocal_series(), modality="confocal")


def aberrated_image() -> list[LayerData]:
    """Return a plane behind an aberrated objective, its PSF and the truth."""
    from napari_deconv.simulation import samples

    return _layers(samples.aberrated_image(), modality="widefield")


def _layers(sample: Sample, *, modality: str) -> list[LayerData]:
    """Return truth, PSF and image, so that the image lies on top."""
    ndim, spatial = len(sample.axes), len(sample.spacing)
    microscopes = [asdict(microscope) for microscope in sample.microscopes]
    common: dict[str, Any] = {
        "scale": (*([1.0] * (ndim - spatial)), *sample.spacing),
        "units": tuple("s" if a == "T" else "pixel" if a == "C" else "um" for a in sample.axes),
        "axis_labels": tuple(a.lower() for a in sample.axes),
        "colormap": "inferno",
    }
    middle = [
        (n // 2) * step
        for n, step in zip(sample.image.shape[-spatial:], sample.spacing, strict=False)
    ]
    shape = sample.psf.shape[-spatial:]
    corner = [m - (n // 2) * s for m, n, s in zip(middle, shape, sample.spacing, strict=True)]
    psf_ndim = sample.psf.ndim
    record: dict[str, Any] = {
        "kind": "psf",
        "model": sample.model,
        "parameters": dict(sample.parameters),
        "modality": modality,
        "shape": list(shape),
        "spacing": list(sample.spacing),
    }
    if len(microscopes) == 1:
        record["microscope"] = microscopes[0]
    else:
        record["microscopes"] = microscopes
    psf = {
        "name": f"PSF of {sample.name}",
        "scale": common["scale"][-psf_ndim:],
        "units": common["units"][-psf_ndim:],
        "axis_labels": common["axis_labels"][-psf_ndim:],
        "translate": (*([0.0] * (psf_ndim - spatial)), *corner),
        "colormap": "inferno",
        "contrast_limits": (0.0, float(sample.psf.max())),
        "blending": "additive",
        "visible": False,
        "metadata": {KEY: record},
    }
    truth = {
        **common,
        "name": f"Truth of {sample.name}",
        "visible": False,
        "contrast_limits": _limits(sample.truth),
        "metadata": {KEY: {"kind": "truth", "sample": sample.name}},
    }
    image = {
        **common,
        "name": sample.name,
        "contrast_limits": _limits(sample.image),
        "metadata": {
            KEY: {
                "kind": "sample",
                "sample": sample.name,
                "microscopes": microscopes,
                "modality": modality,
                "channels": list(sample.channels),
            }
        },
    }
    return [
        (sample.truth, truth, "image"),
        (sample.psf, psf, "image"),
        (sample.image, image, "image"),
    ]


def _limits(data: Any) -> Sequence[float]:
    low, high = np.percentile(data, [0.1, 99.95])
    return (float(low), float(max(high, low + 1e-6)))
