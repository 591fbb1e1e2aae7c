"""The demo's layers in a viewer."""

import numpy as np
import pytest

from napari_deconv.widgets.demo_viewer import add_images

pytestmark = pytest.mark.gui


def test_three_layers_with_scale_and_record(viewer):
    image = np.random.default_rng(0).random((5, 20, 22)).astype(np.float32)
    images = {"blurred": image, "restored": 2 * image, "truth": 3 * image}
    add_images(viewer, images, (0.2, 0.1, 0.1), {"restored": {"method": "richardson-lucy"}})
    assert [layer.name for layer in viewer.layers] == ["blurred", "restored", "truth"]
    for layer, factor in zip(viewer.layers, (1, 2, 3), strict=True):
        np.testing.assert_array_equal(layer.data, factor * image)
        np.testing.assert_allclose(layer.scale, (0.2, 0.1, 0.1))
        assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
        assert tuple(layer.axis_labels) == ("z", "y", "x")
    assert viewer.layers["restored"].metadata["napari-deconv"] == {"method": "richardson-lucy"}
    assert viewer.layers["blurred"].metadata == {}
