"""A combobox of a network's weights: the package's, one's own, any file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFileDialog, QWidget

from napari_deconv.networks.shelf import named
from napari_deconv.widgets.choice import make_narrow
from napari_deconv.widgets.field import Field

if TYPE_CHECKING:
    from napari_deconv.registry import Parameter

_FILE = "Choose a file…"


class WeightsField(Field):
    """Which weights a network uses.

    Parameters
    ----------
    parameter
        What may be put in; its ``weights`` is the network.
    """

    def __init__(self, parameter: Parameter, parent: QWidget | None = None) -> None:
        super().__init__(parameter, parent)
        self.box = QComboBox()
        self.box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        make_narrow(self.box)
        self._add(self.box, 1)
        self._shown: Any = parameter.default
        self.refresh()
        self.set_value(parameter.default)
        self.box.activated.connect(self._activate)

    def refresh(self) -> None:
        """Offer what there is now."""
        self.box.clear()
        if self.parameter.allows_auto or self.parameter.default == "auto":
            self.box.addItem("automatic", "auto")
        for name, path in named(self.parameter.weights).items():
            self.box.addItem(name, name)
            self.box.setItemData(self.box.count() - 1, str(path), Qt.ItemDataRole.ToolTipRole)
        self.box.addItem(_FILE, None)
        self._show(self._shown)

    def choose_file(self, path: str) -> None:
        """Take the weights of a file."""
        self._show(path)
        self.changed.emit()

    def _activate(self) -> None:
        if self.box.currentData() is not None:
            self._shown = self.box.currentData()
            self.changed.emit()
            return
        path, _ = QFileDialog.getOpenFileName(self, "Weights", "", "Weights (*.safetensors)")
        if path:
            self.choose_file(path)
        else:
            self._show(self._shown)

    def _read(self) -> Any:
        return self._shown

    def _show(self, value: Any) -> None:
        self._shown = value
        place = self.box.findData(value)
        if place < 0:
            place = self.box.count() - 1
            self.box.insertItem(place, Path(value).name, value)
            self.box.setItemData(place, str(value), Qt.ItemDataRole.ToolTipRole)
        self.box.setCurrentIndex(place)
