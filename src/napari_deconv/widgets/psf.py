"""The PSF dock: from what is written on the objective to a layer with its PSF."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QWidget

from napari_deconv.errors import DeconvolutionError
from napari_deconv.optics import Microscope, generate_psf
from napari_deconv.optics.generate import suggest_shape
from napari_deconv.optics.resolution import expected_fwhm, nyquist_spacing
from napari_deconv.registry import (
    Entry,
    Parameter,
    Range,
    modalities,
    parameters_of,
    psf_models,
)
from napari_deconv.widgets.boxes import NumberBox, WholeBox
from napari_deconv.widgets.checker import Checker
from napari_deconv.widgets.choice import LayerChoice, when_gone
from napari_deconv.widgets.dock import Dock
from napari_deconv.widgets.form import Form, label, labelled
from napari_deconv.widgets.layers import (
    KEY,
    compatible_units,
    image_guess,
    lengths,
    own_metadata,
    pixels,
    spatial_ndim,
    times,
    voxel_size,
)
from napari_deconv.widgets.recipe import psf_command, psf_python
from napari_deconv.widgets.strip import AMBER, Strip, duration
from napari_deconv.widgets.tasks import PsfGeneration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import napari
    from napari.layers import Layer

_AXES = "ZYX"
_LABELS = 152


def form_parameters() -> dict[str, Parameter]:
    """Return model, modality, the microscope's numbers and how the PSF is put on the grid."""
    choices = {
        "model": _choice(
            parameters_of(generate_psf)["model"],
            psf_models(),
            "How the image of a point is computed.",
        ),
        "modality": _choice(
            parameters_of(generate_psf)["modality"],
            modalities(),
            "How the sample is lit and the light is detected.",
        ),
    }
    grid = parameters_of(generate_psf, skip=("model", "modality"))
    return {
        **choices,
        **parameters_of(Microscope),
        **{name: replace(each, advanced=True) for name, each in grid.items()},
    }


def _choice(parameter: Parameter, entries: Mapping[str, Entry], help_: str) -> Parameter:
    told = " ".join(f"{id_}: {entry.title}." for id_, entry in entries.items())
    return replace(parameter, choices=tuple(entries), help=f"{help_} {told}")


class PsfWidget(Dock):
    """Make a PSF layer.

    Parameters
    ----------
    napari_viewer
        The viewer; napari fills it in.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer, "psf", Strip("Make", preview=False, again=False))
        self.image = LayerChoice(
            napari_viewer,
            image_guess,
            tooltip="<qt>The image that the PSF is for: it gives the voxel size, and what is known "
            "of its microscope.</qt>",
        )
        self.grid = Grid()
        titles = {
            "model": {id_: entry.title for id_, entry in psf_models().items()},
            "modality": {id_: entry.title for id_, entry in modalities().items()},
        }
        self.form = Form(form_parameters(), titles=titles, label_width=_LABELS)
        self.expected = QLabel()
        self.expected.setWordWrap(True)
        self.expected.setTextFormat(Qt.TextFormat.RichText)
        self.checker = Checker(self)
        self._record: dict[str, Any] | None = None
        self._fill()
        self.remember_form("microscope", self.form)
        self._take_image()
        self.image.chosen.connect(self._take_image)
        self.form.changed.connect(self._look)
        self.grid.changed.connect(self._look)
        self.checker.found.connect(self._show_expected)
        self.checker.failed.connect(self._show_problem)
        self.strip.python_asked.connect(partial(self._copy, psf_python, "Python code"))
        self.strip.command_asked.connect(partial(self._copy, psf_command, "command"))
        when_gone(self, self.checker.abandon)

    def _fill(self) -> None:
        column = self.column
        column.addLayout(
            labelled("For the image", self.image, tooltip=self.image.toolTip(), width=_LABELS)
        )
        column.addWidget(self.form)
        column.addWidget(self.grid)
        column.addWidget(self.expected)
        column.addWidget(self.strip)
        column.addStretch(1)

    def _take_image(self) -> None:
        """Take voxel size and microscope from the image, as far as it tells."""
        layer = self.image.layer
        if layer is not None and not layer.rgb:
            size = voxel_size(layer)
            self.grid.take(size, tuple(pixels(layer).shape), spatial_ndim(layer))
            told = own_metadata(layer).get("microscopes") or []
            if told:
                blocked = self.form.blockSignals(True)
                self.form.set_values({**told[0], "modality": own_metadata(layer)["modality"]})
                self.form.blockSignals(blocked)
        self._look()

    def _microscope(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the microscope's values and those of ``generate_psf``."""
        values = self.form.values
        names = parameters_of(Microscope)
        microscope = {name: values.pop(name) for name in list(values) if name in names}
        return asdict(Microscope(**microscope)), values

    def _look(self) -> None:
        """Choose the number of voxels, and tell what to expect, a moment after the last change."""
        try:
            microscope, settings = self._microscope()
            if self.grid.automatic.isChecked():
                shape = suggest_shape(
                    Microscope(**microscope),
                    self.grid.spacing,
                    modality=settings["modality"],
                    image_shape=self.grid.limits(),
                )
                self.grid.set_shape(shape)
        except DeconvolutionError as error:
            self.checker.abandon()
            self._show_problem(error)
            return
        self.checker.ask(partial(expectations, microscope, settings, self.grid.spacing))

    def _show_expected(self, words: str) -> None:
        self.expected.setText(words)

    def _show_problem(self, error: Exception) -> None:
        self.expected.setText(f'<span style="color:{AMBER}">▲</span> {error}')

    def make_task(self, *, preview: bool) -> PsfGeneration:
        """Return the computation of the PSF."""
        microscope, settings = self._microscope()
        return PsfGeneration(microscope, self.grid.shape, self.grid.spacing, settings)

    def add_results(self, task: Any, *, preview: bool) -> Layer:
        """Add the PSF, its centre on the middle of the image."""
        from napari.layers import Layer

        model, modality = task.settings["model"], task.settings["modality"]
        rest = {k: v for k, v in task.settings.items() if k not in ("model", "modality")}
        record = {
            "kind": "psf",
            "model": model,
            "modality": modality,
            "microscope": task.microscope,
            "shape": list(task.shape),
            "spacing": list(task.spacing),
            "parameters": rest,
            "seconds": task.seconds,
        }
        self._record = record
        microscope = task.microscope
        name = (
            f"PSF {microscope['numerical_aperture']:g} NA, "
            f"{1000 * microscope['emission_wavelength']:.0f} nm, {modality}"
        )
        ndim = len(task.shape)
        settings = {
            "name": name,
            "scale": task.spacing,
            "units": compatible_units(list(self.viewer.layers), ndim),
            "axis_labels": tuple("zyx"[-ndim:]),
            "translate": self._corner(task.shape, task.spacing),
            "colormap": "inferno",
            "blending": "additive",
            "contrast_limits": task.output.limits,
            "gamma": 0.5,
            "metadata": {KEY: record},
        }
        layer = self.add(Layer.create(task.output.data, settings, "image"))
        self.strip.say(
            f"{name}: {times(task.shape)} voxels, {duration(task.seconds)}. It is shown with a "
            "gamma of 0.5, so that its faint parts can be seen."
        )
        self.strip.offer(can_continue=False)
        return layer

    def _corner(self, shape: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[float, ...]:
        """Return where the PSF begins, so that its origin lies on the image's middle."""
        layer, ndim = self.image.layer, len(shape)
        if layer is None or layer.rgb or layer.ndim < ndim:
            return (0.0,) * ndim
        middle = [n // 2 for n in pixels(layer).shape]
        world = layer.data_to_world(middle)[-ndim:]
        return tuple(float(w) - (n // 2) * s for w, n, s in zip(world, shape, spacing, strict=True))

    def _copy(self, write: Any, what: str) -> None:
        if self._record is not None:
            self.copy(partial(write, self._record), what)


class Grid(QWidget):
    """Voxel size and number of voxels of the PSF, along Z, Y and X."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.image_shape: tuple[int, ...] | None = None
        size = Parameter("voxel_size", float, 0.1, range=Range(1e-4, 1e4))
        number = Parameter("voxels", int, 1, range=Range(1, 4097))
        table = QGridLayout(self)
        table.setContentsMargins(0, 0, 0, 0)
        table.setHorizontalSpacing(8)
        table.setVerticalSpacing(4)
        table.setColumnMinimumWidth(0, _LABELS)
        tips = {
            "Voxel size, µm": "Size of a voxel of the image along Z, Y and X, in micrometres. "
            "Taken from the image when it tells.",
            "Voxels": "How many voxels the PSF has along Z, Y and X. One along Z is the plane in "
            "focus, for two-dimensional images.",
        }
        for row, (title, tip) in enumerate(tips.items(), 1):
            table.addWidget(label(title, tip, _LABELS), row, 0)
        self._sizes: list[NumberBox] = []
        self._counts: list[WholeBox] = []
        for column, axis in enumerate(_AXES, 1):
            heading = QLabel(axis)
            heading.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            heading.setStyleSheet("QLabel { font-size: 11px; }")
            table.addWidget(heading, 0, column)
            table.setColumnStretch(column, 1)
            box, count = NumberBox(size), WholeBox(number)
            box.setValue(0.2 if axis == "Z" else 0.1)
            for row, (each, tip) in enumerate(zip((box, count), tips.values(), strict=True), 1):
                each.setStyleSheet("QAbstractSpinBox { min-width: 34px; padding: 1px 4px; }")
                each.setButtonSymbols(NumberBox.ButtonSymbols.NoButtons)
                each.setToolTip(f"<qt>{tip}</qt>")
                table.addWidget(each, row, column)
            box.valueChanged.connect(self.changed)
            count.valueChanged.connect(self.changed)
            self._sizes.append(box)
            self._counts.append(count)
        self.flat = QCheckBox("in focus only (2D)")
        self.flat.setToolTip("<qt>Make a PSF of one plane, for two-dimensional images.</qt>")
        self.automatic = QCheckBox("as many as needed")
        self.automatic.setToolTip(
            "<qt>Choose the number of voxels so that the PSF has room, and is not larger than the "
            "image.</qt>"
        )
        self.automatic.setChecked(True)
        ticks = QHBoxLayout()
        ticks.setSpacing(10)
        for tick in (self.automatic, self.flat):
            ticks.addWidget(tick)
        ticks.addStretch(1)
        table.addLayout(ticks, 3, 0, 1, 4)
        self.automatic.toggled.connect(self._show)
        self.flat.toggled.connect(self._show)
        self._show()

    @property
    def ndim(self) -> int:
        """2 for a plane, else 3."""
        return 2 if self.flat.isChecked() else 3

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size, um."""
        return tuple(box.value() for box in self._sizes[-self.ndim :])

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels."""
        return tuple(box.value() for box in self._counts[-self.ndim :])

    def set_shape(self, shape: Sequence[int]) -> None:
        """Show a number of voxels."""
        for box, n in zip(self._counts[-len(shape) :], shape, strict=True):
            blocked = box.blockSignals(True)
            box.setValue(n)
            box.blockSignals(blocked)

    def take(self, spacing: tuple[float, ...] | None, shape: tuple[int, ...], ndim: int) -> None:
        """Take what an image tells."""
        blocked = self.blockSignals(True)
        self.flat.setChecked(ndim == 2)
        self.image_shape = shape[-ndim:]
        if spacing is not None:
            for box, size in zip(self._sizes[-len(spacing) :], spacing, strict=True):
                box.setValue(size)
        self.blockSignals(blocked)

    def limits(self) -> tuple[int, ...] | None:
        """Return the image's shape, as far as it bounds the PSF."""
        shape = self.image_shape
        return shape[-self.ndim :] if shape is not None and len(shape) >= self.ndim else None

    def _show(self) -> None:
        for box in self._counts:
            box.setEnabled(not self.automatic.isChecked())
        self._sizes[0].setEnabled(self.ndim == 3)
        self._counts[0].setEnabled(self.ndim == 3 and not self.automatic.isChecked())
        self.changed.emit()


def expectations(
    microscope: Mapping[str, Any], settings: Mapping[str, Any], spacing: Sequence[float]
) -> str:
    """Return in plain words how fine the microscope resolves; runs in a thread."""
    scope = Microscope(**microscope)
    modality, n = settings["modality"], len(spacing)
    own = {k: v for k, v in settings.items() if k not in ("pixel_integration", "centre")}
    fwhm = expected_fwhm(scope, **own)[-n:]
    finest = nyquist_spacing(scope, modality)[-n:]
    words = f"A point appears {1000 * fwhm[-1]:.0f} nm wide"
    words += f" and {1000 * fwhm[0]:.0f} nm deep (FWHM). " if n == 3 else " (FWHM). "
    words += f"Voxels should be at most {lengths(finest)} µm (Nyquist): "
    coarse = [a for a, s, f in zip(_AXES[-n:], spacing, finest, strict=True) if s > 1.05 * f]
    if coarse:
        axes = " and ".join(coarse)
        return f'<span style="color:{AMBER}">▲</span> {words}they are coarser along {axes}.'
    return f'<span style="color:#43b581">●</span> {words}these are fine.'
