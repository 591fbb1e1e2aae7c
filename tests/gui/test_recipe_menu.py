"""Recipes that the dock writes and reads: the same numbers from the dock, a file and Python."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QInputDialog

from napari_deconv import Microscope, generate_psf, restore, simulate
from napari_deconv.cli import main
from napari_deconv.io import Channel, read_image, write_image
from napari_deconv.recipes import Recipe
from napari_deconv.widgets.deconvolution import DeconvolutionWidget
from napari_deconv.widgets.lucyd import LucydWidget

pytestmark = pytest.mark.gui
SPACING = (0.3, 0.1, 0.1)
SCOPE = {"numerical_aperture": 1.2, "immersion_index": 1.33}


@pytest.fixture
def dock(filled, settle):
    made = DeconvolutionWidget(filled)
    filled.window.add_dock_widget(made)
    settle(made)
    return made


def psf_of(wavelength):
    scope = Microscope(**SCOPE, emission_wavelength=wavelength)
    return generate_psf(scope, (5, 11, 11), SPACING, model="gaussian")


@pytest.fixture
def series(tmp_path):
    """Two channels at 20 times, in a file."""
    points = np.random.default_rng(0).integers(2, (4, 22, 22), (20, 2, 5, 3))
    image = np.empty((20, 2, 6, 24, 24), np.uint16)
    for time in range(20):
        for channel, wavelength in enumerate((0.51, 0.67)):
            obj = np.zeros((6, 24, 24), np.float32)
            obj[tuple(points[time, channel].T)] = 1
            seed = 2 * time + channel
            made = simulate(obj, psf_of(wavelength), photons=200, offset=100, seed=seed)
            image[time, channel] = made.clip(0)
    return write_image(
        tmp_path / "series.ome.tif",
        image,
        axes="TCZYX",
        spacing=SPACING,
        channels=[Channel("GFP", 0.51, "#00ff00"), Channel("Cy5", 0.67, "#ff0000")],
        time_interval=3.0,
    )


@pytest.mark.parametrize("iterations", [8, "auto"])
def test_a_series_of_two_channels_by_dock_recipe_and_python(
    viewer, series, settle, tmp_path, iterations, capsys
):
    file = read_image(series)
    spatial = {
        "scale": (3.0, 1.0, *SPACING),
        "units": ("s", "pixel", "um", "um", "um"),
        "axis_labels": tuple("tczyx"),
    }
    viewer.add_image(file.data, name="series", **spatial)
    psfs = np.stack([psf_of(0.51), psf_of(0.67)])
    viewer.add_image(
        psfs,
        name="PSF",
        scale=(1, *SPACING),
        units=("pixel", "um", "um", "um"),
        axis_labels=tuple("czyx"),
    )
    dock = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(dock)
    dock.method.choose("richardson-lucy")
    dock.form.set_values({"iterations": iterations, "offset": 100.0})
    settle(dock)
    dock.recipes.save(tmp_path / "recipe.yaml")
    assert "Saved" in dock.strip.said
    dock.strip.run.click()
    settle(dock)
    by_dock = viewer.layers["series, Richardson-Lucy"]
    assert main(["run", str(tmp_path / "recipe.yaml"), str(series), "-o", str(tmp_path)]) == 0
    by_recipe = read_image(tmp_path / "series-restored.ome.tif")
    options = {"iterations": iterations, "offset": 100.0, "spacing": SPACING}
    by_python = restore(file.data, "richardson-lucy", psfs, **options)
    np.testing.assert_array_equal(np.asarray(by_recipe.data), by_python)
    np.testing.assert_array_equal(by_dock.data, by_python)
    assert by_recipe.axes == "TCZYX"
    assert by_recipe.spacing == pytest.approx(SPACING)
    assert by_recipe.channel_names == ("GFP", "Cy5")
    assert by_recipe.time_interval == 3.0
    np.testing.assert_allclose(by_dock.scale, spatial["scale"])


def test_what_is_saved_fills_another_dock(dock, filled, settle, tmp_path):
    dock.method.choose("richardson-lucy-tv")
    values = {"iterations": 7, "offset": 98.0, "borders": "reflect", "gain": 2.0}
    dock.form.set_values(values)
    dock.background.set_value(3.5)
    settle(dock)
    dock.recipes.save(tmp_path / "recipe.yaml")
    before = dock.form.values
    dock.method.choose("wiener")
    dock.form.set_values({"offset": 0.0, "borders": "circular", "gain": "auto", "seed": 5})
    dock.background.set_value("auto")
    settle(dock)
    dock.recipes.load(tmp_path / "recipe.yaml")
    settle(dock)
    assert dock.chosen_method.id == "richardson-lucy-tv"
    assert dock.form.values == before
    assert dock.background.value == 3.5
    assert dock.psf.layer.name == "PSF of recipe"
    np.testing.assert_array_equal(dock.psf.layer.data, filled.layers["PSF"].data)


def test_a_computed_psf_is_saved_as_its_numbers(dock, filled, settle, tmp_path):
    scope = {**SCOPE, "emission_wavelength": 0.52}
    psf = generate_psf(Microscope(**scope), (5, 11, 11), (0.2, 0.1, 0.1), model="gaussian")
    record = {
        "kind": "psf",
        "model": "gaussian",
        "modality": "widefield",
        "microscope": scope,
        "shape": [5, 11, 11],
        "spacing": [0.2, 0.1, 0.1],
        "parameters": {"centre": "brightest"},
    }
    layer = filled.add_image(
        psf, name="PSF 2", scale=(0.2, 0.1, 0.1), units="um", metadata={"napari-deconv": record}
    )
    dock.psf.choose(layer)
    settle(dock)
    dock.recipes.save(tmp_path / "recipe.yaml")
    source = Recipe.load(tmp_path / "recipe.yaml").treatments[0].psf
    assert source.file is None
    assert source.microscope == scope
    assert [path.name for path in tmp_path.glob("recipe*")] == ["recipe.yaml"]
    dock.recipes.load(tmp_path / "recipe.yaml")
    settle(dock)
    assert dock.psf.layer is not layer
    np.testing.assert_array_equal(dock.psf.layer.data, psf)


def test_of_several_channels_one_is_chosen(dock, settle, tmp_path, monkeypatch):
    (tmp_path / "recipe.yaml").write_text(
        "napari-deconv recipe: 1\n"
        "psf: {microscope: {numerical_aperture: 1.2, immersion_index: 1.33}, model: gaussian}\n"
        "channels:\n"
        "  - {channel: 0, method: wiener, psf: {microscope: {emission_wavelength: 0.5}}}\n"
        "  - {channel: GFP, method: tikhonov, psf: {microscope: {emission_wavelength: 0.6}}}\n"
    )
    asked = []

    def choose(parent, title, words, names, *_):
        asked.append(names)
        return names[1], True

    monkeypatch.setattr(QInputDialog, "getItem", staticmethod(choose))
    dock.recipes.load(tmp_path / "recipe.yaml")
    settle(dock)
    assert asked == [["0", "GFP"]]
    assert dock.chosen_method.id == "tikhonov"
    record = dock.psf.layer.metadata["napari-deconv"]
    assert record["microscope"]["emission_wavelength"] == 0.6


def test_what_cannot_be_loaded_is_told(dock, filled, settle, tmp_path):
    (tmp_path / "recipe.yaml").write_text("napari-deconv recipe: 1\nmethod: wienr\n")
    dock.recipes.load(tmp_path / "recipe.yaml")
    assert "line 2" in dock.strip.said
    (tmp_path / "recipe.yaml").write_text("napari-deconv recipe: 1\nmethod: wiener\npsf: no.tif\n")
    dock.recipes.load(tmp_path / "recipe.yaml")
    settle(dock)
    assert "no file" in dock.strip.said
    lucyd = LucydWidget(filled)
    filled.window.add_dock_widget(lucyd)
    lucyd.recipes.load(tmp_path / "recipe.yaml")
    settle(lucyd)
    assert "open the Deconvolution dock" in lucyd.strip.said
