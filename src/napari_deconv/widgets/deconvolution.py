"""The Deconvolution dock: from an image layer and a PSF layer to a restored one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_deconv.engine.options import Options
from napari_deconv.errors import DeconvolutionError, InputError
from napari_deconv.registry import Method, Parameter, methods, parameters_of
from napari_deconv.widgets.checker import Checker
from napari_deconv.widgets.choice import LayerChoice, make_narrow, when_gone
from napari_deconv.widgets.dock import Dock, SourceRow, labelled, psf_guess
from napari_deconv.widgets.fields import AutoField, NumberBox, make_room, title_of, tooltip_of
from napari_deconv.widgets.form import Form, label
from napari_deconv.widgets.layers import Snapshot, own_metadata, spatial_ndim, voxel_size
from napari_deconv.widgets.lights import Lights
from napari_deconv.widgets.recipe import Recipe, as_command, as_python
from napari_deconv.widgets.strip import Strip, duration
from napari_deconv.widgets.tasks import Picture, Restoration
from napari_deconv.widgets.torch_thread import import_torch

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

    from napari_deconv.engine.preflight import Light
    from napari_deconv.optics import Microscope

# Told by the layers, by the preferences, or by a field of its own.
_ELSEWHERE = ("spacing", "psf_spacing", "background", "device", "threads")
# What the engine fills in, whatever the method calls it.
_FILLED_IN = ("background", "gain", "read_noise", "seed", "iterations")
_OF_ITERATIONS = ("iterations", "stopping", "tolerance", "max_iterations")
_CONSTANT, _AUTOMATIC = "constant", "automatic"


def form_parameters(method: Method) -> dict[str, Parameter]:
    """Return what the form of a method shows: its own parameters, then the engine's."""
    common = {k: v for k, v in parameters_of(Options).items() if k not in _ELSEWHERE}
    if not method.iterative:
        common = {k: v for k, v in common.items() if k not in _OF_ITERATIONS}
    own = {k: v for k, v in method.parameters.items() if k not in common and k not in _FILLED_IN}
    first = {k: v for k, v in common.items() if not v.advanced}
    return first | own | {k: v for k, v in common.items() if v.advanced}


class DeconvolutionWidget(Dock):
    """Restore an image layer with any of the methods.

    Parameters
    ----------
    napari_viewer
        The viewer; napari fills it in.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer, "deconvolution", Strip("Restore"))
        self.image = SourceRow(
            napari_viewer, "Image", "The image to restore: 2D, 3D, time series, channels."
        )
        self.psf = LayerChoice(
            napari_viewer,
            psf_guess,
            newest=True,
            tooltip="<qt>How the microscope blurs a point (point spread function). With a "
            "leading channel axis, each channel has its own.</qt>",
        )
        self.make_psf = QPushButton("Make…")
        self.make_psf.setToolTip(
            "<qt>Make a PSF from what is written on the objective, in the PSF dock.</qt>"
        )
        self.background = BackgroundField(napari_viewer, self.image.choice)
        self.lights = Lights()
        self.method = QComboBox()
        self.summary = QLabel()
        self.form: Form
        self._form_place = QVBoxLayout()
        self._shared: dict[str, Any] = dict(self.recalled("parameters") or {})
        self._last: tuple[Restoration, Recipe] | None = None
        self.checker = Checker(self)
        self._fill()
        self._connect()
        self._choose_method()
        self._look()

    def _fill(self) -> None:
        make_narrow(self.method)
        for id_, entry in methods().items():
            self.method.addItem(entry.title, id_)
        self.method.setToolTip("<qt>How to restore. The line below tells what it is for.</qt>")
        remembered = self.method.findData(self.recalled("method") or "richardson-lucy")
        self.method.setCurrentIndex(max(0, remembered))
        self.summary.setWordWrap(True)
        self.summary.setStyleSheet("QLabel { font-size: 11px; }")
        self._form_place.setContentsMargins(0, 0, 0, 0)
        column = self.column
        column.addWidget(self.image)
        column.addLayout(labelled("PSF", self.psf, self.make_psf, tooltip=self.psf.toolTip()))
        column.addWidget(self.background)
        column.addWidget(self.lights)
        column.addLayout(labelled("Method", self.method, tooltip=self.method.toolTip()))
        column.addWidget(self.summary)
        column.addLayout(self._form_place)
        column.addWidget(self.strip)
        column.addStretch(1)

    def _connect(self) -> None:
        self.method.currentIndexChanged.connect(self._choose_method)
        for signal in (self.image.choice.chosen, self.psf.chosen, self.background.changed):
            signal.connect(self._look)
        self.make_psf.clicked.connect(self.open_psf_dock)
        self.lights.remedy.connect(self._mend)
        self.checker.found.connect(self.lights.show_lights)
        self.checker.failed.connect(self._cannot_look)
        strip = self.strip
        strip.python_asked.connect(partial(self._copy, as_python, "Python code"))
        strip.command_asked.connect(partial(self._copy, as_command, "command"))
        strip.continue_asked.connect(self.go_on)
        when_gone(self, self.checker.abandon)

    # Settings --------------------------------------------------------------------------------

    @property
    def chosen_method(self) -> Method:
        """The method that is chosen."""
        return methods()[self.method.currentData()]

    def _choose_method(self) -> None:
        """Show another method's form; what both methods have keeps its value."""
        method = self.chosen_method
        if hasattr(self, "form"):
            self._shared |= self.form.valid_values()
            self._form_place.removeWidget(self.form)
            self.form.hide()
            self.form.deleteLater()
        self.form = Form(form_parameters(method))
        iterations = self.form.fields.get("iterations")
        if isinstance(iterations, AutoField):
            iterations.start_from(method.parameters["iterations"].default)
        self.form.set_values(self._shared)
        self.form.changed.connect(self._on_form)
        self._form_place.addWidget(self.form)
        cites = "".join(f"<br>{cite}" for cite in method.cites)
        self.summary.setText(method.summary)
        self.summary.setToolTip(f"<qt>{method.summary}<br>{cites}</qt>")
        self.summary.setVisible(bool(method.summary))
        self.remember_value("method", method.id)
        self._look()

    def _on_form(self) -> None:
        self._shared |= self.form.valid_values()
        self.remember_value("parameters", self._shared)
        self._look()

    def source_choice(self) -> LayerChoice:
        """Return the image's combobox."""
        return self.image.choice

    def _psf_snapshot(self) -> Snapshot | None:
        if self.psf.layer is not None:
            return Snapshot.of(self.psf.layer)
        if self.chosen_method.needs_psf:
            raise InputError("Choose the layer that holds the PSF, or make one: Make…")
        return None

    def _options(self, image: Snapshot, psf: Snapshot | None) -> dict[str, Any]:
        """Return what the job is told, without arrays."""
        preferences = self.preferences()
        values: dict[str, Any] = dict(self.form.values)
        values |= {"device": preferences.device, "threads": preferences.thread_count}
        values |= spacings(image, psf)
        if self.background.layer is None:
            values["background"] = self.background.value
        return values

    def make_task(self, *, preview: bool) -> Restoration:
        """Return the restoration of the layer, or of a part of it."""
        image, psf = self.image.snapshot(), self._psf_snapshot()
        options = self._options(image, psf)
        background = self.background.snapshot()
        recipe = Recipe(self.chosen_method.id, dict(options), image, psf, background)
        if background is not None:
            options["background"] = background.data
        layer = self.image.layer
        assert layer is not None
        task = Restoration(
            image,
            self.chosen_method.id,
            psf_arrays(self.psf.layer),
            options,
            region=self.region(layer) if preview else None,
            preview_seconds=None if preview else self.preferences().preview_seconds,
        )
        self._last = (task, recipe)
        return task

    # Results ---------------------------------------------------------------------------------

    def start(self, task: Any, *, preview: bool) -> None:
        """Start a task, and let the lights wait."""
        self.checker.pause(True)
        super().start(task, preview=preview)

    def after(self, task: Any, outcome: Any) -> None:
        """Look again, since the processor is free."""
        self.checker.pause(False)

    def make_live(self, picture: Picture) -> Layer | None:
        """Return a layer for the running estimate."""
        assert self._last is not None
        task = self._last[0]
        name = f"{task.source.name}, running"
        record = {"kind": "running"}
        return task.source.result(picture.data, name, record, limits=picture.limits)

    def add_results(self, task: Any, *, preview: bool) -> Layer | None:
        """Add the restored image."""
        assert task.output is not None
        assert task.job is not None
        title = methods()[task.method].title
        details = task.job.details
        source = task.source.name
        if preview:
            name = f"preview of {source}"
        elif task.continues:
            name = f"{source}, {title}, {details.iterations} iterations"
        else:
            name = f"{source}, {title}"
        layer = self._layer(task, task.output, name, details.provenance | {"kind": "restored"})
        self.strip.show_curve(details.trial or details.statistics, details.iterations)
        self.strip.say(told(name, task), details.warnings)
        self.strip.offer(can_continue=task.job.can_continue and not preview)
        iterations = self.form.fields.get("iterations")
        if isinstance(iterations, AutoField):
            iterations.start_from(details.iterations)
        return self.add(layer, select=not preview)

    def _layer(
        self, task: Restoration, picture: Picture, name: str, record: Mapping[str, Any]
    ) -> Layer:
        start = [part.start for part in task.region] if task.region is not None else None
        facts = {"source": task.source.name, "source_path": task.source.path}
        return task.source.result(
            picture.data, name, {**record, **facts}, start=start, limits=picture.limits
        )

    def offer_last(self, task: Any) -> None:
        """After a cancel, offer the last estimate."""
        if task.last is None or task.region is not None:
            super().offer_last(task)
            return
        details = task.job.details
        done = task.steps
        name = f"{task.source.name}, {methods()[task.method].title}, cancelled after {done}"
        record = {
            "kind": "restored",
            "method": task.method,
            "parameters": {k: str(v) for k, v in details.parameters.items()},
            "iterations": done,
            "stopped_because": "cancelled",
        }
        layer = self._layer(task, task.last, name, record)

        def add() -> None:
            self.add(layer)
            self.strip.say(f"{name} was added.")

        self.offer_to_keep(f"Cancelled after {done} iterations. No layer was changed.", add)

    def go_on(self, iterations: int) -> None:
        """Take further iterations from where the last job stopped."""
        if self._last is None or self.runner.busy:
            return
        task, recipe = self._last
        again = task.continued(iterations)
        self._last = (again, recipe)
        self.start(again, preview=False)

    def _copy(self, write: Any, what: str) -> None:
        if self._last is None:
            return
        task, recipe = self._last
        if task.continues and task.job is not None:
            options = {**recipe.options, "iterations": task.job.details.iterations}
            recipe = Recipe(recipe.method, options, recipe.image, recipe.psf, recipe.background)
        self.copy(partial(write, recipe), what)

    # Lights ----------------------------------------------------------------------------------

    def _look(self) -> None:
        """Look at the layers in a thread, a moment after the last change."""
        image, psf = self.image.layer, self.psf.layer
        self.background.refresh()
        if image is None or image.rgb:
            self.checker.abandon()
            self.lights.show_lights(colour_lights(image))
            return
        try:
            snapshot = Snapshot.of(image)
            psf_snapshot = Snapshot.of(psf) if psf is not None else None
            options = self.form.values | spacings(snapshot, psf_snapshot)
        except DeconvolutionError as error:
            self.checker.abandon()
            self.lights.show_lights([broken_setting(error)])
            return
        options |= {"threads": self.preferences().thread_count}
        background = self.background.snapshot()
        options["background"] = self.background.value if background is None else background.data
        self.checker.ask(
            partial(
                look,
                snapshot,
                psf_arrays(psf),
                voxel_size(psf) if psf is not None else None,
                dict(own_metadata(psf)) if psf is not None else {},
                self.chosen_method.id,
                options,
            )
        )

    def _cannot_look(self, error: Exception) -> None:
        self.lights.show_lights([broken_setting(error)])

    def _mend(self, remedy: str) -> None:
        """Do what a light proposes."""
        if remedy == "psf":
            self.open_psf_dock()
            return
        for light in self.lights.lights:
            if light.remedy == remedy == "offset" and light.value is not None:
                self.form.set_values({"offset": float(f"{light.value:.4g}")})
                self.background.set_constant(0.0)

    def open_psf_dock(self) -> None:
        """Open the PSF dock, for the image that is chosen here."""
        _, dock = self.viewer.window.add_plugin_dock_widget("napari-deconv", "PSF")
        if self.image.layer is not None:
            dock.image.choose(self.image.layer)


class BackgroundField(QWidget):
    """What lies over the whole image: a number, automatic, or a layer of the image's shape."""

    changed = Signal()

    def __init__(self, viewer: Any, image: LayerChoice) -> None:
        super().__init__()
        parameter = parameters_of(Options)["background"]
        self._image = image
        help_ = tooltip_of(parameter)
        self.choice = LayerChoice(
            viewer, fixed=(_CONSTANT, _AUTOMATIC), accepts=self._fits, tooltip=help_
        )
        self.box = NumberBox(parameter)
        self.box.setToolTip(help_)
        make_room(self.box)
        self.box.setValue(0.0)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(label(title_of(parameter), help_))
        row.addWidget(self.choice, 1)
        row.addWidget(self.box, 1)
        self.choice.chosen.connect(self._show)
        self.box.valueChanged.connect(self.changed)

    @property
    def layer(self) -> Image | None:
        """The background layer, when it is one."""
        return self.choice.layer

    @property
    def value(self) -> float | str:
        """The constant, or ``"auto"``."""
        if self.choice.word == _AUTOMATIC:
            return "auto"
        self.box.interpretText()
        return self.box.value()

    def snapshot(self) -> Snapshot | None:
        """Return the background layer as it is now; None for a number."""
        return Snapshot.of(self.layer) if self.layer is not None else None

    def set_constant(self, value: float) -> None:
        """Take a number."""
        self.choice.choose(_CONSTANT)
        self.box.setValue(float(f"{value:.4g}"))

    def refresh(self) -> None:
        """Offer the layers of the chosen image's shape."""
        self.choice.refresh()

    def _fits(self, layer: Image) -> bool:
        image = self._image.layer
        return (
            image is not None
            and layer is not image
            and not layer.rgb
            and not layer.multiscale
            and tuple(layer.data.shape) == tuple(np.shape(_finest(image)))
            and own_metadata(layer).get("kind") not in ("restored", "running", "psf")
        )

    def _show(self) -> None:
        self.box.setVisible(self.choice.word == _CONSTANT)
        self.changed.emit()


def look(
    image: Snapshot,
    psf: Any,
    psf_spacing: tuple[float, ...] | None,
    psf_record: Mapping[str, Any],
    method: str,
    options: Mapping[str, Any],
) -> list[Light]:
    """Look at the layers; runs in a thread."""
    from napari_deconv.engine.preflight import preflight

    import_torch()
    rest = {k: v for k, v in options.items() if k not in ("spacing", "psf_spacing")}
    arrays = psf if not isinstance(psf, list) else np.stack([np.asarray(each) for each in psf])
    return preflight(
        image.data,
        psf if psf is None else arrays,
        method=method,
        spacing=image.spacing,
        psf_spacing=psf_spacing,
        microscope=microscope_of(psf_record),
        modality=str(psf_record.get("modality", "widefield")),
        options=rest,
    )


def microscope_of(record: Mapping[str, Any]) -> Microscope | None:
    """Return the microscope that a PSF was computed for; of several channels, the sharpest."""
    from napari_deconv.optics import Microscope

    values = record.get("microscope") or (record.get("microscopes") or [None])[0]
    if not isinstance(values, Mapping):
        return None
    try:
        return Microscope(**values)
    except (DeconvolutionError, TypeError):
        return None


def psf_arrays(layer: Image | None) -> Any:
    """Return a PSF layer's array; planes for channels as a list, to tell them from a stack."""
    if layer is None:
        return None
    data = layer.data[0] if layer.multiscale else layer.data
    if layer.ndim == 3 and spatial_ndim(layer) == 2:
        return [data[channel] for channel in range(data.shape[0])]
    return data


def spacings(image: Snapshot, psf: Snapshot | None) -> dict[str, Any]:
    """Return both voxel sizes, when both are known: one alone would say nothing."""
    found: dict[str, Any] = {}
    if image.spacing is not None:
        found["spacing"] = image.spacing
        if psf is not None and psf.spacing is not None:
            found["psf_spacing"] = psf.spacing
    return found


def told(name: str, task: Restoration) -> str:
    """Return what a finished job tells."""
    assert task.job is not None
    details = task.job.details
    words = f"{name}: "
    if methods()[task.method].iterative:
        words += f"{details.iterations} iterations ({details.stopped_because}), "
    words += f"{duration(details.seconds)} on {details.device}."
    return words


def colour_lights(image: Image | None) -> list[Light]:
    """Return what is said about no image, or a colour picture."""
    from napari_deconv.engine.preflight import Light

    if image is None:
        return []
    return [
        Light(
            "values",
            "stop",
            "a colour picture (RGB) cannot be restored",
            "Right-click the layer, choose Split RGB, and take one channel.",
        )
    ]


def broken_setting(error: Exception) -> Light:
    """Return the light of a setting that does not fit."""
    from napari_deconv.engine.preflight import Light

    return Light("settings", "stop", str(error), str(error))


def _finest(layer: Image) -> Any:
    return layer.data[0] if layer.multiscale else layer.data
