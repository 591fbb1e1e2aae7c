"""Phantoms and camera: an object becomes photons becomes counts."""

from napari_deconv.simulation.camera import record
from napari_deconv.simulation.imaging import simulate

__all__ = ["record", "simulate"]
