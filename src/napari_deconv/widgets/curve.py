"""The curve of a run: how well each iteration predicts the photons, and where it stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyqtgraph
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deconv.engine import Statistics

_HEIGHT = 132
# What to draw, the first that was measured; and what it is.
_FIGURES = {
    "held_out": "held-out log-likelihood",
    "deviance": "deviance per voxel",
    "relative_change": "relative change",
}


class Curve(QWidget):
    """A small plot of one figure per iteration, its stop marked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plot = pyqtgraph.PlotWidget(self)
        self._plot.setMenuEnabled(False)
        self._plot.setMouseEnabled(x=False, y=False)
        self._plot.hideButtons()
        self._plot.setFrameShape(pyqtgraph.QtWidgets.QFrame.Shape.NoFrame)
        self._line = self._plot.plot([], [], antialias=True)
        self._stop = pyqtgraph.InfiniteLine(angle=90, movable=False)
        self._stop.setVisible(False)
        self._plot.addItem(self._stop, ignoreBounds=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._plot)
        self.setFixedHeight(_HEIGHT)
        self.setToolTip(
            "<qt>How well each iteration explains the image. Held-out: a tenth of the photons is "
            "set aside, and the more likely an estimate makes them, the better; beyond the "
            "maximum, noise is fitted. The dashed line marks the number of iterations taken.</qt>"
        )
        self.figure = ""
        self.points: list[tuple[int, float]] = []
        self.stop: int | None = None
        self.set_colours("#d0d3d8", "#26292f", "#4fa8ff")
        self.setVisible(False)

    def set_colours(self, ink: str, paper: str, accent: str) -> None:
        """Take the theme's colours."""
        self._plot.setBackground(paper)
        self._line.setPen(pyqtgraph.mkPen(accent, width=2))
        self._line.setSymbolBrush(accent)
        self._stop.setPen(pyqtgraph.mkPen(ink, width=1, style=Qt.PenStyle.DashLine))
        for side in ("left", "bottom"):
            axis = self._plot.getAxis(side)
            axis.setPen(ink)
            axis.setTextPen(ink)
            axis.setStyle(tickLength=-4, maxTickLevel=0)
        self._ink = ink
        self._label()

    def clear(self) -> None:
        """Hide the curve."""
        self.points, self.stop = [], None
        self._stop.setVisible(False)
        self.setVisible(False)

    def show_figures(self, statistics: Sequence[Statistics], stop: int | None = None) -> None:
        """Draw the figures; ``stop`` is the number of iterations taken."""
        for name in _FIGURES:
            points = [
                (each.iteration, float(value))
                for each in statistics
                if (value := getattr(each, name)) is not None
            ]
            if len(points) > 1:
                break
        else:
            return
        if name == "deviance" and len(points) > 3:
            # The first step falls so far that nothing else could be seen.
            points = [point for point in points if point[0] > 1]
        self.points, self.stop = points, stop
        if name != self.figure:
            self.figure = name
            self._label()
        self._line.setData(*zip(*points, strict=True))
        self._show_the_end([value for _, value in points])
        self._stop.setVisible(stop is not None)
        if stop is not None:
            self._stop.setValue(stop)
        self.setVisible(True)

    def _show_the_end(self, values: list[float]) -> None:
        """Zoom on where the curve turns: the first steps change so much that all else is flat."""
        if len(values) < 10:
            self._plot.enableAutoRange(axis="y")
            return
        later = values[len(values) // 8 :]
        low, high = min(later), max(later)
        if high > low:
            self._plot.setYRange(low, high, padding=0.08)

    def _label(self) -> None:
        style: dict[str, Any] = {"color": self._ink, "font-size": "8pt"}
        self._plot.setTitle(_FIGURES.get(self.figure, ""), color=self._ink, size="8pt")
        self._plot.setLabel("bottom", "iteration", **style)
