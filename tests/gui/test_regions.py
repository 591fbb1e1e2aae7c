"""A rectangle that was drawn: what it is of an image, and what is done with it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_deconv.assessment.noise import estimate_noise
from napari_deconv.widgets.deconvolution import DeconvolutionWidget
from napari_deconv.widgets.noise_field import NoiseFromRegion
from napari_deconv.widgets.regions import Regions

pytestmark = pytest.mark.gui


@pytest.fixture
def dock(filled, settle):
    made = DeconvolutionWidget(filled)
    filled.window.add_dock_widget(made)
    settle(made)
    return made


def draw(shapes, rows, columns, plane=5):
    """Draw a rectangle around the voxels of these slices."""
    (a, b), (c, d) = ((s.start - 0.4, s.stop - 0.6) for s in (rows, columns))
    shapes.add_rectangles(
        np.array([[plane, a, c], [plane, a, d], [plane, b, d], [plane, b, c]], float)
    )


def test_the_rectangle_is_the_image_s_voxels(filled):
    """Though the layer is turned and moved."""
    image, regions = filled.layers["beads"], Regions(filled)
    assert regions.rectangle(image) is None
    assert regions.through(image) is None
    shapes = regions.ask(image)
    assert shapes.mode == "add_rectangle"
    assert regions.rectangle(image) is None  # nothing is drawn yet
    draw(shapes, slice(7, 30), slice(20, 41))
    assert regions.rectangle(image) == {1: (7, 30), 2: (20, 41)}
    assert regions.through(image) == (slice(0, 12), slice(7, 30), slice(20, 41))
    assert regions.ask(image) is shapes
    # Units of one layer would take those of all others away.
    assert shapes.units == image.units
    # A part of it beyond the image does not count; nor does the last one but one.
    draw(shapes, slice(-9, 12), slice(40, 90))
    assert regions.rectangle(image) == {1: (0, 12), 2: (40, 48)}
    draw(shapes, slice(-9, -2), slice(40, 90))
    assert regions.rectangle(image) is None


def test_bounds_and_the_plane_in_view(filled):
    image, regions = filled.layers["beads"], Regions(filled)
    filled.dims.set_current_step(0, 9)
    plane = int(np.rint(image.world_to_data(filled.dims.point)[0]))
    draw(regions.ask(image), slice(4, 40), slice(6, 14))
    largest = {2: (16, 16), 3: (4, 16, 16)}
    z, y, x = regions.around(image, largest)
    assert z.start <= plane < z.stop
    assert z.stop - z.start == 4
    assert (y, x) == (slice(14, 30), slice(6, 14))
    assert regions.around(image, largest, bounded=False)[1:] == (slice(4, 40), slice(6, 14))


def test_a_preview_is_of_the_rectangle(dock, filled, settle):
    dock.form.set_values({"iterations": 2})
    draw(dock.regions.ask(filled.layers["beads"]), slice(10, 33), slice(5, 24))
    dock.strip.preview.click()
    settle(dock)
    (preview,) = [layer for layer in filled.layers if layer.name.startswith("preview")]
    assert preview.data.shape == (12, 23, 19)
    start = filled.layers["beads"].world_to_data(preview.data_to_world((0, 0, 0)))
    np.testing.assert_allclose(start, (0, 10, 5), atol=1e-6)


def test_noise_from_a_region(dock, filled, until):
    image = filled.layers["beads"]
    noise = dock.findChild(NoiseFromRegion)
    before = {name: dock.form.values[name] for name in ("gain", "offset", "read_noise")}
    noise.button.click()
    assert "Draw" in noise.hint.text()
    shapes = filled.layers.selection.active
    assert {name: dock.form.values[name] for name in before} == before
    draw(shapes, slice(2, 40), slice(2, 44))
    noise.button.click()
    until(lambda: "gain" in noise.hint.text())
    expected = estimate_noise(image.data[:, 2:40, 2:44])
    for name in before:
        assert dock.form.values[name] == pytest.approx(getattr(expected, name), rel=1e-3)
    # So it is what the job uses.
    dock.form.set_values({"iterations": 2})
    options = dock.options(dock.image.snapshot(), dock.psf_snapshot())
    assert options["gain"] == pytest.approx(expected.gain, rel=1e-3)


def test_too_small_a_region_is_told(dock, filled, until):
    draw(dock.regions.ask(filled.layers["beads"]), slice(4, 7), slice(4, 8))
    noise = dock.findChild(NoiseFromRegion)
    noise.button.click()
    until(lambda: "too small" in noise.hint.text())
    assert dock.form.values["gain"] == "auto"


def test_without_an_image_there_is_no_noise(viewer):
    dock = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(dock)
    dock.findChild(NoiseFromRegion).button.click()
    assert "Choose the image" in dock.findChild(NoiseFromRegion).hint.text()
    assert len(viewer.layers) == 0
