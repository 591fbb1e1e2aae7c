"""What every dock does: choose, run one job at a time, turn what comes out into layers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils.notifications import (
    ErrorNotification,
    notification_manager,
    show_error,
)
from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QAction, QGuiApplication
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_deconv.errors import DeconvolutionError, InputError
from napari_deconv.widgets.choice import LayerChoice, when_gone
from napari_deconv.widgets.form import LABEL_WIDTH, Form, label
from napari_deconv.widgets.layers import (
    Snapshot,
    describe,
    is_psf,
    is_result,
    lacks_unit,
    set_voxel_size,
    spatial_ndim,
)
from napari_deconv.widgets.preferences import Preferences, recall, remember
from napari_deconv.widgets.runner import Runner
from napari_deconv.widgets.strip import AMBER

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

    from napari_deconv.widgets.strip import Strip
    from napari_deconv.widgets.tasks import Picture, Task, Update

WIDTH = 360
# A preview has at most so many voxels along an axis.
_REGION = {2: (512, 512), 3: (64, 160, 160)}


class Dock(QWidget):
    """The common part of the docks: a column of widgets that ends with the strip.

    Parameters
    ----------
    viewer
        The napari viewer.
    name
        Under which settings are remembered.
    strip
        The strip.
    """

    def __init__(self, viewer: ViewerModel, name: str, strip: Strip) -> None:
        super().__init__()
        self.viewer, self.strip = viewer, strip
        self.runner = Runner(self)
        self._name = name
        self._kept: Callable[[], None] | None = None
        self._preview_layer: Layer | None = None
        self._live_layer: Layer | None = None
        self._is_preview = False
        self._warnings: list[str] = []
        self._pace: tuple[str, float, int] = ("", 0.0, 0)
        self._forms: dict[str, Form] = {}
        self.column = self._scrolling_column()
        self.runner.updated.connect(self._on_update)
        self.runner.finished.connect(self._on_finished)
        self.runner.warned.connect(self._on_warned)
        strip.run_asked.connect(self.run)
        strip.preview_asked.connect(self.preview)
        strip.cancel_asked.connect(self.runner.cancel)
        strip.keep_asked.connect(self._keep)
        strip.drop_asked.connect(self._drop)
        strip.again_menu_opens.connect(self._fill_again_menu)
        viewer.events.theme.connect(self._take_theme)
        viewer.layers.events.removed.connect(self._on_removed)
        when_gone(self, self._leave)
        self._take_theme()

    # What a dock says for itself -------------------------------------------------------------

    def make_task(self, *, preview: bool) -> Task:
        """Return what to run with the present settings."""
        raise NotImplementedError

    def add_results(self, task: Any, *, preview: bool) -> Layer | None:
        """Add what came out to the viewer and say so; return the layer."""
        raise NotImplementedError

    def source_choice(self) -> LayerChoice | None:
        """Return the combobox of the layer that the work is done on."""
        return None

    # Building --------------------------------------------------------------------------------

    def _scrolling_column(self) -> QVBoxLayout:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(7)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inside)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self.setMinimumWidth(WIDTH - 20)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.area = area
        inside.installEventFilter(self)
        return column

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Be as wide as what is inside needs, whatever font it is shown in."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            bar = self.area.verticalScrollBar()
            width = self.area.widget().minimumSizeHint().width()  # type: ignore[union-attr]
            if bar is not None and bar.isVisible():
                width += bar.sizeHint().width()
            self.setMinimumWidth(max(WIDTH - 20, width))
        return super().eventFilter(watched, event)

    def remember_form(self, key: str, form: Form) -> None:
        """Fill a form with its last settings, and keep them whenever they change."""
        form.set_values(recall(self._name).get(key, {}))
        self._forms[key] = form
        form.changed.connect(self.remember)

    def remember(self) -> None:
        """Keep the settings of all forms."""
        values = recall(self._name)
        remember(
            self._name, values | {key: form.valid_values() for key, form in self._forms.items()}
        )

    def recalled(self, key: str) -> Any:
        """Return a setting that is not a form's."""
        return recall(self._name).get(key)

    def remember_value(self, key: str, value: Any) -> None:
        """Keep a setting that is not a form's."""
        remember(self._name, recall(self._name) | {key: value})

    def sizeHint(self) -> QSize:
        """Ask for the width that the docks are laid out for."""
        return QSize(WIDTH, 860)

    # Running ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Do the whole."""
        self._start(preview=False)

    def preview(self) -> None:
        """Do a part, around the middle of the view."""
        self._start(preview=True)

    def _start(self, *, preview: bool) -> None:
        if self.runner.busy:
            return
        try:
            task = self.make_task(preview=preview)
        except DeconvolutionError as error:
            self._report(error)
            return
        self.start(task, preview=preview)

    def start(self, task: Task, *, preview: bool) -> None:
        """Start a task."""
        self.remember()
        choice = self.source_choice()
        if choice is not None:
            choice.choose(choice.layer)  # layers that come now do not change the choice
        self._kept = None
        self._is_preview = preview
        self._pace = ("", 0.0, 0)
        self._warnings = []
        self.strip.begin()
        self.runner.start(task)

    def _on_update(self, update: Update) -> None:
        stage, began, first = self._pace
        now = time.perf_counter()
        if update.stage != stage:
            self._pace = (update.stage, now, update.iteration)
            began, first = now, update.iteration
        steps, seconds = update.iteration - first, now - began
        self.strip.show_update(update, steps / seconds if steps > 0 and seconds > 0.3 else None)
        if update.picture is not None:
            self._show_live(update.picture)

    def _on_finished(self, task: Any, outcome: Any) -> None:
        self.strip.end()
        self._remove("_live_layer")
        if outcome == "done":
            self._remove("_preview_layer")
            layer = self.add_results(task, preview=self._is_preview)
            if self._is_preview:
                self._preview_layer = layer
        elif outcome == "cancelled":
            self.offer_last(task)
        else:
            self._report(outcome)
        self.after(task, outcome)

    def after(self, task: Any, outcome: Any) -> None:
        """Do what is to be done after every run, whatever came of it."""

    def offer_last(self, task: Any) -> None:
        """After a cancel, offer what was reached."""
        self.strip.say("Cancelled. No layer was changed.")

    def offer_to_keep(self, words: str, add: Callable[[], None]) -> None:
        """Ask whether to keep something."""
        self._kept = add
        self.strip.say(words)
        self.strip.offers.show()

    def _keep(self) -> None:
        add, self._kept = self._kept, None
        self.strip.offers.hide()
        if add is not None:
            add()

    def _drop(self) -> None:
        self._kept = None
        self.strip.offers.hide()
        self.strip.say("")

    def _on_warned(self, words: str) -> None:
        self._warnings.append(words)

    def _report(self, error: Exception) -> None:
        """Tell what went wrong: in plain words what a person can mend, with its trace the rest."""
        if isinstance(error, (DeconvolutionError, MemoryError)):
            words = str(error) or "There is not enough memory for this."
            self.strip.say(words, error=True)
            show_error(words)
            return
        self.strip.say(
            f"Something went wrong that should not ({type(error).__name__}: {error}). No layer "
            "was changed. The notification at the lower right shows where it comes from.",
            error=True,
        )
        notification_manager.dispatch(ErrorNotification(error))

    # Layers ----------------------------------------------------------------------------------

    def add(self, layer: Layer, *, select: bool = True) -> Layer:
        """Add a layer to the viewer."""
        chosen = list(self.viewer.layers.selection)
        self.viewer.add_layer(layer)
        if not select:
            self._reselect(chosen)
        return layer

    def make_live(self, picture: Picture) -> Layer | None:
        """Return a layer for what a running task has so far; None to show nothing."""
        return None

    def _show_live(self, picture: Picture) -> None:
        """Show the running task's picture; if someone removed the layer, leave it at that."""
        if self._live_layer is None:
            layer = self.make_live(picture)
            if layer is not None:
                self._live_layer = self.add(layer, select=False)
        elif self._live_layer in self.viewer.layers:
            self._live_layer.data = picture.data
            if picture.limits is not None:
                self._live_layer.contrast_limits = picture.limits

    def _remove(self, which: str) -> None:
        layer = getattr(self, which)
        setattr(self, which, None)
        if layer is not None and layer in self.viewer.layers:
            chosen = [other for other in self.viewer.layers.selection if other is not layer]
            self.viewer.layers.remove(layer)
            self._reselect(chosen)

    def _reselect(self, layers: list[Layer]) -> None:
        """Select what was selected: menus look at the selection, and an empty one hides them."""
        still = [layer for layer in layers if layer in self.viewer.layers]
        choice = self.source_choice()
        if not still and choice is not None and choice.layer is not None:
            still = [choice.layer]
        if still:
            self.viewer.layers.selection = set(still)

    def _on_removed(self, event: Any) -> None:
        if self._preview_layer is not None and self._preview_layer is event.value:
            self._preview_layer = None

    def region(self, layer: Image) -> tuple[slice, ...]:
        """Return slices around the middle of the view: the present time and channel, bounded."""
        array = layer.data[0] if layer.multiscale else layer.data
        shape = array.shape
        spatial = min(spatial_ndim(layer), len(shape))
        camera = (self.viewer.scene if hasattr(self.viewer, "scene") else self.viewer).camera
        world = list(self.viewer.dims.point)
        for axis, place in zip(self.viewer.dims.displayed, camera.center[-2:], strict=False):
            if self.viewer.dims.ndisplay == 2:
                world[axis] = place
        if self.viewer.dims.ndisplay == 3:
            for axis, place in zip(self.viewer.dims.displayed, camera.center, strict=False):
                world[axis] = place
        middle = np.asarray(layer.world_to_data(world[-len(shape) :]))
        slices = []
        for axis, n in enumerate(shape):
            place = int(np.clip(np.rint(middle[axis]), 0, n - 1))
            kept = axis - (len(shape) - spatial)
            size = min(n, _REGION[spatial][kept]) if kept >= 0 else 1
            start = int(np.clip(place - size // 2, 0, n - size))
            slices.append(slice(start, start + size))
        return tuple(slices)

    def _fill_again_menu(self, menu: QMenu) -> None:
        menu.clear()
        choice = self.source_choice()
        current = choice.layer if choice is not None else None
        others = [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Image) and layer is not current and not is_psf(layer)
        ]
        for layer in others:
            action = menu.addAction(layer.name)
            action.triggered.connect(lambda _=False, layer=layer: self.run_again_on(layer))
        if not others:
            nothing = QAction("There is no other image layer", menu)
            nothing.setEnabled(False)
            menu.addAction(nothing)

    def run_again_on(self, layer: Image) -> None:
        """Do the same with another layer."""
        choice = self.source_choice()
        if choice is not None:
            choice.choose(layer)
            self.run()

    # The rest --------------------------------------------------------------------------------

    def preferences(self) -> Preferences:
        """Return the plugin's preferences as they are now."""
        return Preferences.read()

    def copy(self, make: Callable[[], str], what: str) -> None:
        """Put text on the clipboard."""
        try:
            text = make()
        except DeconvolutionError as error:
            self._report(error)
            return
        QGuiApplication.clipboard().setText(text)  # type: ignore[union-attr]
        self.strip.say(f"The {what} is on the clipboard.")

    def _take_theme(self, event: Any = None) -> None:
        theme = get_theme(self.viewer.theme)
        ink, paper, accent = (
            _hex(getattr(theme, name)) for name in ("text", "foreground", "current")
        )
        self.strip.curve.set_colours(ink, paper, accent)

    def _leave(self) -> None:
        """Stop what runs and follow nobody any more: the dock is gone."""
        self.viewer.events.theme.disconnect(self._take_theme)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.runner.abandon()


def _hex(colour: Any) -> str:
    return str(colour.as_hex()) if hasattr(colour, "as_hex") else str(colour)


class SourceRow(QWidget):
    """Choose an image: combobox, what it is, and its voxel size where it does not tell.

    Parameters
    ----------
    viewer
        The viewer.
    title, tooltip
        Of the combobox.
    """

    def __init__(self, viewer: ViewerModel, title: str, tooltip: str) -> None:
        super().__init__()
        self.choice = LayerChoice(viewer, image_guess, tooltip=f"<qt>{tooltip}</qt>")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(labelled(title, self.choice, tooltip=tooltip))
        self.info = QLabel()
        self.info.setTextFormat(Qt.TextFormat.PlainText)
        self.info.setWordWrap(True)
        self.info.setStyleSheet("QLabel { font-size: 11px; }")
        layout.addWidget(self.info)
        self.sizes = VoxelSize()
        layout.addWidget(self.sizes)
        self.sizes.applied.clicked.connect(self._apply)
        self._watched: Image | None = None
        self.choice.chosen.connect(self._show)
        when_gone(self, self._unwatch)
        self._show()

    @property
    def layer(self) -> Image | None:
        """The chosen layer."""
        return self.choice.layer

    def snapshot(self) -> Snapshot:
        """Return the chosen layer as it is now.

        Raises
        ------
        InputError
            When there is none, or it is a colour picture.
        """
        if self.layer is None:
            raise InputError("Choose the image layer first.")
        return Snapshot.of(self.layer)

    def _show(self, event: Any = None) -> None:
        layer = self.layer
        if layer is not self._watched:
            self._unwatch()
            self._watched = layer
            if layer is not None:
                for emitter in self._emitters(layer):
                    emitter.connect(self._show)
        self.info.setText("" if layer is None else describe(layer))
        self.info.setVisible(layer is not None)
        unknown = layer is not None and not layer.rgb and lacks_unit(layer)
        self.sizes.setVisible(unknown)
        if unknown and layer is not None:
            self.sizes.suggest(layer)

    def _apply(self) -> None:
        if self.layer is not None and self.sizes.values is not None:
            set_voxel_size(self.layer, self.sizes.values)
            self._show()
            self.choice.chosen.emit()

    def _unwatch(self) -> None:
        if self._watched is not None:
            for emitter in self._emitters(self._watched):
                emitter.disconnect(self._show)
        self._watched = None

    @staticmethod
    def _emitters(layer: Image) -> list[Any]:
        return [layer.events.scale, layer.events.units, layer.events.data]


class VoxelSize(QWidget):
    """Ask for the voxel size of a layer that is in pixels."""

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        words = QLabel(
            f'<span style="color:{AMBER}">▲</span> This layer\'s unit is the pixel. How large is a '
            "voxel, in µm?"
        )
        words.setWordWrap(True)
        layout.addWidget(words)
        row = QHBoxLayout()
        row.setSpacing(6)
        self.edits: dict[str, QLineEdit] = {}
        self._names: dict[str, QLabel] = {}
        for axis in "ZYX":
            edit = QLineEdit()
            edit.setPlaceholderText("µm")
            edit.setToolTip(f"<qt>Size of a voxel along {axis}, in micrometres.</qt>")
            edit.textChanged.connect(self._judge)
            self._names[axis] = QLabel(axis)
            self.edits[axis] = edit
            row.addWidget(self._names[axis])
            row.addWidget(edit, 1)
        self.applied = QPushButton("Set")
        self.applied.setToolTip("<qt>Write this size into the layer's scale and units.</qt>")
        row.addWidget(self.applied)
        layout.addLayout(row)
        self._axes = "ZYX"
        self._judge()

    def suggest(self, layer: Image) -> None:
        """Show the axes of a layer; its scale, if it has one, is probably meant in um."""
        self._axes = "ZYX"[-min(3, spatial_ndim(layer)) :]
        scale = [abs(float(s)) for s in layer.scale[-len(self._axes) :]]
        told = any(abs(s - 1) > 1e-9 for s in scale)
        for axis, edit in self.edits.items():
            edit.setVisible(axis in self._axes)
            self._names[axis].setVisible(axis in self._axes)
        for axis, size in zip(self._axes, scale, strict=True):
            self.edits[axis].setText(f"{size:g}" if told else "")
        self._judge()

    @property
    def values(self) -> tuple[float, ...] | None:
        """The sizes, um; None until all of them are numbers above zero."""
        try:
            sizes = [float(self.edits[axis].text().replace(",", ".")) for axis in self._axes]
        except ValueError:
            return None
        return tuple(sizes) if all(0 < size < 1e4 for size in sizes) else None

    def _judge(self) -> None:
        self.applied.setEnabled(self.values is not None)


def image_guess(layer: Image) -> float:
    """Return how likely a layer is the one to restore."""
    return 0.0 if is_psf(layer) or is_result(layer) or layer.rgb else 1.0


def psf_guess(layer: Image) -> float:
    """Return how likely a layer is the PSF."""
    return 1.0 if is_psf(layer) else 0.0


def labelled(
    title: str, *widgets: QWidget, tooltip: str = "", width: int = LABEL_WIDTH
) -> QHBoxLayout:
    """Return a row of a label and widgets, the first of which takes the room."""
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(8)
    row.addWidget(label(title, tooltip, width))
    for place, widget in enumerate(widgets):
        row.addWidget(widget, 1 if place == 0 else 0)
    return row
