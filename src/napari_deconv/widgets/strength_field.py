"""A strength: automatic, with what was found beside it, or by hand on a logarithmic slider."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QLabel, QRadioButton, QSlider, QWidget

from napari_deconv.widgets.boxes import NumberBox, make_room
from napari_deconv.widgets.field import Field

if TYPE_CHECKING:
    from napari_deconv.registry import Parameter

# Positions of the slider for each decade: a step is about a fortieth of the number.
_FINENESS = 100
# Decades that the slider shows beyond the values that automatic tries; the box takes all.
_BEYOND = 1.0


def is_strength(parameter: Parameter) -> bool:
    """Whether a parameter is a number that may be automatic and is thought of in decades."""
    low, high = parameter.range.lower, parameter.range.upper
    bounded = low is not None and high is not None and 0 < low < high
    number = parameter.kind is float and parameter.length is None and not parameter.choices
    return number and bounded and parameter.range.logarithmic and parameter.allows_auto


class StrengthField(Field):
    """Two lines: ``(o) automatic   found 0.0032`` and ``( ) ---|----- [ 0.01 ]``."""

    def __init__(self, parameter: Parameter, parent: QWidget | None = None) -> None:
        super().__init__(parameter, parent)
        self.automatic = QRadioButton("automatic")
        self.found = QLabel()
        self.found.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.found.setStyleSheet("QLabel { font-size: 11px; }")
        self.manual = QRadioButton()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._low, high = slider_decades(parameter)
        self.slider.setRange(0, round((high - self._low) * _FINENESS))
        self.slider.setPageStep(_FINENESS // 2)
        self.slider.setMinimumWidth(60)
        self.box = NumberBox(parameter)
        self._group = QButtonGroup(self)
        lines = QGridLayout()
        lines.setContentsMargins(0, 0, 0, 0)
        lines.setHorizontalSpacing(4)
        lines.setVerticalSpacing(2)
        lines.setColumnStretch(1, 1)
        self._row.addLayout(lines, 1)
        for widget, place in (
            (self.automatic, (0, 0, 1, 2)),
            (self.found, (0, 1, 1, 2)),
            (self.manual, (1, 0, 1, 1)),
            (self.slider, (1, 1, 1, 1)),
            (self.box, (1, 2, 1, 1)),
        ):
            self._prepare(widget)
            lines.addWidget(widget, *place)
        for button in (self.automatic, self.manual):
            self._group.addButton(button)
        make_room(self.box)
        self.box.setFixedWidth(72)
        self.manual.toggled.connect(self._enable)
        self._show_number(10 ** (self._low + (high - self._low) / 2))
        self._enable(False)
        self.set_value(parameter.default)
        self.manual.toggled.connect(self.changed)
        self.slider.valueChanged.connect(self._on_slider)
        self.slider.sliderPressed.connect(lambda: self.manual.setChecked(True))
        self.box.valueChanged.connect(self._on_box)

    def show_found(self, number: float) -> None:
        """Show what automatic found; whoever turns away from automatic begins there."""
        number = float(f"{number:.3g}")
        self.found.setText(f"found {number:g}")
        if self.automatic.isChecked():
            self._show_number(number)

    def _read(self) -> Any:
        if self.automatic.isChecked():
            return "auto"
        self.box.interpretText()
        return self.box.value()

    def _show(self, value: Any) -> None:
        self.automatic.setChecked(value == "auto")
        self.manual.setChecked(value != "auto")
        if value != "auto":
            self.box.setValue(float(value))

    def _enable(self, manual: bool) -> None:
        self.box.setEnabled(manual)
        self.slider.setEnabled(manual)

    def _show_number(self, number: float) -> None:
        """Show a number without saying that it was changed."""
        for widget in (self.box, self.slider):
            widget.blockSignals(True)
        self.box.setValue(number)
        self.slider.setValue(self._position(number))
        for widget in (self.box, self.slider):
            widget.blockSignals(False)

    def _on_slider(self, position: int) -> None:
        number = 10 ** (self._low + position / _FINENESS)
        # The box tells the change, once.
        self.box.setValue(float(f"{number:.3g}"))

    def _on_box(self, number: float) -> None:
        blocked = self.slider.blockSignals(True)
        self.slider.setValue(self._position(number))
        self.slider.blockSignals(blocked)
        self.changed.emit()

    def _position(self, number: float) -> int:
        return round((math.log10(number) - self._low) * _FINENESS)


def slider_decades(parameter: Parameter) -> tuple[float, float]:
    """Return the ends of the slider as powers of ten."""
    assert parameter.range.lower is not None
    assert parameter.range.upper is not None
    low, high = math.log10(parameter.range.lower), math.log10(parameter.range.upper)
    if parameter.search is None:
        return low, high
    tried = math.log10(parameter.search.lower), math.log10(parameter.search.upper)
    return max(low, tried[0] - _BEYOND), min(high, tried[1] + _BEYOND)
