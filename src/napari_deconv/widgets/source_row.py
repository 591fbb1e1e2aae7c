"""The row in which the image is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_deconv.errors import InputError
from napari_deconv.widgets.choice import LayerChoice, when_gone
from napari_deconv.widgets.form import labelled
from napari_deconv.widgets.layers import (
    Snapshot,
    describe,
    image_guess,
    lacks_unit,
    set_voxel_size,
)
from napari_deconv.widgets.voxel_size import VoxelSize

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image


class SourceRow(QWidget):
    """Choose an image: combobox, what it is, and its voxel size where it does not tell.

    Parameters
    ----------
    viewer
        The viewer.
    title, tooltip
        Of the combobox.
    """

    def __init__(self, viewer: ViewerModel, title: str, tooltip: str) -> None:
        super().__init__()
        self.choice = LayerChoice(viewer, image_guess, tooltip=f"<qt>{tooltip}</qt>")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(labelled(title, self.choice, tooltip=tooltip))
        self.info = QLabel()
        self.info.setTextFormat(Qt.TextFormat.PlainText)
        self.info.setWordWrap(True)
        self.info.setStyleSheet("QLabel { font-size: 11px; }")
        layout.addWidget(self.info)
        self.sizes = VoxelSize()
        layout.addWidget(self.sizes)
        self.sizes.applied.clicked.connect(self._apply)
        self._watched: Image | None = None
        self.choice.chosen.connect(self._show)
        when_gone(self, self._unwatch)
        self._show()

    @property
    def layer(self) -> Image | None:
        """The chosen layer."""
        return self.choice.layer

    def snapshot(self, level: int = 0) -> Snapshot:
        """Return the chosen layer as it is now, at one of its resolutions.

        Raises
        ------
        InputError
            When there is none, or it is a colour picture.
        """
        if self.layer is None:
            raise InputError("Choose the image layer first.")
        return Snapshot.of(self.layer, level)

    def _show(self, event: Any = None) -> None:
        layer = self.layer
        if layer is not self._watched:
            self._unwatch()
            self._watched = layer
            if layer is not None:
                for emitter in self._emitters(layer):
                    emitter.connect(self._show)
        self.info.setText("" if layer is None else describe(layer))
        self.info.setVisible(layer is not None)
        unknown = layer is not None and not layer.rgb and lacks_unit(layer)
        self.sizes.setVisible(unknown)
        if unknown and layer is not None:
            self.sizes.suggest(layer)

    def _apply(self) -> None:
        if self.layer is not None and self.sizes.values is not None:
            set_voxel_size(self.layer, self.sizes.values)
            self._show()
            self.choice.chosen.emit()

    def _unwatch(self) -> None:
        if self._watched is not None:
            for emitter in self._emitters(self._watched):
                emitter.disconnect(self._show)
        self._watched = None

    @staticmethod
    def _emitters(layer: Image) -> list[Any]:
        return [layer.events.scale, layer.events.units, layer.events.data]
