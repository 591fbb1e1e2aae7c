"""Buttons, and rows of them, as all docks have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QWidget


def button(text: str, tooltip: str) -> QPushButton:
    """Return a button that takes the width it is given."""
    made = QPushButton(text)
    made.setToolTip(f"<qt>{tooltip}</qt>")
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return made


def row(widgets: Sequence[tuple[QWidget, int]]) -> QHBoxLayout:
    """Return widgets side by side, each with its share of the width."""
    made = QHBoxLayout()
    made.setContentsMargins(0, 0, 0, 0)
    made.setSpacing(6)
    for widget, share in widgets:
        made.addWidget(widget, share)
    return made
