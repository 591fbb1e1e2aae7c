"""What napari's and Qt's workers do wrong, and what people do while a job runs: survived."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from napari.utils.progress import progress
from qtpy.QtCore import QTimer

from napari_deconv.widgets.background import BackgroundWidget
from napari_deconv.widgets.deconvolution import DeconvolutionWidget
from napari_deconv.widgets.psf import PsfWidget
from napari_deconv.widgets.runner import Runner
from napari_deconv.widgets.tasks import Update

pytestmark = pytest.mark.gui


class Task:
    """A task whose steps a test decides."""

    def __init__(self, steps=3, error=None, warning=None, pause=0.0):
        self.steps, self.error, self.warning, self.pause = steps, error, warning, pause
        self.closed_in = None
        self.array = np.zeros(10)

    def __str__(self):
        return "a test"

    def run(self):
        import warnings

        try:
            for step in range(self.steps):
                if self.warning:
                    warnings.warn(self.warning, stacklevel=1)
                    self.warning = None
                time.sleep(self.pause)
                yield Update("testing", step, self.steps, step / self.steps)
            if self.error is not None:
                raise self.error
        finally:
            self.closed_in = threading.current_thread()


@pytest.fixture
def runner(viewer, until):
    """A runner in a viewer, with what it told."""
    made = Runner()
    made.told = []
    made.finished.connect(lambda task, outcome: made.told.append(outcome))
    yield made
    until(lambda: not made.busy)
    made.deleteLater()


@pytest.fixture
def dock(filled, settle):
    made = DeconvolutionWidget(filled)
    filled.window.add_dock_widget(made)
    made.form.set_values({"iterations": 10_000})
    settle(made)
    return made


def running(dock):
    return lambda: "of 10000" in dock.strip.status.text()


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), ValueError("bad")])
def test_every_error_is_told_and_ends_the_job(runner, until, error):
    runner.start(Task(error=error))
    until(lambda: runner.told)
    assert runner.told == [error]
    assert not runner.busy
    runner.start(Task())
    until(lambda: len(runner.told) == 2)
    assert runner.told[1] == "done"


def test_a_generator_is_closed_in_its_own_thread(runner, until):
    task = Task(steps=1000, pause=0.01)
    runner.start(task)
    until(lambda: runner._worker is not None and runner._worker.is_running)
    started = time.perf_counter()
    runner.cancel()
    until(lambda: runner.told)
    assert runner.told == ["cancelled"]
    assert time.perf_counter() - started < 2
    assert task.closed_in is not None
    assert task.closed_in is not threading.main_thread()


def test_no_gradient_mode_is_left_behind(dock, until, settle):
    import torch

    seen = []

    class Look(Task):
        def run(self):
            seen.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
            yield Update("looking")

    dock.strip.run.click()
    until(running(dock))
    dock.strip.cancel.click()
    settle(dock)
    runner = Runner()
    for _ in range(4):
        runner.start(Look())
        until(lambda: not runner.busy)
    runner.deleteLater()
    assert seen == [(True, False)] * 4


def test_many_fast_updates_do_not_overflow_the_stack(runner, until):
    seen = []
    runner.updated.connect(seen.append)
    runner.start(Task(steps=4000))
    until(lambda: runner.told)
    assert runner.told == ["done"]
    assert seen
    assert not progress._all_instances


def test_warnings_are_told(runner, until):
    words = []
    runner.warned.connect(words.append)
    runner.start(Task(warning="this is worth knowing"))
    until(lambda: runner.told)
    assert words == ["this is worth knowing"]


def test_threads_are_given_back(dock, settle):
    import torch

    before = torch.get_num_threads()
    dock.form.set_values({"iterations": 2})
    dock.strip.run.click()
    settle(dock)
    assert torch.get_num_threads() == before


def test_one_job_at_a_time(dock, until, settle):
    dock.strip.run.click()
    until(running(dock))
    assert not dock.strip.run.isEnabled()
    worker = dock.runner._worker
    dock.run()
    assert dock.runner._worker is worker
    other = DeconvolutionWidget(dock.viewer)
    other.form.set_values({"iterations": 1})
    other.run()
    until(lambda: "Waiting for another job" in other.strip.status.text())
    dock.strip.cancel.click()
    settle(dock)
    settle(other)
    assert "1 iterations" in other.strip.said
    other.deleteLater()


def test_nothing_outlives_the_run_in_naparis_list_of_tasks(runner, until):
    task = Task()
    array = weakref.ref(task.array)
    runner.start(task)
    until(lambda: runner.told)
    del task
    gc.collect()
    assert array() is None


def test_the_bar_in_the_activity_dock_cancels(dock, until, settle):
    dock.strip.run.click()
    until(running(dock))
    (bar,) = progress._all_instances
    bar.cancel()
    settle(dock)
    assert "Cancelled" in dock.strip.said
    assert not progress._all_instances


def test_the_running_estimate_leaves_nothing_behind(dock, filled, until, settle, often_drawn):
    before = [layer.name for layer in filled.layers]
    filled.layers.selection = {filled.layers["beads"]}
    dock.strip.run.click()
    until(lambda: "beads, running" in filled.layers)
    live = filled.layers["beads, running"]
    first = live.data
    until(lambda: live.data is not first)
    # Nobody writes to what a layer shows.
    assert not np.shares_memory(first, live.data)
    dock.strip.cancel.click()
    settle(dock)
    assert [layer.name for layer in filled.layers] == before
    # Menus look at the selection: it must not become empty.
    assert filled.layers.selection == {filled.layers["beads"]}


def test_the_running_estimate_may_be_removed(dock, filled, until, settle, often_drawn):
    dock.strip.run.click()
    until(lambda: "beads, running" in filled.layers)
    filled.layers.remove("beads, running")
    iteration = dock._last[0].steps
    until(lambda: dock._last[0].steps > iteration + 50)
    dock.strip.cancel.click()
    settle(dock)
    assert len(filled.layers) == 2


@pytest.mark.parametrize("name", ["beads", "PSF"])
def test_a_layer_deleted_while_the_job_runs(dock, filled, until, settle, name):
    dock.form.set_values({"iterations": 300})
    dock.strip.run.click()
    until(lambda: "of 300" in dock.strip.status.text())
    filled.layers.remove(name)
    settle(dock)
    result = filled.layers["beads, Richardson-Lucy"]
    assert result.data.shape == (12, 48, 48)
    assert result.metadata["napari-deconv"]["source"] == "beads"
    np.testing.assert_allclose(result.translate, (1, 2, 3))
    # Nobody chose another layer by removing one.
    choice = dock.image.choice if name == "beads" else dock.psf
    assert choice.layer is None


def test_the_viewer_closed_while_the_job_runs(make_napari_viewer, stack, until):
    viewer = make_napari_viewer()
    viewer.add_image(stack[0], name="beads")
    viewer.add_image(stack[1], name="PSF")
    dock = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_values({"iterations": 10_000})
    dock.strip.run.click()
    until(running(dock))
    worker = dock.runner._worker
    viewer.close()
    until(lambda: not worker.is_running)
    assert not progress._all_instances
    del dock, viewer


def test_a_dock_closed_while_its_job_runs(dock, filled, until):
    dock.strip.run.click()
    until(running(dock))
    worker = dock.runner._worker
    filled.window.remove_dock_widget(dock)
    dock.close()
    dock.deleteLater()
    until(lambda: not worker.is_running)
    filled.layers.remove("PSF")  # nobody is listening any more
    filled.theme = "light"
    assert len(filled.layers) == 1
    until(lambda: not progress._all_instances)


def test_choices_follow_adding_removing_and_renaming(dock, filled, stack):
    choice = dock.image.choice
    filled.layers["beads"].name = "pearls"
    assert choice.currentText() == "pearls"
    filled.add_image(stack[0], name="more")
    assert choice.layer is filled.layers["pearls"]
    assert "more" in [choice.itemText(row) for row in range(choice.count())]
    filled.layers.move(0, 2)
    assert choice.layer is filled.layers["pearls"]
    filled.add_labels(stack[0].astype(int), name="labels")
    filled.add_points(np.zeros((1, 3)), name="points")
    offered = [choice.itemText(row) for row in range(choice.count())]
    assert not {"labels", "points"} & set(offered)
    filled.layers.remove("pearls")
    assert choice.layer is None


def test_the_source_is_held_from_the_start(dock, filled, stack, until, settle):
    """Another choice while a job runs changes nothing about that job."""
    dock.form.set_values({"iterations": 300})
    dock.strip.run.click()
    until(lambda: "of 300" in dock.strip.status.text())
    other = filled.add_image(stack[0][:, :20, :20], name="other")
    dock.image.choice.choose(other)
    settle(dock)
    assert filled.layers["beads, Richardson-Lucy"].data.shape == (12, 48, 48)


def refused(dock, settle, viewer, words):
    before = [(layer.name, layer.data) for layer in viewer.layers]
    dock.strip.run.click()
    settle(dock)
    assert words in dock.strip.said
    after = [(layer.name, layer.data) for layer in viewer.layers]
    assert all(a is b for (_, a), (_, b) in zip(before, after, strict=True))
    assert [name for name, _ in before] == [name for name, _ in after]
    assert dock.strip.run.isEnabled()
    assert not dock.strip.cancel.isEnabled()


def spoilt(stack, kind):
    image, psf = (array.astype(np.float32) for array in stack)
    if kind == "nan":
        image[3, 4, 5] = np.nan
    elif kind == "infinity":
        image[3, 4, 5] = np.inf
    elif kind == "constant":
        image[:] = 7
    elif kind == "zero psf":
        psf[:] = 0
    elif kind == "psf of three dimensions":
        image = image[5]
    return image, psf


@pytest.mark.parametrize(
    ("kind", "words", "light"),
    [
        ("nan", "not finite", "1 values are NaN"),
        ("infinity", "not finite", "1 values are NaN"),
        ("constant", "constant", "constant"),
        ("zero psf", "zero everywhere", "zero everywhere"),
        ("psf of three dimensions", "axes", "the image has 2 axes, the PSF 3"),
    ],
)
def test_bad_input_is_refused_in_plain_words(viewer, stack, settle, kind, words, light):
    image, psf = spoilt(stack, kind)
    viewer.add_image(image, name="beads", contrast_limits=(0, 1))
    viewer.add_image(psf, name="PSF", contrast_limits=(0, 1))
    dock = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_values({"iterations": 2})
    settle(dock)
    stops = [each for each in dock.lights.lights if each.level == "stop"]
    assert any(light in each.short for each in stops)
    told = []
    notification_manager.notification_ready.connect(told.append)
    refused(dock, settle, viewer, words)
    notification_manager.notification_ready.disconnect(told.append)
    assert any(words in str(each.message) for each in told)


@pytest.mark.parametrize("make", [DeconvolutionWidget, BackgroundWidget])
def test_colour_pictures_are_refused(viewer, settle, make):
    viewer.add_image(np.zeros((32, 32, 3), np.uint8), name="picture", rgb=True)
    dock = make(viewer)
    viewer.window.add_dock_widget(dock)
    dock.image.choice.choose(viewer.layers["picture"])
    assert "RGB" in dock.image.info.text()
    refused(dock, settle, viewer, "Split RGB")


def test_no_layer_at_all(viewer, settle):
    for make in (DeconvolutionWidget, BackgroundWidget):
        dock = make(viewer)
        viewer.window.add_dock_widget(dock)
        refused(dock, settle, viewer, "Choose the image layer first")


def test_a_psf_larger_than_the_image_is_fine(viewer, stack, settle):
    viewer.add_image(stack[0][:6, :20, :8], name="beads")
    viewer.add_image(stack[1], name="PSF")
    dock = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(dock)
    dock.form.set_values({"iterations": 2})
    dock.strip.run.click()
    settle(dock)
    assert viewer.layers[-1].data.shape == (6, 20, 8)
    assert any(light.short == "PSF larger than the image" for light in dock.lights.lights)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"emission_wavelength": "520"}, "did you mean 0.52"),
        ({"emission_wavelength": ""}, "Emission wavelength is empty"),
        ({"numerical_aperture": "1.6"}, "check the immersion medium"),
    ],
)
def test_a_microscope_that_cannot_be(viewer, settle, values, words):
    dock = PsfWidget(viewer)
    viewer.window.add_dock_widget(dock)
    texts = {"numerical_aperture": "1.2", "emission_wavelength": "0.5"} | values
    for name, text in texts.items():
        dock.theory.form.fields[name].edit.setText(text)
    settle(dock)
    assert words in dock.theory.expected.text
    dock.strip.run.click()
    assert words in dock.strip.said
    assert len(viewer.layers) == 0


def test_an_unforeseen_error_shows_where_it_comes_from(dock, filled, settle, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr("napari_deconv.engine.Job", broken)
    told = []
    notification_manager.notification_ready.connect(told.append)
    refused(dock, settle, filled, "should not (ZeroDivisionError: surprise)")
    notification_manager.notification_ready.disconnect(told.append)
    assert any(isinstance(each.exception, ZeroDivisionError) for each in told)


def test_typing_is_not_slowed_by_the_lights(dock, qtbot):
    """The looking is done elsewhere, a moment after the last change."""
    gaps, last = [], [time.perf_counter()]

    def tick():
        now = time.perf_counter()
        gaps.append(now - last[0])
        last[0] = now

    timer = QTimer()
    timer.timeout.connect(tick)
    timer.start(5)
    for number in range(20):
        dock.form.fields["tolerance"].set_value(1e-3 + number * 1e-5)
        qtbot.wait(20)
    qtbot.wait(500)
    timer.stop()
    assert np.quantile(gaps, 0.99) < 0.25
