"""One field for each kind of parameter; bounds, units and explanations are the parameter's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QRadioButton,
    QWidget,
)

from napari_deconv.cli.arguments import from_text
from napari_deconv.errors import ParameterError
from napari_deconv.widgets.boxes import box_for, make_room
from napari_deconv.widgets.choice import make_narrow
from napari_deconv.widgets.explain import text_of, title_of, unit_of
from napari_deconv.widgets.field import Field
from napari_deconv.widgets.strength_field import StrengthField, is_strength
from napari_deconv.widgets.weights_field import WeightsField

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_deconv.registry import Parameter


class NumberField(Field):
    """A number."""

    def __init__(self, parameter: Parameter, parent: QWidget | None = None) -> None:
        super().__init__(parameter, parent)
        self.box = box_for(parameter)
        self._add(self.box, 1)
        self.set_value(parameter.default)
        self.box.valueChanged.connect(self.changed)

    def _read(self) -> Any:
        self.box.interpretText()
        return self.box.value()

    def _show(self, value: Any) -> None:
        self.box.setValue(value)


class AutoField(Field):
    """Automatic, or a number: ``(o) automatic  ( ) [ 30 ]``."""

    def __init__(self, parameter: Parameter, parent: QWidget | None = None) -> None:
        super().__init__(parameter, parent)
        self.automatic = QRadioButton("automatic")
        self.manual = QRadioButton()
        self.box = box_for(parameter)
        self._group = QButtonGroup(self)
        for button in (self.automatic, self.manual):
            self._group.addButton(button)
            self._add(button)
        self._row.setSpacing(4)
        self._add(self.box, 1)
        self.manual.toggled.connect(self.box.setEnabled)
        self.box.setEnabled(False)
        if parameter.unit:
            make_room(self.box)
        low, high = self.box.minimum(), self.box.maximum()
        self.box.setValue(parameter.kind(min(max(1 if low > 0 else 0, low), high)))
        self.set_value(parameter.default)
        self.manual.toggled.connect(self.changed)
        self.box.valueChanged.connect(self.changed)

    def start_from(self, number: float) -> None:
        """Show this number when the person turns away from automatic."""
        if self.automatic.isChecked():
            blocked = self.box.blockSignals(True)
            self.box.setValue(self.parameter.kind(number))
            self.box.blockSignals(blocked)

    def _read(self) -> Any:
        if self.automatic.isChecked():
            return "auto"
        self.box.interpretText()
        return self.box.value()

    def _show(self, value: Any) -> None:
        self.automatic.setChecked(value == "auto")
        self.manual.setChecked(value != "auto")
        if value != "auto":
            self.box.setValue(value)


class ChoiceField(Field):
    """One of several words.

    Parameters
    ----------
    parameter
        What may be put in.
    titles
        What stands in the list for a word.
    """

    def __init__(
        self,
        parameter: Parameter,
        titles: Mapping[str, str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parameter, parent)
        self.box = QComboBox()
        self.box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        make_narrow(self.box)
        for choice in parameter.choices:
            self.box.addItem((titles or {}).get(choice, choice), choice)
        self._add(self.box, 1)
        self.set_value(parameter.default)
        self.box.currentIndexChanged.connect(self.changed)

    def _read(self) -> Any:
        return self.box.currentData()

    def _show(self, value: Any) -> None:
        self.box.setCurrentIndex(self.box.findData(value))


class CheckField(Field):
    """Yes or no."""

    def __init__(self, parameter: Parameter, parent: QWidget | None = None) -> None:
        super().__init__(parameter, parent)
        self.box = QCheckBox()
        self._add(self.box, 1)
        self.set_value(parameter.default)
        self.box.toggled.connect(self.changed)

    def _read(self) -> Any:
        return self.box.isChecked()

    def _show(self, value: Any) -> None:
        self.box.setChecked(bool(value))


class WordsField(Field):
    """Anything that is typed: several numbers, also by key, a word or numbers, or nothing."""

    def __init__(self, parameter: Parameter, parent: QWidget | None = None) -> None:
        super().__init__(parameter, parent)
        self.edit = QLineEdit()
        self._add(self.edit, 1)
        if parameter.unit:
            self._add(QLabel(unit_of(parameter)))
        self.edit.setPlaceholderText(self._placeholder())
        if not parameter.required:
            self.set_value(parameter.default)
        self.edit.textChanged.connect(self._judge)
        self.edit.textChanged.connect(self.changed)

    def _read(self) -> Any:
        text = self.edit.text().strip()
        if not text:
            if self.parameter.allows_none:
                return None
            if self.parameter.keys is not None:
                return {}
            raise ParameterError(f"{title_of(self.parameter)} is empty: {self.parameter.help}")
        value = from_text(self.parameter, text)
        low, high = self.parameter.range.lower or 0, self.parameter.range.upper
        if self.parameter.unit == "um" and high and isinstance(value, float) and value > high:
            meant = value / 1000
            if low <= meant <= high:
                raise ParameterError(
                    f"{title_of(self.parameter)} is {value:g} µm: did you mean {meant:g}? "
                    "Lengths are in micrometres, not nanometres."
                )
        return value

    def _show(self, value: Any) -> None:
        self.edit.setText("" if value is None else text_of(value))
        self.edit.setCursorPosition(0)

    def _placeholder(self) -> str:
        if self.parameter.keys is not None:
            return "none, or such as 5=0.05 8=-0.1"
        low, high = self.parameter.range.lower, self.parameter.range.upper
        if self.parameter.required and low is not None and high is not None:
            return f"{low:g} to {high:g}"
        if self.parameter.required:
            return "needed"
        return "none" if self.parameter.allows_none else ""

    def _judge(self) -> None:
        words = ""
        if self.edit.text().strip():
            try:
                self.value  # noqa: B018
            except ParameterError as error:
                words = str(error)
        self.edit.setStyleSheet("QLineEdit { border: 1px solid #d9534f; }" if words else "")
        self.edit.setToolTip(words or self.toolTip())


def field_for(parameter: Parameter, titles: Mapping[str, str] | None = None) -> Field:
    """Return the field that suits a parameter."""
    number = parameter.kind in (int, float) and parameter.length is None
    if parameter.weights:
        return WeightsField(parameter)
    if parameter.kind is bool:
        return CheckField(parameter)
    if parameter.keys is not None:
        return WordsField(parameter)
    if parameter.required or parameter.allows_none or parameter.length is not None:
        if parameter.choices and not number and parameter.length is None:
            return ChoiceField(parameter, titles)
        return WordsField(parameter)
    if is_strength(parameter):
        return StrengthField(parameter)
    if number and parameter.allows_auto:
        return AutoField(parameter)
    if number and not parameter.choices:
        return NumberField(parameter)
    if parameter.choices and parameter.kind is str:
        return ChoiceField(parameter, titles)
    return WordsField(parameter)
