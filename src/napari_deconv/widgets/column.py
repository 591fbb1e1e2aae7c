"""The column in which a dock's widgets stand."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget


class Column(QScrollArea):
    """A column as wide as what is inside needs, which scrolls when it gets too long.

    Parameters
    ----------
    narrowest
        Pixels that it has at least.
    """

    def __init__(self, narrowest: int) -> None:
        super().__init__()
        self._narrowest = narrowest
        inside = QWidget()
        self.rows = QVBoxLayout(inside)
        self.rows.setContentsMargins(10, 8, 10, 8)
        self.rows.setSpacing(7)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(inside)
        self.setMinimumWidth(narrowest)
        inside.installEventFilter(self)
        bar = self.verticalScrollBar()
        if bar is not None:
            bar.rangeChanged.connect(self._widen)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Be as wide as what is inside needs, whatever font it is shown in."""
        inside = self.widget()
        if watched is inside and event is not None and event.type() == QEvent.Type.LayoutRequest:
            self._widen()
        return bool(super().eventFilter(watched, event))

    def _widen(self) -> None:
        inside, bar = self.widget(), self.verticalScrollBar()
        width = inside.minimumSizeHint().width() if inside is not None else 0
        if bar is not None and bar.maximum() > 0:
            width += bar.sizeHint().width()
        self.setMinimumWidth(max(self._narrowest, width))
