import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.methods.richardson_lucy import richardson_lucy
from napari_deconv.operators.convolution import Convolution
from problems import gaussian_psf, photographed, relative_rmse, spots

BORDERS = ["extended", "reflect", "circular", "zero"]


def divergence(data, prediction):
    prediction = prediction.clamp(min=1e-300)
    return float((torch.xlogy(data, data / prediction) - data + prediction).sum())


def problem(borders, seed=0, shape=(24, 25), dtype=torch.float64):
    rng = np.random.default_rng(seed)
    psf = gaussian_psf((7, 8), rng.uniform(0.8, 2.5), rng.uniform(-1, 1))
    data = torch.from_numpy(photographed(spots(shape, seed=seed), psf, seed=seed)).to(dtype)
    return data, Convolution(psf, shape, borders, dtype=dtype)


def likelihoods(data, blur, count, background=0.0, **options):
    steps = richardson_lucy(data, blur, iterations=count, background=background, **options)
    return [divergence(data, blur(x) + background) for x in steps]


@pytest.mark.parametrize("borders", BORDERS)
@pytest.mark.parametrize("background", [0.0, 1.5])
def test_the_likelihood_never_falls(borders, background):
    data, blur = problem(borders)
    found = likelihoods(data, blur, 40, background)
    assert all(b <= a * (1 + 1e-9) for a, b in itertools.pairwise(found))


@pytest.mark.parametrize("borders", BORDERS)
def test_flux_without_background(borders):
    """Sum of x H^T 1 equals the sum of the data after every step."""
    data, blur = problem(borders)
    for estimate in richardson_lucy(data, blur, iterations=5):
        assert float((estimate * blur.sensitivity).sum()) == pytest.approx(float(data.sum()))
        assert float(estimate.min()) >= 0


def test_flux_with_background():
    """Then it equals the sum of y Hx / (Hx + b), of the step before."""
    data, blur = problem("circular")
    expected = None
    for estimate in richardson_lucy(data, blur, iterations=5, background=3.0):
        if expected is not None:
            assert float(estimate.sum()) == pytest.approx(expected)
        projection = blur(estimate)
        expected = float((data * projection / (projection + 3.0)).sum())


def test_it_converges_to_the_photons_above_the_background():
    data, blur = problem("circular")
    *_, estimate = richardson_lucy(data, blur, iterations=500, background=2.0)
    assert float(estimate.sum()) == pytest.approx(float((data - 2).sum()), rel=0.02)


@settings(max_examples=15, deadline=None)
@given(shift=st.tuples(st.integers(-3, 3), st.integers(-3, 3)), seed=st.integers(0, 1000))
def test_moving_the_psf_moves_the_result_the_other_way(shift, seed):
    rng = np.random.default_rng(seed)
    psf = rng.random((5, 6))
    data = torch.from_numpy(rng.poisson(20, (16, 17)).astype(float))
    results = []
    for origin in ((2, 3), (2 - shift[0], 3 - shift[1])):
        wide = np.zeros((15, 16))
        wide[5:10, 5:11] = psf
        place = (origin[0] + 5, origin[1] + 5)
        blur = Convolution(wide / psf.sum(), data.shape, "circular", origin=place, dtype=data.dtype)
        *_, estimate = richardson_lucy(data, blur, iterations=12)
        results.append(estimate.clone())
    moved = results[0].roll(tuple(-s for s in shift), dims=(0, 1))
    assert torch.allclose(results[1], moved, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("acceleration", ["nesterov", "biggs-andrews"])
@pytest.mark.parametrize("borders", BORDERS)
@pytest.mark.parametrize("start", ["flat", "data"])
@pytest.mark.parametrize("seed", [0, 1])
def test_acceleration_is_never_less_likely_than_plain(acceleration, borders, start, seed):
    data, blur = problem(borders, seed)
    plain = likelihoods(data, blur, 60, start=start)
    fast = likelihoods(data, blur, 60, start=start, acceleration=acceleration)
    assert all(f <= p * (1 + 1e-9) + 1e-9 for f, p in zip(fast, plain, strict=True))
    # Reached by a third of the steps, with room to spare.
    assert fast[24] <= plain[59]


def test_nesterov_starts_afresh_rather_than_lose_likelihood():
    """Counts that no object explains make momentum overshoot; the points must keep rising."""
    rng = np.random.default_rng(3)
    data = torch.from_numpy(rng.exponential(1, (20, 20)) ** 3)
    blur = Convolution(gaussian_psf((9, 9), 2.0), data.shape, "circular", dtype=data.dtype)
    found = likelihoods(data, blur, 300, acceleration="nesterov")
    plain = likelihoods(data, blur, 300)
    assert all(f <= p * (1 + 1e-9) for f, p in zip(found, plain, strict=True))


def test_the_preview_projector_is_quick_and_ends_by_itself():
    psf = gaussian_psf((15, 15), 2.0)
    data = torch.from_numpy(photographed(spots((64, 64)), psf))
    blur = Convolution(psf, data.shape, "circular")
    found = likelihoods(data, blur, 500, projector="wiener-butterworth")
    plain = likelihoods(data, blur, 40)
    assert 2 <= len(found) < 100
    assert found[3] < plain[9]
    # What it ends with is its best.
    assert found[-1] == min(found)


def test_read_noise_is_photons_without_signal():
    """With a variance v it is the same as data and background raised by v (Snyder 1993)."""
    data, blur = problem("circular")
    *_, a = richardson_lucy(data, blur, iterations=10, background=1.0, read_noise=3.0, gain=2.0)
    *_, b = richardson_lucy(data + 4.5, blur, iterations=10, background=5.5)
    assert torch.allclose(a, b)


def test_zero_image_and_zero_voxels():
    blur = Convolution(gaussian_psf((5, 5), 1), (12, 12))
    *_, dark = richardson_lucy(torch.zeros(12, 12), blur, iterations=3)
    assert torch.isfinite(dark).all()
    data = torch.zeros(12, 12)
    data[6, 6] = 100
    for acceleration in ("none", "nesterov", "biggs-andrews"):
        *_, one = richardson_lucy(data, blur, iterations=20, acceleration=acceleration)
        assert torch.isfinite(one).all()
        assert int(blur.crop(one).argmax()) == 6 * 12 + 6


@pytest.mark.parametrize("support", [(7, 9), (8, 10)])
def test_float32_agrees_with_float64(support):
    rng = np.random.default_rng(0)
    psf = gaussian_psf(support, 1.7)
    data = rng.poisson(50, (64, 60)).astype(np.float64)
    results = []
    for dtype in (torch.float32, torch.float64):
        blur = Convolution(psf, data.shape, "circular", dtype=dtype)
        *_, x = richardson_lucy(torch.from_numpy(data).to(dtype), blur, iterations=12)
        results.append(x.double().numpy())
    assert relative_rmse(results[0], results[1]) <= 1e-6
