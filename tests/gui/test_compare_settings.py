"""The contact sheet: it fills in, is in one contrast, and a click adopts a setting."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.progress import progress
from qtpy.QtCore import Qt

from napari_deconv.registry import methods
from napari_deconv.widgets.deconvolution import DeconvolutionWidget
from napari_deconv.widgets.method_choice import offered
from napari_deconv.widgets.thumbnail import common_limits, picture

pytestmark = pytest.mark.gui


@pytest.fixture
def dock(filled, settle):
    made = DeconvolutionWidget(filled)
    filled.window.add_dock_widget(made)
    made.form.set_values({"offset": 100.0, "max_iterations": 12})
    settle(made)
    return made


@pytest.fixture
def opened(dock, until):
    """The panel, after the automatic comparison that comes with opening it."""
    dock.compare.click()
    panel = dock.sweeping.panel
    until(lambda: not panel.runner.busy)
    return panel


def test_it_fills_in_while_it_runs(dock, until):
    dock.compare.click()
    panel = dock.sweeping.panel
    assert len(panel.cells) == 5
    assert [cell.ready for cell in panel.cells] == [False] * 5
    until(lambda: sum(cell.ready for cell in panel.cells) in (1, 2, 3))
    assert panel.runner.busy
    assert not panel.compare.isEnabled()
    until(lambda: not panel.runner.busy)
    assert all(cell.ready for cell in panel.cells)
    assert panel.compare.isEnabled()
    assert not progress._all_instances


def test_automatic_and_the_best_are_marked(opened):
    words = [cell.words.text() for cell in opened.cells]
    assert ["automatic" in text for text in words] == [False, False, True, False, False]
    assert sum("predicts best" in text for text in words) == 1
    results = {result.index: result for result in opened._task.results}
    found = results[2].parameters["iterations"]
    for index, cell in enumerate(opened.cells):
        assert f"{results[index].parameters['iterations']} iterations" in cell.words.text()
        assert cell.picture.pixmap() is not None
        assert "photons it was not shown" in cell.toolTip()
    assert results[3].parameters["iterations"] == 2 * found
    scores = {index: result.score for index, result in results.items()}
    best = max(scores, key=scores.get)
    assert "predicts best" in words[best]


def test_a_click_adopts_the_setting(dock, opened, filled, settle, qtbot):
    result = next(r for r in opened._task.results if r.index == 4)
    qtbot.mouseClick(opened.cells[4], Qt.MouseButton.LeftButton)
    assert dock.chosen_method.id == "richardson-lucy"
    assert dock.form.values["iterations"] == result.options["iterations"]
    assert dock.form.values["acceleration"] == result.options["acceleration"]
    assert dock.form.values["offset"] == 100
    assert [cell.adopted for cell in opened.cells] == [False] * 4 + [True]
    assert "Adopted" in dock.strip.said
    dock.strip.run.click()
    settle(dock)
    used = filled.layers[-1].metadata["napari-deconv"]["parameters"]
    assert used["iterations"] == result.parameters["iterations"]
    # The whole looks like the picture that was chosen.
    part = dock.regions.around(filled.layers["beads"], {3: (16, 96, 96)})
    plane = filled.layers[-1].data[part][opened._task.plane]
    assert np.corrcoef(plane.ravel(), result.thumbnail.ravel())[0, 1] > 0.99
    # Back to automatic, by the keyboard.
    qtbot.keyClick(opened.cells[2], Qt.Key.Key_Return)
    assert dock.form.values["iterations"] == "auto"
    assert dock.form.values["acceleration"] == "auto"


def test_methods_beside_each_other(dock, opened, until):
    opened.what.setCurrentIndex(opened.what.findData("fast"))
    opened.compare.click()
    until(lambda: not opened.runner.busy)
    fast = [id_ for id_, entry in offered().items() if entry.group == "fast"]
    assert [result.setting.method for result in opened._task.results] == fast
    for cell, id_ in zip(opened.cells, fast, strict=True):
        assert methods()[id_].title in cell.words.text()
        assert "automatic" not in cell.words.text()
    dock.form.set_values({"iterations": 77})
    opened.cells[fast.index("wiener")].clicked.emit()
    assert dock.chosen_method.id == "wiener"
    assert dock.form.values["noise_to_signal"] == "auto"
    assert dock.form.values["offset"] == 100
    # The panel follows the dock.
    assert methods()["wiener"].title in opened.what.itemText(0)


def test_cancel_within_a_setting(dock, until):
    dock.form.set_values({"max_iterations": 10_000, "stopping": "relative-change"})
    dock.form.set_values({"tolerance": 1e-8})
    dock.compare.click()
    panel = dock.sweeping.panel
    until(lambda: "Setting 1 of 5" in panel.status.text())
    assert dock.checker._paused
    panel.cancel.click()
    until(lambda: not panel.runner.busy, seconds=10)
    assert "Cancelled" in panel.status.text()
    assert not dock.checker._paused
    assert not any("waiting" in cell.picture.text() for cell in panel.cells)
    assert not progress._all_instances


def test_one_that_fails_is_told_and_the_others_go_on(dock, opened, until, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr("napari_deconv.methods.wiener.regularised_inverse", broken)
    opened.what.setCurrentIndex(opened.what.findData("fast"))
    opened.compare.click()
    until(lambda: not opened.runner.busy)
    failed = [cell for cell in opened.cells if not cell.ready]
    assert len(failed) == 1
    assert "surprise" in failed[0].toolTip()
    before = dock.chosen_method.id
    failed[0].clicked.emit()
    assert not any(cell.adopted for cell in failed)
    assert dock.chosen_method.id == before


def test_what_is_missing_is_told(viewer):
    dock = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(dock)
    dock.compare.click()
    assert "Choose the image layer first" in dock.sweeping.panel.status.text()
    dock.sweeping.panel.draw.click()
    assert len(viewer.layers) == 0


def test_the_region_is_the_one_drawn(dock, opened, filled, until):
    opened.draw.click()
    shapes = filled.layers.selection.active
    assert "Draw a rectangle" in opened.status.text()
    corners = [[5, 8.6, 20.6], [5, 8.6, 37.4], [5, 28.4, 37.4], [5, 28.4, 20.6]]
    shapes.add_rectangles(np.array(corners))
    opened.compare.click()
    until(lambda: not opened.runner.busy)
    assert opened._task.region[1:] == (slice(9, 29), slice(21, 38))
    assert opened._task.results[0].thumbnail.shape == (20, 17)
    # The plane that is in view.
    place = round(float(dock.regions.middle(filled.layers["beads"])[0]))
    assert opened._task.region[0].start + opened._task.plane == place
    np.testing.assert_array_equal(
        opened._task.original, filled.layers["beads"].data[place, 9:29, 21:38]
    )


def test_closed_and_opened_again(dock, opened, filled, until, qtbot):
    frame = opened.parentWidget()
    while frame.metaObject().className() != "QtViewerDockWidget" and frame.parentWidget():
        frame = frame.parentWidget()
    frame.hide()
    dock.compare.click()
    assert dock.sweeping.panel is opened
    assert opened.isVisible() or not filled.window._qt_window.isVisible()
    until(lambda: not opened.runner.busy)
    filled.window.remove_dock_widget(opened)
    opened.deleteLater()
    until(lambda: dock.sweeping.panel is None)
    dock.compare.click()
    assert dock.sweeping.panel is not None
    until(lambda: not dock.sweeping.panel.runner.busy)


@pytest.mark.parametrize("gone", ["panel", "dock"])
def test_gone_while_it_runs(dock, filled, until, gone):
    dock.form.set_values({"max_iterations": 10_000, "tolerance": 1e-8})
    dock.form.set_values({"stopping": "relative-change"})
    dock.compare.click()
    panel = dock.sweeping.panel
    until(lambda: "Setting 1 of 5" in panel.status.text())
    worker = panel.runner._worker
    widget = panel if gone == "panel" else dock
    filled.window.remove_dock_widget(widget)
    widget.close()
    widget.deleteLater()
    until(lambda: not worker.is_running)
    assert not progress._all_instances
    if gone == "panel":
        until(lambda: not dock.checker._paused)
        dock.form.set_values({"iterations": 1, "max_iterations": 100})
        dock.strip.run.click()
        until(lambda: not dock.runner.busy)
        assert "1 iterations" in dock.strip.said


def test_one_contrast_for_all():
    planes = [np.random.default_rng(i).random((20, 20)).astype(np.float32) for i in range(4)]
    spoilt = 1e9 * (planes[0] - 0.5)
    low, high = common_limits([*planes, spoilt])
    assert -0.1 < low < 0.1
    assert 0.9 < high < 1.1
    assert common_limits([np.zeros((3, 3))]) is None

    class Grey:
        def map(self, values):
            return np.stack([values] * 3 + [np.ones_like(values)], axis=-1)

    image = picture(np.array([[0.0, 0.5], [1.0, np.nan]]), (0.0, 1.0), Grey()).toImage()
    assert [image.pixelColor(x, y).red() for y, x in np.ndindex(2, 2)] == [0, 128, 255, 0]
