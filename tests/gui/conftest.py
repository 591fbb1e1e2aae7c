"""A viewer for each test, and nothing written into the user's own settings."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("qtpy")


@pytest.fixture(autouse=True)
def settings_of_their_own(tmp_path, monkeypatch):
    """Redirect napari's settings, the plugin's preferences and the docks' memory."""
    from napari import settings
    from qtpy.QtCore import QSettings

    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path))
    monkeypatch.setattr(settings, "_CFG_PATH", str(tmp_path / "settings.yaml"), raising=False)
    clear = getattr(settings, "_clear_plugin_settings_cache", lambda: None)
    clear()
    yield
    clear()


@pytest.fixture
def viewer(make_napari_viewer, qtbot):
    """A viewer that is closed with nothing running in it any more."""
    from superqt.utils import GeneratorWorker

    made = make_napari_viewer()
    yield made
    GeneratorWorker.await_workers(20_000)
    qtbot.wait(50)


@pytest.fixture
def often_drawn(monkeypatch):
    """The running estimate is drawn ten times a second."""
    from napari_deconv.widgets.preferences import Preferences

    monkeypatch.setattr(Preferences, "read", lambda: Preferences(preview_seconds=0.1))


@pytest.fixture
def stack():
    """A small stack of a few points, blurred: image (uint16), PSF, both as arrays."""
    from napari_deconv.simulation import simulate

    random = np.random.default_rng(0)
    obj = np.zeros((12, 48, 48), np.float32)
    obj[tuple(random.integers(4, n - 4, 12) for n in obj.shape)] = 1
    z, y, x = np.ogrid[-3:4, -5:6, -5:6]
    psf = np.exp(-(z**2 / 4 + y**2 / 6 + x**2 / 6)).astype(np.float32)
    psf /= psf.sum()
    image = simulate(obj, psf, photons=200, offset=100, read_noise=2, seed=0)
    return np.asarray(image).clip(0).astype(np.uint16), psf


SPATIAL = {
    "scale": (0.2, 0.1, 0.1),
    "units": ("um", "um", "um"),
    "axis_labels": ("z", "y", "x"),
}


@pytest.fixture
def filled(viewer, stack):
    """A viewer with the image and its PSF, turned and moved so that nothing is at its default."""
    image, psf = stack
    viewer.add_image(
        image,
        name="beads",
        translate=(1.0, 2.0, 3.0),
        rotate=20,
        colormap="magma",
        blending="additive",
        **SPATIAL,
    )
    viewer.add_image(psf, name="PSF", visible=False, **SPATIAL)
    return viewer


@pytest.fixture
def settle(qtbot):
    """Wait until a dock has nothing to do any more."""
    from napari_deconv.widgets.checker import Checker

    def wait(dock, timeout=60_000):
        def idle():
            return not dock.runner.busy and not any(c.busy for c in dock.findChildren(Checker))

        qtbot.waitUntil(idle, timeout=timeout)

    return wait


@pytest.fixture
def until(qtbot):
    """Wait until something is true."""

    def wait(condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it never happened"
            qtbot.wait(5)

    return wait
