"""From images of beads to a measured PSF: find, choose, centre, average, report."""

from napari_deconv.optics.beads.average import Averaging, BeadAverage, average_beads
from napari_deconv.optics.beads.distil import Distilled, distil_psf
from napari_deconv.optics.beads.find import Bead, find_beads
from napari_deconv.optics.beads.report import BeadReport, field_map, row_of

__all__ = [
    "Averaging",
    "Bead",
    "BeadAverage",
    "BeadReport",
    "Distilled",
    "average_beads",
    "distil_psf",
    "field_map",
    "find_beads",
    "row_of",
]
