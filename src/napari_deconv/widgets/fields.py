"""One field for each kind of parameter; bounds, units and explanations are the parameter's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QLocale, QObject, QSize, Qt, Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QRadioButton,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from napari_deconv.cli.arguments import from_text
from napari_deconv.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_deconv.registry import Parameter
from napari_deconv.widgets.choice import make_narrow

_FARTHEST = 1e12
_NARROW = 56
_LONG_UNIT = 8
# Of docstrings: ``code``, :func:`~package.name`.
_MARKUP = re.compile(r"(?::\w+:)?`+(?:~[\w.]*\.)?([^`]*)`+")
_ABBREVIATIONS = {"psf": "PSF", "na": "NA", "otf": "OTF"}


def title_of(parameter: Parameter) -> str:
    """Return a parameter's name as a label."""
    words = [_ABBREVIATIONS.get(word, word) for word in parameter.label.split()]
    words[0] = words[0][:1].upper() + words[0][1:]
    return " ".join(words)


def tooltip_of(parameter: Parameter) -> str:
    """Return what a parameter means, with its bounds and default, for a tooltip that wraps."""
    low, high = parameter.range.lower, parameter.range.upper
    facts = []
    if low is not None and high is not None:
        facts.append(f"{low:g} to {high:g}")
    elif low is not None:
        facts.append(f"at least {low:g}")
    elif high is not None:
        facts.append(f"at most {high:g}")
    unit = unit_of(parameter)
    if unit:
        facts = [f"{facts[0]} {unit}"] if facts else [f"in {unit}"]
    if not parameter.required and parameter.default is not None:
        facts.append(f"default: {text_of(parameter.default)}")
    text = _MARKUP.sub(r"\1", parameter.help)
    if facts and text:
        text += f"<br><i>{'; '.join(facts)}</i>"
    return f"<qt>{text}</qt>" if text else ""


def unit_of(parameter: Parameter) -> str:
    """Return the unit as it is shown."""
    return {"um": "µm"}.get(parameter.unit, parameter.unit)


def text_of(value: Any) -> str:
    """Return a value as a person would type it."""
    if value is None:
        return "none"
    if isinstance(value, (tuple, list)):
        return " ".join(text_of(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


class Field(QWidget):
    """A field for one parameter.

    Parameters
    ----------
    parameter
        What may be put in.
    """

    changed = Signal()

    def __init__(self, parameter: Parameter, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.parameter = parameter
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(6)
        self.setToolTip(tooltip_of(parameter))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def value(self) -> Any:
        """The value, checked.

        Raises
        ------
        ParameterError
            When what was put in does not fit.
        """
        return self.parameter.check(self._read())

    def set_value(self, value: Any) -> None:
        """Show a value."""
        self._show(value)

    def _read(self) -> Any:
        raise NotImplementedError

    def _show(self, value: Any) -> None:
        raise NotImplementedError

    def _add(self, widget: QWidget, stretch: int = 0) -> None:
        widget.setToolTip(self.toolTip())
        widget.installEventFilter(_calm)
        self._row.addWidget(widget, stretch)


class _Calm(QObject):
    """Lets the wheel scroll the dock rather than change a field that it passes over."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Pass the wheel on unless the field has the focus."""
        spins = isinstance(watched, (QAbstractSpinBox, QComboBox))
        if (
            event is not None
            and event.type() == QEvent.Type.Wheel
            and spins
            and not watched.hasFocus()  # type: ignore[union-attr]
        ):
            event.ignore()
            return True
        return False


_calm = _Calm()


class NumberBox(QDoubleSpinBox):
    """A spin box that shows 0.001 and 1e-07 as such, and steps by a tenth of the number's size."""

    def __init__(self, parameter: Parameter, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        low, high = parameter.range.lower, parameter.range.upper
        self.setDecimals(12)
        self.setLocale(QLocale.c())
        self.setRange(-_FARTHEST if low is None else low, _FARTHEST if high is None else high)
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        if parameter.unit:
            self.setSuffix(f" {unit_of(parameter)}")

    def textFromValue(self, value: float) -> str:
        """Show a number as short as it can be."""
        return f"{value:.7g}"

    def valueFromText(self, text: str | None) -> float:
        """Read a number; while it is half typed, the last one counts."""
        try:
            return float(self._bare(text or ""))
        except ValueError:
            return self.value()

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Tell a number from one that is half typed."""
        bare = self._bare(text or "")
        try:
            fits = self.minimum() <= float(bare) <= self.maximum()
            state = QValidator.State.Acceptable if fits else QValidator.State.Intermediate
        except ValueError:
            begun = re.fullmatch(r"[-+]?\d*\.?\d*(e[-+]?\d*)?", bare, re.IGNORECASE)
            state = QValidator.State.Intermediate if begun else QValidator.State.Invalid
        return state, text or "", position

    def minimumSizeHint(self) -> QSize:
        """Need room for a number, not for the longest one that the bounds allow."""
        return QSize(_NARROW, super().minimumSizeHint().height())

    def sizeHint(self) -> QSize:
        """Ask for no more than that."""
        return self.minimumSizeHint()

    def _bare(self, text: str) -> str:
        return text.removesuffix(self.suffix()).strip().replace(",", ".")


class WholeBox(QSpinBox):
    """A spin box for whole numbers."""

    def __init__(self, parameter: Parameter, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        most = 2**31 - 1
        low, high = parameter.range.lower, parameter.range.upper
        self.setRange(
            -most if low is None else int(low), most if high is None else int(min(high, most))
        )
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        if parameter.unit:
            self.setSuffix(f" {unit_of(parameter)}")

    def minimumSizeHint(self) -> QSize:
        """Need room for a number, not for the longest one that the bounds allow."""
        return QSize(_NARROW, super().minimumSizeHint().height())

    def sizeHint(self) -> QSize:
        """Ask for no more than that."""
        return self.minimumSizeHint()


def make_room(box: NumberBox | WholeBox) -> None:
    """Leave the buttons out, so that number and unit fit into half a row; a long unit does not."""
    box.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
    box.setStyleSheet("QAbstractSpinBox { min-width: 60px; padding: 1px 4px; }")
    if len(box.suffix()) > _LONG_UNIT:
        box.setSuffix("")


def _box(parameter: Parameter) -> NumberBox | WholeBox:
    return WholeBox(parameter) if parameter.kind is int else NumberBox(parameter)


class NumberField(Field):
    """A number."""

    def __init__(self, parameter: Parameter, parent: QWidget | None = None) -> None:
        super().__init__(parameter, parent)
        self.box = _box(parameter)
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
        self.box = _box(parameter)
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
    """Anything that is typed: several numbers, a word or numbers, a number or nothing."""

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

    def _placeholder(self) -> str:
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
    if parameter.kind is bool:
        return CheckField(parameter)
    if parameter.required or parameter.allows_none or parameter.length is not None:
        if parameter.choices and not number and parameter.length is None:
            return ChoiceField(parameter, titles)
        return WordsField(parameter)
    if number and parameter.allows_auto:
        return AutoField(parameter)
    if number and not parameter.choices:
        return NumberField(parameter)
    if parameter.choices and parameter.kind is str:
        return ChoiceField(parameter, titles)
    return WordsField(parameter)
