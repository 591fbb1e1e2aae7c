"""Estimate the camera's noise on a part of the image that the user draws."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from napari_deconv.assessment.noise import Noise, estimate_noise
from napari_deconv.errors import DeconvolutionError
from napari_deconv.widgets.checker import Checker
from napari_deconv.widgets.choice import when_gone
from napari_deconv.widgets.layers import pixels
from napari_deconv.widgets.strip import AMBER

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image

    from napari_deconv.widgets.regions import Regions

_HELP = (
    "Estimate gain, offset and read noise from a rectangle that you draw, instead of from the "
    "whole image: through all planes, at the time and channel shown. It should hold dark and "
    "bright places, and nothing saturated. The first press lets you draw; the next one estimates."
)
_DRAW = "Draw a rectangle over dark and bright places, then press again."


class NoiseFromRegion(QWidget):
    """A button that asks for a rectangle, then tells the noise within it.

    Parameters
    ----------
    regions
        Where the rectangle is drawn.
    image
        Returns the chosen layer.

    Signals
    -------
    found(Noise)
        What the rectangle tells.
    """

    found = Signal(object)

    def __init__(self, regions: Regions, image: Callable[[], Image | None]) -> None:
        super().__init__()
        self._regions, self._image = regions, image
        self.button = QPushButton("Noise from a region…")
        self.button.setToolTip(f"<qt>{_HELP}</qt>")
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.hint.setStyleSheet("QLabel { font-size: 11px; }")
        self.hint.setToolTip(f"<qt>{_HELP}</qt>")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self.button)
        row.addWidget(self.hint, 1)
        self.checker = Checker(self)
        self.button.clicked.connect(self._press)
        self.checker.found.connect(self._tell)
        self.checker.failed.connect(self._complain)
        when_gone(self, self.checker.abandon)

    def _press(self) -> None:
        layer = self._image()
        if layer is None:
            self.hint.setText("Choose the image layer first.")
            return
        try:
            array = pixels(layer)
        except DeconvolutionError as error:
            self._complain(error)
            return
        region = self._regions.through(layer)
        if region is None:
            self._regions.ask(layer)
            self.hint.setText(_DRAW)
            return
        self.hint.setText("Estimating…")
        self.checker.ask(partial(noise_of, array, region))

    def _tell(self, noise: Noise) -> None:
        self.hint.setText(
            f"gain {noise.gain:.3g}, offset {noise.offset:.4g}, read noise {noise.read_noise:.3g}"
        )
        self.found.emit(noise)

    def _complain(self, error: Exception) -> None:
        self.hint.setText(f'<span style="color:{AMBER}">▲</span> {error}')


def noise_of(array: Any, region: tuple[slice, ...]) -> Noise:
    """Return the noise within a region; runs in a thread."""
    return estimate_noise(np.asarray(array[region]))
