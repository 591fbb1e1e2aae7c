"""A combobox whose entries stand in groups under headings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtGui import QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QComboBox, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from napari_deconv.widgets.choice import make_narrow, paint_shortened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qtpy.QtGui import QPaintEvent


class GroupedChoice(QComboBox):
    """Headings cannot be chosen; neither the mouse nor the keys nor the wheel stop at them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = QStandardItemModel(self)
        self.setModel(self._model)
        self.setItemDelegate(_Indented(self))
        self.setMaxVisibleItems(30)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        make_narrow(self)

    def add_group(self, title: str, entries: Iterable[tuple[str, str, str]]) -> None:
        """Add a heading and what stands below it.

        Parameters
        ----------
        title
            The heading.
        entries
            For each: what is shown, what it stands for, and what it means.
        """
        heading = QStandardItem(title)
        heading.setFlags(Qt.ItemFlag.NoItemFlags)
        font = self.font()
        font.setBold(True)
        font.setPointSizeF(max(6.0, 0.9 * font.pointSizeF()))
        heading.setFont(font)
        # As Qt marks what is no entry but divides them.
        heading.setData("parent", Qt.ItemDataRole.AccessibleDescriptionRole)
        self._model.appendRow(heading)
        for text, value, meaning in entries:
            entry = QStandardItem(text)
            entry.setData(value, Qt.ItemDataRole.UserRole)
            entry.setData(f"<qt>{meaning}</qt>", Qt.ItemDataRole.ToolTipRole)
            self._model.appendRow(entry)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Shorten a long name at its end."""
        paint_shortened(self, Qt.TextElideMode.ElideRight)

    @property
    def value(self) -> str:
        """What the chosen entry stands for."""
        return str(self.currentData())

    @property
    def values(self) -> list[str]:
        """What can be chosen."""
        found = (self.itemData(row) for row in range(self.count()))
        return [value for value in found if value is not None]

    def choose(self, value: str) -> None:
        """Choose the entry that stands for a value.

        Raises
        ------
        ValueError
            When there is none.
        """
        row = self.findData(value)
        if row < 0:
            raise ValueError(f"{value!r} is none of {self.values}")
        self.setCurrentIndex(row)


class _Indented(QStyledItemDelegate):
    """Indents the entries in the list, but not the chosen one in the box."""

    def initStyleOption(self, option: QStyleOptionViewItem | None, index: QModelIndex) -> None:
        """Take an entry's text, a little to the right of its heading."""
        super().initStyleOption(option, index)
        if option is not None and index.data(Qt.ItemDataRole.UserRole) is not None:
            option.text = f"   {option.text}"
