"""The docks in a real viewer, from opening a sample to running on."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QApplication, QMenu

from napari_deconv.engine import Statistics
from napari_deconv.engine.settings import main_strength
from napari_deconv.registry import Chosen, methods
from napari_deconv.widgets.background import BackgroundWidget
from napari_deconv.widgets.deconvolution import DeconvolutionWidget
from napari_deconv.widgets.preferences import Preferences
from napari_deconv.widgets.psf import PsfWidget
from napari_deconv.widgets.recommendation import Recommendation

pytestmark = pytest.mark.gui
KEY = "napari-deconv"


@pytest.fixture
def dock(filled, settle):
    made = DeconvolutionWidget(filled)
    filled.window.add_dock_widget(made)
    made.form.set_values({"iterations": 5})
    settle(made)
    return made


def clipboard() -> str:
    return QGuiApplication.clipboard().text()


def same_place(one, other) -> None:
    for name in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), err_msg=name)
    np.testing.assert_allclose(one.affine.affine_matrix, other.affine.affine_matrix)
    assert one.units == other.units
    assert one.axis_labels == other.axis_labels


def test_from_sample_to_restored(viewer, settle):
    """The whole way that the README tells."""
    viewer.open_sample(KEY, "widefield")
    image = next(layer for layer in viewer.layers if layer.metadata[KEY]["kind"] == "sample")
    truth = next(layer for layer in viewer.layers if layer.metadata[KEY]["kind"] == "truth")
    # A corner of it, so that the test is quick.
    part = (slice(12, 36), slice(0, 96), slice(0, 96))
    viewer.layers.remove(next(x for x in viewer.layers if x.metadata[KEY]["kind"] == "psf"))
    image.data, truth.data = image.data[part].copy(), truth.data[part].copy()

    _, dock = viewer.window.add_plugin_dock_widget(KEY, "Deconvolution")
    settle(dock)
    assert dock.image.layer is image
    assert dock.psf.layer is None
    assert dock.lights.buttons["psf"].isEnabled()
    dock.make_psf.click()
    _, psf_dock = viewer.window.add_plugin_dock_widget(KEY, "PSF")
    settle(psf_dock)
    assert psf_dock.theory.image.layer is image
    assert "nm" in psf_dock.theory.view.profiles.words.text()
    psf_dock.strip.run.click()
    settle(psf_dock)
    psf = viewer.layers[-1]
    assert psf.data.sum() == pytest.approx(1, abs=1e-3)
    assert tuple(psf.scale) == pytest.approx((0.2, 0.1, 0.1))
    assert psf.metadata[KEY]["microscope"]["numerical_aperture"] == 1.2
    assert dock.psf.layer is psf

    settle(dock)
    dock.lights.buttons["offset"].click()
    assert dock.form.values["offset"] == pytest.approx(100, abs=4)
    assert dock.background.value == 0
    dock.form.set_values({"iterations": 20, "acceleration": "biggs-andrews"})
    dock.strip.run.click()
    settle(dock)
    result = viewer.layers[-1]
    same_place(result, image)

    def likeness(estimate):
        return np.corrcoef(estimate.ravel(), truth.data.ravel())[0, 1]

    assert likeness(result.data) > 1.15 * likeness(image.data)


def test_result_lies_over_its_source_and_tells_how_it_was_made(dock, filled, settle):
    image = filled.layers["beads"]
    before = image.data.copy()
    dock.strip.run.click()
    settle(dock)
    result = filled.layers["beads, Richardson-Lucy"]
    same_place(result, image)
    assert result.colormap.name == "magma"
    assert result.blending == "additive"
    assert result.data.dtype == np.float32
    assert result.data.shape == image.data.shape
    np.testing.assert_array_equal(image.data, before)
    record = result.metadata[KEY]
    assert record["method"] == "richardson-lucy"
    assert record["parameters"]["iterations"] == 5
    assert record["parameters"]["spacing"] == [0.2, 0.1, 0.1]
    assert record["source"] == "beads"
    assert len(record["image_sha256"]) == 64
    assert record["seconds"] > 0
    assert filled.layers.selection.active is result
    assert "5 iterations" in dock.strip.said


def test_metadata_belong_to_one_layer_only(dock, filled, settle):
    dock.strip.run.click()
    settle(dock)
    record = filled.layers["beads, Richardson-Lucy"].metadata[KEY]
    record["parameters"]["iterations"] = "spoilt"
    assert dock._last[0].job.details.provenance["parameters"]["iterations"] == 5


def test_automatic_iterations_show_their_curve(dock, filled, settle):
    dock.form.set_values({"iterations": "auto", "max_iterations": 25})
    dock.strip.run.click()
    settle(dock)
    curve = dock.strip.curves
    assert curve.figure == "explained"
    assert len(curve.points) > 3
    taken = filled.layers[-1].metadata[KEY]["iterations"]
    assert curve.stop == taken
    # Whoever turns away from automatic begins where it ended.
    assert dock.form.fields["iterations"].box.value() == taken


def test_preview_is_a_part_in_its_place(dock, filled, settle, monkeypatch):
    monkeypatch.setattr("napari_deconv.widgets.dock.PREVIEW", {2: (16, 16), 3: (8, 16, 16)})
    image = filled.layers["beads"]
    dock.strip.preview.click()
    settle(dock)
    (preview,) = [layer for layer in filled.layers if layer.name.startswith("preview")]
    assert preview.data.shape == (8, 16, 16)
    start = image.world_to_data(preview.data_to_world((0, 0, 0)))
    np.testing.assert_allclose(start, np.rint(start), atol=1e-6)
    assert all(0 < s < n for s, n in zip(start, image.data.shape, strict=True))
    # Its place is the right one: it looks like that part of the image.
    first = np.rint(start).astype(int)
    part = tuple(slice(a, a + n) for a, n in zip(first, (8, 16, 16), strict=True))
    assert np.corrcoef(image.data[part].ravel(), preview.data.ravel())[0, 1] > 0.7
    # The next one takes its place, and the whole makes it superfluous.
    dock.strip.preview.click()
    settle(dock)
    assert sum(layer.name.startswith("preview") for layer in filled.layers) == 1
    dock.strip.run.click()
    settle(dock)
    assert not any(layer.name.startswith("preview") for layer in filled.layers)


def test_cancel_keeps_or_drops_the_last_estimate(dock, filled, until, settle):
    dock.form.set_values({"iterations": 10_000})
    for keep in (False, True):
        dock.strip.run.click()
        until(lambda: dock.strip.bar.value() > 0 or "of 10000" in dock.strip.status.text())
        names = {layer.name for layer in filled.layers} - {"beads, running"}
        dock.strip.cancel.click()
        settle(dock)
        assert {layer.name for layer in filled.layers} == names
        assert not dock.strip.offers.isHidden()
        (dock.strip.keep if keep else dock.strip.drop).click()
        assert dock.strip.offers.isHidden()
        assert len(filled.layers) == len(names) + keep
    kept = filled.layers[-1]
    assert kept.metadata[KEY]["stopped_because"] == "cancelled"
    same_place(kept, filled.layers["beads"])
    assert kept.data.max() > filled.layers["beads"].data.max()


def test_run_again_gives_the_same_beside_the_first(dock, filled, settle):
    for _ in range(2):
        dock.strip.run.click()
        settle(dock)
    first, second = list(filled.layers)[-2:]
    assert first.name != second.name
    np.testing.assert_array_equal(first.data, second.data)


def test_again_on_another_layer(dock, filled, stack, settle):
    other = filled.add_image(
        np.flip(stack[0], 2).copy(),
        name="other",
        scale=(0.2, 0.1, 0.1),
        units="um",
        axis_labels=("z", "y", "x"),
    )
    dock.strip.run.click()
    settle(dock)
    menu = QMenu()
    dock._fill_again_menu(menu)
    names = {action.text(): action for action in menu.actions()}
    assert "PSF" not in names
    names["other"].trigger()
    settle(dock)
    result = filled.layers["other, Richardson-Lucy"]
    same_place(result, other)
    assert result.metadata[KEY]["iterations"] == 5


def test_continue_is_as_if_it_had_run_on(dock, filled, settle):
    dock.strip.run.click()
    settle(dock)
    first = filled.layers[-1].data.copy()
    dock.strip.more_steps.setValue(4)
    dock.strip.more.click()
    settle(dock)
    continued = filled.layers[-1]
    assert continued.name.endswith("9 iterations")
    np.testing.assert_array_equal(filled.layers["beads, Richardson-Lucy"].data, first)
    dock.strip.python.click()
    assert "iterations=9" in clipboard()
    dock.form.set_values({"iterations": 9})
    dock.strip.run.click()
    settle(dock)
    np.testing.assert_allclose(continued.data, filled.layers[-1].data, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("background", ["constant", "layer"])
def test_copied_python_does_the_same(dock, filled, settle, background):
    if background == "constant":
        dock.background.set_constant(95)
    else:
        layer = filled.add_image(
            np.full((12, 48, 48), 95, np.float32), name="haze", scale=(0.2, 0.1, 0.1), units="um"
        )
        dock.background.choice.choose(layer)
    dock.strip.run.click()
    settle(dock)
    result = filled.layers[-1].data
    dock.strip.python.click()
    names = {"viewer": filled}
    exec(clipboard(), names)
    np.testing.assert_allclose(names["out"], result, rtol=1e-4, atol=1e-3)
    assert not np.allclose(names["out"], names["image"])


def test_copied_command_is_understood(dock, filled, settle, tmp_path, monkeypatch, stack):
    import shlex

    import tifffile

    from napari_deconv.cli import main
    from napari_deconv.io import write_image

    dock.background.set_constant(95)
    dock.strip.run.click()
    settle(dock)
    result = filled.layers[-1].data
    dock.strip.command.click()
    monkeypatch.chdir(tmp_path)
    for name, array in zip(("beads.tif", "PSF.tif"), stack, strict=True):
        write_image(name, array, axes="ZYX", spacing=(0.2, 0.1, 0.1))
    commands = [line for line in clipboard().splitlines() if not line.startswith("#")]
    (words,) = [shlex.split(line) for line in commands]
    assert words[0] == "napari-deconv"
    assert not main(words[1:])
    np.testing.assert_allclose(tifffile.imread(words[-1]), result, rtol=1e-4, atol=1e-3)


def test_background_dock(filled, settle):
    dock = BackgroundWidget(filled)
    filled.window.add_dock_widget(dock)
    image = filled.layers["beads"]
    dock.keep_background.setChecked(True)
    dock.form.set_values({"method": "constant"})
    dock.strip.run.click()
    settle(dock)
    background, result = filled.layers["beads, background"], filled.layers[-1]
    for layer in (background, result):
        same_place(layer, image)
    np.testing.assert_allclose(result.data + background.data, image.data, atol=1e-3)
    assert background.data.mean() == pytest.approx(100, abs=3)
    dock.strip.python.click()
    names = {"viewer": filled}
    exec(clipboard(), names)
    np.testing.assert_allclose(names["out"], result.data, atol=1e-3)
    # By planes in the dock, all at once in Python: the same.
    dock.form.set_values({"method": "wavelet", "level": 3})
    dock.strip.run.click()
    settle(dock)
    dock.strip.python.click()
    exec(clipboard(), names)
    np.testing.assert_allclose(names["out"], filled.layers[-1].data, atol=1e-3)


def test_background_layer_is_offered_to_deconvolution(filled, settle):
    background = BackgroundWidget(filled)
    background.keep_background.setChecked(True)
    filled.window.add_dock_widget(background)
    dock = DeconvolutionWidget(filled)
    filled.window.add_dock_widget(dock)
    dock.image.choice.choose(filled.layers["beads"])
    background.strip.run.click()
    settle(background)
    dock.background.choice.choose(filled.layers["beads, background"])
    dock.form.set_values({"iterations": 3})
    dock.strip.run.click()
    settle(dock)
    assert "background" in filled.layers[-1].metadata[KEY]
    assert not dock.background.box.isVisible()


def test_psf_dock_copies_what_makes_the_same(filled, settle):
    dock = PsfWidget(filled)
    filled.window.add_dock_widget(dock)
    dock.theory.form.set_values(
        {
            "numerical_aperture": 0.8,
            "emission_wavelength": 0.6,
            "immersion_index": 1.0,
            "depth": 2.0,
            "centre": "geometric",
        }
    )
    settle(dock)
    dock.strip.run.click()
    settle(dock)
    psf = filled.layers[-1]
    # Odd, and no larger than the image.
    assert all(n % 2 for n in psf.data.shape)
    assert all(a <= b for a, b in zip(psf.data.shape, (12, 48, 48), strict=True))
    dock.strip.python.click()
    names: dict = {}
    exec(clipboard(), names)
    np.testing.assert_allclose(names["psf"], psf.data, rtol=1e-5)
    dock.strip.command.click()
    assert "--centre geometric" in clipboard()


def test_settings_are_remembered(filled, settle):
    first = DeconvolutionWidget(filled)
    first.form.set_values({"iterations": 77, "borders": "reflect"})
    second = DeconvolutionWidget(filled)
    assert second.form.values["iterations"] == 77
    assert second.form.values["borders"] == "reflect"
    psf = PsfWidget(filled)
    psf.theory.form.set_values({"numerical_aperture": 0.75, "emission_wavelength": 0.5})
    assert PsfWidget(filled).theory.form.values["numerical_aperture"] == 0.75
    for dock in (first, second, psf):
        settle(dock)
        dock.deleteLater()


def test_preferences_are_obeyed(dock, filled, settle):
    try:
        from napari.settings import get_plugin_settings
    except ImportError:  # before napari 0.9 plugins have no preferences, and the defaults hold
        assert dock.preferences() == Preferences()
        return
    jobs = get_plugin_settings("napari-deconv").jobs
    jobs.threads, jobs.device = 3, "cpu"
    dock.strip.run.click()
    settle(dock)
    assert filled.layers[-1].metadata[KEY]["parameters"]["threads"] == 3
    jobs.device = "cuda"
    dock.strip.run.click()
    settle(dock)
    import torch

    if not torch.cuda.is_available():
        assert "CUDA" in dock.strip.said
    jobs.device = "auto"


def test_a_series_with_a_psf_for_each_channel(viewer, settle):
    viewer.open_sample(KEY, "confocal")
    image = next(layer for layer in viewer.layers if layer.metadata[KEY]["kind"] == "sample")
    image.data = image.data[:2, :, :8, :32, :32].copy()
    dock = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(dock)
    assert dock.psf.layer.data.shape[0] == 2
    dock.form.set_values({"iterations": 2})
    dock.strip.run.click()
    settle(dock)
    result = viewer.layers[-1]
    assert result.data.shape == (2, 2, 8, 32, 32)
    same_place(result, image)
    # The preview is of the time point and channel that are seen.
    viewer.dims.set_current_step((0, 1), (1, 1))
    assert dock.region(image)[:2] == (slice(1, 2), slice(1, 2))


def test_a_plane(viewer, settle):
    viewer.open_sample(KEY, "haze")
    image = next(layer for layer in viewer.layers if layer.metadata[KEY]["kind"] == "sample")
    image.data = image.data[:64, :64].copy()
    dock = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_values({"iterations": 2})
    dock.strip.run.click()
    settle(dock)
    assert viewer.layers[-1].data.shape == (64, 64)
    psf = PsfWidget(viewer)
    viewer.window.add_dock_widget(psf)
    settle(psf)
    assert psf.theory.grid.ndim == 2
    assert "Z" not in psf.theory.view.profiles.words.text()


@pytest.mark.parametrize("kind", ["multiscale", "dask"])
def test_multiscale_and_dask_layers(viewer, stack, settle, kind):
    image, psf = stack
    if kind == "dask":
        dask = pytest.importorskip("dask.array")
        data = dask.from_array(image, chunks=(6, 24, 48))
        layer = viewer.add_image(data, name="beads", scale=(0.2, 0.1, 0.1), units="um")
    else:
        data = [image, image[:, ::2, ::2]]
        layer = viewer.add_image(
            data, name="beads", scale=(0.2, 0.1, 0.1), units="um", multiscale=True
        )
    viewer.add_image(psf, name="PSF", scale=(0.2, 0.1, 0.1), units="um")
    dock = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_values({"iterations": 3})
    dock.strip.run.click()
    settle(dock)
    assert viewer.layers[-1].data.shape == image.shape
    np.testing.assert_allclose(viewer.layers[-1].scale, layer.scale)
    dock.strip.python.click()
    names = {"viewer": viewer}
    exec(clipboard(), names)
    np.testing.assert_allclose(names["out"], viewer.layers[-1].data, rtol=1e-4, atol=1e-3)


def test_voxel_size_of_a_layer_in_pixels(viewer, stack, settle):
    layer = viewer.add_image(stack[0], name="beads")
    dock = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(dock)
    assert not dock.image.sizes.isHidden()
    assert "no voxel size" in dock.image.info.text()
    assert not dock.image.sizes.applied.isEnabled()
    for edit, size in zip(dock.image.sizes.edits.values(), ("0.3", "0,1", "1e-1"), strict=True):
        edit.setText(size)
    dock.image.sizes.applied.click()
    assert dock.image.sizes.isHidden()
    np.testing.assert_allclose(layer.scale, (0.3, 0.1, 0.1))
    assert "0.30 × 0.10 × 0.10 µm" in dock.image.info.text()
    settle(dock)


# Learned methods have docks of their own.
@pytest.mark.parametrize("method", [n for n, m in methods().items() if m.group != "learned"])
def test_every_method_restores(dock, filled, settle, method):
    dock.method.choose(method)
    assert dock.method.method is methods()[method]
    dock.form.set_values({"iterations": 2})
    strength = main_strength(methods()[method])
    if strength is not None and strength.search is not None:
        dock.form.set_values({strength.name: strength.search.middle})  # a search takes a while
    dock.background.set_constant(95)
    dock.strip.run.click()
    settle(dock)
    result = filled.layers[-1]
    assert result.metadata[KEY]["method"] == method
    assert np.isfinite(result.data).all()
    assert dock.strip.continuing.isHidden() != methods()[method].iterative
    dock.strip.python.click()
    names = {"viewer": filled}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the method that nobody should take
        exec(clipboard(), names)
    np.testing.assert_allclose(names["out"], result.data, rtol=1e-3, atol=1e-2)


def height(dock):
    """Return how high a dock is with everything shown that a run may show, "More" closed."""
    dock.strip.begin()
    dock.strip.status.show()
    iterates = isinstance(dock, DeconvolutionWidget)
    if iterates:
        curves = dock.strip.curves
        curves.show_figures([Statistics(i, 0.1, deviance=1 / i) for i in range(1, 5)])
        chosen = Chosen.among(0.1, (0.03, 0.1, 0.3), (1, 2, 1), "likelihood")
        curves.show_choices({"strength": chosen})
    dock.strip.say("What there is to say about it. " * 5)
    dock.strip.offer(can_continue=iterates)
    inside = dock.area.widget()
    inside.layout().activate()
    # A little room for other machines' fonts.
    assert inside.minimumSizeHint().width() <= 390
    dock.strip.end()
    return inside.layout().totalHeightForWidth(360)


@pytest.mark.parametrize("make", [PsfWidget, BackgroundWidget])
def test_docks_fit_360_by_1000_pixels(viewer, settle, make):
    viewer.open_sample(KEY, "haze")
    dock = make(viewer)
    viewer.window.add_dock_widget(dock)
    settle(dock)
    assert height(dock) <= 1000


def test_every_method_fits_360_by_1000_pixels(viewer, settle):
    """With a light that is not green, and the recommendation of another method."""
    viewer.open_sample(KEY, "haze")
    dock = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(dock)
    settle(dock)
    assert dock.lights.buttons
    heights = {}
    for method in dock.method.box.values:
        dock.method.choose(method)
        settle(dock)
        other = "wiener" if method == "richardson-lucy" else "richardson-lucy"
        dock.method.recommend(Recommendation(other, {}, "It suits this image. " * 6))
        QApplication.processEvents()
        assert not dock.method.advised.isHidden()
        heights[method] = height(dock)
        assert heights[method] <= 1000, method
    # The forms were measured, too.
    assert heights["variational"] > heights["richardson-lucy"] + 20
