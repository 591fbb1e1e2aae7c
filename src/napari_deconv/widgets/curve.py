"""A small plot: some points, and one of them that was taken."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyqtgraph
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEIGHT = 128
# What a number on the axis of strengths takes, in pixels.
_LABEL = 45


class Curve(QWidget):
    """One curve with a mark; it draws and knows nothing of what it shows."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plot = pyqtgraph.PlotWidget(self, axisItems={"bottom": Decades("bottom")})
        self._plot.setMenuEnabled(False)
        self._plot.setMouseEnabled(x=False, y=False)
        self._plot.hideButtons()
        self._plot.setFrameShape(pyqtgraph.QtWidgets.QFrame.Shape.NoFrame)
        self._line = self._plot.plot([], [], antialias=True)
        self._dots = self._plot.plot([], [], pen=None, symbol="o", symbolSize=6)
        self._mark = pyqtgraph.InfiniteLine(angle=90, movable=False)
        self._mark.setVisible(False)
        self._plot.addItem(self._mark, ignoreBounds=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._plot)
        self.setFixedHeight(_HEIGHT)
        self.points: list[tuple[float, float]] = []
        self.mark: float | None = None
        self._titles = ("", "")
        self.set_colours("#d0d3d8", "#26292f", "#4fa8ff")

    def set_colours(self, ink: str, paper: str, accent: str) -> None:
        """Take the theme's colours."""
        self._plot.setBackground(paper)
        self._line.setPen(pyqtgraph.mkPen(accent, width=2))
        self._dots.setSymbolBrush(accent)
        self._dots.setSymbolPen(None)
        self._mark.setPen(pyqtgraph.mkPen(ink, width=1, style=Qt.PenStyle.DashLine))
        for side in ("left", "bottom"):
            axis = self._plot.getAxis(side)
            axis.setPen(ink)
            axis.setTextPen(ink)
            axis.setStyle(tickLength=-4, maxTickLevel=0)
        self._ink = ink
        self._label()

    def draw(
        self,
        points: Sequence[tuple[float, float]],
        mark: float | None,
        *,
        above: str,
        below: str,
        decades: bool = False,
        turn: bool = False,
    ) -> None:
        """Draw points.

        Parameters
        ----------
        points
            Their places and values.
        mark
            The place that was taken.
        above, below
            What the values and the places are.
        decades
            Whether the places are shown by decades, with a dot for each point.
        turn
            Whether to zoom on where the curve turns, leaving out how it began.
        """
        self.points, self.mark = list(points), mark
        if (above, below) != self._titles:
            self._titles = (above, below)
            self._label()
        self._plot.setLogMode(x=decades)
        places, values = zip(*points, strict=True)
        self._line.setData(places, values)
        self._dots.setData(*((places, values) if decades else ([], [])))
        self._mark.setVisible(mark is not None)
        if mark is not None:
            self._mark.setValue(math.log10(mark) if decades else mark)
        later = values[len(values) // 8 :]
        if turn and len(values) >= 10 and max(later) > min(later):
            self._plot.enableAutoRange(axis="x")
            self._plot.setYRange(min(later), max(later), padding=0.08)
        else:
            self._plot.enableAutoRange()

    def _label(self) -> None:
        above, below = self._titles
        style: dict[str, Any] = {"color": self._ink, "font-size": "8pt"}
        self._plot.setTitle(above, color=self._ink, size="8pt")
        self._plot.setLabel("bottom", below, **style)


class Decades(pyqtgraph.AxisItem):  # type: ignore[misc]
    """An axis that says 0.003, 0.01, 0.03 where it is logarithmic."""

    def __init__(self, orientation: str) -> None:
        super().__init__(orientation)
        self.enableAutoSIPrefix(False)

    def tickValues(self, low: float, high: float, size: float) -> Any:
        """Return 1 and, where there is room, 3 in each decade, or of many decades some."""
        if not self.logMode:
            return super().tickValues(low, high, size)
        stride = max(1, round((high - low) / 4))
        decades = range(math.floor(low), math.ceil(high) + 1)
        values = [float(k) for k in decades if k % stride == 0]
        if stride == 1 and 2 * (high - low) * _LABEL <= size:
            values += [k + math.log10(3) for k in decades]
        return [(stride, [value for value in sorted(values) if low <= value <= high])]

    def tickStrings(self, values: Any, scale: float, spacing: float) -> Any:
        """Return numbers as a person would type them."""
        if not self.logMode:
            return super().tickStrings(values, scale, spacing)
        return [f"{10**value:.1g}" for value in values]
