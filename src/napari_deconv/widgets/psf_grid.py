"""Voxel size and number of voxels of a PSF."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QWidget

from napari_deconv.registry import Parameter, Range
from napari_deconv.widgets.boxes import NumberBox, WholeBox
from napari_deconv.widgets.form import label

if TYPE_CHECKING:
    from collections.abc import Sequence

_AXES = "ZYX"
LABELS = 152


class Grid(QWidget):
    """Voxel size and number of voxels of the PSF, along Z, Y and X."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.image_shape: tuple[int, ...] | None = None
        size = Parameter("voxel_size", float, 0.1, range=Range(1e-4, 1e4))
        number = Parameter("voxels", int, 1, range=Range(1, 4097))
        table = QGridLayout(self)
        table.setContentsMargins(0, 0, 0, 0)
        table.setHorizontalSpacing(8)
        table.setVerticalSpacing(4)
        table.setColumnMinimumWidth(0, LABELS)
        tips = {
            "Voxel size, µm": "Size of a voxel of the image along Z, Y and X, in micrometres. "
            "Taken from the image when it tells.",
            "Voxels": "How many voxels the PSF has along Z, Y and X. One along Z is the plane in "
            "focus, for two-dimensional images.",
        }
        for row, (title, tip) in enumerate(tips.items(), 1):
            table.addWidget(label(title, tip, LABELS), row, 0)
        self._sizes: list[NumberBox] = []
        self._counts: list[WholeBox] = []
        for column, axis in enumerate(_AXES, 1):
            heading = QLabel(axis)
            heading.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            heading.setStyleSheet("QLabel { font-size: 11px; }")
            table.addWidget(heading, 0, column)
            table.setColumnStretch(column, 1)
            box, count = NumberBox(size), WholeBox(number)
            box.setValue(0.2 if axis == "Z" else 0.1)
            for row, (each, tip) in enumerate(zip((box, count), tips.values(), strict=True), 1):
                each.setStyleSheet("QAbstractSpinBox { min-width: 34px; padding: 1px 4px; }")
                each.setButtonSymbols(NumberBox.ButtonSymbols.NoButtons)
                each.setToolTip(f"<qt>{tip}</qt>")
                table.addWidget(each, row, column)
            box.valueChanged.connect(self.changed)
            count.valueChanged.connect(self.changed)
            self._sizes.append(box)
            self._counts.append(count)
        self.flat = QCheckBox("in focus only (2D)")
        self.flat.setToolTip("<qt>Make a PSF of one plane, for two-dimensional images.</qt>")
        self.automatic = QCheckBox("as many as needed")
        self.automatic.setToolTip(
            "<qt>Choose the number of voxels so that the PSF has room, and is not larger than the "
            "image.</qt>"
        )
        self.automatic.setChecked(True)
        ticks = QHBoxLayout()
        ticks.setSpacing(10)
        for tick in (self.automatic, self.flat):
            ticks.addWidget(tick)
        ticks.addStretch(1)
        table.addLayout(ticks, 3, 0, 1, 4)
        self.automatic.toggled.connect(self._show)
        self.flat.toggled.connect(self._show)
        self._show()

    @property
    def ndim(self) -> int:
        """2 for a plane, else 3."""
        return 2 if self.flat.isChecked() else 3

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size, um."""
        return tuple(box.value() for box in self._sizes[-self.ndim :])

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels."""
        return tuple(box.value() for box in self._counts[-self.ndim :])

    def set_shape(self, shape: Sequence[int]) -> None:
        """Show a number of voxels."""
        for box, n in zip(self._counts[-len(shape) :], shape, strict=True):
            blocked = box.blockSignals(True)
            box.setValue(n)
            box.blockSignals(blocked)

    def take(self, spacing: tuple[float, ...] | None, shape: tuple[int, ...], ndim: int) -> None:
        """Take what an image tells."""
        blocked = self.blockSignals(True)
        self.flat.setChecked(ndim == 2)
        self.image_shape = shape[-ndim:]
        if spacing is not None:
            for box, size in zip(self._sizes[-len(spacing) :], spacing, strict=True):
                box.setValue(size)
        self.blockSignals(blocked)

    def limits(self) -> tuple[int, ...] | None:
        """Return the image's shape, as far as it bounds the PSF."""
        shape = self.image_shape
        return shape[-self.ndim :] if shape is not None and len(shape) >= self.ndim else None

    def _show(self) -> None:
        for box in self._counts:
            box.setEnabled(not self.automatic.isChecked())
        self._sizes[0].setEnabled(self.ndim == 3)
        self._counts[0].setEnabled(self.ndim == 3 and not self.automatic.isChecked())
        self.changed.emit()
