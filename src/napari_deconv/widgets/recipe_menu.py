"""Recipe files of the docks: what one would do is saved, what a file tells fills it."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer
from qtpy.QtCore import QObject
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMenu

from napari_deconv.errors import DeconvolutionError, InputError
from napari_deconv.io import ImageFile, write_image
from napari_deconv.recipes import PsfSource, Recipe, Treatment
from napari_deconv.registry import methods, parameters_of
from napari_deconv.widgets.buttons import button
from napari_deconv.widgets.checker import Checker
from napari_deconv.widgets.choice import when_gone
from napari_deconv.widgets.form_parameters import form_parameters
from napari_deconv.widgets.layers import KEY, compatible_units, lengths
from napari_deconv.widgets.recipe import psf_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_deconv.widgets.deconvolution import DeconvolutionWidget
    from napari_deconv.widgets.layers import Snapshot

_KINDS = "Recipes (*.yaml *.yml)"
# Told by the PSF, in a recipe.
_OF_PSF = "psf_spacing"


class RecipeMenu(QObject):
    """A button with a menu: save a recipe, load one.

    Parameters
    ----------
    dock
        Whose image, PSF and form it is about.
    """

    def __init__(self, dock: DeconvolutionWidget) -> None:
        super().__init__(dock)
        self._dock = dock
        self.button = button(
            "Recipe",
            "Save these settings with their PSF as a file, to restore any number of images in the "
            "same way (napari-deconv run), or load such a file.",
        )
        menu = QMenu(self.button)
        for words, act in (("Save recipe…", self._ask_save), ("Load recipe…", self._ask_load)):
            action = QAction(words, menu)
            action.triggered.connect(act)
            menu.addAction(action)
        self.button.setMenu(menu)
        self._psf = Checker(self, patience_ms=0)
        self._psf.found.connect(self._add_psf)
        self._psf.failed.connect(dock._report)
        when_gone(dock, self._psf.abandon)

    @property
    def busy(self) -> bool:
        """Whether a PSF is on its way."""
        return self._psf.busy

    # Saving ----------------------------------------------------------------------------------

    def _ask_save(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(self._dock, "Save recipe", "recipe.yaml", _KINDS)
        if chosen:
            path = Path(chosen)
            named = path.suffix.lower() in (".yaml", ".yml")
            self.save(path if named else path.with_name(f"{path.name}.yaml"))

    def save(self, path: Path) -> None:
        """Write what the dock would do now; a PSF or background without numbers goes beside it."""
        try:
            work = self._dock.work()
            treatment = Treatment(
                work.method,
                {name: value for name, value in work.changed().items() if name != _OF_PSF},
                _psf_source(work.psf, path) if work.psf is not None else None,
                _background(work.background, path) if work.background is not None else None,
            )
            Recipe((treatment,)).save(path)
        except DeconvolutionError as error:
            self._dock._report(error)
            return
        self._dock.strip.say(f"Saved. To restore images: napari-deconv run {path} IMAGES -o FOLDER")

    # Loading ---------------------------------------------------------------------------------

    def _ask_load(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self._dock, "Load recipe", "", _KINDS)
        if chosen:
            self.load(Path(chosen))

    def load(self, path: Path) -> None:
        """Show a recipe's settings, and get its PSF as a layer."""
        dock = self._dock
        try:
            recipe = Recipe.load(path)
            treatment = self._one_of(recipe)
            if treatment is None:
                return
            self._fill(treatment)
            image = dock.image.snapshot() if dock.image.layer is not None else None
            if treatment.psf is not None:
                if image is None:
                    raise InputError(
                        "Choose the image layer first: the recipe's PSF is made for it."
                    )
                file = _as_file(image, recipe.axes)
                self._psf.ask(partial(_load_psf, treatment.psf, file, treatment.channel, path.stem))
        except DeconvolutionError as error:
            dock._report(error)
            return
        words = f"{path.name} was loaded."
        dock.strip.say(words, _differences(treatment, image))

    def _one_of(self, recipe: Recipe) -> Treatment | None:
        """Return the treatment to show: one of several is asked for."""
        if len(recipe.treatments) == 1:
            return recipe.treatments[0]
        names = [str(each.channel) for each in recipe.treatments]
        name, chosen = QInputDialog.getItem(
            self._dock, "Which channel?", "The recipe treats channels differently.", names, 0, False
        )
        return recipe.treatments[names.index(name)] if chosen else None

    def _fill(self, treatment: Treatment) -> None:
        dock = self._dock
        if treatment.method not in dock.method.box.values:
            raise InputError(
                f"This recipe is for {methods()[treatment.method].title}, which is not in this "
                "dock: open the Deconvolution dock."
            )
        if treatment.background is not None:
            raise InputError(
                f"This recipe takes its background from {treatment.background}: open that file as "
                "a layer and choose it here as the background; or run the recipe from the shell."
            )
        dock.method.choose(treatment.method)
        defaults = {k: v.default for k, v in form_parameters(dock.chosen_method).items()}
        dock.form.set_values({**defaults, **treatment.parameters})
        dock.background.set_value(treatment.parameters.get("background", 0.0))

    def _add_psf(self, found: tuple[Any, tuple[float, ...] | None, str, dict[str, Any]]) -> None:
        psf, spacing, name, record = found
        dock = self._dock
        ndim = psf.ndim if psf.ndim < 4 else 3
        extra = psf.ndim - ndim
        settings: dict[str, Any] = {
            "name": f"PSF of {name}",
            "axis_labels": ("c",) * extra + tuple("zyx"[-ndim:]),
            "colormap": "inferno",
            "blending": "additive",
            "contrast_limits": (0.0, float(psf.max()) or 1.0),
            "gamma": 0.5,
            "visible": False,
            "rgb": False,
            "metadata": {KEY: record},
        }
        if spacing is not None:
            settings["scale"] = (1.0,) * extra + tuple(spacing)
            units = compatible_units(list(dock.viewer.layers), ndim)
            settings["units"] = ("pixel",) * extra + units
        layer = dock.add(Layer.create(psf, settings, "image"), select=False)
        dock.psf.choose(layer)


def _psf_source(psf: Snapshot, recipe: Path) -> PsfSource:
    """Return a PSF layer as a recipe tells it: by its numbers, or as a file beside the recipe."""
    from napari_deconv.optics import Microscope

    record = psf.metadata
    if record.get("microscope"):
        known, others = parameters_of(Microscope), psf_parameters(record)
        scope = {
            name: value
            for name, value in record["microscope"].items()
            if known[name].required or known[name].default != value
        }
        settings = {
            name: value
            for name, value in record.get("parameters", {}).items()
            if others[name].default != value
        }
        settings |= {"model": record["model"], "modality": record["modality"]}
        shape, spacing = tuple(record["shape"]), tuple(record["spacing"])
        return PsfSource(None, scope, settings, shape, spacing)
    if "variant" in record:
        file = recipe.with_name(f"{recipe.stem}-psf.npz")
        record["variant"].save(file)
        return PsfSource(file)
    file = recipe.with_name(f"{recipe.stem}-psf.tif")
    data = np.asarray(psf.data, np.float32)
    ndim = len(psf.spacing) if psf.spacing is not None else min(data.ndim, 3)
    axes = "C" * (data.ndim - ndim) + "ZYX"[-ndim:]
    write_image(file, data, axes=axes, spacing=psf.spacing, overwrite=True)
    return PsfSource(file, spacing=psf.spacing)


def _background(background: Snapshot, recipe: Path) -> Path:
    """Write a background layer beside the recipe."""
    file = recipe.with_name(f"{recipe.stem}-background.ome.zarr")
    data = np.asarray(background.data, np.float32)
    write_image(file, data, axes=_axes(background), overwrite=True)
    return file


def _axes(image: Snapshot) -> str:
    ndim = len(image.shape)
    spatial = len(image.spacing) if image.spacing is not None else min(ndim, 3)
    leading = {0: "", 1: "T", 2: "TC"}.get(ndim - spatial)
    if leading is None:
        raise InputError(f"{image.name} has {ndim} axes; files know time, channel, z, y and x.")
    told = "".join(str(each)[:1].upper() for each in image.settings["axis_labels"])
    usual = leading + "ZYX"[-spatial:]
    return told if sorted(told) == sorted(set(told) & set("TCZYX")) and told else usual


def _as_file(image: Snapshot, axes: str | None) -> ImageFile:
    """Return a layer as if it had been read."""
    return ImageFile(
        Path(image.path or image.name), image.data, axes or _axes(image), image.spacing
    )


def _load_psf(
    source: PsfSource, image: ImageFile, channel: int | str | None, name: str
) -> tuple[Any, tuple[float, ...] | None, str, dict[str, Any]]:
    """Return a recipe's PSF with what a layer needs; runs in a thread."""
    from napari_deconv.optics import Microscope
    from napari_deconv.optics.variant import VariantPsf

    number = channel if isinstance(channel, int) else 0
    arrays, spacing = source.load(image, number, image.spacing)
    record: dict[str, Any] = {"kind": "psf"}
    if isinstance(arrays[0], VariantPsf):
        return arrays[0].mean, arrays[0].spacing, name, record | {"variant": arrays[0]}
    if source.file is None:
        record |= {
            "microscope": asdict(Microscope(**source.microscope)),
            **_settings(source.settings),
            "shape": list(arrays[0].shape),
            "spacing": list(spacing or ()),
        }
    psf = arrays[0] if len(arrays) == 1 else np.stack(arrays)
    return np.array(psf), spacing, name, record


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model, the modality and the rest of a PSF's settings, as a layer has them."""
    from napari_deconv.optics import generate_psf

    known = parameters_of(generate_psf)
    named = {k: settings.get(k, known[k].default) for k in ("model", "modality")}
    return {**named, "parameters": {k: v for k, v in settings.items() if k not in named}}


def _differences(treatment: Treatment, image: Snapshot | None) -> list[str]:
    """Return what of a recipe the dock takes from the layer instead."""
    asked = treatment.parameters.get("spacing")
    if asked is None or image is None or image.spacing is None:
        return []
    if np.allclose(asked, image.spacing[-len(asked) :], rtol=5e-3, atol=0):
        return []
    return [
        f"The recipe is for voxels of {lengths(asked)} µm; the layer's, {lengths(image.spacing)} "
        "µm, are used."
    ]
