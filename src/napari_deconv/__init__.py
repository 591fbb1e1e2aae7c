"""Deconvolution for microscopists: point spread functions, background, restoration.

Arrays are numpy with axes ``..., Z, Y, X``; lengths are micrometres; results are float32 in the
input's own intensity units.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_deconv.assessment import Assessment, assess
    from napari_deconv.background import estimate_background
    from napari_deconv.engine import Details, Job
    from napari_deconv.engine.restore import restore
    from napari_deconv.errors import (
        DeconvolutionError,
        FileError,
        InputError,
        JobError,
        ParameterError,
    )
    from napari_deconv.identification.identify import identify
    from napari_deconv.identification.identify_field import identify_field
    from napari_deconv.identification.identify_stack import identify_stack
    from napari_deconv.identification.result import Identification
    from napari_deconv.optics import Microscope, generate_psf
    from napari_deconv.optics.beads import average_beads, find_beads
    from napari_deconv.optics.phase_retrieval import retrieve_pupil
    from napari_deconv.optics.setup import Setup
    from napari_deconv.optics.variant import VariantPsf
    from napari_deconv.registry import methods
    from napari_deconv.simulation import simulate

__all__ = [
    "Assessment",
    "DeconvolutionError",
    "Details",
    "FileError",
    "Identification",
    "InputError",
    "Job",
    "JobError",
    "Microscope",
    "ParameterError",
    "Setup",
    "VariantPsf",
    "assess",
    "average_beads",
    "estimate_background",
    "find_beads",
    "generate_psf",
    "identify",
    "identify_field",
    "identify_stack",
    "methods",
    "restore",
    "retrieve_pupil",
    "simulate",
]

# Where each public name lives. Imported when first used: nobody waits for torch to read --help.
_HOMES = {
    "Assessment": "assessment",
    "DeconvolutionError": "errors",
    "Details": "engine",
    "FileError": "errors",
    "Identification": "identification",
    "InputError": "errors",
    "Job": "engine",
    "JobError": "errors",
    "Microscope": "optics",
    "ParameterError": "errors",
    "Setup": "optics.setup",
    "VariantPsf": "optics.variant",
    "assess": "assessment",
    "average_beads": "optics.beads",
    "estimate_background": "background",
    "find_beads": "optics.beads",
    "generate_psf": "optics",
    "identify": "identification",
    "identify_field": "identification",
    "identify_stack": "identification",
    "methods": "registry",
    "restore": "engine",
    "retrieve_pupil": "optics.phase_retrieval",
    "simulate": "simulation",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("napari-deconv")
    if name not in _HOMES:
        raise AttributeError(f"module 'napari_deconv' has no attribute {name!r}")
    return getattr(import_module(f"napari_deconv.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
