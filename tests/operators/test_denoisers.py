"""What every denoiser promises to the methods built around it."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_deconv.operators import denoisers as module
from napari_deconv.operators.denoisers import denoiser, denoisers

NAMES = sorted(denoisers())


def patches(shape, seed=0):
    field = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 5, mode="wrap")
    return torch.from_numpy(np.where(field > 0, 100.0, 20.0)).float()


def noisy(clean, sigma=15.0):
    return clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))


def test_there_are_three():
    assert NAMES == ["non-local-means", "tv", "wavelet"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(64, 66), (20, 30, 32)])
def test_it_removes_noise(name, shape):
    clean = patches(shape)
    image = noisy(clean)
    before = image.clone()
    found = denoisers()[name]()(image, 15.0)
    assert (found - clean).norm() < 0.6 * (image - clean).norm()
    assert torch.equal(image, before)
    assert (found.shape, found.dtype, found.device) == (image.shape, image.dtype, image.device)
    assert torch.equal(denoisers()[name]()(image, 15.0), found)
    # Told of less noise it changes less.
    less = denoisers()[name]()(image, 1.5)
    assert (less - image).norm() < 0.5 * (found - image).norm()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1e-4, 1e5])
def test_any_unit_will_do(name, scale):
    image = noisy(patches((40, 41)))
    found = denoisers()[name]()(image, 15.0)
    scaled = denoisers()[name]()(image * scale, 15.0 * scale)
    assert torch.allclose(scaled / scale, found, atol=1e-2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 30, 31), (1, 1, 20), (5, 6, 7), (3, 2)])
def test_thin_and_small_images(name, shape):
    image = noisy(torch.full(shape, 50.0))
    found = denoisers()[name]()(image, 15.0)
    assert found.shape == image.shape
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_to_do(name, dtype):
    flat = torch.full((24, 24), 7.0, dtype=dtype)
    assert torch.allclose(denoisers()[name]()(flat, 1.0), flat)
    image = noisy(patches((24, 24))).to(dtype)
    assert torch.allclose(denoisers()[name]()(image, 1e-6), image, rtol=1e-4)


def test_another_one_joins(monkeypatch):
    monkeypatch.setattr(module, "_denoisers", dict(module._denoisers))

    @denoiser("half")
    def half():
        return lambda image, sigma: image / 2

    assert denoisers()["half"] is half
