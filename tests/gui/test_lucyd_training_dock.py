"""Training in the LUCYD dock, end to end: from a PSF, from a better image, and stopped early."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import napari_deconv as nd
from napari_deconv.networks.shelf import named
from napari_deconv.simulation.phantoms import filaments
from napari_deconv.widgets.layers import KEY
from napari_deconv.widgets.lucyd import LucydWidget

pytestmark = pytest.mark.gui


@pytest.fixture
def dock(viewer, settle, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_DECONV_WEIGHTS", str(tmp_path / "weights"))
    axes = np.ogrid[-7:8, -7:8]
    psf = np.exp(-(axes[0] ** 2 + axes[1] ** 2) / 8.0)
    psf /= psf.sum()
    truth = 100 * gaussian_filter(filaments((96, 96), count=20, seed=2), 1)
    image = nd.simulate(truth, psf, photons=200, seed=1)
    viewer.add_image(truth.astype(np.float32), name="better", scale=(0.1, 0.1), units="um")
    viewer.add_image(psf.astype(np.float32), name="PSF", scale=(0.1, 0.1), units="um")
    cells = viewer.add_image(image, name="cells", scale=(0.1, 0.1), units="um")
    dock = LucydWidget(viewer)
    viewer.window.add_dock_widget(dock)
    settle(dock)
    dock.image.choice.choose(cells)
    dock.training.minutes.setValue(0.05)
    settle(dock)
    return dock


@pytest.mark.parametrize("teacher", ["psf", "sharp"])
def test_what_was_trained_is_offered_and_restores(viewer, dock, settle, teacher):
    form = dock.training
    form.teacher.setCurrentIndex(form.teacher.findData(teacher))
    if teacher == "sharp":
        form.sharp.choose(viewer.layers["better"])
    form.name.setText("mine")
    assert form.layer is not None
    form.train.click()
    settle(dock)
    assert "mine" in named("lucyd"), dock.strip.said
    assert dock.form.values["weights"] == "mine"
    assert len(form.losses.points) > 1
    assert form.train.isEnabled()
    dock.strip.run.click()
    settle(dock)
    record = viewer.layers[-1].metadata[KEY]
    assert record["method"] == "lucyd"
    assert record["parameters"]["weights"] == "mine"
    assert not np.allclose(
        viewer.layers[-1].data,
        nd.restore(viewer.layers["cells"].data, "lucyd", spacing=(0.1, 0.1)),
        rtol=1e-3,
    )


def test_stopped_early_it_keeps_what_is_best(dock, settle, qtbot):
    dock.training.minutes.setValue(60.0)
    dock.training.train.click()
    qtbot.waitUntil(lambda: len(dock.training.losses.points) > 1, timeout=60_000)
    dock.strip.cancel.click()
    settle(dock)
    assert "Stopped after" in dock.strip.said
    assert "my-microscope" in named("lucyd")
    assert dock.form.values["weights"] == "my-microscope"


def test_says_what_is_missing(viewer, dock, settle):
    dock.training.name.setText("2d")
    dock.training.train.click()
    assert "already" in dock.strip.said
    dock.training.name.setText("../away")
    dock.training.train.click()
    assert "name" in dock.strip.said
    dock.training.name.setText("mine")
    viewer.layers.remove("PSF")
    dock.training.train.click()
    assert "PSF" in dock.strip.said
    assert not dock.runner.busy
