"""The strip that every dock ends with: run, cancel, progress, curve, and what to do afterwards."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_deconv.widgets.buttons import button, row
from napari_deconv.widgets.curves import Curves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deconv.engine import Statistics
    from napari_deconv.widgets.tasks import Update

AMBER, RED = "#e0920a", "#ed5555"


class Strip(QWidget):
    """Buttons, progress, curve and messages; it shows and asks, and decides nothing.

    Parameters
    ----------
    verb
        What the main button says.
    preview, curve, continues, again, recipes
        Which parts the dock has.
    """

    preview_asked = Signal()
    run_asked = Signal()
    cancel_asked = Signal()
    keep_asked = Signal()
    drop_asked = Signal()
    python_asked = Signal()
    command_asked = Signal()
    continue_asked = Signal(int)
    again_menu_opens = Signal(object)

    def __init__(
        self,
        verb: str,
        *,
        preview: bool = True,
        again: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        self.preview = _asking(
            "Preview on a region",
            "Try these settings on a part of the image around the middle of the view, before the "
            "whole. It becomes a layer of its own that the next preview replaces.",
            self.preview_asked,
        )
        self.preview.setVisible(preview)
        self.run = _asking(verb, "Do it, as a new layer. No layer is overwritten.", self.run_asked)
        self.run.setProperty("emphasized", True)
        self.run.setStyleSheet("QPushButton { font-weight: bold; }")
        self.cancel = _asking(
            "Cancel",
            "Stop before the next step. You may keep what was reached.",
            self.cancel_asked,
        )
        self.cancel.setEnabled(False)
        layout.addLayout(row([(self.preview, 4), (self.run, 3), (self.cancel, 2)]))
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.status = QLabel()
        self.status.setTextFormat(Qt.TextFormat.PlainText)
        layout.addWidget(self.bar)
        layout.addWidget(self.status)
        self.curves = Curves()
        layout.addWidget(self.curves)
        self.said = ""
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextFormat(Qt.TextFormat.RichText)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout.addWidget(self.message)
        self._add_offers(layout)
        self._add_afterwards(layout, again=again)
        self.bar.hide()
        self.status.hide()
        self.say("")

    def _add_offers(self, layout: QVBoxLayout) -> None:
        self.keep = _asking(
            "Keep the estimate", "Add what was reached as a layer.", self.keep_asked
        )
        self.drop = _asking("Discard", "Forget it.", self.drop_asked)
        self.offers = QWidget()
        self.offers.setLayout(row([(self.keep, 1), (self.drop, 1)]))
        self.offers.hide()
        layout.addWidget(self.offers)

    def _add_afterwards(self, layout: QVBoxLayout, *, again: bool) -> None:
        self.python = _asking(
            "Copy as Python", "Copy Python code that does the same.", self.python_asked
        )
        self.command = _asking(
            "Copy as command", "Copy a shell command that does the same.", self.command_asked
        )
        self.again = button("Again on…", "Do the same with another layer.")
        menu = QMenu(self.again)
        menu.aboutToShow.connect(lambda: self.again_menu_opens.emit(menu))
        self.again.setMenu(menu)
        self.again.setVisible(again)
        self.more = button("Continue", "Take further iterations from here, without starting over.")
        self.more.clicked.connect(lambda: self.continue_asked.emit(self.more_steps.value()))
        self.more_steps = QSpinBox()
        self.more_steps.setRange(1, 10_000)
        self.more_steps.setValue(10)
        self.more_steps.setPrefix("+")
        self.more_steps.setSuffix(" iterations")
        self.more_steps.setToolTip("How many further iterations.")
        self.afterwards = QWidget()
        rows = QVBoxLayout(self.afterwards)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(6)
        rows.addLayout(row([(self.python, 4), (self.command, 4), (self.again, 3)]))
        self.continuing = QWidget()
        self.continuing.setLayout(row([(self.more, 1), (self.more_steps, 1)]))
        rows.addWidget(self.continuing)
        self.afterwards.hide()
        layout.addWidget(self.afterwards)

    def begin(self) -> None:
        """Show that something runs."""
        self.offers.hide()
        self.afterwards.hide()
        self.curves.clear()
        self.say("")
        self.bar.setRange(0, 0)
        self.bar.show()
        self.status.setText("Preparing")
        self.status.show()
        for each in (self.preview, self.run):
            each.setEnabled(False)
        self.cancel.setEnabled(True)

    def end(self) -> None:
        """Show that nothing runs any more."""
        self.bar.hide()
        self.bar.setRange(0, 1000)
        self.status.hide()
        for each in (self.preview, self.run):
            each.setEnabled(True)
        self.cancel.setEnabled(False)

    def show_update(self, update: Update, rate: float | None, left: float | None = None) -> None:
        """Show where the task is; ``rate`` is in steps per second, ``left`` in seconds."""
        if update.open_ended:
            self.bar.setRange(0, 0)
        else:
            self.bar.setRange(0, 1000)
            self.bar.setValue(int(1000 * update.fraction))
        self.status.setText(progress_text(update, rate, left))
        stop = update.total if update.total and not update.open_ended else None
        self.show_curve(update.statistics, stop)

    def show_curve(self, statistics: Sequence[Statistics], stop: int | None = None) -> None:
        """Draw the curve, marking the stop where it lies on it."""
        last = statistics[-1].iteration if statistics else 0
        self.curves.show_figures(statistics, stop if stop is not None and stop <= last else None)

    def say(self, text: str, notes: Sequence[str] = (), *, error: bool = False) -> None:
        """Show a message below the buttons, and what else should be known in lines of their own."""
        lines = [f'<span style="color:{RED}">{escape(text)}</span>' if error else escape(text)]
        lines += [f'<span style="color:{AMBER}">▲</span> {escape(note)}' for note in notes]
        self.message.setText("<br>".join(lines))
        self.message.setVisible(bool(text))
        self.said = "\n".join([text, *notes])

    def offer(self, *, can_continue: bool) -> None:
        """Offer what can be done after a run."""
        self.continuing.setVisible(can_continue)
        self.afterwards.show()


def progress_text(update: Update, rate: float | None, left: float | None = None) -> str:
    """Return ``18 of 30   14 per s   1 s left``."""
    if not update.iteration:
        return update.stage + "…"
    if update.total is None:
        parts = [f"{update.stage}: {update.iteration}"]
    else:
        parts = [f"{update.stage}: {update.iteration} of {update.total}"]
    if rate:
        parts.append(f"{rate:.0f} per s" if rate >= 2 else f"{1 / rate:.1f} s each")
    if left is not None:
        parts.append(f"{duration(left)} left")
    return "   ".join(parts)


def duration(seconds: float) -> str:
    """Return a length of time as people say it."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _asking(text: str, tooltip: str, signal: object) -> QPushButton:
    made = button(text, tooltip)
    made.clicked.connect(lambda: signal.emit())  # type: ignore[attr-defined]
    return made
