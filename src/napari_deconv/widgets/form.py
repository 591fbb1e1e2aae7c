"""A form made of parameters: the registry's schema, as a dock shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_deconv.errors import ParameterError
from napari_deconv.widgets.explain import title_of, tooltip_of
from napari_deconv.widgets.fields import field_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_deconv.registry import Parameter
    from napari_deconv.widgets.field import Field

# Labels of all forms of a dock end at the same place.
LABEL_WIDTH = 106
# Letters of the names that stand beside "More".
_TEASER = 30


class Form(QWidget):
    """Fields for parameters; advanced ones wait under "More".

    Parameters
    ----------
    parameters
        In the order in which they are shown.
    titles
        How the choices of a parameter are called, by its name.
    label_width
        Pixels; labels that need more take two lines.
    below
        Widgets that stand below a parameter's field, by its name.
    """

    changed = Signal()

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        *,
        titles: Mapping[str, Mapping[str, str]] | None = None,
        label_width: int = LABEL_WIDTH,
        below: Mapping[str, QWidget] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._below = dict(below or {})
        self._titles, self._label_width = dict(titles or {}), label_width
        self.fields: dict[str, Field] = {}
        self._labels: dict[str, QLabel] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        plain = {name: each for name, each in parameters.items() if not each.advanced}
        advanced = {name: each for name, each in parameters.items() if each.advanced}
        if plain:
            layout.addLayout(self._grid(plain))
        self.more: More | None = None
        if advanced:
            self.more = self._collapsed(advanced)
            layout.addWidget(self.more)

    @property
    def values(self) -> dict[str, Any]:
        """What was put in, checked.

        Raises
        ------
        ParameterError
            When a value does not fit.
        """
        return {name: field.value for name, field in self.fields.items()}

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show values; those that are unknown or do not fit (any more) are left out."""
        for name, value in values.items():
            if name not in self.fields:
                continue
            field = self.fields[name]
            try:
                field.set_value(field.parameter.check(value))
            except ParameterError:
                continue

    def valid_values(self) -> dict[str, Any]:
        """Return the values that fit, leaving out the others."""
        values = {}
        for name, field in self.fields.items():
            try:
                values[name] = field.value
            except ParameterError:
                continue
        return values

    def show_field(self, name: str, shown: bool) -> None:
        """Show or hide a field with its label; a hidden one keeps its value."""
        self.fields[name].setVisible(shown)
        self._labels[name].setVisible(shown)

    def _grid(self, parameters: Mapping[str, Parameter]) -> QGridLayout:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        grid.setColumnMinimumWidth(0, self._label_width)
        grid.setColumnStretch(1, 1)
        for name, parameter in parameters.items():
            row = grid.rowCount()
            field = field_for(parameter, self._titles.get(name))
            field.changed.connect(self.changed)
            self.fields[name] = field
            before = label(title_of(parameter), tooltip_of(parameter), self._label_width)
            self._labels[name] = before
            grid.addWidget(before, row, 0)
            grid.addWidget(field, row, 1)
            if name in self._below:
                grid.addWidget(self._below[name], row + 1, 0, 1, 2)
        return grid

    def _collapsed(self, parameters: Mapping[str, Parameter]) -> More:
        names = [title_of(each) for each in parameters.values()]
        names = [name if name.startswith("PSF") else name.lower() for name in names]
        words = names.pop(0)
        while names and len(words) + len(names[0]) < _TEASER:
            words += f", {names.pop(0)}"
        inside = QWidget()
        inside.setLayout(self._grid(parameters))
        return More(f"More: {words}{' …' if names else ''}", inside)


class More(QWidget):
    """A heading that shows and hides what is below it.

    Parameters
    ----------
    title
        The heading.
    inside
        What is below it, hidden at first.
    """

    def __init__(self, title: str, inside: QWidget) -> None:
        super().__init__()
        self.button = QToolButton()
        self.button.setText(title)
        self.button.setCheckable(True)
        self.button.setAutoRaise(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setToolTip("<qt>What rarely needs a change.</qt>")
        self.button.setStyleSheet("QToolButton { border: none; padding: 2px 0px; }")
        self.button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.inside = inside
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.button)
        layout.addWidget(inside)
        self.button.toggled.connect(self.open)
        self.open(False)

    def open(self, shown: bool = True) -> None:
        """Show or hide what is below the heading."""
        self.button.setChecked(shown)
        self.button.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self.inside.setVisible(shown)


def label(text: str, tooltip: str = "", width: int = LABEL_WIDTH) -> QLabel:
    """Return the label before a field."""
    made = QLabel(text)
    made.setToolTip(tooltip if tooltip.startswith("<qt>") or not tooltip else f"<qt>{tooltip}</qt>")
    made.setFixedWidth(width)
    made.setWordWrap(True)
    made.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return made


def labelled(
    title: str, *widgets: QWidget, tooltip: str = "", width: int = LABEL_WIDTH
) -> QHBoxLayout:
    """Return a row of a label and widgets, the first of which takes the room."""
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(8)
    row.addWidget(label(title, tooltip, width))
    for place, widget in enumerate(widgets):
        row.addWidget(widget, 1 if place == 0 else 0)
    return row
