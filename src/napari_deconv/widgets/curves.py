"""The curves of a run: how good each iteration was, and each number that was chosen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QTabBar, QVBoxLayout, QWidget

from napari_deconv.widgets.curve import Curve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_deconv.engine import Statistics
    from napari_deconv.registry import Chosen

ITERATIONS = "iterations"
# What to draw of the iterations, the first that was measured; and what it is.
_FIGURES = {
    "explained": "explained of held-out photons",
    "deviance": "deviance per voxel",
    "relative_change": "relative change",
}
_OF_ITERATIONS = (
    "How well each iteration explains the image. Held-out: a tenth of the photons is set aside; "
    "the more an estimate explains of them, both deblurred, the better. Beyond the top, noise is "
    "fitted. The dashed line marks the number of iterations taken: the top, or before it, where "
    "they are likeliest or nothing but the PSF's error is left."
)
_OF_CHOICES = (
    "What was tried to find this number, and how good each was: the higher, the better. The dashed "
    "line marks the number taken: the top, or farther right where a weaker one would explain noise."
)


class Curves(QWidget):
    """One curve at a time, with tabs to switch where there are several."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.tabs = QTabBar()
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setUsesScrollButtons(True)
        self.tabs.setToolTip("<qt>Which curve to show.</qt>")
        self.curve = Curve()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.tabs)
        layout.addWidget(self.curve)
        self.figure = ""
        self._points: list[tuple[float, float]] = []
        self._stop: int | None = None
        self._choices: dict[str, Chosen] = {}
        self.tabs.currentChanged.connect(self._draw)
        self.set_colours = self.curve.set_colours
        self.clear()

    @property
    def points(self) -> list[tuple[float, float]]:
        """What is drawn."""
        return self.curve.points

    @property
    def stop(self) -> float | None:
        """The place that is marked."""
        return self.curve.mark

    @property
    def names(self) -> list[str]:
        """The curves that there are."""
        return [self.tabs.tabData(place) for place in range(self.tabs.count())]

    def choose(self, name: str) -> None:
        """Show a curve."""
        self.tabs.setCurrentIndex(self.names.index(name))

    def clear(self) -> None:
        """Hide all curves."""
        self._points, self._stop, self._choices = [], None, {}
        self._list()

    def show_figures(self, statistics: Sequence[Statistics], stop: int | None = None) -> None:
        """Draw the figures of the iterations; ``stop`` is the number of them that was taken."""
        for name in _FIGURES:
            points = [
                (float(each.iteration), float(value))
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
        self._points, self._stop, self.figure = points, stop, name
        self._list()

    def show_choices(self, choices: Mapping[str, Chosen]) -> None:
        """Offer the curves of numbers that were chosen, by parameter."""
        self._choices = {
            name: chosen
            for name, chosen in choices.items()
            if min(chosen.values, default=0) > 0 and sum(map(math.isfinite, chosen.scores)) > 1
        }
        self._list()

    def _list(self) -> None:
        """Make a tab for each curve, and keep showing the one that was shown."""
        names = [ITERATIONS] if self._points else []
        names += self._choices
        if names != self.names:
            current = self.tabs.tabData(self.tabs.currentIndex())
            blocked = self.tabs.blockSignals(True)
            while self.tabs.count():
                self.tabs.removeTab(0)
            for name in names:
                self.tabs.setTabData(self.tabs.addTab(name.replace("_", " ")), name)
            if current in names:
                self.choose(current)
            self.tabs.blockSignals(blocked)
        self.tabs.setVisible(len(names) > 1)
        self.setVisible(bool(names))
        self._draw()

    def _draw(self) -> None:
        name = self.tabs.tabData(self.tabs.currentIndex())
        if name is None:
            return
        if name == ITERATIONS:
            self.setToolTip(f"<qt>{_OF_ITERATIONS}</qt>")
            above = _FIGURES[self.figure]
            self.curve.draw(self._points, self._stop, above=above, below="iteration", turn=True)
            return
        chosen = self._choices[name]
        self.setToolTip(f"<qt>{_OF_CHOICES}</qt>")
        tried = zip(chosen.values, chosen.scores, strict=True)
        points = [(value, score) for value, score in tried if math.isfinite(score)]
        label = name.replace("_", " ")
        self.curve.draw(points, float(chosen), above=chosen.score, below=label, decades=True)
