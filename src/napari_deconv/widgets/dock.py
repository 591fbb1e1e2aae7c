"""What every dock does: choose, run one job at a time, turn what comes out into layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer
from napari.utils.notifications import (
    ErrorNotification,
    notification_manager,
    show_error,
)
from napari.utils.theme import get_theme
from qtpy.QtCore import QSize
from qtpy.QtGui import QAction, QGuiApplication
from qtpy.QtWidgets import QMenu, QSizePolicy, QVBoxLayout, QWidget

from napari_deconv.errors import DeconvolutionError
from napari_deconv.widgets.choice import LayerChoice, when_gone
from napari_deconv.widgets.column import Column
from napari_deconv.widgets.layers import is_psf
from napari_deconv.widgets.pace import Pace
from napari_deconv.widgets.passing import PassingLayers
from napari_deconv.widgets.preferences import Preferences, recall, remember
from napari_deconv.widgets.regions import PREVIEW, Regions
from napari_deconv.widgets.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

    from napari_deconv.widgets.form import Form
    from napari_deconv.widgets.strip import Strip
    from napari_deconv.widgets.tasks import Picture, Task, Update

WIDTH = 360


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
        self._is_preview = False
        self._warnings: list[str] = []
        self._pace = Pace()
        self._forms: dict[str, Form] = {}
        self.passing = PassingLayers(viewer, self._source_layer)
        self.regions = Regions(viewer)
        self.area = Column(WIDTH - 20)
        self.column = self.area.rows
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.area)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
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
        when_gone(self, self._leave)
        self._take_theme()

    # What a dock says for itself -------------------------------------------------------------

    def make_task(self, *, preview: bool) -> Task | None:
        """Return what to run with the present settings; None when the user thinks better of it."""
        raise NotImplementedError

    def add_results(self, task: Any, *, preview: bool) -> Layer | None:
        """Add what came out to the viewer and say so; return the layer."""
        raise NotImplementedError

    def source_choice(self) -> LayerChoice | None:
        """Return the combobox of the layer that the work is done on."""
        return None

    # Settings --------------------------------------------------------------------------------

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
        if task is not None:
            self.start(task, preview=preview)

    def start(self, task: Task, *, preview: bool) -> None:
        """Start a task."""
        self.remember()
        choice = self.source_choice()
        if choice is not None:
            choice.choose(choice.layer)  # layers that come now do not change the choice
        self._kept = None
        self._is_preview = preview
        self._pace = Pace()
        self._warnings = []
        self.strip.begin()
        self.runner.start(task)

    def _on_update(self, update: Update) -> None:
        self.strip.show_update(update, *self._pace.look(update))
        if update.picture is not None:
            self.passing.show_live(update.picture, self.make_live)

    def _on_finished(self, task: Any, outcome: Any) -> None:
        self.strip.end()
        self.passing.drop_live()
        if outcome == "done":
            self.passing.drop_preview()
            layer = self.add_results(task, preview=self._is_preview)
            if self._is_preview:
                self.passing.keep_preview(layer)
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
        return self.passing.add(layer, select=select)

    def make_live(self, picture: Picture) -> Layer | None:
        """Return a layer for what a running task has so far; None to show nothing."""
        return None

    def region(self, layer: Image, level: int = 0) -> tuple[slice, ...]:
        """Return the part of a layer that a preview is of, at one of its resolutions."""
        return self.regions.around(layer, PREVIEW, bounded=False, level=level)

    def _source_layer(self) -> Image | None:
        choice = self.source_choice()
        return choice.layer if choice is not None else None

    def _fill_again_menu(self, menu: QMenu) -> None:
        menu.clear()
        current = self._source_layer()
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
            hex_of(getattr(theme, name)) for name in ("text", "foreground", "current")
        )
        self.strip.curves.set_colours(ink, paper, accent)

    def _leave(self) -> None:
        """Stop what runs and follow nobody any more: the dock is gone."""
        self.viewer.events.theme.disconnect(self._take_theme)
        self.passing.stop()
        self.runner.abandon()


def hex_of(colour: Any) -> str:
    """Return a theme's colour as ``#rrggbb``."""
    return str(colour.as_hex()) if hasattr(colour, "as_hex") else str(colour)
