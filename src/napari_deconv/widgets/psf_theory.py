"""The theory tab of the PSF dock: from what is written on the objective to a PSF."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_deconv.errors import DeconvolutionError
from napari_deconv.optics import Microscope, generate_psf
from napari_deconv.optics.generate import suggest_shape
from napari_deconv.optics.presets import dyes, objectives, samples
from napari_deconv.optics.setup import Setup
from napari_deconv.optics.zernike import name as zernike_name
from napari_deconv.registry import Entry, Parameter, modalities, parameters_of, psf_models
from napari_deconv.widgets.advice_list import AdviceList
from napari_deconv.widgets.buttons import button
from napari_deconv.widgets.checker import Checker
from napari_deconv.widgets.choice import LayerChoice, when_gone
from napari_deconv.widgets.explain import title_of
from napari_deconv.widgets.form import Form, label, labelled
from napari_deconv.widgets.layers import (
    image_guess,
    own_metadata,
    pixels,
    spatial_ndim,
    voxel_size,
)
from napari_deconv.widgets.psf_grid import LABELS, Grid
from napari_deconv.widgets.psf_look import Seen, look, read_file
from napari_deconv.widgets.psf_view import PsfView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import napari

    from napari_deconv.optics.presets import Dye, Objective, Sample

# Modalities in which fields of the microscope play no part.
_WITHOUT = {
    "excitation_wavelength": ("widefield",),
    "pinhole": ("widefield", "two-photon", "spinning-disk", "light-sheet"),
}
# Aberrations that are named below their field.
_NAMED = 4
# How long after the last change to draw: what is drawn takes some tens of milliseconds itself.
_PATIENCE_MS = 30


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
    grid = parameters_of(generate_psf, skip=("model", "modality", "dtype"))
    return {
        **choices,
        **parameters_of(Microscope),
        **{name: replace(each, advanced=True) for name, each in grid.items()},
    }


def _choice(parameter: Parameter, entries: Mapping[str, Entry], help_: str) -> Parameter:
    told = " ".join(f"{id_}: {entry.title}." for id_, entry in entries.items())
    return replace(parameter, choices=tuple(entries), help=f"{help_} {told}")


class PsfTheory(QWidget):
    """Microscope, model and grid, with a live view of the PSF they make.

    Parameters
    ----------
    viewer
        The viewer.
    """

    changed = Signal()
    told = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.image = LayerChoice(
            viewer,
            image_guess,
            tooltip="<qt>The image that the PSF is for: it gives the voxel size, and what is known "
            "of its microscope. The PSF is checked against it.</qt>",
        )
        self.origin = QLabel()
        self.origin.setWordWrap(True)
        self.origin.setStyleSheet("QLabel { font-size: 11px; }")
        self.origin.hide()
        self.grid = Grid()
        titles = {
            "model": {id_: entry.title for id_, entry in psf_models().items()},
            "modality": {id_: entry.title for id_, entry in modalities().items()},
        }
        self.form = Form(form_parameters(), titles=titles, label_width=LABELS)
        self.own = {
            (kind, id_): Form(entry.parameters, label_width=LABELS)
            for kind, entries in (("model", psf_models()), ("modality", modalities()))
            for id_, entry in entries.items()
            if entry.parameters
        }
        for form in self.own.values():
            if form.more is not None:
                form.more.button.hide()  # the microscope's "More" opens it as well
        self.named = QLabel()
        self.named.setWordWrap(True)
        self.named.setStyleSheet("QLabel { font-size: 11px; }")
        self.view = PsfView()
        self.expected = AdviceList()
        self.checker = Checker(self, _PATIENCE_MS)
        self.reader = Checker(self, _PATIENCE_MS)
        self._fill()
        self.image.chosen.connect(self.take_image)
        self.form.changed.connect(self.look)
        for form in self.own.values():
            form.changed.connect(self.look)
            if form.more is not None and self.form.more is not None:
                self.form.more.button.toggled.connect(form.more.open)
        self.grid.changed.connect(self.look)
        self.checker.found.connect(self._show_seen)
        self.checker.failed.connect(self._show_problem)
        self.reader.found.connect(self._take_file)
        self.reader.failed.connect(lambda _: None)  # a file that cannot be read tells nothing
        when_gone(self, self.checker.abandon)
        when_gone(self, self.reader.abandon)

    # Building --------------------------------------------------------------------------------

    def _fill(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 6, 0, 0)
        column.setSpacing(6)
        column.addLayout(
            labelled("For the image", self.image, tooltip=self.image.toolTip(), width=LABELS)
        )
        column.addLayout(self._presets())
        column.addWidget(self.origin)
        column.addWidget(self.form)
        for form in self.own.values():
            column.addWidget(form)
        column.addWidget(self.named)
        column.addWidget(self.grid)
        column.addWidget(self.view)
        column.addWidget(self.expected)

    def _presets(self) -> QHBoxLayout:
        """Return the row of menus that fill fields in."""
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(label("Fill in", "Take values that are common, or from a file.", 44))
        lists: list[tuple[str, str, Mapping[str, Objective | Dye | Sample]]] = [
            ("Objective", "NA, immersion and coverslip of a common objective.", objectives()),
            ("Dye", "Wavelengths of a common dye.", dyes()),
            ("Sample", "Refractive index of what the sample is mounted in.", samples()),
        ]
        self.menus: dict[str, QMenu] = {}
        for title, tip, entries in lists:
            menu = QMenu(self)
            for name, entry in entries.items():
                _entry(menu, name, partial(self.fill_in, entry.fields))
            self.menus[title] = menu
            row.addWidget(_menu_button(title, tip, menu), 1)
        menu = QMenu(self)
        _entry(menu, "Load a microscope…", self._ask_load)
        _entry(menu, "Save this microscope…", self._ask_save)
        self.menus["File"] = menu
        tip = "Keep microscope, model and modality in a small file, or take them from one."
        row.addWidget(_menu_button("File", tip, menu), 1)
        return row

    # Values ----------------------------------------------------------------------------------

    def microscope(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the microscope's values and those of ``generate_psf``."""
        values = self.form.values
        names = parameters_of(Microscope)
        microscope = {name: values.pop(name) for name in list(values) if name in names}
        for form in self._own_forms():
            values |= form.values
        return asdict(Microscope(**microscope)), values

    def setup(self) -> Setup:
        """Return microscope, model and modality, as they are kept in a file."""
        microscope, settings = self.microscope()
        rest = {
            name: value
            for name, value in settings.items()
            if any(name in form.fields for form in self._own_forms())
        }
        return Setup(
            Microscope(**microscope),
            model=settings["model"],
            modality=settings["modality"],
            parameters=rest,
        )

    def fill_in(self, fields: Mapping[str, Any]) -> None:
        """Put values into the microscope's fields."""
        blocked = self.form.blockSignals(True)
        self.form.set_values(fields)
        self.form.blockSignals(blocked)
        self.form.changed.emit()

    def take_setup(self, setup: Setup) -> None:
        """Show a microscope with its model and modality."""
        self.fill_in({**asdict(setup.microscope), "model": setup.model, "modality": setup.modality})
        for form in self._own_forms():
            form.set_values(setup.parameters)
        self.look()

    def _own_forms(self) -> list[Form]:
        """Return the forms of what the chosen model and modality have on top."""
        kinds = ((kind, self.form.valid_values().get(kind)) for kind in ("model", "modality"))
        return [self.own[key] for key in kinds if key in self.own]

    # Files -----------------------------------------------------------------------------------

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load a microscope", "", "Microscope (*.json)")
        if path:
            self.load(Path(path))

    def _ask_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save this microscope", "microscope.json", "Microscope (*.json)"
        )
        if path:
            self.save(Path(path))

    def load(self, path: Path) -> None:
        """Take a microscope from a file."""
        try:
            self.take_setup(Setup.load(path))
        except DeconvolutionError as error:
            self._show_problem(error)
            return
        self.told.emit(f"The microscope of {path.name} is filled in.")

    def save(self, path: Path) -> None:
        """Keep the microscope in a file."""
        try:
            self.setup().save(path)
        except DeconvolutionError as error:
            self._show_problem(error)
            return
        self.told.emit(f"The microscope is in {path.name}.")

    # The image -------------------------------------------------------------------------------

    def take_image(self) -> None:
        """Take voxel size and microscope from the image, as far as it tells."""
        layer = self.image.layer
        self.origin.hide()
        if layer is not None and not layer.rgb:
            size = voxel_size(layer)
            self.grid.take(size, tuple(pixels(layer).shape), spatial_ndim(layer))
            told = own_metadata(layer).get("microscopes") or []
            taken = ["voxel size"] if size is not None else []
            if told:
                modality = own_metadata(layer).get("modality", "widefield")
                self.fill_in({**told[0], "modality": modality})
                taken.append("microscope")
            self._tell_origin("the layer", taken)
            path = layer.source.path
            if path and not told:
                self.reader.ask(partial(read_file, path, layer.name))
        self.look()

    def _take_file(self, found: tuple[str, dict[str, Any]]) -> None:
        """Take what the image's file tells of the microscope."""
        name, fields = found
        layer = self.image.layer
        if layer is None or layer.name != name or not fields:
            return
        size = fields.pop("spacing", None)
        known = self.form.fields
        taken = [title_of(known[each].parameter).lower() for each in fields if each in known]
        if size is not None and voxel_size(layer) is None:
            self.grid.take(size, tuple(pixels(layer).shape), len(size))
            taken.insert(0, "voxel size")
        elif voxel_size(layer) is not None:
            taken.insert(0, "voxel size (the layer)")
        self.fill_in(fields)
        self._tell_origin(f"the file {Path(str(layer.source.path)).name}", taken)

    def _tell_origin(self, source: str, taken: list[str]) -> None:
        words = f"From {source}: {', '.join(taken)}." if taken else ""
        self.origin.setText(words)
        self.origin.setVisible(bool(words))

    # Looking ---------------------------------------------------------------------------------

    def look(self) -> None:
        """Choose the number of voxels, and draw the PSF a moment after the last change."""
        chosen = self.form.valid_values()
        for name, without in _WITHOUT.items():
            self.form.show_field(name, chosen.get("modality") not in without)
        shown = self._own_forms()
        for form in self.own.values():
            form.setVisible(form in shown)
        self._name_aberrations()
        self.changed.emit()
        try:
            microscope, settings = self.microscope()
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
        layer = self.image.layer
        data = None if layer is None or layer.rgb else pixels(layer)
        self.checker.ask(partial(look, microscope, settings, self.grid.spacing, data))

    def _name_aberrations(self) -> None:
        """Say what the numbers of the aberrations stand for, and how long they are."""
        values: dict[str, Any] = {}
        for form in self._own_forms():
            values |= form.valid_values()
        waves: Mapping[int, float] = values.get("aberrations") or {}
        length = self.form.valid_values().get("emission_wavelength") or 0.0
        largest = sorted(waves, key=lambda j: -abs(waves[j]))[:_NAMED]
        told = [f"{zernike_name(j)} {1000 * length * waves[j]:+.0f} nm" for j in largest]
        if len(waves) > _NAMED:
            told.append("…")
        self.named.setText(", ".join(told))
        self.named.setVisible(bool(told))

    def _show_seen(self, seen: Seen) -> None:
        self.view.show()
        self.view.show_preview(seen.preview, seen.spacing)
        self.expected.show_advice(seen.advice)

    def _show_problem(self, error: Exception) -> None:
        self.view.hide()
        self.expected.show_problem(str(error))


def _entry(menu: QMenu, title: str, act: Callable[[], None]) -> None:
    action = QAction(title, menu)
    action.triggered.connect(lambda _=False: act())
    menu.addAction(action)


def _menu_button(title: str, tip: str, menu: QMenu) -> QPushButton:
    made = button(title, tip)
    made.setMenu(menu)
    made.setStyleSheet("QPushButton { padding: 3px 2px; }")
    return made
