"""What a layer tells, and results that lie over their source: without a window."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_deconv.errors import InputError
from napari_deconv.widgets.layers import (
    KEY,
    Snapshot,
    compatible_units,
    contrast,
    describe,
    set_voxel_size,
    spatial_ndim,
    voxel_size,
)


def layer(shape=(4, 6, 8), **settings):
    return Image(np.random.default_rng(0).random(shape, np.float32), **settings)


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"scale": (0.2, 0.1, 0.1), "units": "um"}, (0.2, 0.1, 0.1)),
        ({"scale": (200, 100, 100), "units": "nm"}, (0.2, 0.1, 0.1)),
        ({"scale": (2e-4, 1e-4, 1e-4), "units": "mm"}, (0.2, 0.1, 0.1)),
        ({"scale": (0.2, 0.1, -0.1), "units": ("um", "um", "um")}, (0.2, 0.1, 0.1)),
        ({"scale": (5, 0.1, 0.1), "units": ("s", "um", "um")}, (0.1, 0.1)),
        ({"scale": (1, 0.1, 0.1), "units": "um", "axis_labels": ("t", "y", "x")}, (0.1, 0.1)),
        ({"scale": (0.2, 0.1, 0.1)}, None),
        ({}, None),
        ({"metadata": {KEY: {"spacing": [0.3, 0.2, 0.2]}}}, (0.3, 0.2, 0.2)),
    ],
)
def test_voxel_size(settings, size):
    assert voxel_size(layer(**settings)) == (None if size is None else pytest.approx(size))


def test_voxel_size_of_a_series():
    series = layer((2, 3, 4, 6, 8), scale=(9, 1, 0.2, 0.1, 0.1), units=("s", "pixel", *["um"] * 3))
    assert voxel_size(series) == pytest.approx((0.2, 0.1, 0.1))
    assert spatial_ndim(series) == 3
    assert spatial_ndim(layer((5, 6))) == 2


def test_setting_a_voxel_size():
    series = layer((2, 4, 6, 8), scale=(9, 1, 1, 1))
    set_voxel_size(series, (0.2, 0.1, 0.1))
    assert voxel_size(series) == pytest.approx((0.2, 0.1, 0.1))
    assert series.scale[0] == 9


def test_units_that_napari_can_show_beside_the_others():
    assert compatible_units([], 3) == ("um",) * 3
    assert compatible_units([layer(units="nm")], 3) == ("um",) * 3
    assert compatible_units([layer()], 3) == ("pixel",) * 3


def test_description():
    described = describe(layer(scale=(0.2, 0.05, 0.05), units="um"))
    assert described == "4 × 6 × 8   0.20 × 0.05 × 0.05 µm   float32"
    assert "no voxel size" in describe(layer())


def test_colour_pictures_are_refused():
    picture = Image(np.zeros((9, 9, 3), np.uint8), rgb=True)
    with pytest.raises(InputError, match="Split RGB"):
        Snapshot.of(picture)


def test_a_result_takes_over_place_and_looks():
    source = layer(
        scale=(0.2, 0.1, 0.1),
        translate=(1, 2, 3),
        rotate=30,
        shear=(0.1, 0, 0.2),
        affine=np.diag([1, 2, 3, 1]),
        units="um",
        axis_labels=("z", "y", "x"),
        colormap="magma",
        blending="additive",
        name="source",
    )
    record = {"parameters": {"iterations": 3}}
    result = Snapshot.of(source).result(np.zeros((4, 6, 8)), "result", record)
    for name in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_allclose(getattr(result, name), getattr(source, name))
    for name in ("units", "axis_labels", "blending"):
        assert getattr(result, name) == getattr(source, name)
    np.testing.assert_allclose(result.affine.affine_matrix, source.affine.affine_matrix)
    assert result.colormap.name == "magma"
    assert result.metadata[KEY] == record
    record["parameters"]["iterations"] = 4
    assert result.metadata[KEY]["parameters"]["iterations"] == 3


def test_a_part_lies_where_it_comes_from():
    source = layer(
        (9, 9, 9),
        scale=(0.2, 0.1, 0.1),
        translate=(1, 2, 3),
        rotate=30,
        shear=(0.1, 0, 0.2),
        units="um",
    )
    part = Snapshot.of(source).result(np.zeros((2, 2, 2)), "part", {}, start=(3, 4, 5))
    np.testing.assert_allclose(part.data_to_world((0, 0, 0)), source.data_to_world((3, 4, 5)))
    np.testing.assert_allclose(part.data_to_world((1, 1, 1)), source.data_to_world((4, 5, 6)))


def test_the_finest_of_several_scales():
    image = np.arange(64.0).reshape(8, 8)
    pyramid = Image([image, image[::2, ::2]], multiscale=True)
    snapshot = Snapshot.of(pyramid)
    assert snapshot.shape == (8, 8)
    assert snapshot.multiscale


def test_contrast_does_not_follow_a_few_bright_voxels():
    image = np.random.default_rng(0).random((50, 50)).astype(np.float32)
    image[3, 3] = 1e6
    low, high = contrast(image)
    assert 0 <= low < high <= 1
    spot = np.zeros((50, 50), np.float32)
    spot[3, 3] = 5
    assert contrast(spot) == (0, 5)
    assert contrast(np.zeros((5, 5))) is None


def test_samples_lie_over_each_other():
    from napari_deconv.widgets import samples

    for make, ndim in ((samples.hazy_image, 2), (samples.confocal_series, 5)):
        made = make()
        kinds = {settings["metadata"][KEY]["kind"]: (data, settings) for data, settings, _ in made}
        assert set(kinds) == {"truth", "psf", "sample"}
        image, truth = (kinds[name] for name in ("sample", "truth"))
        assert image[0].shape == truth[0].shape
        assert image[0].ndim == ndim
        assert image[1]["scale"] == truth[1]["scale"]
        layers = [Image(data, **settings) for data, settings, _ in made]
        assert len({voxel_size(each) for each in layers}) == 1
        psf = Image(kinds["psf"][0], **kinds["psf"][1])
        middle = [n // 2 for n in psf.data.shape]
        over = Image(image[0], **image[1])
        place = psf.data_to_world(middle)[-2:]
        np.testing.assert_allclose(
            place, over.data_to_world([n // 2 for n in image[0].shape])[-2:], atol=1e-9
        )
