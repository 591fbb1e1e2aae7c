"""The contact sheet: settings tried on a small region, to choose one by eye."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_deconv.engine.sweep import best_of
from napari_deconv.errors import DeconvolutionError
from napari_deconv.registry import methods
from napari_deconv.widgets.choice import when_gone
from napari_deconv.widgets.method_choice import GROUPS
from napari_deconv.widgets.runner import Runner
from napari_deconv.widgets.strip import duration
from napari_deconv.widgets.sweep_cell import SweepCell
from napari_deconv.widgets.thumbnail import common_limits, picture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtGui import QResizeEvent

    from napari_deconv.engine import Setting, SweepResult
    from napari_deconv.widgets.comparison import Comparison
    from napari_deconv.widgets.tasks import Update

# What is compared: this method's settings, or methods.
ONE, ALL = "method", "all"
_SMALLEST, _LARGEST = 110, 220
# Pixels that the words below a picture take.
_WORDS = 84
_HINT = "Click a picture to adopt its setting."


class SweepPanel(QWidget):
    """Asks for a comparison, shows it as it comes, and tells which setting was chosen.

    Signals
    -------
    asked(str)
        The user wants a comparison of this kind: ``"method"``, ``"all"`` or a group of methods.
    region_asked
        The user wants to draw the region.
    adopted(SweepResult)
        A setting was chosen.
    running(bool)
        A comparison has begun or ended.
    """

    asked = Signal(str)
    region_asked = Signal()
    adopted = Signal(object)
    running = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.runner = Runner(self)
        self.what = QComboBox()
        self.what.setToolTip(
            "<qt>The settings of one method, around what automatic finds; or methods, each with "
            "its automatic settings.</qt>"
        )
        self.what.addItem("", ONE)
        self.what.addItem("All methods, automatic", ALL)
        for group, title in GROUPS.items():
            if any(entry.group == group for entry in methods().values()):
                self.what.addItem(f"{title}: all methods", group)
        self.compare = QPushButton("Compare")
        self.compare.setToolTip(
            "<qt>Try these settings on the region. Each is also tried without a tenth of the "
            "photons, to see how well it predicts them.</qt>"
        )
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("<qt>Stop; what is there stays.</qt>")
        self.cancel.setEnabled(False)
        self.draw = QPushButton("Draw a region")
        self.draw.setToolTip(
            "<qt>Draw a rectangle to try the settings on. Without one, it is the middle of the "
            "view.</qt>"
        )
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setFixedSize(140, 8)
        self.bar.hide()
        self.status = QLabel()
        self.status.setTextFormat(Qt.TextFormat.PlainText)
        self.status.setWordWrap(True)
        self.cells: list[SweepCell] = []
        self._original = SweepCell("the image")
        self._original.hide()
        self._task: Comparison | None = None
        self._colours: tuple[Any, float] = (None, 1.0)
        self._shown = 0
        self._grid = QGridLayout()
        self._rows = self._columns = 1
        self._fill()
        self._connect()

    def _fill(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(6)
        for widget in (self.what, self.compare, self.cancel, self.draw, self.bar):
            row.addWidget(widget)
        row.addWidget(self.status, 1)
        inside = QWidget()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        self._grid.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        inside.setLayout(self._grid)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setWidget(inside)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.addLayout(row)
        column.addWidget(self.area, 1)

    def _connect(self) -> None:
        self.compare.clicked.connect(lambda: self.asked.emit(self.what.currentData()))
        self.cancel.clicked.connect(self.runner.cancel)
        self.draw.clicked.connect(self.region_asked)
        self.runner.updated.connect(self._on_update)
        self.runner.finished.connect(self._on_finished)
        when_gone(self, self.runner.abandon)

    def name_method(self, title: str) -> None:
        """Take the title of the method whose settings are compared."""
        self.what.setItemText(0, f"{title}: around automatic")

    @property
    def columns(self) -> int:
        """How many pictures of a good size stand beside each other."""
        return max(2, self._room() // 145 - 1)  # the first is the image itself

    def start(self, task: Comparison, colormap: Any, gamma: float) -> None:
        """Try settings; show the pictures in a layer's colours."""
        self._task, self._colours, self._shown = task, (colormap, gamma), 0
        for cell in (self._original, *self.cells):
            self._grid.removeWidget(cell)
            cell.hide()
            cell.deleteLater()
        self.cells = []
        self._original = SweepCell("the image")
        self._original.show_words("the image", "own contrast")
        self._grid.addWidget(self._original, 0, 0)
        rows = task.rows
        if self._picture_width(1 + len(task.settings)) >= _SMALLEST:
            rows = [task.settings]  # all of it can be seen at once
        self._rows, self._columns = len(rows), 1 + max(len(row) for row in rows)
        for down, row in enumerate(rows):
            for across, setting in enumerate(row, 1):
                cell = SweepCell(expected(setting))
                cell.clicked.connect(partial(self._choose, len(self.cells)))
                self.cells.append(cell)
                self._grid.addWidget(cell, down, across)
        self._fit()
        self.compare.setEnabled(False)
        self.cancel.setEnabled(True)
        self.bar.setRange(0, 0)
        self.bar.show()
        self.status.setText("Preparing")
        self.running.emit(True)
        self.runner.start(task)

    def say(self, words: str) -> None:
        """Show a message."""
        self.status.setText(words)

    def _on_update(self, update: Update) -> None:
        self.bar.setRange(0, 0 if update.open_ended else 1000)
        self.bar.setValue(int(1000 * update.fraction))
        self.status.setText(update.stage)
        self._take_results()

    def _on_finished(self, task: Any, outcome: Any) -> None:
        self._take_results()
        for cell in self.cells:
            cell.show_idle()
        self.bar.hide()
        self.compare.setEnabled(True)
        self.cancel.setEnabled(False)
        self.running.emit(False)
        if outcome == "done":
            seconds = sum(each.seconds for each in task.results)
            self.say(f"{len(task.results)} settings, {duration(seconds)}. {_HINT}")
        elif outcome == "cancelled":
            self.say(f"Cancelled. {_HINT}" if task.results else "Cancelled.")
        else:
            words = str(outcome) or type(outcome).__name__
            if not isinstance(outcome, (DeconvolutionError, MemoryError)):
                words = f"Something went wrong that should not ({type(outcome).__name__}: {words})."
            self.say(words)
            show_error(words)

    def _take_results(self) -> None:
        """Show the results that have come since, and all of them in one contrast."""
        task = self._task
        if task is None or len(task.results) == self._shown:
            return
        results = list(task.results)
        names = varied(task.settings)
        for result in results[self._shown :]:
            cell = self.cells[result.index]
            if result.error:
                cell.show_error(result.error)
            else:
                cell.show_result(*told(result, names))
                cell.setToolTip(tooltip(result))
        self._shown = len(results)
        good = [result for result in results if result.thumbnail is not None]
        limits = common_limits(result.thumbnail for result in good if result.thumbnail is not None)
        best = best_of(good)
        for result in good:
            cell = self.cells[result.index]
            assert result.thumbnail is not None
            cell.show_picture(picture(result.thumbnail, limits, *self._colours))
            cell.mark(automatic=bool(names) and not result.setting.times, best=result is best)
        if task.original is not None:
            own = common_limits([task.original])
            self._original.show_picture(picture(task.original, own, *self._colours))

    def _choose(self, index: int) -> None:
        task = self._task
        result = next((r for r in task.results if r.index == index), None) if task else None
        if result is None or result.error:
            return
        for place, cell in enumerate(self.cells):
            cell.adopt(place == index)
        self.adopted.emit(result)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Make the pictures as large as the panel is wide."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if not self.cells:
            return
        size = self._picture_width(self._columns)
        if self._rows == 1:  # of several, the others are scrolled to
            size = min(size, self.area.height() - _WORDS)
        size = min(max(size, _SMALLEST), _LARGEST)
        for cell in (self._original, *self.cells):
            cell.resize_picture(size)

    def _picture_width(self, columns: int) -> int:
        return self._room() // columns - 16

    def _room(self) -> int:
        """Return the width that is left beside a scroll bar, which may come and go."""
        bar = self.area.verticalScrollBar()
        return self.area.width() - (bar.sizeHint().width() if bar is not None else 0)


def varied(settings: list[Setting]) -> list[str]:
    """Return the parameters that differ between the settings by a factor."""
    return list(dict.fromkeys(name for setting in settings for name in setting.times))


def expected(setting: Setting) -> str:
    """Return what a setting is called before it is tried."""
    if not setting.times:
        return methods()[setting.method].title
    return ", ".join(f"{_plain(name)} × {factor:g}" for name, factor in setting.times.items())


def told(result: SweepResult, names: list[str]) -> tuple[str, str, str]:
    """Return what a result is called, and what else is told below it."""
    used: Mapping[str, Any] = result.parameters
    entry = methods()[result.setting.method]
    time = duration(result.seconds)
    if names:
        first, *rest = [_value(name, used[name]) for name in names]
        return first, ", ".join(rest), time
    steps = _value("iterations", used["iterations"]) if entry.iterative else ""
    return entry.title, steps, time


def tooltip(result: SweepResult) -> str:
    """Return all that is known about a result."""
    own = methods()[result.setting.method].parameters
    lines = [f"<b>{methods()[result.setting.method].title}</b>"]
    lines += [
        f"{_plain(name)}: {_number(value)}"
        for name, value in result.parameters.items()
        if name in own or name == "iterations"
    ]
    if result.score is not None:
        lines.append(
            f"explained of photons it was not shown: {result.score:.5g} squared per voxel "
            "(higher is better)"
        )
    return f"<qt>{'<br>'.join(lines)}</qt>"


def _value(name: str, value: Any) -> str:
    if name == "iterations":
        return f"{value} iterations"
    return f"{_plain(name)} {_number(value)}"


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _plain(name: str) -> str:
    return name.replace("_", " ")
