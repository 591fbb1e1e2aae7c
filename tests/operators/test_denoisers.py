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


@pytest.mark.parametrize("shape", [(24, 25), (9, 12, 13)])
@pytest.mark.parametrize("loops", ["auto", "off"])
def test_total_variation_finds_the_minimiser(shape, loops, monkeypatch):
    """That of scikit-image's Chambolle iteration, run for long."""
    from skimage.restoration import denoise_tv_chambolle

    monkeypatch.setenv("NAPARI_DECONV_NUMBA", loops)
    monkeypatch.setattr(module, "_TV_ENOUGH", 1e-5)
    monkeypatch.setattr(module, "_TV_STEPS", 1000)
    image = noisy(patches(shape))
    expected = denoise_tv_chambolle(image.numpy(), weight=15.0, eps=1e-9, max_num_iter=3000)
    found = module.TotalVariation()(image, 15.0)
    assert float(np.square(found.numpy() - expected).mean() ** 0.5) < 0.1


@pytest.mark.parametrize("shape", [(24, 25), (9, 12, 13)])
def test_total_variation_compiled_and_plain_agree(shape, monkeypatch):
    image = noisy(patches(shape))
    monkeypatch.setattr(module, "_TV_STEPS", 12)
    compiled = module.TotalVariation()
    found = [compiled(image, sigma) for sigma in (15.0, 12.0)]
    monkeypatch.setenv("NAPARI_DECONV_NUMBA", "off")
    plain = module.TotalVariation()
    for sigma, mine in zip((15.0, 12.0), found, strict=True):
        torch.testing.assert_close(plain(image, sigma), mine, rtol=1e-4, atol=1e-3)


def test_total_variation_goes_on_from_the_image_before(monkeypatch):
    image = noisy(patches((40, 42)))
    again = module.TotalVariation()
    exact = again(image, 15.0)
    monkeypatch.setattr(module, "_TV_STEPS", 3)
    warm, cold = again(image, 15.0), module.TotalVariation()(image, 15.0)
    assert (warm - exact).norm() < 0.2 * (cold - exact).norm()


@pytest.mark.parametrize("shape", [(32, 35), (16, 17, 18)])
def test_wavelets_shrink_all_bands_but_the_approximation(shape):
    """Pure noise leaves nothing but the mean of large areas."""
    image = noisy(torch.full(shape, 50.0))
    found = denoisers()["wavelet"]()(image, 15.0)
    assert float(found.mean()) == pytest.approx(float(image.mean()), rel=1e-3)
    assert float((found - 50).std()) < 5
