"""The Deconvolution dock's contact sheet: what to compare there, and what becomes of a choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_deconv.engine.options import OF_ITERATIONS, Options
from napari_deconv.engine.settings import Setting, each_method, grid, main_strength
from napari_deconv.errors import DeconvolutionError, InputError
from napari_deconv.registry import parameters_of
from napari_deconv.widgets.choice import when_gone
from napari_deconv.widgets.comparison import Comparison
from napari_deconv.widgets.layers import spatial_ndim
from napari_deconv.widgets.look import psf_arrays
from napari_deconv.widgets.method_choice import offered
from napari_deconv.widgets.sweep_panel import ALL, ONE, SweepPanel

if TYPE_CHECKING:
    from napari_deconv.engine import SweepResult
    from napari_deconv.widgets.deconvolution import DeconvolutionWidget

# Most voxels of the region along an axis.
_REGION = {2: (224, 224), 3: (16, 96, 96)}
_TITLE = "Compare settings"
_HEIGHT = 300


class Sweeping(QObject):
    """Opens the panel, gives it its tasks, and takes the setting that was chosen.

    Parameters
    ----------
    dock
        Whose image, PSF and form it is about.
    """

    def __init__(self, dock: DeconvolutionWidget) -> None:
        super().__init__(dock)
        self._dock = dock
        self.panel: SweepPanel | None = None
        self._gone = False
        when_gone(dock, self._close)

    def open(self) -> None:
        """Show the panel below the view, and compare what is chosen in it."""
        if self.panel is None:
            panel = SweepPanel()
            panel.asked.connect(self._compare)
            panel.region_asked.connect(self._draw)
            panel.adopted.connect(self._adopt)
            panel.running.connect(self._dock.checker.pause)
            self._dock.method.chosen.connect(self._name)
            when_gone(panel, self._forget)
            self.panel = panel
            self._name()
            self._dock.viewer.window.add_dock_widget(panel, name=_TITLE, area="bottom")
            _make_high(panel)
        frame = _frame(self.panel)
        if frame is not None:
            frame.show()
            frame.raise_()
        if not self.panel.runner.busy:
            self._compare(self.panel.what.currentData())

    def _compare(self, what: str) -> None:
        panel = self.panel
        assert panel is not None
        if panel.runner.busy:
            return
        try:
            task = self._task(what, panel.columns)
        except DeconvolutionError as error:
            panel.say(str(error))
            return
        layer = self._dock.image.layer
        assert layer is not None
        panel.start(task, layer.colormap, float(layer.gamma))

    def _task(self, what: str, columns: int) -> Comparison:
        dock = self._dock
        image, psf = dock.image.snapshot(), dock.psf_snapshot()
        options = dock.options(image, psf)
        entry = dock.chosen_method
        common = parameters_of(Options)
        own = [k for k in options if k in OF_ITERATIONS or k not in common]
        values = {k: options.pop(k) for k in own}
        if what == ONE:
            strength = main_strength(entry)
            centre = {"iterations", strength.name} if strength is not None else {"iterations"}
            rows = grid(entry.id, {k: v for k, v in values.items() if k not in centre})
        else:
            ids = [k for k, v in offered().items() if what in (ALL, v.group)]
            rows = _in_rows(each_method(ids), columns)
        background = dock.background.snapshot()
        if background is not None:
            options["background"] = background.data
        layer = dock.image.layer
        if layer is None:
            raise InputError("Choose the image layer first.")
        region = dock.regions.around(layer, _REGION)
        return Comparison(
            image,
            psf_arrays(dock.psf.layer),
            rows,
            options,
            region=region,
            plane=self._plane(layer, region),
        )

    def _plane(self, layer: Any, region: tuple[slice, ...]) -> int | None:
        """Return which plane of the region is the one in view; None for a flat one."""
        if spatial_ndim(layer) < 3 or layer.ndim < 3:
            return None
        axis = layer.ndim - 3
        place = round(float(self._dock.regions.middle(layer)[axis]))
        first, last = region[axis].start, region[axis].stop - 1
        return int(min(max(place, first), last)) - int(first)

    def _draw(self) -> None:
        layer = self._dock.image.layer
        if layer is None or self.panel is None:
            return
        self._dock.regions.ask(layer)
        self.panel.say("Draw a rectangle in the view, then press Compare.")

    def _adopt(self, result: SweepResult) -> None:
        entry = offered()[result.setting.method]
        self._dock.adopt(entry.id, result.options)
        numbers = {k: result.options[k] for k in result.setting.times}
        words = ", ".join(f"{k.replace('_', ' ')} {v:g}" for k, v in numbers.items())
        self._dock.strip.say(f"Adopted: {entry.title}, {words or 'automatic settings'}.")

    def _name(self) -> None:
        if self.panel is not None:
            self.panel.name_method(self._dock.chosen_method.title)

    def _forget(self) -> None:
        self.panel = None
        if not self._gone:
            self._dock.checker.pause(False)

    def _close(self) -> None:
        """Stop, since the dock is gone, and leave the pictures as they are."""
        self._gone = True
        if self.panel is not None:
            self.panel.runner.abandon()
            self.panel.setEnabled(False)


def _frame(panel: QWidget) -> QDockWidget | None:
    """Return what napari has put the panel into; what it returns itself is a mere proxy."""
    widget: QWidget | None = panel
    while widget is not None and not isinstance(widget, QDockWidget):
        widget = widget.parentWidget()
    return widget


def _make_high(panel: QWidget) -> None:
    """Give the panel room for its pictures, but none of that of the docks on the right."""
    frame, window = _frame(panel), panel.window()
    if frame is not None and isinstance(window, QMainWindow):
        window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        window.resizeDocks([frame], [_HEIGHT], Qt.Orientation.Vertical)


def _in_rows(settings: list[Setting], columns: int) -> list[list[Setting]]:
    return [settings[first : first + columns] for first in range(0, len(settings), columns)]
