"""What a PSF means, in a line each; the whole of it by hovering."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_deconv.widgets.strip import AMBER, RED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deconv.optics.advice import Advice

GREEN, BLUE = "#43b581", "#6fa8dc"
_COLOURS = {"fine": GREEN, "note": BLUE, "warning": AMBER, "problem": RED}
_SIGNS = {"fine": "●", "note": "●", "warning": "▲", "problem": "■"}
# Lines shown at once: more would hide the buttons below them.
_MOST = 4


class AdviceList(QWidget):
    """Lines with a coloured sign; it shows and judges nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._rows = QVBoxLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(2)
        self.labels: list[QLabel] = []

    def show_advice(self, advice: Sequence[Advice]) -> None:
        """Show advice; what is fine only where nothing else is to be said."""
        advice = [replace(each, words=re.sub(r"\bum\b", "µm", each.words)) for each in advice]
        told = [each for each in advice if each.level != "fine"] or advice
        if not told:
            self._show([(GREEN, "●", "The voxels hold all that the microscope shows.", "")])
            return
        lines = [
            (_COLOURS[each.level], _SIGNS[each.level], beginning(each.words), each.words)
            for each in told[:_MOST]
        ]
        if len(told) > _MOST:
            rest = " ".join(each.words for each in told[_MOST:])
            lines.append((BLUE, "●", f"… and {len(told) - _MOST} more.", rest))
        self._show(lines)

    def show_problem(self, words: str) -> None:
        """Show why there is no PSF."""
        self._show([(AMBER, "▲", words, "")])

    @property
    def text(self) -> str:
        """All that is shown, without the tooltips."""
        return "\n".join(label.text() for label in self.labels)

    def _show(self, lines: Sequence[tuple[str, str, str, str]]) -> None:
        while len(self.labels) < len(lines):
            label = QLabel()
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.RichText)
            self._rows.addWidget(label)
            self.labels.append(label)
        for place, label in enumerate(list(self.labels)):
            if place >= len(lines):
                self._rows.removeWidget(label)
                label.deleteLater()
                self.labels.remove(label)
                continue
            colour, sign, words, whole = lines[place]
            label.setText(f'<span style="color:{colour}">{sign}</span> {escape(words)}')
            label.setToolTip(f"<qt>{escape(whole)}</qt>" if whole else "")


def beginning(words: str) -> str:
    """Return the first sentence, with dots where more follows.

    >>> beginning("Pixels are 1.1 times too coarse: detail is lost.")
    'Pixels are 1.1 times too coarse …'
    """
    found = re.match(r"(.+?)(?:[.:;] |[.]?$)", words, re.DOTALL)
    first = found.group(1) if found else words
    return f"{first}." if len(first) >= len(words) - 1 else f"{first} …"
