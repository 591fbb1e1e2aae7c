"""LUCYD as a method: sizes, tiles, intensities, voxel shapes, and weights that are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import napari_deconv as nd
from napari_deconv.errors import FileError, ParameterError
from napari_deconv.methods.lucyd import GRID, REACH, brightness, darkness
from napari_deconv.networks import lucyd as network_module
from napari_deconv.networks.lucyd import Lucyd
from napari_deconv.networks.weights import save_weights
from napari_deconv.training.crowds import crowd

RNG = np.random.default_rng(0)


def weights_file(folder, ndim=3, variant="repaired", **settings):
    """Write weights of a network that was taught nothing, but has statistics."""
    torch.manual_seed(ndim)
    network = Lucyd(ndim, variant)
    for _ in range(5):
        network(torch.rand(2, 1, *(16,) * ndim))
    path = folder / f"untaught-{ndim}-{variant}-{len(settings)}.safetensors"
    settings = {"ndim": ndim, "variant": variant, **settings}
    save_weights(path, network.state_dict(), "lucyd", settings, {"title": "untaught"})
    return path


@pytest.fixture(scope="module")
def stack_weights(tmp_path_factory):
    return weights_file(tmp_path_factory.mktemp("weights"))


def image_of(shape, seed=0):
    image = 900 * crowd(shape, seed) + 100
    return (image + np.random.default_rng(seed).normal(0, 20, shape)).astype(np.float32)


def restore(image, weights, **options):
    options = {"precision": "float32", **options}
    return nd.restore(image, "lucyd", weights=str(weights), **options)


def test_reach_and_grid_are_the_networks():
    assert REACH == network_module.REACH
    assert GRID == 2


@pytest.mark.parametrize("shape", [(1, 9, 33), (17, 24, 31), (30, 40, 20)])
def test_any_size(stack_weights, shape):
    image = image_of((40, 40, 40))[tuple(slice(n) for n in shape)]
    restored = restore(image, stack_weights)
    assert restored.shape == shape
    assert restored.dtype == np.float32
    assert np.isfinite(restored).all()


@pytest.mark.parametrize("tiles", [(16, 61, 44), (39, 31, 44)])
def test_tiles_show_no_seams(stack_weights, tiles):
    image = image_of((39, 61, 44))
    fixed = {"level": 100.0, "scale": 900.0}
    whole = restore(image, stack_weights, tiles=None, **fixed)
    tiled, details = restore(image, stack_weights, tiles=tiles, details=True, **fixed)
    assert details.blocks > 1
    np.testing.assert_allclose(tiled, whole, rtol=1e-4, atol=1e-4 * whole.max())


def test_darkness_and_brightness_are_those_of_the_image_alone(stack_weights):
    image = image_of((20, 36, 36))
    _, details = restore(image, stack_weights, details=True)
    level = darkness(image)
    assert details.parameters["level"] == pytest.approx(level, rel=1e-5)
    assert details.parameters["scale"] == pytest.approx(brightness(image, level), rel=1e-5)


def test_noise_beyond_what_the_weights_know_is_made_what_they_know(tmp_path):
    image = image_of((20, 64, 64))  # noise of 20 in 900
    for known, wanted in ((0.2, None), (0.01, 20 / 0.01)):
        weights = weights_file(tmp_path, noise=known)
        _, details = restore(image, weights, details=True)
        wanted = wanted or brightness(image, darkness(image))
        assert details.parameters["scale"] == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize("borders", ["reflect", "zero", "circular"])
def test_borders(stack_weights, borders):
    image, fixed = image_of((16, 24, 24)), {"level": 100.0, "scale": 900.0}
    expected = restore(image, stack_weights, **fixed)
    found = restore(image, stack_weights, borders=borders, **fixed)
    if borders == "reflect":
        np.testing.assert_array_equal(found, expected)
    else:
        assert found.shape == image.shape
        assert not np.allclose(found, expected)


def test_the_same_each_time(stack_weights):
    image = image_of((20, 32, 32))
    np.testing.assert_array_equal(restore(image, stack_weights), restore(image, stack_weights))


@pytest.mark.parametrize(("gain", "offset"), [(0.1, 0), (10, 0), (1, 500), (3.7, 1234)])
def test_units_do_not_matter(stack_weights, gain, offset):
    image = image_of((24, 40, 40))
    expected = gain * restore(image, stack_weights) + offset
    found = restore(gain * image + offset, stack_weights)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-3 * np.ptp(expected))


def test_parts_multiply_to_the_result(stack_weights):
    image, given = image_of((16, 24, 24)), {"level": 100.0, "scale": 900.0}
    estimate = restore(image, stack_weights, shown="estimate", **given)
    mask = restore(image, stack_weights, shown="mask", **given)
    update = restore(image, stack_weights, shown="update", **given)
    restored = restore(image, stack_weights, **given)
    lit = estimate > 0
    np.testing.assert_allclose(estimate[lit], (image + mask)[lit], rtol=1e-4, atol=0.05)
    product = np.maximum((estimate - 100) * update + 100, 0)
    np.testing.assert_allclose(restored[lit], product[lit], rtol=1e-3, atol=0.5)


def test_no_psf_and_no_figures_of_one(stack_weights):
    _, details = restore(image_of((16, 24, 24)), stack_weights, details=True)
    assert details.psf is None
    assert details.provenance["psf_shape"] is None
    assert details.statistics[-1].deviance is None
    assert details.parameters["scale"] > 0


def test_bfloat16_is_close(stack_weights):
    image = image_of((8, 12, 12))  # small: some processors imitate it, at length
    exact = restore(image, stack_weights)
    close = restore(image, stack_weights, precision="bfloat16")
    assert np.abs(close - exact).max() < 0.05 * np.ptp(image)


def test_planes_have_their_own_weights(tmp_path, stack_weights):
    image = image_of((48, 40))
    flat = restore(image, weights_file(tmp_path, 2))
    assert flat.shape == image.shape
    film = np.stack([image, image[::-1]])
    each = restore(film, weights_file(tmp_path, 2), spacing=(0.1, 0.1), level=100.0, scale=900.0)
    one = restore(image, weights_file(tmp_path, 2), level=100.0, scale=900.0)
    np.testing.assert_allclose(each[0], one, rtol=1e-4, atol=0.1)
    with pytest.raises(ParameterError, match="for stacks"):
        restore(image, stack_weights)


def test_other_voxels_are_resampled_or_refused(tmp_path):
    weights = weights_file(tmp_path, ratio=[1.0, 1.0])
    image = image_of((12, 32, 32))
    assert restore(image, weights, spacing=(0.3, 0.1, 0.1)).shape == image.shape
    twice = np.repeat(image, 2, 0)
    fixed = {"level": 100.0, "scale": 900.0}
    a = restore(image, weights, spacing=(0.2, 0.1, 0.1), **fixed)
    b = restore(twice, weights, spacing=(0.1, 0.1, 0.1), **fixed).reshape(12, 2, 32, 32).mean(1)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9
    with pytest.raises(ParameterError, match="Train weights"):
        restore(image, weights, spacing=(2.0, 0.1, 0.1))


class TestRefused:
    def test_truncated(self, tmp_path):
        path = weights_file(tmp_path)
        path.write_bytes(path.read_bytes()[:-100])
        path.with_suffix(".json").unlink()
        with pytest.raises(FileError, match="missing"):
            restore(image_of((8, 8, 8)), path)

    def test_one_byte_changed(self, tmp_path):
        path = weights_file(tmp_path)
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(FileError, match="changed or damaged"):
            restore(image_of((8, 8, 8)), path)

    def test_another_network(self, tmp_path):
        path = tmp_path / "other.safetensors"
        save_weights(path, {"weight": torch.zeros(3)}, "refiner", {})
        with pytest.raises(FileError, match="lucyd is needed"):
            restore(image_of((8, 8, 8)), path)

    @pytest.mark.parametrize("change", ["shape", "name", "missing"])
    def test_another_architecture(self, tmp_path, change):
        tensors = Lucyd().state_dict()
        name = next(iter(tensors))
        value = tensors.pop(name)
        if change != "missing":
            tensors[name + "x" * (change == "name")] = (
                value[..., :1] if change == "shape" else value
            )
        path = tmp_path / "other.safetensors"
        save_weights(path, tensors, "lucyd", {"ndim": 3, "variant": "repaired"})
        with pytest.raises(FileError, match="not those of this network"):
            restore(image_of((8, 8, 8)), path)

    def test_pickle(self, tmp_path):
        path = tmp_path / "weights.pth"
        torch.save(Lucyd().state_dict(), path)
        with pytest.raises(FileError, match="no safetensors file"):
            restore(image_of((8, 8, 8)), path)

    def test_unknown_name(self):
        with pytest.raises(ParameterError, match="There are no weights 'mixtrue'"):
            restore(image_of((8, 8, 8)), "mixtrue")


def test_automatic_weights_and_precision():
    from napari_deconv.methods.lucyd import DEFAULTS
    from napari_deconv.networks.shelf import pretrained

    for shape in ((16, 24, 24), (32, 32)):
        name = DEFAULTS[len(shape)]
        if f"lucyd-{name}" in pretrained():
            _, details = nd.restore(image_of(shape), "lucyd", details=True)
            assert details.parameters["weights"] == name
            assert details.parameters["precision"] in ("float32", "bfloat16")
        else:
            with pytest.raises(ParameterError, match="Train some"):
                nd.restore(image_of(shape), "lucyd")


def test_the_card_is_json(stack_weights):
    assert len(json.loads(stack_weights.with_suffix(".json").read_text())["sha256"]) == 64
