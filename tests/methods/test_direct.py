"""Wiener filter and regularised inverse."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_deconv.methods.regularized_inverse import regularized_inverse
from napari_deconv.methods.wiener import wiener
from napari_deconv.operators.convolution import Convolution
from napari_deconv.registry import methods
from problems import gaussian_psf, relative_rmse

METHODS = {
    "wiener": (wiener, "noise_to_signal"),
    "regularized-inverse": (regularized_inverse, "smoothness"),
}


def smooth_object(shape, seed=0):
    rng = np.random.default_rng(seed)
    return 100 + 400 * gaussian_filter(rng.standard_normal(shape), 2.0, mode="wrap")


@pytest.mark.parametrize("name", METHODS)
def test_without_noise_the_object_comes_back(name):
    """With a PSF that is neither centred nor symmetric: only the conjugate of H undoes it."""
    function, weight = METHODS[name]
    psf = np.zeros((7, 7))
    psf[2, 3], psf[3, 4], psf[5, 1] = 0.6, 0.3, 0.1
    obj = torch.from_numpy(smooth_object((32, 30)))
    blur = Convolution(psf, obj.shape, "circular", dtype=torch.float64)
    found = function(blur(obj), blur, **{weight: 1e-12})
    assert relative_rmse(found.numpy(), obj.numpy()) < 1e-6


@pytest.mark.parametrize("name", METHODS)
def test_it_minimises_its_own_cost(name):
    """The filter's output has a lower cost than anything near it."""
    function, weight = METHODS[name]
    rng = np.random.default_rng(1)
    data = torch.from_numpy(rng.normal(10, 2, (16, 18)))
    blur = Convolution(gaussian_psf((5, 5), 1.2), data.shape, "circular", dtype=torch.float64)
    best = function(data, blur, **{weight: 0.05})

    def slope(x):
        if name == "wiener":
            return x
        axes = [np.fft.fftfreq(n) * 2 * np.pi for n in x.shape]
        square = axes[0][:, None] ** 2 + axes[1][None] ** 2
        return torch.fft.ifft2(torch.fft.fft2(x) * torch.from_numpy(square)).real

    def cost(x):
        return float((blur(x) - data).square().sum() + 0.05 * slope(x).square().sum())

    for _ in range(10):
        assert cost(best) < cost(best + 0.01 * torch.from_numpy(rng.standard_normal(data.shape)))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("noise", [0.5, 5.0])
@pytest.mark.parametrize("borders", ["circular", "extended"])
def test_cross_validation_finds_nearly_the_best_weight(name, noise, borders):
    function, weight = METHODS[name]
    obj = torch.from_numpy(smooth_object((96, 95)))
    blur = Convolution(gaussian_psf((13, 13), 2.0), obj.shape, borders, dtype=torch.float64)
    whole = blur.periodic(obj)
    rng = np.random.default_rng(2)
    data = blur(whole if borders == "extended" else obj)
    data += torch.from_numpy(rng.normal(0, noise, obj.shape))
    parameter = methods()[name].parameters[weight]
    chosen = parameter.auto.resolve(data, blur, {})

    truth = whole if borders == "extended" else obj
    inside = (slice(12, -12),) * 2

    def errors(value):
        """Errors of the image that is predicted, which the score is about, and of the object."""
        found = function(data, blur, **{weight: value}).reshape(truth.shape)
        image = relative_rmse(blur(found).numpy()[inside], blur(truth).numpy()[inside])
        return image, relative_rmse(found.numpy()[inside], truth.numpy()[inside])

    oracle = np.min([errors(10.0**e) for e in np.arange(-8, 2, 0.25)], axis=0)
    assert np.all(np.array(errors(chosen)) <= np.array([1.05, 2.0]) * oracle)


def test_smoothness_means_the_same_at_any_depth_of_voxel():
    """The same object, sampled twice as finely along z, is restored to the same thing."""
    fine = torch.from_numpy(smooth_object((32, 24, 24)))
    fine = torch.from_numpy(gaussian_filter(fine.numpy(), (4, 0, 0), mode="wrap"))
    coarse = fine[::2].contiguous()
    results = []
    for data, depth in ((fine, 1.0), (coarse, 2.0)):
        delta = np.zeros((1, 1, 1)) + 1
        blur = Convolution(
            delta, data.shape, "circular", spacing=(depth, 1, 1), dtype=torch.float64
        )
        results.append(regularized_inverse(data, blur, smoothness=1.0))
    assert relative_rmse(results[0][::2].numpy(), results[1].numpy()) < 5e-3
    assert relative_rmse(results[1].numpy(), coarse.numpy()) > 2e-2  # it did smooth
