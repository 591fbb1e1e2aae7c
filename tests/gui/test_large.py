"""Images of many resolutions and results that go to a file, in a real viewer."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_deconv import restore
from napari_deconv.engine.streaming import unfinished_blocks
from napari_deconv.io import read_image
from napari_deconv.widgets import streamed
from napari_deconv.widgets.deconvolution import DeconvolutionWidget
from napari_deconv.widgets.layers import shown_level

pytestmark = pytest.mark.gui
SPATIAL = {
    "scale": (0.2, 0.1, 0.1),
    "units": ("um", "um", "um"),
    "axis_labels": ("z", "y", "x"),
    "translate": (1.0, 2.0, 3.0),
}
KEY = "napari-deconv"


class Counting:
    """A lazy array that counts the voxels that are read."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.ndim, self.size = array.ndim, array.size
        self.read = 0

    def __getitem__(self, index):
        part = self._array[index]
        self.read += part.size
        return part


@pytest.fixture
def dock(filled, settle):
    made = DeconvolutionWidget(filled)
    filled.window.add_dock_widget(made)
    made.form.set_values({"iterations": 3})
    settle(made)
    return made


@pytest.fixture
def large(monkeypatch, tmp_path):
    """Every result counts as large; it goes where the answer says."""
    answers = {"path": tmp_path / "out.ome.zarr", "asked": []}

    def ask(parent, title, usual, kinds):
        answers["asked"].append(usual)
        return str(answers["path"] or ""), kinds

    monkeypatch.setattr("napari_deconv.engine.memory.outgrows", lambda *_: True)
    monkeypatch.setattr(streamed, "_OFTEN", 0.0)
    monkeypatch.setattr("napari_deconv.engine.job._SHORTEST", 0.0)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", staticmethod(ask))
    return answers


def test_preview_at_the_resolution_that_is_shown(viewer, settle):
    random = np.random.default_rng(0)
    fine = random.poisson(20, (8, 400, 400)).astype(np.float32)
    coarse = fine.reshape(8, 100, 4, 100, 4).mean(axis=(2, 4))
    levels = [Counting(fine), Counting(coarse)]
    image = viewer.add_image(levels, name="slide", multiscale=True, **SPATIAL)
    psf = np.exp(-sum(np.linspace(-2, 2, n).reshape(s) ** 2 for n, s in _shapes())).astype("f4")
    viewer.add_image(psf, name="PSF", visible=False, scale=(0.2, 0.1, 0.1), units="um")
    dock = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_values({"iterations": 3})
    settle(dock)
    image.data_level = 1
    assert shown_level(image) == 1
    levels[0].read, read = 0, []
    dock.runner.updated.connect(lambda update: read.append(levels[0].read))
    dock.strip.preview.click()
    settle(dock)
    made = viewer.layers["preview of slide"]
    assert read
    assert not any(read)  # the lights look at the finest before and after
    np.testing.assert_allclose(made.scale, (0.2, 0.4, 0.4))
    # The first coarse voxel's middle is that of the four fine ones along each axis.
    np.testing.assert_allclose(made.translate, (1.0, 2.0 + 0.15, 3.0 + 0.15))
    assert made.data.shape == coarse.shape
    expected = restore(
        coarse,
        "richardson-lucy",
        psf,
        iterations=3,
        spacing=(0.2, 0.4, 0.4),
        psf_spacing=(0.2, 0.1, 0.1),
    )
    np.testing.assert_allclose(made.data, expected, rtol=1e-4, atol=1e-4)
    assert "0.20 × 0.40 × 0.40" in dock.strip.said


def _shapes():
    return ((7, (-1, 1, 1)), (15, (1, -1, 1)), (15, (1, 1, -1)))


def test_preview_of_a_lazy_image_reads_what_is_looked_at(viewer, settle):
    dask = pytest.importorskip("dask.array")
    read = []

    def plane(block_info=None):
        read.append(block_info[None]["chunk-location"])
        return np.random.default_rng(0).poisson(20, (1, 8, 128, 128)).astype(np.float32)

    chunks = ((1,) * 10, (8,), (128,) * 2, (128,) * 2)
    image = dask.map_blocks(plane, chunks=chunks, dtype=np.float32, meta=np.empty(0, "f4"))
    spatial = {
        "scale": (1, 0.2, 0.1, 0.1),
        "units": ("s", "um", "um", "um"),
        "axis_labels": ("t", "z", "y", "x"),
    }
    viewer.add_image(image, name="film", contrast_limits=(0, 50), **spatial)
    psf = np.exp(-sum(np.linspace(-2, 2, n).reshape(s) ** 2 for n, s in _shapes())).astype("f4")
    viewer.add_image(psf, name="PSF", visible=False, scale=(0.2, 0.1, 0.1), units="um")
    viewer.dims.set_current_step(0, 7)
    dock = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_values({"iterations": 3})
    settle(dock)
    read.clear()
    dock.strip.preview.click()
    settle(dock)
    assert viewer.layers["preview of film"].data.shape == (1, 8, 160, 160)
    assert {location[0] for location in read} == {7}


def test_large_results_fill_a_file_that_is_shown(dock, filled, settle, large):
    dock.form.set_values({"tiles": (12, 16, 48)})
    seen = []
    filled.layers.events.inserted.connect(lambda event: seen.append(event.value.name))
    dock.strip.run.click()
    settle(dock)
    assert seen == ["beads, running", "beads, Richardson-Lucy"]
    result = filled.layers["beads, Richardson-Lucy"]
    assert "beads, running" not in filled.layers
    image = filled.layers["beads"]
    np.testing.assert_allclose(result.scale, image.scale)
    np.testing.assert_allclose(result.translate, image.translate)
    assert result.metadata[KEY]["parameters"]["iterations"] == 3
    expected = restore(
        image.data,
        "richardson-lucy",
        filled.layers["PSF"].data,
        iterations=3,
        tiles=(12, 16, 48),
        spacing=(0.2, 0.1, 0.1),
    )
    np.testing.assert_allclose(np.asarray(result.data), expected, rtol=1e-4, atol=1e-4)
    stored = read_image(large["path"])
    assert stored.spacing == pytest.approx((0.2, 0.1, 0.1))
    assert str(large["path"]) in dock.strip.said


def test_a_large_result_has_several_resolutions(viewer, settle, large, monkeypatch):
    monkeypatch.setattr("napari_deconv.io.ome_zarr._SMALLEST_PLANE", 64)
    image = np.random.default_rng(0).poisson(20, (100, 140)).astype(np.float32)
    viewer.add_image(image, name="plane", scale=(0.1, 0.1), units="um", axis_labels=("y", "x"))
    viewer.add_image(np.eye(5, dtype=np.float32), name="PSF", scale=(0.1, 0.1), units="um")
    dock = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_values({"iterations": 3})
    settle(dock)
    dock.strip.run.click()
    settle(dock)
    result = viewer.layers["plane, Richardson-Lucy"]
    assert result.multiscale
    assert [level.shape for level in result.data] == [(100, 140), (50, 70), (25, 35)]
    np.testing.assert_allclose(result.scale, (0.1, 0.1))
    expected = restore(
        image, "richardson-lucy", np.eye(5, dtype=np.float32), iterations=3, spacing=(0.1, 0.1)
    )
    np.testing.assert_allclose(np.asarray(result.data[0]), expected, rtol=1e-5)


def test_a_cancelled_large_result_is_gone_on_with(dock, filled, settle, large, until, monkeypatch):
    dock.form.set_values({"tiles": (12, 16, 48), "iterations": 60})
    dock.strip.run.click()
    until(lambda: (unfinished_blocks(large["path"]) or (0,))[0] >= 1)
    dock.strip.cancel.click()
    settle(dock)
    done, of = unfinished_blocks(large["path"])
    assert 1 <= done < of
    assert f"{done} of {of} blocks are done" in dock.strip.said
    assert "beads, running" not in filled.layers
    dock.strip.run.click()
    settle(dock)
    assert unfinished_blocks(large["path"]) is None
    assert filled.layers["beads, Richardson-Lucy"].data.shape == (12, 48, 48)


def test_what_was_begun_is_offered(dock, filled, settle, large, monkeypatch, tmp_path, until):
    monkeypatch.setattr(streamed.Path, "home", staticmethod(lambda: tmp_path))
    large["path"] = tmp_path / "beads-richardson-lucy.ome.zarr"
    dock.form.set_values({"tiles": (12, 16, 48), "iterations": 60})
    dock.strip.run.click()
    until(lambda: (unfinished_blocks(large["path"]) or (0,))[0] >= 1)
    dock.strip.cancel.click()
    settle(dock)
    questions = []

    def question(parent, title, words):
        questions.append(words)
        return QMessageBox.StandardButton.Yes

    monkeypatch.setattr(QMessageBox, "question", staticmethod(question))
    dock.strip.run.click()
    settle(dock)
    assert "of 3 blocks are done" in questions[0]
    assert len(large["asked"]) == 1
    assert unfinished_blocks(large["path"]) is None


def test_nothing_starts_without_a_file(dock, filled, settle, large):
    large["path"] = None
    dock.strip.run.click()
    assert not dock.runner.busy
    assert len(large["asked"]) == 1
    assert large["asked"][0].endswith("beads-richardson-lucy.ome.zarr")
