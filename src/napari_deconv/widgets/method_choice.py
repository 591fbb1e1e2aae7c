"""Choose a method: by groups, with its one sentence, its papers, and what suits the image."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_deconv.registry import Group, Method, methods
from napari_deconv.widgets.form import labelled
from napari_deconv.widgets.grouped_choice import GroupedChoice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_deconv.widgets.recommendation import Recommendation

# In the order in which they are shown. Learned methods have docks of their own.
GROUPS: dict[Group, str] = {
    "fast": "Fast previews",
    "linear": "Linear, step by step",
    "statistical": "Statistical, for photons",
    "sparse": "With a prior, for few photons",
}
START = "richardson-lucy"
# Papers that are named below the method; the tooltip has all of them.
_NAMED = 2
_SMALL = "QLabel { font-size: 11px; }"
# Blue that can be read on dark and on light.
_LINK = '<a style="color:#3f8fd9" href="https://doi.org/{}">{}</a>'
_DOI = re.compile(r",?\s*\(?(?:doi:\s*|https?://doi\.org/)(10\.\S+?)\)?$", re.IGNORECASE)


class MethodChoice(QWidget):
    """The methods in groups; below them what the chosen one is for.

    Parameters
    ----------
    only
        Id of the one method there is to be; none for all that are not learned.

    Signals
    -------
    chosen
        Another method was chosen.
    recommended(Recommendation)
        The user takes what was recommended.
    """

    chosen = Signal()
    recommended = Signal(object)

    def __init__(self, only: str | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = GroupedChoice()
        self.box.setToolTip("<qt>How to restore. The line below tells what it is for.</qt>")
        self._offered = offered() if only is None else {only: methods()[only]}
        for group, title in GROUPS.items():
            entries = [entry for entry in self._offered.values() if entry.group == group]
            if entries:
                self.box.add_group(title, [(e.title, e.id, e.summary) for e in entries])
        if only is not None:
            self.box.add_group("", [(e.title, e.id, e.summary) for e in self._offered.values()])
        self.summary = _line()
        self.papers = _line()
        self.papers.setTextFormat(Qt.TextFormat.RichText)
        self.papers.setOpenExternalLinks(True)
        self.advice = _line()
        self.use_it = QPushButton("Use it")
        self.use_it.setToolTip("<qt>Choose this method and its settings.</qt>")
        self._recommendation: Recommendation | None = None
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self.advice, 1)
        row.addWidget(self.use_it)
        self.advised = QWidget()
        self.advised.setLayout(row)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        if only is not None:
            self.box.setParent(self)
            self.box.hide()
        else:
            column.addLayout(labelled("Method", self.box, tooltip=self.box.toolTip()))
        for widget in (self.summary, self.papers, self.advised):
            column.addWidget(widget)
        self.choose(only or START)
        self._show()
        self.box.currentIndexChanged.connect(self._on_chosen)
        self.use_it.clicked.connect(lambda: self.recommended.emit(self._recommendation))

    @property
    def method(self) -> Method:
        """The chosen method."""
        return self._offered[self.box.value]

    def choose(self, id_: str) -> None:
        """Choose a method; one that is not offered leaves the choice as it is."""
        if id_ in self.box.values:
            self.box.choose(id_)

    def recommend(self, recommendation: Recommendation | None) -> None:
        """Recommend a method, as long as it is not the chosen one."""
        self._recommendation = recommendation
        self._show_advice()

    def _on_chosen(self) -> None:
        self._show()
        self.chosen.emit()

    def _show(self) -> None:
        method = self.method
        self.summary.setText(method.summary)
        self.summary.setVisible(bool(method.summary))
        self.papers.setText(papers_text(method.cites[:_NAMED], more=len(method.cites) > _NAMED))
        self.papers.setToolTip(f"<qt>{'<br>'.join(escape(cite) for cite in method.cites)}</qt>")
        self.papers.setVisible(bool(method.cites))
        self._show_advice()

    def _show_advice(self) -> None:
        advice = self._recommendation
        shown = advice is not None and advice.method not in (self.method.id, None)
        self.advised.setVisible(shown and advice is not None and advice.method in self.box.values)
        if advice is not None:
            self.advice.setText(advice.words)


def offered() -> dict[str, Method]:
    """Return the methods of this dock, group by group; what is for teaching comes last in it."""
    entries = [entry for entry in methods().values() if entry.group in GROUPS]
    groups = list(GROUPS)
    entries.sort(key=lambda e: (groups.index(e.group), e.summary.startswith("Teaching"), e.title))
    return {entry.id: entry for entry in entries}


def papers_text(cites: Sequence[str], *, more: bool = False) -> str:
    """Return references as rich text, each a link to its paper where it has a DOI."""
    parts = []
    for cite in cites:
        found = _DOI.search(cite)
        if found is None:
            parts.append(escape(cite))
        else:
            name = escape(cite[: found.start()].strip())
            parts.append(_LINK.format(escape(found.group(1)), name))
    return "Paper: " + "; ".join(parts) + (" …" if more else "") if parts else ""


def _line() -> QLabel:
    made = QLabel()
    made.setWordWrap(True)
    made.setStyleSheet(_SMALL)
    return made
