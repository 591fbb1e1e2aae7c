"""The lights before a job: what is well, what is not, and what to do about it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_deconv.widgets.strip import AMBER, RED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deconv.engine.preflight import Light

_COLOURS = {"ok": "#43b581", "warn": AMBER, "stop": RED}
_SIGNS = {"ok": "●", "warn": "▲", "stop": "■"}


class Lights(QWidget):
    """Lights that are green in one line; each of the others in a line of its own.

    Signals
    -------
    remedy(str)
        Id of a remedy that was asked for.
    """

    remedy = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.lights: Sequence[Light] = ()
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 2, 0, 2)
        self._layout.setSpacing(3)
        self._rows: list[QWidget] = []
        self.buttons: dict[str, QPushButton] = {}
        self.setVisible(False)

    def show_lights(self, lights: Sequence[Light]) -> None:
        """Show these lights, and no others."""
        self.lights = tuple(lights)
        for row in self._rows:
            self._layout.removeWidget(row)
            row.hide()
            row.deleteLater()
        self._rows, self.buttons = [], {}
        for light in lights:
            if light.level != "ok":
                self._add(self._row(light))
        well = [light for light in lights if light.level == "ok"]
        if well:
            self._add(self._line(well))
        self.setVisible(bool(lights))

    def _add(self, row: QWidget) -> None:
        self._rows.append(row)
        self._layout.addWidget(row)

    def _line(self, lights: Sequence[Light]) -> QLabel:
        words = [
            f'<span style="color:{_COLOURS["ok"]}">{_SIGNS["ok"]}</span>&nbsp;'
            + light.short.replace(" ", "&nbsp;")
            for light in lights
        ]
        line = QLabel("&ensp; ".join(words))
        line.setTextFormat(Qt.TextFormat.RichText)
        line.setWordWrap(True)
        texts = "".join(f"<p><b>{light.name}</b>: {light.text}</p>" for light in lights)
        line.setToolTip(f"<qt>{texts}</qt>")
        return line

    def _row(self, light: Light) -> QWidget:
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        sign = QLabel(f'<span style="color:{_COLOURS[light.level]}">{_SIGNS[light.level]}</span>')
        sign.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        sign.setAlignment(Qt.AlignmentFlag.AlignTop)
        text = QLabel(light.short)
        text.setTextFormat(Qt.TextFormat.PlainText)
        text.setWordWrap(True)
        text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        row.setToolTip(f"<qt>{light.text}</qt>")
        layout.addWidget(sign)
        layout.addWidget(text, 1)
        if light.remedy is not None:
            button = QPushButton(light.remedy_label)
            button.setToolTip(f"<qt>{light.text}</qt>")
            button.clicked.connect(partial(self.remedy.emit, light.remedy))
            layout.addWidget(button)
            self.buttons[light.remedy] = button
        return row
