"""Ask for the voxel size of a layer that does not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_deconv.widgets.layers import spatial_ndim
from napari_deconv.widgets.strip import AMBER

if TYPE_CHECKING:
    from napari.layers import Image


class VoxelSize(QWidget):
    """Ask for the voxel size of a layer that is in pixels."""

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        words = QLabel(
            f'<span style="color:{AMBER}">▲</span> This layer\'s unit is the pixel. How large is a '
            "voxel, in µm?"
        )
        words.setWordWrap(True)
        layout.addWidget(words)
        row = QHBoxLayout()
        row.setSpacing(6)
        self.edits: dict[str, QLineEdit] = {}
        self._names: dict[str, QLabel] = {}
        for axis in "ZYX":
            edit = QLineEdit()
            edit.setPlaceholderText("µm")
            edit.setToolTip(f"<qt>Size of a voxel along {axis}, in micrometres.</qt>")
            edit.textChanged.connect(self._judge)
            self._names[axis] = QLabel(axis)
            self.edits[axis] = edit
            row.addWidget(self._names[axis])
            row.addWidget(edit, 1)
        self.applied = QPushButton("Set")
        self.applied.setToolTip("<qt>Write this size into the layer's scale and units.</qt>")
        row.addWidget(self.applied)
        layout.addLayout(row)
        self._axes = "ZYX"
        self._judge()

    def suggest(self, layer: Image) -> None:
        """Show the axes of a layer; its scale, if it has one, is probably meant in um."""
        self._axes = "ZYX"[-min(3, spatial_ndim(layer)) :]
        scale = [abs(float(s)) for s in layer.scale[-len(self._axes) :]]
        told = any(abs(s - 1) > 1e-9 for s in scale)
        for axis, edit in self.edits.items():
            edit.setVisible(axis in self._axes)
            self._names[axis].setVisible(axis in self._axes)
        for axis, size in zip(self._axes, scale, strict=True):
            self.edits[axis].setText(f"{size:g}" if told else "")
        self._judge()

    @property
    def values(self) -> tuple[float, ...] | None:
        """The sizes, um; None until all of them are numbers above zero."""
        try:
            sizes = [float(self.edits[axis].text().replace(",", ".")) for axis in self._axes]
        except ValueError:
            return None
        return tuple(sizes) if all(0 < size < 1e4 for size in sizes) else None

    def _judge(self) -> None:
        self.applied.setEnabled(self.values is not None)
