"""The beads tab of the PSF dock: from an image of beads to the PSF that they show."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QFileDialog,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_deconv.errors import InputError
from napari_deconv.optics.beads import Averaging
from napari_deconv.registry import parameters_of
from napari_deconv.widgets.advice_list import GREEN
from napari_deconv.widgets.buttons import button, row
from napari_deconv.widgets.choice import LayerChoice
from napari_deconv.widgets.field_map import FieldMap
from napari_deconv.widgets.form import Form, labelled
from napari_deconv.widgets.layers import KEY, Snapshot, own_metadata, voxel_size
from napari_deconv.widgets.psf_grid import LABELS
from napari_deconv.widgets.strip import RED

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

    from napari_deconv.optics.beads import BeadAverage

_HEADINGS = ("", "Z", "Y", "X", "SNR", "")
_TALLEST = 240


def bead_guess(layer: Image) -> float:
    """Return how likely a layer is one of beads: by its name, and by not being a PSF or result."""
    if own_metadata(layer).get("kind"):
        return 0.0
    return 2.0 if "bead" in layer.name.lower() else 1.0


class PsfBeads(QWidget):
    """An image of beads, how to average them, and what came out.

    Parameters
    ----------
    viewer
        The viewer.
    """

    pupil_asked = Signal()
    field_asked = Signal()
    told = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.image = LayerChoice(
            viewer,
            bead_guess,
            tooltip="<qt>A stack of beads that are smaller than what the microscope resolves, "
            "recorded as the images that are to be restored: same objective, wavelength and "
            "mounting. Some twenty of them make a good PSF.</qt>",
        )
        self.form = Form(parameters_of(Averaging), label_width=LABELS)
        self.theory = QCheckBox("use the microscope of the Theory tab")
        self.theory.setToolTip(
            "<qt>Look for beads of the size that the microscope makes them, and hold their widths "
            "against it. Otherwise their size is measured on the image alone.</qt>"
        )
        self.advice = QLabel(
            "Finds the beads, leaves out those that cannot be used and says why, and averages the "
            "others to a PSF layer. The microscope's fields are in the Theory tab."
        )
        self.advice.setWordWrap(True)
        self.table = self._table()
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.summary.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.pupil = button(
            "Fit a pupil",
            "Find the aberrations that explain the averaged bead (phase retrieval). They are put "
            "into the Theory tab, which then makes a PSF without noise, of any size and voxels.",
        )
        self.field = button(
            "Field PSF",
            "Make a PSF that changes over the field of view: beads are averaged in each part of "
            "it, at least three a part. Every iterative method takes it as its PSF.",
        )
        self.save = button("Save table…", "Save what was measured on each bead (CSV).")
        self.average: BeadAverage | None = None
        self.map = FieldMap()
        self.pupil.clicked.connect(self.pupil_asked)
        self.field.clicked.connect(self.field_asked)
        self.save.clicked.connect(self._ask_save)
        self._fill()

    def _fill(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 6, 0, 0)
        column.setSpacing(6)
        column.addLayout(
            labelled("Image of beads", self.image, tooltip=self.image.toolTip(), width=LABELS)
        )
        column.addWidget(self.form)
        column.addWidget(self.theory)
        column.addWidget(self.advice)
        column.addWidget(self.summary)
        column.addWidget(self.table)
        column.addWidget(self.map)
        self.afterwards = QWidget()
        self.afterwards.setLayout(row([(self.pupil, 1), (self.field, 1), (self.save, 1)]))
        column.addWidget(self.afterwards)
        column.addStretch(1)
        for widget in (self.summary, self.table, self.map, self.afterwards):
            widget.hide()

    def _table(self) -> QTableWidget:
        table = QTableWidget(0, len(_HEADINGS))
        table.setHorizontalHeaderLabels(list(_HEADINGS))
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setToolTip(
            "<qt>Each bead's number in the viewer, its full widths at half maximum (nm), its "
            "height over the noise (SNR), and why it was left out. Click on one to go there.</qt>"
        )
        header, side = table.horizontalHeader(), table.verticalHeader()
        assert header is not None
        assert side is not None
        side.hide()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(len(_HEADINGS) - 1, QHeaderView.ResizeMode.Stretch)
        table.setWordWrap(True)
        table.itemSelectionChanged.connect(self._go_to)
        return table

    # What to work on -------------------------------------------------------------------------

    def snapshot(self) -> tuple[Snapshot, tuple[int, ...]]:
        """Return the image of beads, and which of several times or channels is meant.

        Raises
        ------
        InputError
            When there is none, or its voxel size is not known.
        """
        layer = self.image.layer
        if layer is None:
            raise InputError("Open an image of beads, and choose it.")
        size = voxel_size(layer)
        if size is None:
            raise InputError(
                f"The voxel size of {layer.name} is not known. Choose it as the image in the "
                "Deconvolution dock and type its voxel size there, or set the layer's scale and "
                "units (napari: right-click on the layer)."
            )
        snapshot = Snapshot.of(layer)
        extra = len(snapshot.shape) - len(size)
        step = self._viewer.dims.current_step[-len(snapshot.shape) :]
        return snapshot, tuple(int(i) for i in step[:extra])

    # What came out ---------------------------------------------------------------------------

    def show_average(self, average: BeadAverage, shape: tuple[int, ...]) -> None:
        """Show what was measured on an image of that shape."""
        self.average = average
        self.advice.hide()
        self.summary.setText(" ".join(average.report.sentences()))
        self.table.blockSignals(True)
        self.table.setRowCount(len(average.beads))
        for line, bead in enumerate(average.beads):
            widths = [f"{1000 * w:.0f}" if np.isfinite(w) else "–" for w in bead.fwhm]
            widths = ["–"] * (3 - len(widths)) + widths
            cells = [str(line + 1), *widths, f"{bead.snr:.0f}", bead.reason or "used"]
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setToolTip(f"<qt>{bead.reason or 'used'}</qt>")
                if column == 0:
                    item.setForeground(QColor(GREEN if bead.accepted else RED))
                if 0 < column < len(cells) - 1:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                self.table.setItem(line, column, item)
        self.table.resizeRowsToContents()
        header, side = self.table.horizontalHeader(), self.table.verticalHeader()
        assert header is not None
        assert side is not None
        self.table.setFixedHeight(min(_TALLEST, header.sizeHint().height() + side.length() + 6))
        self.table.blockSignals(False)
        self.map.show_beads(average.beads, shape)
        for widget in (self.summary, self.table, self.map, self.afterwards):
            widget.show()

    def _go_to(self) -> None:
        """Move the view to the bead that was clicked."""
        rows = self.table.selectionModel()
        layer = self.image.layer
        if rows is None or not rows.selectedRows() or self.average is None or layer is None:
            return
        bead = self.average.beads[rows.selectedRows()[0].row()]
        extra = layer.ndim - len(bead.position)
        data = (*self._viewer.dims.current_step[-layer.ndim :][:extra], *bead.position)
        world = layer.data_to_world(data)
        first = self._viewer.dims.ndim - layer.ndim
        for axis, place in enumerate(world):
            self._viewer.dims.set_point(first + axis, place)
        shown = [axis - first for axis in self._viewer.dims.displayed]
        viewer: Any = self._viewer
        camera = (viewer.scene if hasattr(viewer, "scene") else viewer).camera
        camera.center = tuple(world[axis] for axis in shown)

    def ask_where_to_save(self) -> str:
        """Ask for the file of a field PSF; nothing when it is not to be kept."""
        path, _ = QFileDialog.getSaveFileName(
            self, "Keep the field PSF", "field-psf.npz", "Space-variant PSF (*.npz)"
        )
        return str(path)

    def _ask_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the table", "beads.csv", "Comma-separated values (*.csv)"
        )
        if path and self.average is not None:
            self.average.report.save(path)
            self.told.emit(f"The table is in {Path(path).name}.")


def bead_points(source: Snapshot, average: BeadAverage) -> Layer:
    """Return a layer that marks the beads on every plane: green were averaged, red were not."""
    from napari.layers import Layer as AnyLayer

    beads = average.beads
    names = ("scale", "translate", "units", "axis_labels")
    settings: dict[str, Any] = {
        k: tuple(source.settings[k])[-2:] for k in names if k in source.settings
    }
    widths = [w for bead in beads for w in bead.fwhm[-2:] if np.isfinite(w)]
    settings |= {
        "name": f"{source.name}, beads",
        "face_color": "transparent",
        "border_color": [GREEN if bead.accepted else RED for bead in beads],
        "border_width": 0.08,
        "size": 3 * float(np.median(widths)) / average.spacing[-1] if widths else 10.0,
        "features": {
            "number": [n + 1 for n in range(len(beads))],
            "reason": [bead.reason or "used" for bead in beads],
            "snr": [bead.snr for bead in beads],
        },
        "text": {"string": "{number}", "color": "white", "size": 10, "anchor": "upper_left"},
        "metadata": {KEY: {"kind": "beads", "beads": [asdict(bead) for bead in beads]}},
    }
    return AnyLayer.create(np.array([bead.position[-2:] for bead in beads]), settings, "points")
