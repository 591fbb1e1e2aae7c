"""Runs a method over an array, of any size, anywhere."""

from napari_deconv.engine.job import Details, Job, Step
from napari_deconv.engine.options import Options
from napari_deconv.engine.plan import Forecast
from napari_deconv.engine.restore import restore
from napari_deconv.engine.statistics import Statistics

__all__ = ["Details", "Forecast", "Job", "Options", "Statistics", "Step", "restore"]
