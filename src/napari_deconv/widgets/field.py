"""What the fields of a form have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QHBoxLayout, QSizePolicy, QSlider, QWidget

from napari_deconv.widgets.explain import tooltip_of

if TYPE_CHECKING:
    from napari_deconv.registry import Parameter


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
        self._prepare(widget)
        self._row.addWidget(widget, stretch)

    def _prepare(self, widget: QWidget) -> None:
        """Let a part of the field explain it, and leave the wheel to the dock."""
        widget.setToolTip(self.toolTip())
        widget.installEventFilter(_calm)


class _Calm(QObject):
    """Lets the wheel scroll the dock rather than change a field that it passes over."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Pass the wheel on unless the field has the focus."""
        spins = isinstance(watched, (QAbstractSpinBox, QComboBox, QSlider))
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
