"""A combobox of image layers that follows the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from qtpy.QtGui import QPaintEvent


class LayerChoice(QComboBox):
    """Choose an image layer. The choice is a layer, not a row: it survives renaming and moving.

    Parameters
    ----------
    viewer
        Whose layers to offer.
    guess
        How likely a layer is meant, when nobody has chosen one: the highest above 0 is taken,
        the newest of equals.
    newest
        Whether a layer that comes later, and is as likely, takes the place of a guess.
    fixed
        Words that stand before the layers, each standing for itself.
    """

    chosen = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        guess: Callable[[Image], float] = lambda layer: 1.0,
        *,
        newest: bool = False,
        fixed: tuple[str, ...] = (),
        accepts: Callable[[Image], bool] = lambda layer: True,
        tooltip: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._guess, self._fixed, self._accepts = viewer, guess, fixed, accepts
        self._newest = newest
        self._picked = False
        self._layers: dict[int, Image] = {}
        self._offered: list[Image | str] = []
        self._announced: Image | str | None = None
        self.setPlaceholderText("no layer")
        self.setToolTip(tooltip)
        make_narrow(self)
        events = viewer.layers.events
        events.inserted.connect(self._follow)
        events.removed.connect(self._follow)
        events.reordered.connect(self._follow)
        when_gone(self, self.stop)
        self.activated.connect(self._activate)
        self._follow()

    def stop(self) -> None:
        """Stop following the viewer."""
        try:
            events = self._viewer.layers.events
        except ValueError:  # the garbage collector has emptied napari's proxy of the viewer
            return
        for emitter in (events.inserted, events.removed, events.reordered):
            emitter.disconnect(self._follow)
        for layer in self._layers.values():
            layer.events.name.disconnect(self._follow)
        self._layers = {}

    @property
    def layer(self) -> Image | None:
        """The chosen layer."""
        return self._current if isinstance(self._current, Image) else None

    @property
    def word(self) -> str | None:
        """The chosen word, when no layer is chosen."""
        return self._current if isinstance(self._current, str) else None

    @property
    def _current(self) -> Image | str | None:
        row = self.currentIndex()
        return self._offered[row] if 0 <= row < len(self._offered) else None

    def choose(self, value: Image | str | None) -> None:
        """Choose a layer or a word; None leaves the choice to the guess."""
        self._picked = value is not None
        self._show(value if value is not None else self._best())

    def refresh(self) -> None:
        """Offer other layers, after what is accepted has changed."""
        self._follow()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Shorten a long name in its middle: layers often differ at the end."""
        paint_shortened(self, Qt.TextElideMode.ElideMiddle)

    def _activate(self) -> None:
        self._picked = True
        self._announced = self._current
        self.chosen.emit()

    def _follow(self, event: Any = None) -> None:
        images = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        current = self._current
        known = set(self._layers)
        now = {id(layer): layer for layer in images}
        for key in known - set(now):
            self._layers.pop(key).events.name.disconnect(self._follow)
        for layer in images:
            if id(layer) not in known:
                self._layers[id(layer)] = layer
                layer.events.name.connect(self._follow)
        offered: list[Image | str] = [*self._fixed]
        offered += [layer for layer in images if self._accepts(layer)]
        blocked = self.blockSignals(True)
        self.clear()
        self._offered = offered
        for value in offered:
            name = value if isinstance(value, str) else value.name
            self.addItem(name)
            self.setItemData(self.count() - 1, name, Qt.ItemDataRole.ToolTipRole)
        self.setCurrentIndex(-1)
        self.blockSignals(blocked)
        gone = not any(same(value, current) for value in offered)
        if gone:
            self._picked = False
        keep = current if self._picked or isinstance(current, str) else self._best()
        if gone and isinstance(current, Image) and not self._fixed:
            # Whoever removed the chosen layer did not choose another one by that.
            keep = None
        self._show(keep)

    def _best(self) -> Image | str | None:
        if self._fixed:
            return self._fixed[0]
        likely = [
            (self._guess(layer), not self._newest and layer is self._announced, place, layer)
            for place, layer in enumerate(self._layers.values())
            if self._accepts(layer)
        ]
        score, *_, layer = max(likely, key=lambda each: each[:3], default=(0.0, None))
        return layer if score > 0 else None

    def _show(self, value: Image | str | None) -> None:
        rows = [row for row, each in enumerate(self._offered) if same(each, value)]
        blocked = self.blockSignals(True)
        self.setCurrentIndex(rows[0] if rows else -1)
        self.blockSignals(blocked)
        if not same(self._current, self._announced):
            self._announced = self._current
            self.chosen.emit()


def same(one: Image | str | None, other: Image | str | None) -> bool:
    """Whether two choices are the same layer or the same word."""
    return one is other or (isinstance(one, str) and one == other)


def paint_shortened(box: QComboBox, mode: Qt.TextElideMode) -> None:
    """Paint a combobox with its text shortened to the room there is."""
    painter, option = QStylePainter(box), QStyleOptionComboBox()
    box.initStyleOption(option)
    painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
    edit = QStyle.SubControl.SC_ComboBoxEditField
    room = box.style().subControlRect(  # type: ignore[union-attr]
        QStyle.ComplexControl.CC_ComboBox, option, edit, box
    )
    text = option.currentText or box.placeholderText()
    option.currentText = box.fontMetrics().elidedText(text, mode, room.width() - 6)
    painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


def make_narrow(box: QComboBox) -> None:
    """Let a combobox take the room there is, whatever the length of its words."""
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    box.setMinimumContentsLength(6)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)


def when_gone(widget: QWidget, act: Callable[[], None]) -> None:
    """Call a method of a widget when Qt has deleted it; a direct connection would be cut first."""
    widget.destroyed.connect(_Farewell(act))


class _Farewell:
    """Calls a method, unless Python is just taking its object to pieces.

    Where Python's garbage collector is what deletes the widget, it has emptied everything that
    only the widget held before Qt tells of its end. A function with a closure, called then, ends
    the process; this one finds nothing to call.
    """

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act

    def __call__(self, *_: object) -> None:
        act = getattr(self, "_act", None)
        if act is not None and vars(act.__self__):
            act()
