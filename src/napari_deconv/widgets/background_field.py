"""The background of an image: a number, automatic, or a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_deconv.engine.options import Options
from napari_deconv.registry import parameters_of
from napari_deconv.widgets.boxes import NumberBox, make_room
from napari_deconv.widgets.choice import LayerChoice
from napari_deconv.widgets.explain import title_of, tooltip_of
from napari_deconv.widgets.form import label
from napari_deconv.widgets.layers import Snapshot, own_metadata

if TYPE_CHECKING:
    from napari.layers import Image

_CONSTANT, _AUTOMATIC = "constant", "automatic"


class BackgroundField(QWidget):
    """What lies over the whole image: a number, automatic, or a layer of the image's shape."""

    changed = Signal()

    def __init__(self, viewer: Any, image: LayerChoice) -> None:
        super().__init__()
        parameter = parameters_of(Options)["background"]
        self._image = image
        help_ = tooltip_of(parameter)
        self.choice = LayerChoice(
            viewer, fixed=(_CONSTANT, _AUTOMATIC), accepts=self._fits, tooltip=help_
        )
        self.box = NumberBox(parameter)
        self.box.setToolTip(help_)
        make_room(self.box)
        self.box.setValue(0.0)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(label(title_of(parameter), help_))
        row.addWidget(self.choice, 1)
        row.addWidget(self.box, 1)
        self.choice.chosen.connect(self._show)
        self.box.valueChanged.connect(self.changed)

    @property
    def layer(self) -> Image | None:
        """The background layer, when it is one."""
        return self.choice.layer

    @property
    def value(self) -> float | str:
        """The constant, or ``"auto"``."""
        if self.choice.word == _AUTOMATIC:
            return "auto"
        self.box.interpretText()
        return self.box.value()

    def snapshot(self) -> Snapshot | None:
        """Return the background layer as it is now; None for a number."""
        return Snapshot.of(self.layer) if self.layer is not None else None

    def set_constant(self, value: float) -> None:
        """Take a number."""
        self.choice.choose(_CONSTANT)
        self.box.setValue(float(f"{value:.4g}"))

    def set_value(self, value: float | str) -> None:
        """Take a number, or ``"auto"``."""
        if value == "auto":
            self.choice.choose(_AUTOMATIC)
        else:
            self.choice.choose(_CONSTANT)
            self.box.setValue(float(value))

    def refresh(self) -> None:
        """Offer the layers of the chosen image's shape."""
        self.choice.refresh()

    def _fits(self, layer: Image) -> bool:
        image = self._image.layer
        return (
            image is not None
            and layer is not image
            and not layer.rgb
            and not layer.multiscale
            and tuple(layer.data.shape) == tuple(np.shape(_finest(image)))
            and own_metadata(layer).get("kind") not in ("restored", "running", "psf")
        )

    def _show(self) -> None:
        self.box.setVisible(self.choice.word == _CONSTANT)
        self.changed.emit()


def _finest(layer: Image) -> Any:
    return layer.data[0] if layer.multiscale else layer.data
