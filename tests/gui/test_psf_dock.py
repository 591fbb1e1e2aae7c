"""The PSF dock: theory with its live view, beads with their table, and the fit of a pupil."""

import numpy as np
import pytest

from napari_deconv.optics import Microscope, generate_psf
from napari_deconv.optics.setup import Setup
from napari_deconv.optics.variant import VariantPsf
from napari_deconv.widgets.advice_list import GREEN
from napari_deconv.widgets.deconvolution import DeconvolutionWidget
from napari_deconv.widgets.layers import KEY
from napari_deconv.widgets.psf import PsfWidget
from napari_deconv.widgets.psf_view import sampling_colour
from napari_deconv.widgets.strip import AMBER, RED

pytestmark = pytest.mark.gui

SPACING = (0.2, 0.1, 0.1)
WATER = {
    "numerical_aperture": 0.9,
    "immersion_index": 1.33,
    "sample_index": 1.33,
    "emission_wavelength": 0.52,
}


@pytest.fixture
def dock(viewer, settle):
    made = PsfWidget(viewer)
    viewer.window.add_dock_widget(made)
    made.theory.fill_in(WATER)
    settle(made)
    return made


@pytest.fixture(scope="module")
def beads():
    """Four beads alone, and two that stand too near to each other."""
    psf = generate_psf(Microscope(**WATER), (25, 41, 41), SPACING)
    image = np.zeros((33, 160, 160))
    for y, x in ((30, 30), (30, 120), (80, 75), (125, 30), (125, 120), (125, 128)):
        image[4:29, y - 20 : y + 21, x - 20 : x + 21] += 4000 * psf / psf.max()
    return np.random.default_rng(0).poisson(image + 100).astype(np.uint16), psf


def test_the_view_follows_every_change(dock, settle):
    before = dock.theory.view.shown
    assert before.fwhm[2] == pytest.approx(0.5145 * 0.52 / 0.9, rel=0.01)
    dock.theory.form.set_values({"emission_wavelength": 0.65})
    settle(dock)
    after = dock.theory.view.shown
    assert after.fwhm[2] / before.fwhm[2] == pytest.approx(0.65 / 0.52, rel=1e-3)
    assert f"{1000 * after.fwhm[2]:.0f} nm" in dock.theory.view.profiles.words.text()


def test_menus_fill_fields_in(dock, settle):
    action = next(a for a in dock.theory.menus["Objective"].actions() if "1.4" in a.text())
    action.trigger()
    settle(dock)
    assert dock.theory.form.values["numerical_aperture"] == 1.4
    assert dock.theory.form.values["immersion_index"] == pytest.approx(1.515)
    dye = next(a for a in dock.theory.menus["Dye"].actions() if "GFP" in a.text())
    dye.trigger()
    settle(dock)
    assert 0.5 < dock.theory.form.values["emission_wavelength"] < 0.53


def test_only_fields_that_matter_are_shown(dock, settle):
    form = dock.theory.form
    assert not form.fields["pinhole"].isVisibleTo(dock)
    form.set_values({"modality": "confocal", "excitation_wavelength": 0.488})
    settle(dock)
    assert form.fields["pinhole"].isVisibleTo(dock)
    assert dock.theory.own["model", "gibson-lanni"].isVisibleTo(dock)
    form.set_values({"model": "richards-wolf"})
    settle(dock)
    assert not dock.theory.own["model", "gibson-lanni"].isVisibleTo(dock)
    assert dock.theory.own["model", "richards-wolf"].isVisibleTo(dock)
    dock.theory.own["model", "richards-wolf"].set_values({"polarisation": "linear"})
    settle(dock)
    dock.strip.run.click()
    settle(dock)
    psf = dock.viewer.layers[-1]
    assert psf.metadata[KEY]["parameters"]["polarisation"] == "linear"
    middle = psf.data[psf.data.shape[0] // 2].astype(float)
    y, x = np.indices(middle.shape) - np.array(middle.shape)[:, None, None] // 2
    # A linearly polarised focus is longer along its polarisation.
    assert abs((middle * x**2).sum() / (middle * y**2).sum() - 1) > 0.02


def test_a_microscope_is_kept_in_a_file(dock, settle, tmp_path):
    dock.theory.form.set_values({"depth": 3.0, "model": "pupil"})
    dock.theory.own["model", "pupil"].set_values({"aberrations": {7: 0.05, 11: -0.1}})
    settle(dock)
    dock.theory.save(tmp_path / "mine.json")
    assert "mine.json" in dock.strip.said
    kept = Setup.load(tmp_path / "mine.json")
    assert kept.parameters["aberrations"] == {7: 0.05, 11: -0.1}
    dock.theory.form.set_values({"depth": 0.0, "model": "gaussian"})
    dock.theory.own["model", "pupil"].set_values({"aberrations": {}})
    dock.theory.load(tmp_path / "mine.json")
    settle(dock)
    assert dock.theory.setup() == kept.__class__(**{**vars(kept), "name": "", "spacing": None})
    (tmp_path / "other.json").write_text("{}")
    dock.theory.load(tmp_path / "other.json")
    assert "other.json" in dock.theory.expected.text


def test_voxels_are_held_against_nyquist():
    assert sampling_colour(0.9) == GREEN
    assert sampling_colour(1.3) == AMBER
    assert sampling_colour(2.0) == RED


def test_advice_names_what_to_do(dock, settle):
    dock.theory.grid.take((0.2, 0.5, 0.5), (20, 64, 64), 3)
    dock.theory.look()
    settle(dock)
    assert "coarse" in dock.theory.expected.text


def test_beads_become_a_psf_with_marks_and_a_table(dock, viewer, beads, settle, tmp_path):
    image, _ = beads
    layer = viewer.add_image(image, name="beads", scale=SPACING, units="um", translate=(1, 2, 3))
    dock.tabs.choose(dock.beads)
    assert dock.strip.run.text() != "Make"
    assert dock.beads.image.layer is layer
    dock.beads.theory.setChecked(True)
    dock.strip.run.click()
    settle(dock)
    psf = viewer.layers[-1]
    assert psf.metadata[KEY]["beads"] == 4
    assert psf.data.sum() == pytest.approx(1, abs=1e-4)
    assert tuple(psf.scale) == pytest.approx(SPACING)
    assert "theory" in dock.beads.summary.text()
    marks = viewer.layers["beads, beads"]
    assert len(marks.data) == dock.beads.table.rowCount() == 6
    world = np.array([marks.data_to_world(place) for place in marks.data])
    # In the middle of a bead, in the world, on every plane.
    nearest = np.linalg.norm(world - layer.data_to_world((16, 80, 75))[1:], axis=1).min()
    assert nearest < 0.02
    reasons = [dock.beads.table.item(row, 5).text() for row in range(6)]
    assert reasons.count("used") == 4
    dock.beads.table.selectRow(reasons.index("used"))
    dock.beads.average.report.save(tmp_path / "beads.csv")
    assert len((tmp_path / "beads.csv").read_text().splitlines()) == 7
    dock.strip.python.click()
    from qtpy.QtGui import QGuiApplication

    names: dict = {"viewer": viewer}
    exec(QGuiApplication.clipboard().text(), names)
    np.testing.assert_allclose(names["psf"], psf.data, atol=1e-8)
    dock.strip.command.click()
    assert "comes from no file" in dock.strip.said


def test_beads_become_a_psf_of_the_field_that_methods_take(dock, viewer, settle, tmp_path):
    """Coma grows to the sides: nine parts of the field, three beads in each."""
    scope = Microscope(**WATER)
    image = np.zeros((25, 216, 216))
    for y in range(20, 200, 35):
        for x in range(20, 200, 35):
            tilt = {8: 0.15 * (x - 108) / 108}
            psf = generate_psf(scope, (21, 21, 21), SPACING, model="pupil", aberrations=tilt)
            image[2:23, y - 10 : y + 11, x - 10 : x + 11] += 3000 * psf / psf.max()
    noisy = np.random.default_rng(2).poisson(image + 50).astype(np.uint16)
    layer = viewer.add_image(noisy, name="beads", scale=SPACING, units="um")
    dock.tabs.choose(dock.beads)
    dock.strip.run.click()
    settle(dock)
    dock.beads.map.choice.setCurrentText("SNR")
    assert "parts of the field" in dock.beads.map.words.text()
    dock.beads.ask_where_to_save = lambda: str(tmp_path / "field.npz")
    dock.beads.field.click()
    settle(dock)
    psf = viewer.layers[-1]
    variant = psf.metadata[KEY]["variant"]
    assert VariantPsf.load(tmp_path / "field.npz").maps.shape == variant.maps.shape
    left, right = (variant.at((12, 108, x)) for x in (30, 186))
    assert np.abs(left - right).sum() > 0.1
    restoring = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(restoring)
    restoring.image.choice.choose(layer)
    restoring.psf.choose(psf)
    restoring.form.set_values({"iterations": 2})
    settle(restoring)
    restoring.strip.preview.click()
    settle(restoring)
    assert viewer.layers[-1].name.startswith("preview")
    restoring.method.choose("wiener")
    restoring.strip.run.click()
    settle(restoring)
    assert "takes steps" in restoring.strip.said
    restoring.strip.command.click()


def test_beads_without_a_voxel_size_or_without_beads(dock, viewer, settle):
    dock.tabs.choose(dock.beads)
    dock.strip.run.click()
    assert "Open an image of beads" in dock.strip.said
    flat = np.random.default_rng(0).poisson(np.full((12, 40, 40), 100.0))
    viewer.add_image(flat, name="beads of nothing")
    dock.strip.run.click()
    assert "voxel size" in dock.strip.said
    viewer.layers[-1].scale, viewer.layers[-1].units = SPACING, ("um",) * 3
    dock.strip.run.click()
    settle(dock)
    assert "bead" in dock.strip.said
    assert len(viewer.layers) == 1


def test_a_pupil_is_fitted_and_fills_the_theory_in(dock, viewer, settle):
    truth = {5: 0.06, 8: -0.05}
    psf = generate_psf(Microscope(**WATER), (21, 33, 33), SPACING, model="pupil", aberrations=truth)
    image = np.zeros((29, 110, 110))
    for y, x in ((25, 28), (28, 80), (80, 30), (82, 84)):
        image[4:25, y - 16 : y + 17, x - 16 : x + 17] += 3000 * psf / psf.max()
    noisy = np.random.default_rng(1).poisson(image + 50).astype(np.uint16)
    viewer.add_image(noisy, name="beads", scale=SPACING, units="um")
    dock.tabs.choose(dock.beads)
    dock.beads.theory.setChecked(True)
    dock.strip.run.click()
    settle(dock)
    dock.beads.pupil.click()
    settle(dock)
    assert dock.tabs.current() is dock.theory
    found = dock.theory.setup()
    assert found.model == "pupil"
    for j, waves in truth.items():
        assert found.parameters["aberrations"][j] == pytest.approx(waves, abs=0.01)
    dock.strip.run.click()
    settle(dock)
    assert viewer.layers[-1].metadata[KEY]["model"] == "pupil"
