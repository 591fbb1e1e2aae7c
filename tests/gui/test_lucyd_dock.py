"""The LUCYD dock: one pass of a trained network, with or without a PSF in the viewer."""

import numpy as np
import pytest

import napari_deconv as nd
from napari_deconv.widgets.layers import KEY
from napari_deconv.widgets.lucyd import LucydWidget

pytestmark = pytest.mark.gui


@pytest.mark.parametrize("with_psf", [False, True])
def test_from_a_stack_to_a_result(viewer, stack, settle, with_psf):
    image, psf = stack
    layer = viewer.add_image(image, name="cells", scale=(0.2, 0.1, 0.1), units="um")
    if with_psf:
        viewer.add_image(psf, name="PSF", scale=(0.2, 0.1, 0.1), units="um")
    dock = LucydWidget(viewer)
    viewer.window.add_dock_widget(dock)
    settle(dock)
    dock.image.choice.choose(layer)
    settle(dock)
    assert not dock.psf_row.isVisibleTo(dock)
    assert "PSF" not in " ".join(dock.lights.buttons)
    dock.strip.run.click()
    settle(dock)
    result = viewer.layers[-1]
    assert result.metadata[KEY]["method"] == "lucyd"
    expected = nd.restore(image, "lucyd", spacing=(0.2, 0.1, 0.1))
    np.testing.assert_allclose(result.data, expected, rtol=1e-3, atol=1e-2)
    dock.form.set_values({"shown": "mask"})
    dock.strip.run.click()
    settle(dock)
    assert not np.allclose(viewer.layers[-1].data, result.data)
