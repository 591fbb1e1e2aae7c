"""Landweber's iteration: its formula, its closed form, and where it stays finite."""

from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from napari_deconv.methods.landweber import _steps, landweber
from napari_deconv.operators.convolution import Convolution
from problems import gaussian_psf, photographed, relative_rmse, spots

PSF = gaussian_psf((7, 9), (1.2, 1.6), shift=0.3)
IMAGE = photographed(spots((40, 44)), PSF, background=0.0)


def estimates(data, blur, count, **options):
    return [x.clone() for x in landweber(data, blur, iterations=count, **options)]


@pytest.mark.parametrize("step", [0.5, 1.0, 1.9])
@pytest.mark.parametrize("shape", [(20, 21), (5, 8, 10)])
def test_the_closed_form_equals_the_loop(step, shape):
    """At every step, and as the formula says."""
    rng = np.random.default_rng(0)
    psf = rng.random((3,) * len(shape))
    psf /= psf.sum()
    data = torch.from_numpy(rng.random(shape))
    blur = Convolution(psf, shape, "circular", dtype=torch.float64)
    jumps = estimates(data, blur, 60, step=step)
    walk = [x.clone() for x in islice(_steps(data, blur, step / blur.norm_squared), 60)]
    for jump, walked in zip(jumps, walk, strict=True):
        assert relative_rmse(jump.numpy(), walked.numpy()) < 1e-12
    h = blur.otf.numpy()
    transfer = step * np.abs(h) ** 2 / np.abs(h).max() ** 2
    k = 60
    shares = np.where(transfer > 1e-12, (1 - (1 - transfer) ** k) / h, 0)
    expected = np.fft.irfftn(shares * np.fft.rfftn(data.numpy()), s=shape, axes=range(len(shape)))
    assert relative_rmse(jumps[-1].numpy(), expected) < 1e-6


def test_single_precision_keeps_the_closed_form():
    data = torch.from_numpy(IMAGE)
    jump = estimates(data, Convolution(PSF, data.shape, "circular"), 300)[-1]
    blur = Convolution(PSF, data.shape, "circular", dtype=torch.float64)
    exact = estimates(data.double(), blur, 300)[-1]
    assert relative_rmse(jump.numpy(), exact.numpy()) < 1e-5


@pytest.mark.parametrize("borders", ["extended", "reflect", "circular", "zero"])
@pytest.mark.parametrize("step", [1.0, 1.99])
def test_each_step_lowers_the_misfit(borders, step):
    data = torch.from_numpy(IMAGE).double()
    blur = Convolution(PSF, data.shape, borders, dtype=torch.float64)
    misfits = [float((blur(x) - data).square().sum()) for x in estimates(data, blur, 40, step=step)]
    assert all(b <= a for a, b in pairwise(misfits))
    assert misfits[-1] < 0.5 * float(data.square().sum())


@pytest.mark.parametrize("borders", ["extended", "reflect", "zero"])
def test_the_first_step_is_the_projection(borders):
    data = torch.from_numpy(IMAGE)
    blur = Convolution(PSF, data.shape, borders)
    first = estimates(data, blur, 1, step=0.7)[0]
    expected = 0.7 / blur.norm_squared * blur.adjoint(data)
    assert relative_rmse(first.numpy(), expected.numpy()) < 1e-6


def test_shifting_the_image_shifts_the_result():
    data = torch.from_numpy(IMAGE)
    blur = Convolution(PSF, data.shape, "circular")
    moved = estimates(torch.roll(data, (3, -5), (0, 1)), blur, 20)[-1]
    found = torch.roll(estimates(data, blur, 20)[-1], (3, -5), (0, 1))
    assert relative_rmse(moved.numpy(), found.numpy()) < 1e-5


def test_without_noise_the_object_comes_back():
    obj = torch.from_numpy(photographed(spots((32, 32)), gaussian_psf((5, 5), 1.0)))
    blur = Convolution(gaussian_psf((3, 3), 0.5), obj.shape, "circular", dtype=torch.float64)
    found = estimates(blur(obj.double()), blur, 500)[-1]
    assert relative_rmse(found.numpy(), obj.numpy()) < 1e-6
