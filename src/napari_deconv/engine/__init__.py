"""Runs a method over an array, of any size, anywhere."""

from napari_deconv.engine.details import Details, Step
from napari_deconv.engine.job import Job
from napari_deconv.engine.options import Options
from napari_deconv.engine.plan import Forecast
from napari_deconv.engine.restore import restore
from napari_deconv.engine.settings import Setting
from napari_deconv.engine.statistics import Statistics
from napari_deconv.engine.sweep import Sweep, SweepResult

__all__ = [
    "Details",
    "Forecast",
    "Job",
    "Options",
    "Setting",
    "Statistics",
    "Step",
    "Sweep",
    "SweepResult",
    "restore",
]
