"""Richardson-Lucy with total variation, and the defects it must not have.

The lecture's reference software takes the divergence with the wrong sign and one voxel aside.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_deconv import restore
from napari_deconv.methods.richardson_lucy import first_estimate, richardson_lucy
from napari_deconv.methods.richardson_lucy_tv import richardson_lucy_tv, variation
from napari_deconv.operators import fused
from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.gradients import gradient
from problems import gaussian_psf, photographed, relative_rmse

UPDATES = ["stable", "dey"]


def patches(shape, seed=0):
    """Even patches with sharp edges: where a smooth random field exceeds its levels."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.standard_normal(shape), 6, mode="wrap")
    field /= field.std()
    return 20.0 + 60 * (field > 0.3) + 60 * (field > 1)


def problem(borders="circular", shape=(48, 50), seed=0, dtype=torch.float64, **options):
    psf = gaussian_psf((9,) * len(shape), 1.3)
    obj = patches(shape, seed)
    data = photographed(np.pad(obj, 8, mode="wrap"), psf, background=0, seed=seed)
    data = torch.from_numpy(data[(slice(8, -8),) * len(shape)].copy()).to(dtype)
    return obj, data, Convolution(psf, shape, borders, dtype=dtype, **options)


def last(data, blur, count=40, **options):
    *_, x = richardson_lucy_tv(data.clone(), blur, iterations=count, **options)
    return blur.crop(x).clone()


def total_variation(x):
    return float(gradient(x, (1.0,) * x.ndim).norm(dim=0).sum())


@settings(max_examples=60, deadline=None)
@given(
    shape=st.one_of(st.tuples(*[st.integers(2, 6)] * 2), st.tuples(*[st.integers(2, 5)] * 3)),
    periodic=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_the_pull_is_the_slope_of_the_variation(shape, periodic, seed):
    """Sign, place and weights of the divergence, against torch's own derivative."""
    x = torch.from_numpy(np.random.default_rng(seed).random(shape)).requires_grad_()
    scale = (0.4, 1.0, 0.7)[: len(shape)]
    slopes = []
    for axis, w in enumerate(scale):
        step = torch.roll(x, -1, axis) - x
        if not periodic:
            step = torch.cat(
                [step.narrow(axis, 0, shape[axis] - 1), 0 * x.narrow(axis, 0, 1)], dim=axis
            )
        slopes.append(w * step)
    torch.sqrt(sum(s**2 for s in slopes) + 0.1**2).sum().backward()
    pull, _ = variation(x.detach(), scale, periodic, 0.1)
    assert torch.allclose(pull, x.grad, atol=1e-12)
    assert abs(float(pull.sum())) < 1e-10


def test_the_pull_is_made_of_two_positive_parts():
    """What a voxel has itself, and what its neighbours have: both are needed to stay positive."""
    x = torch.from_numpy(np.random.default_rng(0).random((6, 7, 5)))
    pull, own = variation(x, (0.3, 1.0, 1.0), (True, False, True), 0.05)
    neighbours = own * x - pull
    assert float(neighbours.min()) > 0
    # On an object of ones both are the same everywhere.
    pull, own = variation(torch.ones(5, 6), (1.0, 1.0), False, 0.1)
    assert not pull.any()
    assert float(own.min()) > 0


def test_a_peak_is_pulled_down_where_it_is():
    x = torch.ones(9, 9, dtype=torch.float64)
    x[4, 5] = 2
    pull, _ = variation(x, (1.0, 1.0), False, 1e-6)
    assert int(pull.argmax()) == 4 * 9 + 5
    pull, _ = variation(3 - x, (1.0, 1.0), False, 1e-6)
    assert int(pull.argmin()) == 4 * 9 + 5


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("borders", ["circular", "extended", "reflect"])
def test_it_varies_less_than_richardson_lucy(update, borders):
    """The wrong sign makes it vary more."""
    _, data, blur = problem(borders)
    for count in (10, 40):
        *_, plain = richardson_lucy(data.clone(), blur, iterations=count)
        found = last(data, blur, count, strength=0.01, update=update)
        assert total_variation(found) < 0.95 * total_variation(blur.crop(plain))


@pytest.mark.parametrize("update", UPDATES)
def test_an_even_image_stays_even(update):
    blur = Convolution(gaussian_psf((5, 5), 1.0), (16, 17), "circular")
    data = torch.full((16, 17), 40.0)
    found = last(data, blur, 20, strength=0.05, update=update)
    assert torch.allclose(found, data, rtol=1e-4)


def test_the_formula_of_dey():
    """Written out with rolled arrays; strong enough for the guard to be met."""
    _, data, blur = problem(shape=(20, 21))
    steps = richardson_lucy_tv(data.clone(), blur, iterations=4, strength=0.3, update="dey")
    x, guarded = torch.full_like(data, float(data.mean())), 0
    least = 0.05 * float(data.mean())
    for found in steps:
        slopes = [torch.roll(x, -1, a) - x for a in (0, 1)]
        length = torch.sqrt(slopes[0] ** 2 + slopes[1] ** 2 + least**2)
        units = [s / length for s in slopes]
        divergence = sum(u - torch.roll(u, 1, a) for a, u in enumerate(units))
        divisor = 1 - 0.3 * divergence
        guarded += int((divisor < 0.1).sum())
        x = x / divisor.clamp(min=0.1) * blur.adjoint(data / blur(x))
        assert torch.allclose(found, x, rtol=1e-9)
    assert guarded > 0


@pytest.mark.parametrize("borders", ["circular", "extended"])
def test_both_updates_stand_still_at_the_same_estimate(borders):
    """Where x (H^T(y/(Hx+b)) - H^T 1 - strength * pull) is zero."""
    _, data, blur = problem(borders, shape=(20, 21))
    options = {"strength": 0.05, "background": 3.0}
    *_, x = richardson_lucy_tv(data.clone(), blur, iterations=6000, **options)
    ratio = blur.adjoint(data / (blur(x) + 3))
    level = float(first_estimate(data, blur, torch.tensor(3.0), "flat").mean())
    pull, _ = variation(x, (1.0, 1.0), True, 0.05 * level)
    divisor = blur.sensitivity + 0.05 * pull
    again, alone = blur.crop(x / divisor * ratio), blur.crop(x / blur.sensitivity * ratio)
    assert relative_rmse(again.numpy(), blur.crop(x).numpy()) < 1e-3
    # The prior does matter there.
    assert relative_rmse(alone.numpy(), blur.crop(x).numpy()) > 1e-2


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("borders", ["circular", "extended"])
@pytest.mark.parametrize("shape", [(30, 35), (6, 14, 15), (3, 3, 4)])
def test_compiled_loops_make_no_difference(update, borders, shape, monkeypatch):
    pytest.importorskip("numba")
    _, data, blur = problem(
        borders, shape, dtype=torch.float32, spacing=(0.3, 0.1, 0.2)[-len(shape) :]
    )
    results = []
    for setting in ("auto", "off"):
        monkeypatch.setenv("NAPARI_DECONV_NUMBA", setting)
        assert fused.usable(data, (True,) * len(shape)) == (setting == "auto")
        # Few steps: Dey's update lets rounding grow.
        results.append(last(data, blur, 3, strength=0.05, update=update, background=2.0))
    assert relative_rmse(results[0].numpy(), results[1].numpy()) < 1e-3


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("strength", [1e-8, 1e-4, 1e-2, 1.0, 1e2])
@pytest.mark.parametrize("borders", ["extended", "circular"])
def test_any_strength_is_finite_and_positive(update, strength, borders):
    _, data, blur = problem(borders, shape=(24, 20), dtype=torch.float32)
    data[3:6] = 0
    found = last(data, blur, 60, strength=strength, update=update)
    assert torch.isfinite(found).all()
    assert float(found.min()) >= 0
    if strength == 1e-8:
        *_, plain = richardson_lucy(data.clone(), blur, iterations=60)
        assert relative_rmse(found.numpy(), blur.crop(plain).numpy()) < 1e-3


def test_a_strong_prior_evens_out_rather_than_trembles():
    """The formula as it stands swings between bright and dark voxels here."""
    _, data, blur = problem()
    found = last(data, blur, 60, strength=3.0)
    assert float(found.std()) < 0.5 * float(data.std())


@pytest.mark.parametrize("shape", [(96, 98), (20, 40, 42)])
def test_noise_is_held_back(shape):
    """Closer to the object than the image, and than Richardson-Lucy at its very best."""
    obj, data, blur = problem("extended", shape)
    found = last(data, blur, 60, strength=0.04)
    error = relative_rmse(found.numpy(), obj)
    assert error < 0.8 * relative_rmse(data.numpy(), obj)
    plain = richardson_lucy(data.clone(), blur, iterations=60)
    assert error < 0.98 * min(relative_rmse(blur.crop(x).numpy(), obj) for x in plain)


@pytest.mark.parametrize("update", UPDATES)
def test_scaling_and_shifting_the_image(update):
    _, data, blur = problem(shape=(20, 22))
    options = {"strength": 0.02, "update": update, "count": 10}
    found = last(data, blur, background=2.0, **options)
    scaled = last(data * 1e4, blur, background=2e4, **options)
    assert torch.allclose(scaled, found * 1e4, rtol=1e-9)
    shifted = last(torch.roll(data, (3, -5), (0, 1)), blur, background=2.0, **options)
    assert torch.allclose(shifted, torch.roll(found, (3, -5), (0, 1)), rtol=1e-9)


def test_the_voxel_size_counts():
    """Slopes along z count a fifth with voxels five times as deep; axes are alike otherwise."""
    _, data, deep = problem(shape=(10, 12, 14), spacing=(0.5, 0.1, 0.1))
    _, _, even = problem(shape=(10, 12, 14), spacing=(0.1, 0.1, 0.1))
    found = last(data, deep, strength=0.1)
    step = found.diff(dim=0).abs().sum()
    assert step > 1.2 * last(data, even, strength=0.1).diff(dim=0).abs().sum()
    psf = gaussian_psf((9, 9, 9), 1.3)
    turned = Convolution(
        psf, (14, 12, 10), "circular", dtype=torch.float64, spacing=(0.1, 0.1, 0.5)
    )
    again = last(data.permute(2, 1, 0).contiguous(), turned, strength=0.1)
    assert torch.allclose(again.permute(2, 1, 0), found, rtol=1e-9)


def test_read_noise_is_photons_without_signal():
    _, data, blur = problem(shape=(20, 22))
    a = last(data, blur, 10, strength=0.01, background=1.0, read_noise=3.0, gain=2.0)
    b = last(data + 4.5, blur, 10, strength=0.01, background=5.5)
    assert torch.allclose(a, b)


def test_with_the_strength_found():
    obj, data, blur = problem("extended", (64, 64), dtype=torch.float32)
    psf = gaussian_psf((9, 9), 1.3)
    found, details = restore(
        data.numpy(), "richardson-lucy-tv", psf=psf, gain=1.0, read_noise=0, details=True
    )
    chosen = details.choices["strength"]
    assert len(chosen.values) >= 3
    errors = [
        relative_rmse(last(data, blur, details.iterations, strength=s).numpy(), obj)
        for s in np.geomspace(1e-3, 1, 13)
    ]
    assert relative_rmse(found, obj) < 1.1 * min(errors)
