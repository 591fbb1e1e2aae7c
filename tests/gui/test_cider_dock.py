"""The CiDeR dock: one method, a network fitted to the image, and maps of how far to trust it."""

import numpy as np
import pytest

from napari_deconv.widgets.cider import CiderWidget
from napari_deconv.widgets.layers import KEY
from napari_deconv.widgets.trust import centred

pytestmark = pytest.mark.gui


@pytest.fixture
def dock(viewer, settle):
    viewer.open_sample(KEY, "haze")
    image = next(layer for layer in viewer.layers if layer.metadata[KEY]["kind"] == "sample")
    image.data = image.data[:48, :52].copy()
    made = CiderWidget(viewer)
    viewer.window.add_dock_widget(made)
    made.form.set_values({"iterations": 3, "strength": 0.01})
    settle(made)
    return made


def test_from_image_to_result_and_maps(dock, viewer, settle):
    assert not dock.trust.isVisibleTo(dock)
    assert not dock.compare.isVisibleTo(dock)
    assert dock.method.box.isHidden()
    dock.strip.run.click()
    settle(dock)
    result = viewer.layers[-1]
    assert result.metadata[KEY]["method"] == "cider"
    assert result.data.shape == (48, 52)
    assert dock.trust.isVisibleTo(dock)
    dock.trust.support.click()
    settle(dock)
    support = viewer.layers[-1]
    assert support.metadata[KEY]["kind"] == "map"
    np.testing.assert_allclose(support.scale, result.scale)
    assert abs(float(np.median(support.data))) < 1
    assert "standard deviations" in dock.strip.said
    dock.trust.spread.click()
    settle(dock)
    spread = viewer.layers[-1]
    assert spread.data.min() >= 0
    assert spread.data.max() > 0
    assert "seeds" in dock.strip.said


def test_the_same_seed_gives_the_same_and_code_repeats_it(dock, viewer, settle):
    from qtpy.QtGui import QGuiApplication

    dock.strip.run.click()
    settle(dock)
    first = viewer.layers[-1]
    dock.strip.python.click()
    names: dict = {"viewer": viewer}
    exec(QGuiApplication.clipboard().text(), names)
    np.testing.assert_allclose(names["out"], first.data, rtol=1e-3, atol=1e-2)


def test_a_kernel_is_put_on_its_origin():
    psf = np.zeros((5, 4))
    psf[3, 0] = 1
    found = centred(psf, (3, 0))
    assert np.unravel_index(found.argmax(), found.shape) == tuple(n // 2 for n in found.shape)
    assert found.sum() == 1
