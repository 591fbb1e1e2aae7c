"""The microscope and the image it makes of a point."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_deconv.optics.generate import focal_shift, generate_psf, suggest_shape
    from napari_deconv.optics.microscope import Microscope

__all__ = ["Microscope", "focal_shift", "generate_psf", "suggest_shape"]

# Imported when first used: a shell that restores with a PSF from a file needs none of them.
_HOMES = {
    "Microscope": "microscope",
    "focal_shift": "generate",
    "generate_psf": "generate",
    "suggest_shape": "generate",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
