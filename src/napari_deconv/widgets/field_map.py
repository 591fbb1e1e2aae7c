"""How a bead's figures change over the field of view, as a small coloured map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_deconv.optics.beads import field_map
from napari_deconv.widgets.choice import make_narrow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from qtpy.QtGui import QPaintEvent

    from napari_deconv.optics.beads import Bead

_SIDE, _BINS = 92, (4, 4)
# What is mapped: id, what it is called, its unit, and by what to multiply it.
_QUANTITIES: dict[str, tuple[str, str, float]] = {
    "Width along X": ("fwhm_x", "nm", 1000),
    "Width along Y": ("fwhm_y", "nm", 1000),
    "Width along Z": ("fwhm_z", "nm", 1000),
    "Long by short width": ("lateral_asymmetry", "", 1),
    "Light below and above": ("axial_asymmetry", "", 1),
    "Place in Z (tilt)": ("z", "voxels", 1),
    "Height": ("peak", "counts", 1),
    "SNR": ("snr", "", 1),
}


class FieldMap(QWidget):
    """A map of one quantity, which the user chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.choice = QComboBox()
        self.choice.addItems(list(_QUANTITIES))
        self.choice.setToolTip("<qt>What is shown over the field of view.</qt>")
        make_narrow(self.choice)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self._map = _Map()
        self._beads: Sequence[Bead] = ()
        self._shape: tuple[int, ...] = ()
        beside = QVBoxLayout()
        beside.addWidget(self.choice)
        beside.addWidget(self.words)
        beside.addStretch(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self._map)
        row.addLayout(beside, 1)
        self.choice.currentTextChanged.connect(self._draw)

    def show_beads(self, beads: Sequence[Bead], shape: tuple[int, ...]) -> None:
        """Map the beads of an image."""
        self._beads, self._shape = beads, shape
        self._draw()

    def _draw(self) -> None:
        quantity, unit, factor = _QUANTITIES[self.choice.currentText()]
        values = factor * field_map(self._beads, self._shape, quantity, _BINS)  # type: ignore[arg-type]
        self._map.show_values(values)
        known = values[np.isfinite(values)]
        if known.size == 0:
            self.words.setText("Not measured.")
            return
        low, high = known.min(), known.max()
        words = f"{low:.3g} (dark) to {high:.3g} (bright) {unit}".rstrip()
        parts = f"{known.size} of {values.size} parts of the field have beads."
        self.words.setText(f"{words}. {parts}")


class _Map(QWidget):
    """Squares in false colours; parts without a value stay grey."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedSize(_SIDE, _SIDE)
        self.setToolTip(
            "<qt>The field of view as the viewer shows it: the median of the averaged beads in "
            "each part; grey where there are none.</qt>"
        )
        self._values: NDArray[Any] = np.full(_BINS, np.nan)

    def show_values(self, values: NDArray[Any]) -> None:
        """Draw values."""
        self._values = values
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw what is shown."""
        from napari.utils.colormaps import ensure_colormap

        painter = QPainter(self)
        known = self._values[np.isfinite(self._values)]
        low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
        rows, columns = self._values.shape
        colours = ensure_colormap("viridis")
        for (row, column), value in np.ndenumerate(self._values):
            square = QRectF(
                column * _SIDE / columns, row * _SIDE / rows, _SIDE / columns - 1, _SIDE / rows - 1
            )
            colour = QColor("#5a5f68")
            if np.isfinite(value):
                place = (value - low) / (high - low) if high > low else 0.5
                colour = QColor.fromRgbF(*(float(c) for c in colours.map([place])[0][:3]))
            painter.fillRect(square, colour)
            if known.size and np.isfinite(value) and rows * columns <= 16:
                painter.setPen(
                    Qt.GlobalColor.black if value > (low + high) / 2 else QColor("white")
                )
                font = painter.font()
                font.setPixelSize(9)
                painter.setFont(font)
                painter.drawText(square, Qt.AlignmentFlag.AlignCenter, f"{value:.3g}")
