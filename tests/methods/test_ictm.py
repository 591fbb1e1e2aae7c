"""ICTM: the bounds, the conditions of the optimum, and the right answer at any strength."""

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear
from test_tikhonov_miller import STRENGTHS, dense, squared_laplacian

import napari_deconv as nd
from napari_deconv.methods.ictm import ictm
from napari_deconv.methods.tikhonov_miller import tikhonov_miller
from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.gradients import hessian, hessian_adjoint, weights
from problems import decibels, gaussian_psf, photographed, relative_rmse, scene, spots

PSF = gaussian_psf((7, 9), (1.2, 1.6), shift=0.3)
OBJECT = spots((40, 44))
IMAGE = photographed(OBJECT, PSF, background=0.0)
BORDERS = ["extended", "reflect", "circular", "zero"]


def last(steps):
    *_, (estimate, residual) = steps
    return estimate, residual


def slope(x, data, blur, strength):
    """The gradient of the cost."""
    found = blur.adjoint(blur(x) - data)
    if x.shape == torch.Size(blur.grid):
        return found + strength * torch.from_numpy(squared_laplacian(x.numpy(), blur.spacing))
    slopes = weights(blur.spacing)
    return found + strength * hessian_adjoint(hessian(x, slopes), slopes)


@pytest.mark.parametrize("borders", BORDERS)
@pytest.mark.parametrize(("lower", "upper"), [(0.0, None), (2.0, 150.0)])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_no_estimate_leaves_the_bounds_and_none_diverges(borders, lower, upper, strength):
    """Positivity that is only shown, and a fixed step: DeconvolutionLab2's diverges at 0.1."""
    data = torch.from_numpy(IMAGE)
    blur = Convolution(PSF, data.shape, borders)
    options = {"iterations": 20, "strength": strength, "lower": lower, "upper": upper}
    for estimate, residual in ictm(data, blur, **options):
        assert torch.isfinite(estimate).all()
        assert np.isfinite(residual)
        assert float(estimate.min()) >= lower
        assert float(estimate.max()) <= (upper or 1e4)


@pytest.mark.parametrize("borders", BORDERS)
@pytest.mark.parametrize("strength", [1e-6, 1e-4, 1e-2])
def test_the_conditions_of_the_optimum_hold(borders, strength):
    """Karush, Kuhn, Tucker: no slope where the object is positive, none downwards where not."""
    data = torch.from_numpy(IMAGE).double()
    blur = Convolution(PSF, data.shape, borders, spacing=(0.2, 0.1), dtype=torch.float64)
    estimate, _ = last(ictm(data, blur, iterations=600, strength=strength))
    residual = estimate - (estimate - slope(estimate, data, blur, strength)).clamp(min=0)
    assert float(residual.norm() / blur.adjoint(data).norm()) <= 1e-3
    assert float((estimate == 0).double().mean()) > 0.1  # the bound binds


@pytest.mark.parametrize("borders", BORDERS)
@pytest.mark.parametrize("strength", [1e-3, 0.1])
@pytest.mark.parametrize("penalty", ["laplacian", "identity"])
def test_the_answer_is_that_of_a_dense_solver(borders, strength, penalty):
    rng = np.random.default_rng(1)
    data = torch.from_numpy(rng.normal(0.5, 1, (6, 7)))
    psf = gaussian_psf((3, 3), 0.6)
    blur = Convolution(psf, data.shape, borders, spacing=(0.2, 0.1), dtype=torch.float64)
    options = {"strength": strength, "penalty": penalty, "lower": 0.0, "upper": 1.0}
    found, _ = last(ictm(data, blur, iterations=4000, **options))
    # |R x - R^-T b|^2 with R^T R = H^T H + strength L^T L.
    root = np.linalg.cholesky(dense(blur, penalty, strength)).T
    right = np.linalg.solve(root.T, blur.adjoint(data).flatten().numpy())
    expected = lsq_linear(root, right, (0.0, 1.0), tol=1e-14).x
    np.testing.assert_allclose(found.flatten().numpy(), expected, atol=2e-4)


def test_bounds_that_do_not_bind_leave_tikhonov_miller():
    data = torch.from_numpy(IMAGE).double()
    for borders in ("circular", "reflect"):
        blur = Convolution(PSF, data.shape, borders, dtype=torch.float64)
        free, _ = last(tikhonov_miller(data, blur, iterations=200, strength=0.01))
        found, _ = last(ictm(data, blur, iterations=1000, strength=0.01, lower=-1e6, upper=1e6))
        assert relative_rmse(found.numpy(), free.numpy()) < 1e-4


def test_positivity_is_part_of_the_iteration():
    """The unbounded result with its negative values cut off fits worse and is farther off."""
    data = torch.from_numpy(IMAGE)
    blur = Convolution(PSF, data.shape, "extended")
    projected, _ = last(ictm(data, blur, iterations=60, strength=1e-4))
    free, _ = last(tikhonov_miller(data, blur, iterations=60, strength=1e-4))
    clipped = free.clamp(min=0)
    misfits = [float((blur(x) - data).norm()) for x in (projected, clipped)]
    errors = [relative_rmse(blur.crop(x).numpy(), OBJECT) for x in (projected, clipped)]
    assert misfits[0] < 0.7 * misfits[1]
    assert errors[0] < 0.95 * errors[1]


def test_the_residual_tells_how_far_the_result_is():
    data = torch.from_numpy(IMAGE).double()
    blur = Convolution(PSF, data.shape, "extended", dtype=torch.float64)
    best, _ = last(ictm(data, blur, iterations=2000, strength=1e-3))
    residuals, errors = [], []
    for estimate, residual in ictm(data, blur, iterations=200, strength=1e-3):
        residuals.append(residual)
        errors.append(float((blur(estimate) - blur(best)).norm() / blur(best).norm()))
    for count in (10, 50, 200):
        assert errors[count - 1] < 10 * residuals[count - 1]
    assert residuals[199] < 0.05 * residuals[9]


def test_shifting_the_image_shifts_the_result():
    data = torch.from_numpy(IMAGE)
    blur = Convolution(PSF, data.shape, "circular")
    found = torch.roll(last(ictm(data, blur, iterations=20, strength=0.01))[0], (3, -5), (0, 1))
    moved = last(ictm(torch.roll(data, (3, -5), (0, 1)), blur, iterations=20, strength=0.01))[0]
    assert relative_rmse(moved.numpy(), found.numpy()) < 1e-4


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.1])
def test_automatic_is_about_as_good_as_the_best(noise):
    image, truth, psf = scene(noise)
    # The PSF is the image's own.
    options = {"iterations": 50, "psf_error": 0.0}
    found, details = nd.restore(image, "ictm", psf, details=True, **options)
    assert len(details.choices["strength"].values) >= 5
    best = max(
        decibels(nd.restore(image, "ictm", psf, strength=10.0**e, **options), truth)
        for e in np.arange(-8, 1.1, 0.5)
    )
    assert decibels(found, truth) > best - 0.3


def test_a_doubtful_psf_asks_for_more_strength():
    clear = photographed(OBJECT * 1e4, PSF, background=0.0)
    strengths = [
        nd.restore(clear, "ictm", PSF, details=True, psf_error=error)[1].parameters["strength"]
        for error in (0.0, 0.05)
    ]
    assert strengths[1] > 2 * strengths[0]
