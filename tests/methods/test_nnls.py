"""Non-negative least squares: the bounds, the conditions of the optimum, and the right answer."""

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear
from scipy.optimize import nnls as dense_nnls

from napari_deconv.methods.landweber import landweber
from napari_deconv.methods.nnls import nnls
from napari_deconv.operators.convolution import Convolution
from problems import gaussian_psf, photographed, relative_rmse, spots

PSF = gaussian_psf((7, 9), (1.2, 1.6))
OBJECT = spots((40, 44))
IMAGE = photographed(OBJECT, PSF, background=0.0)


def matrix(blur):
    """H, column by column."""
    size = int(np.prod(blur.object_shape))
    columns = torch.eye(size, dtype=blur.dtype).reshape(size, *blur.object_shape)
    return np.stack([blur(column).flatten().numpy() for column in columns], axis=1)


@pytest.mark.parametrize("borders", ["extended", "reflect", "circular", "zero"])
@pytest.mark.parametrize(("lower", "upper"), [(0.0, None), (0.0, 200.0), (5.0, 150.0)])
def test_no_estimate_leaves_the_bounds(borders, lower, upper):
    data = torch.from_numpy(IMAGE)
    blur = Convolution(PSF, data.shape, borders)
    for estimate in nnls(data, blur, iterations=25, lower=lower, upper=upper):
        assert float(estimate.min()) >= lower
        assert upper is None or float(estimate.max()) <= upper
    # The bounds do bind: there are voxels at each of them.
    assert float(estimate.min()) == lower
    assert upper is None or float(estimate.max()) == upper


@pytest.mark.parametrize("borders", ["extended", "reflect", "circular", "zero"])
def test_the_conditions_of_the_optimum_hold(borders):
    """Karush, Kuhn, Tucker: no slope where the object is positive, none downwards where not."""
    data = torch.from_numpy(IMAGE)
    blur = Convolution(PSF, data.shape, borders)
    *_, estimate = nnls(data, blur, iterations=600)
    slope = blur.adjoint(blur(estimate) - data)
    residual = (estimate - (estimate - slope).clamp(min=0)).norm()
    assert float(residual / blur.adjoint(data).norm()) <= 1e-3
    slope0 = -blur.adjoint(data)  # at zero
    assert float((0 - slope0).clamp(min=0).norm()) > 0.5 * float(slope0.norm())  # far from it


def test_the_answer_is_that_of_a_dense_solver():
    rng = np.random.default_rng(1)
    data = torch.from_numpy(rng.normal(1, 1, (6, 7)))
    blur = Convolution(gaussian_psf((3, 3), 0.6), data.shape, "zero", dtype=torch.float64)
    *_, found = nnls(data, blur, iterations=3000)
    expected, _ = dense_nnls(matrix(blur), data.flatten().numpy())
    np.testing.assert_allclose(found.flatten().numpy(), expected, atol=1e-6)
    *_, found = nnls(data, blur, iterations=3000, lower=-0.5, upper=1.2)
    bounded = lsq_linear(matrix(blur), data.flatten().numpy(), (-0.5, 1.2), tol=1e-14)
    np.testing.assert_allclose(found.flatten().numpy(), bounded.x, atol=1e-5)


def test_positivity_is_part_of_the_iteration():
    """Landweber's result with its negative values cut off (DeconvolutionLab2) is no such thing."""
    data = torch.from_numpy(IMAGE)
    blur = Convolution(PSF, data.shape, "extended")
    *_, projected = nnls(data, blur, iterations=60)
    *_, free = landweber(data, blur, iterations=400)
    clipped = free.clamp(min=0)
    misfits = [float((blur(x) - data).norm()) for x in (projected, clipped)]
    errors = [relative_rmse(blur.crop(x).numpy(), OBJECT) for x in (projected, clipped)]
    assert misfits[0] < 0.7 * misfits[1]
    assert errors[0] < 0.85 * errors[1]


def test_momentum_is_worth_it_and_starts_afresh():
    """A third of the plain steps do, and restarts keep the misfit from swinging up for long."""
    data = torch.from_numpy(IMAGE).double()
    blur = Convolution(PSF, data.shape, "extended", dtype=torch.float64)
    misfits = [float((blur(x) - data).square().sum()) for x in nnls(data, blur, iterations=300)]
    estimate = torch.zeros(blur.object_shape, dtype=torch.float64)
    for _ in range(300):
        estimate -= blur.adjoint(blur(estimate) - data) / blur.norm_squared
        estimate.clamp_(min=0)
    assert misfits[99] < float((blur(estimate) - data).square().sum())
    assert all(b < a * 1.01 for a, b in zip(misfits, misfits[10:], strict=False))


def test_shifting_the_image_shifts_the_result():
    data = torch.from_numpy(IMAGE)
    blur = Convolution(PSF, data.shape, "circular")
    *_, found = nnls(data, blur, iterations=20)
    found = torch.roll(found, (3, -5), (0, 1))
    *_, moved = nnls(torch.roll(data, (3, -5), (0, 1)), blur, iterations=20)
    assert relative_rmse(moved.numpy(), found.numpy()) < 1e-4
