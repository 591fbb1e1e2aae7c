"""The Background dock: haze and the camera's offset, estimated and taken away."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QLabel

from napari_deconv.background import estimate_background
from napari_deconv.registry import parameters_of
from napari_deconv.widgets.dock import Dock
from napari_deconv.widgets.form import Form
from napari_deconv.widgets.recipe import background_command, background_python
from napari_deconv.widgets.source_row import SourceRow
from napari_deconv.widgets.strip import Strip, duration
from napari_deconv.widgets.tasks import BackgroundRemoval

if TYPE_CHECKING:
    from collections.abc import Mapping

    import napari
    from napari.layers import Layer

    from napari_deconv.widgets.choice import LayerChoice
    from napari_deconv.widgets.layers import Snapshot


class BackgroundWidget(Dock):
    """Subtract the background of an image layer.

    Parameters
    ----------
    napari_viewer
        The viewer; napari fills it in.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer, "background", Strip("Subtract"))
        self.image = SourceRow(
            napari_viewer, "Image", "The image to free from its background, plane by plane."
        )
        self.form = Form(parameters_of(estimate_background))
        self.keep_background = QCheckBox("also add the background as a layer")
        self.keep_background.setToolTip(
            "<qt>The Deconvolution dock can take this layer as the background of the original "
            "image. For methods that count photons that is better than subtracting it first.</qt>"
        )
        self.keep_background.setChecked(bool(self.recalled("keep_background")))
        self.keep_background.toggled.connect(partial(self.remember_value, "keep_background"))
        advice = QLabel(
            "For Richardson-Lucy, rather give the background as a layer to the Deconvolution dock: "
            "subtracting spoils the photons' statistics."
        )
        advice.setWordWrap(True)
        advice.setStyleSheet("QLabel { font-size: 11px; }")
        self._last: tuple[Snapshot, Mapping[str, Any]] | None = None
        column = self.column
        column.addWidget(self.image)
        column.addWidget(self.form)
        column.addWidget(self.keep_background)
        column.addWidget(advice)
        column.addWidget(self.strip)
        column.addStretch(1)
        self.remember_form("parameters", self.form)
        self.strip.python_asked.connect(partial(self._copy, background_python, "Python code"))
        self.strip.command_asked.connect(partial(self._copy, background_command, "command"))

    def source_choice(self) -> LayerChoice:
        """Return the image's combobox."""
        return self.image.choice

    def make_task(self, *, preview: bool) -> BackgroundRemoval:
        """Return the estimate of the layer's background, or of a part's."""
        image, parameters = self.image.snapshot(), self.form.values
        self._last = (image, parameters)
        layer = self.image.layer
        assert layer is not None
        region = self.region(layer) if preview else None
        return BackgroundRemoval(image, parameters, region=region)

    def add_results(self, task: Any, *, preview: bool) -> Layer:
        """Add the image without background and, if wanted, the background."""
        from napari_deconv.engine.provenance import provenance

        record = provenance(
            "estimate_background",
            task.parameters,
            seconds=task.seconds,
            source=task.source.name,
            source_path=task.source.path,
            warnings=self._warnings,
        )
        start = [part.start for part in task.region] if task.region is not None else None
        name = task.source.name
        if self.keep_background.isChecked() and not preview:
            background = task.source.result(
                task.background.data,
                f"{name}, background",
                {**record, "kind": "background"},
                start=start,
                limits=task.background.limits,
                settings={"visible": False},
            )
            self.add(background, select=False)
        layer = task.source.result(
            task.output.data,
            f"preview of {name}" if preview else f"{name}, without background",
            {**record, "kind": "without background"},
            start=start,
            limits=task.output.limits,
        )
        low, high = float(task.background.data.min()), float(task.background.data.max())
        span = f"{low:.4g} to {high:.4g}" if high > low else f"{low:.4g}"
        words = f"{layer.name}: background of {span} counts, {duration(task.seconds)}."
        self.strip.say(words, self._warnings)
        self.strip.offer(can_continue=False)
        return self.add(layer, select=not preview)

    def _copy(self, write: Any, what: str) -> None:
        if self._last is not None:
            self.copy(partial(write, *self._last), what)
