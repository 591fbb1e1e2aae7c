"""Spin boxes for numbers as they are typed in the sciences."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qtpy.QtCore import QLocale, QSize, Qt
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QSpinBox, QWidget

from napari_deconv.widgets.explain import unit_of

if TYPE_CHECKING:
    from napari_deconv.registry import Parameter

_FARTHEST = 1e12
_NARROW = 56
_LONG_UNIT = 8


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


def box_for(parameter: Parameter) -> NumberBox | WholeBox:
    """Return the box that suits a number."""
    return WholeBox(parameter) if parameter.kind is int else NumberBox(parameter)
