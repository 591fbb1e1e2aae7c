"""One setting in the contact sheet: its picture, what it is, and how good."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from napari_deconv.widgets.strip import AMBER, RED

if TYPE_CHECKING:
    from qtpy.QtGui import QKeyEvent, QMouseEvent, QPixmap

_GREEN = "#43b581"
_WAITING = "waiting…"


class SweepCell(QFrame):
    """A picture above some words; a click or the Enter key chooses it.

    Parameters
    ----------
    title
        What it is called until there is a result.
    """

    clicked = Signal()

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("cell")
        self.picture = QLabel()
        self.words = QLabel()
        for part in (self.picture, self.words):
            part.setAlignment(Qt.AlignmentFlag.AlignCenter)
            part.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.picture.setWordWrap(True)
        self.picture.setStyleSheet("QLabel { font-size: 11px; background: rgba(0, 0, 0, 60); }")
        self.words.setTextFormat(Qt.TextFormat.RichText)
        self.words.setWordWrap(True)
        self.words.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
        self.words.setStyleSheet("QLabel { font-size: 11px; }")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(3, 3, 3, 3)
        layout.setSpacing(2)
        layout.addWidget(self.picture)
        layout.addWidget(self.words, 1)
        self.ready = self.adopted = False
        self._pixmap: QPixmap | None = None
        self._title, self._lines = title, [""]
        self._marks: tuple[str, ...] = ()
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.picture.setText(_WAITING)
        self._write()
        self.adopt(False)

    def resize_picture(self, size: int) -> None:
        """Show the picture in a square of this many pixels."""
        self.picture.setFixedSize(size, size)
        self.words.setFixedWidth(size)
        self._make_room()
        if self._pixmap is not None:
            smaller = max(self._pixmap.width(), self._pixmap.height()) > size
            mode = Qt.TransformationMode
            self.picture.setPixmap(
                self._pixmap.scaled(
                    size,
                    size,
                    Qt.AspectRatioMode.KeepAspectRatio,
                    mode.SmoothTransformation if smaller else mode.FastTransformation,
                )
            )

    def show_idle(self) -> None:
        """Wait no more for a picture that will not come."""
        if self.picture.text() == _WAITING:
            self.picture.setText("–")

    def show_picture(self, pixmap: QPixmap) -> None:
        """Show what came out."""
        self._pixmap = pixmap
        self.resize_picture(self.picture.width())

    def show_result(self, title: str, *lines: str) -> None:
        """Tell what it is, and let it be chosen."""
        self._title, self._lines = title, list(lines)
        self.ready = True
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._write()

    def show_words(self, title: str, *lines: str) -> None:
        """Tell what it is; it cannot be chosen."""
        self._title, self._lines = title, list(lines)
        self._write()

    def show_error(self, words: str) -> None:
        """Tell why there is no picture."""
        self.picture.setText(f'<span style="color:{RED}">did not work</span>')
        self.setToolTip(f"<qt>{escape(words)}</qt>")
        self._lines = [words if len(words) < 60 else words[:57] + "…"]
        self._write()

    def mark(self, *, automatic: bool, best: bool) -> None:
        """Mark what automatic chose, and what tells unseen photons best."""
        marks = []
        if automatic:
            marks.append(f'<span style="color:{_GREEN}">● automatic</span>')
        if best:
            marks.append(f'<span style="color:{AMBER}">★ predicts best</span>')
        if tuple(marks) != self._marks:
            self._marks = tuple(marks)
            self._write()

    def adopt(self, adopted: bool) -> None:
        """Show whether this is the setting that was taken."""
        self.adopted = adopted
        colour = "#4fa8ff" if adopted else "transparent"
        self.setStyleSheet(f"QFrame#cell {{ border: 2px solid {colour}; border-radius: 4px; }}")

    def _write(self) -> None:
        lines = [f"<b>{escape(self._title)}</b>"]
        lines += [escape(line) for line in self._lines if line]
        lines += self._marks
        self.words.setText("<br>".join(lines))
        self._make_room()

    def _make_room(self) -> None:
        """Let the words have all their lines; a grid of wrapped labels forgets some."""
        self.words.setMinimumHeight(self.words.heightForWidth(self.words.width()))

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Choose it."""
        left = event is not None and event.button() == Qt.MouseButton.LeftButton
        if left and self.ready and self.rect().contains(_position(event)):
            self.clicked.emit()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Choose it by the keyboard."""
        keys = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space)
        if event is not None and self.ready and event.key() in keys:
            self.clicked.emit()
        else:
            super().keyPressEvent(event)


def _position(event: Any) -> Any:
    return event.position().toPoint() if hasattr(event, "position") else event.pos()
