"""Tikhonov-Miller: one result, whatever the strength, and the right one."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import napari_deconv as nd
from napari_deconv.methods.regularized_inverse import regularized_inverse
from napari_deconv.methods.tikhonov import tikhonov
from napari_deconv.methods.tikhonov_miller import tikhonov_miller
from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.gradients import hessian, hessian_adjoint, weights
from problems import (
    circular_scene,
    decibels,
    gaussian_psf,
    photographed,
    relative_rmse,
    scene,
    spots,
)

PSF = gaussian_psf((7, 9), (1.2, 1.6), shift=0.3)
OBJECT = spots((40, 44))
IMAGE = photographed(OBJECT, PSF, background=0.0)
STRENGTHS = [1e-8, 1e-6, 1e-4, 1e-2, 0.1, 1.0, 1e2]


def last(steps):
    *_, (estimate, residual) = steps
    return estimate, residual


def squared_laplacian(x, spacing):
    """``L^T L x`` with the Laplacian in physical frequencies, on a periodic grid."""
    finest = min(spacing)
    axes = [
        2 * np.pi * np.fft.fftfreq(n) * finest / s for n, s in zip(x.shape, spacing, strict=True)
    ]
    square = sum(a**2 for a in np.meshgrid(*axes, indexing="ij"))
    return np.fft.ifftn(np.fft.fftn(x) * square**2).real


def dense(blur, penalty, strength):
    """``H^T H + strength L^T L``, column by column."""
    size = int(np.prod(blur.object_shape))
    slopes = weights(blur.spacing)
    columns = []
    for unit in torch.eye(size, dtype=blur.dtype).reshape(size, *blur.object_shape):
        column = blur.adjoint(blur(unit))
        if penalty == "identity":
            column += strength * unit
        elif blur.object_shape == blur.grid:
            column += strength * torch.from_numpy(squared_laplacian(unit.numpy(), blur.spacing))
        else:
            column += strength * hessian_adjoint(hessian(unit, slopes), slopes)
        columns.append(column.flatten().numpy())
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("penalty", ["laplacian", "identity"])
@pytest.mark.parametrize("strength", [1e-3, 0.1])
def test_with_circular_borders_it_is_the_direct_filter(penalty, strength):
    data = torch.from_numpy(IMAGE).double()
    blur = Convolution(PSF, data.shape, "circular", spacing=(0.3, 0.1), dtype=torch.float64)
    found, residual = last(tikhonov_miller(data, blur, strength=strength, penalty=penalty))
    direct = regularized_inverse if penalty == "laplacian" else tikhonov
    assert relative_rmse(found.numpy(), direct(data, blur, strength=strength).numpy()) < 1e-6
    slope = blur.adjoint(blur(found) - data).numpy()
    if penalty == "laplacian":
        slope += strength * squared_laplacian(found.numpy(), blur.spacing)
    else:
        slope += strength * found.numpy()
    assert np.linalg.norm(slope) < 1e-9 * float(blur.adjoint(data).norm())
    assert residual < 1e-6


@pytest.mark.parametrize("penalty", ["laplacian", "identity"])
@pytest.mark.parametrize("borders", ["extended", "reflect", "zero"])
@pytest.mark.parametrize("strength", [1e-3, 1.0])
def test_the_answer_is_that_of_a_dense_solver(penalty, borders, strength):
    rng = np.random.default_rng(1)
    data = torch.from_numpy(rng.normal(1, 1, (6, 7)))
    psf = gaussian_psf((3, 3), 0.6)
    blur = Convolution(psf, data.shape, borders, spacing=(0.2, 0.1), dtype=torch.float64)
    found, _ = last(tikhonov_miller(data, blur, iterations=300, strength=strength, penalty=penalty))
    matrix = dense(blur, penalty, strength)
    expected = np.linalg.solve(matrix, blur.adjoint(data).flatten().numpy())
    np.testing.assert_allclose(found.flatten().numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("penalty", ["laplacian", "identity"])
@pytest.mark.parametrize("borders", ["extended", "reflect", "circular", "zero"])
def test_no_strength_makes_it_diverge(strength, penalty, borders):
    """The fixed step of DeconvolutionLab2 does at its own default, 0.1, in 3D and 2D."""
    data = torch.from_numpy(IMAGE)
    blur = Convolution(PSF, data.shape, borders)
    options = {"iterations": 25, "strength": strength, "penalty": penalty}
    residuals = []
    for estimate, residual in tikhonov_miller(data, blur, **options):
        assert torch.isfinite(estimate).all()
        residuals.append(residual)
    assert max(residuals) < 10
    inside = blur.crop(estimate)
    if strength <= 0.1:
        predicted = blur(estimate)
        assert float((predicted - data).norm()) < 0.5 * float(data.norm())
    assert float(inside.abs().max()) < 1e4 * float(data.max())


@pytest.mark.parametrize("strength", [1e-4, 0.1])
def test_the_cost_never_rises(strength):
    data = torch.from_numpy(IMAGE).double()
    blur = Convolution(PSF, data.shape, "extended", dtype=torch.float64)
    costs = []
    for estimate, _ in tikhonov_miller(data, blur, iterations=40, strength=strength):
        smooth = (estimate.numpy() * squared_laplacian(estimate.numpy(), (1, 1))).sum()
        costs.append(float((blur(estimate) - data).square().sum()) + strength * smooth)
    assert all(b <= a * (1 + 1e-9) for a, b in pairwise(costs))


def test_true_borders_are_worth_it():
    """The filter takes what shines in from beyond for something inside."""
    rng = np.random.default_rng(2)
    whole = gaussian_filter(rng.random((72, 72)) ** 8, 1.0) * 100
    blur = Convolution(gaussian_psf((17, 17), 2.5), whole.shape, "circular", dtype=torch.float64)
    image = blur(torch.from_numpy(whole))[16:-16, 16:-16].contiguous()
    truth = whole[16:-16, 16:-16]
    psf = gaussian_psf((17, 17), 2.5)
    model = Convolution(psf, image.shape, "extended", dtype=torch.float64)
    found, _ = last(tikhonov_miller(image, model, iterations=50, strength=1e-6))
    filtered = regularized_inverse(image, model, strength=1e-6)
    errors = [relative_rmse(model.crop(x).numpy(), truth) for x in (found, filtered)]
    assert errors[0] < 0.5 * errors[1]


def test_strength_means_the_same_at_any_depth_of_voxel():
    rng = np.random.default_rng(3)
    fine = 100 + 400 * gaussian_filter(rng.standard_normal((32, 24, 24)), (5, 2, 2), mode="wrap")
    fine = torch.from_numpy(fine)
    coarse = fine[::2].contiguous()
    results = []
    for data, depth in ((fine, 1.0), (coarse, 2.0)):
        blur = Convolution(
            np.ones((1, 1, 1)), data.shape, "circular", spacing=(depth, 1, 1), dtype=torch.float64
        )
        results.append(last(tikhonov_miller(data, blur, strength=1.0))[0].numpy())
    assert relative_rmse(results[0][::2], results[1]) < 5e-3
    assert relative_rmse(results[1], coarse.numpy()) > 1e-2  # it did smooth


def test_shifting_the_image_shifts_the_result():
    data = torch.from_numpy(IMAGE)
    blur = Convolution(PSF, data.shape, "circular")
    found = torch.roll(last(tikhonov_miller(data, blur, strength=0.01))[0], (3, -5), (0, 1))
    moved = last(tikhonov_miller(torch.roll(data, (3, -5), (0, 1)), blur, strength=0.01))[0]
    assert relative_rmse(moved.numpy(), found.numpy()) < 1e-5


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.1])
def test_automatic_is_as_good_as_the_best(noise):
    image, truth, psf = scene(noise)
    options = {"iterations": 20}
    found, details = nd.restore(image, "tikhonov-miller", psf, details=True, **options)
    chosen = details.choices["strength"]
    assert len(chosen.values) >= 5
    best = max(
        decibels(nd.restore(image, "tikhonov-miller", psf, strength=10.0**e, **options), truth)
        for e in np.arange(-7, 1.1, 0.5)
    )
    assert decibels(found, truth) > best - 0.3


@pytest.mark.parametrize(("noise", "least"), [(0.0, 90), (0.02, 3)])
def test_with_circular_borders_the_strength_is_the_direct_filters(noise, least):
    image, truth, psf = circular_scene()
    image = image + np.random.default_rng(1).normal(0, noise * image.std(), image.shape)
    options = {"borders": "circular", "psf_error": 0, "details": True}
    found, own = nd.restore(image, "tikhonov-miller", psf, **options)
    _, direct = nd.restore(image, "regularized-inverse", psf, **options)
    assert own.parameters["strength"] == pytest.approx(direct.parameters["strength"])
    assert (own.parameters["strength"] > 1e-6) == (noise > 0)
    assert decibels(found, truth) > least


def test_a_doubtful_psf_asks_for_more_strength():
    """An image without noise, and a PSF that is a tenth too narrow: all of it can be explained."""
    image, _, _ = scene(0.0)
    psf = gaussian_psf((17, 17), 1.8)
    strengths = [
        nd.restore(image, "tikhonov-miller", psf, details=True, psf_error=error)[1].parameters[
            "strength"
        ]
        for error in (0.0, 0.01)
    ]
    assert strengths[1] > 3 * strengths[0]
