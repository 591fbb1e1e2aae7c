"""Plug and play: its steps by denoisers whose result is known, then the real ones."""

import numpy as np
import pytest
import torch

from napari_deconv import restore
from napari_deconv.methods import plug_and_play as module
from napari_deconv.methods.plug_and_play import _DataStep, _noise, plug_and_play
from napari_deconv.operators import denoisers as registry
from napari_deconv.operators.convolution import Convolution
from napari_deconv.simulation.phantoms import filaments
from problems import gaussian_psf, photographed, relative_rmse

SCHEMES = ["half-quadratic", "admm", "ista"]
DENOISERS = ["tv", "wavelet", "non-local-means"]


def problem(shape=(48, 50), borders="extended", dtype=torch.float32, peak=60.0):
    obj = np.asarray(filaments(shape, seed=1), dtype=float)
    obj = 10 + obj / obj.max() * peak
    psf = gaussian_psf((9,) * len(shape), 1.5)
    data = photographed(np.pad(obj, 8, mode="reflect"), psf, background=0)
    data = torch.from_numpy(data[(slice(8, -8),) * len(shape)].copy()).to(dtype)
    return obj, data, Convolution(psf, shape, borders, dtype=dtype)


def last(data, blur, count=15, **options):
    values = {"noise": _noise(data, blur, {}), "strength": 0.2} | options
    *_, (x, residual) = plug_and_play(data.clone(), blur, iterations=count, **values)
    return blur.crop(x).clone(), residual


@pytest.mark.parametrize("borders", ["circular", "extended", "reflect"])
@pytest.mark.parametrize("mu", [1e-3, 1.0])
def test_the_data_step_solves_its_equation(borders, mu):
    """(H^T H + mu) x = H^T y + mu v."""
    _, data, blur = problem((20, 22), borders, torch.float64)
    v = torch.from_numpy(np.random.default_rng(0).random(blur.object_shape)) * 50
    x = _DataStep(data, blur)(v, mu)
    wanted = blur.adjoint(data) + mu * v
    found = blur.adjoint(blur(x)) + mu * x
    start = blur.adjoint(blur(v)) + mu * v
    assert (found - wanted).norm() < 2e-3 * (start - wanted).norm()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("borders", ["circular", "extended"])
def test_around_a_proximal_operator_it_finds_the_minimiser(scheme, borders, monkeypatch):
    """v / (1 + c sigma^2) belongs to the prior c/2 |x|^2, whose minimiser is Tikhonov's.

    Of ADMM and ISTA, that is, whatever the penalty was on the way; half-quadratic splitting with
    its last penalty comes to rest where the prior is mu c s^2 / (1 + c s^2).
    """
    monkeypatch.setattr(registry, "_denoisers", dict(registry._denoisers))
    monkeypatch.setattr(module, "_MORE", 400)
    c, strength, noise = 0.02, 0.5, 5.0
    registry.denoiser("shrink")(lambda: lambda image, sigma: image / (1 + c * sigma**2))
    _, data, blur = problem((20, 22), borders, torch.float64)
    *_, (x, residual) = plug_and_play(
        data,
        blur,
        iterations=400,
        denoiser="shrink",
        strength=strength,
        noise=noise,
        scheme=scheme,
        positive=False,
    )
    assert residual < 1e-3
    weight = strength * noise**2 * c
    if scheme == "half-quadratic":
        weight = strength * c * noise**2 / (1 + c * noise**2)
        x = x * (1 + c * noise**2)  # from v back to the x it was made of
    left = blur.adjoint(blur(x)) + weight * x
    assert relative_rmse(left.numpy(), blur.adjoint(data).numpy()) < 5e-3


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("denoiser", DENOISERS)
def test_it_comes_to_rest(scheme, denoiser, monkeypatch):
    monkeypatch.setattr(module, "_MORE", 60)
    _, data, blur = problem((32, 34))
    noise = _noise(data, blur, {})
    strength = 0.3 if scheme != "ista" else 0.1
    steps = plug_and_play(
        data, blur, iterations=60, scheme=scheme, denoiser=denoiser, strength=strength, noise=noise
    )
    residuals = [residual for _, residual in steps]
    assert min(residuals[30:]) < 0.02
    if scheme == "half-quadratic":
        # The steps that the noise level takes to come down are not the end.
        assert min(residuals[:8]) > 0.2


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("denoiser", DENOISERS)
@pytest.mark.parametrize("strength", [1e-8, 1e-3, 1.0, 1e2])
def test_any_strength_is_finite_and_positive(scheme, denoiser, strength):
    for borders in ("circular", "extended"):
        _, data, blur = problem((24, 25), borders)
        data[3:6] = 0
        options = {"scheme": scheme, "denoiser": denoiser, "strength": strength}
        found, residual = last(data, blur, 12, **options)
        assert torch.isfinite(found).all()
        assert np.isfinite(residual)
        assert float(found.min()) >= 0


def test_nothing_to_see():
    blur = Convolution(gaussian_psf((5, 5), 1), (12, 12))
    for scheme in SCHEMES:
        found, _ = last(torch.zeros(12, 12), blur, 3, scheme=scheme)
        assert not found.any()


@pytest.mark.parametrize("scheme", ["half-quadratic", "admm"])
@pytest.mark.parametrize("denoiser", ["tv", "wavelet"])
@pytest.mark.parametrize("shape", [(64, 66), (16, 34, 36)])
def test_blur_and_noise_are_removed(scheme, denoiser, shape):
    obj, data, blur = problem(shape)
    found, _ = last(data, blur, 20, scheme=scheme, denoiser=denoiser)
    assert relative_rmse(found.numpy(), obj) < 0.9 * relative_rmse(data.numpy(), obj)
    # Either half alone is worse: no denoising, and no deblurring.
    rough, _ = last(data, blur, 20, scheme=scheme, denoiser=denoiser, strength=1e-3)
    even, _ = last(data, blur, 20, scheme=scheme, denoiser=denoiser, strength=1e2)
    assert relative_rmse(found.numpy(), obj) < 0.9 * relative_rmse(rough.numpy(), obj)
    assert relative_rmse(found.numpy(), obj) < 0.9 * relative_rmse(even.numpy(), obj)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("denoiser", DENOISERS)
def test_scaling_the_image(scheme, denoiser):
    _, data, blur = problem((24, 26))
    options = {"scheme": scheme, "denoiser": denoiser, "count": 6}
    found, _ = last(data, blur, **options)
    scaled, _ = last(data * 1000, blur, **options)
    assert relative_rmse(scaled.numpy() / 1000, found.numpy()) < 1e-3
    again, _ = last(data, blur, **options)
    assert torch.equal(again, found)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_shifting_the_scene(scheme):
    """By whole voxels: nothing but the places of the borders differs."""
    psf = gaussian_psf((9, 9), 1.5)
    obj = np.zeros((72, 72))
    obj[20:52, 20:52] = np.asarray(filaments((32, 32), seed=2)) * 100
    data = torch.from_numpy(photographed(obj, psf, background=3))
    views = [data[8 + dy : 56 + dy, 8 + dx : 56 + dx].clone() for dy, dx in ((0, 0), (5, 3))]
    blur = Convolution(psf, (48, 48), "extended")
    a, b = (last(v, blur, 10, scheme=scheme, denoiser="tv", noise=2.5)[0] for v in views)
    inside, moved = a[10:-10, 10:-10], b[5:-15, 7:-13]
    assert relative_rmse(moved.numpy(), inside.numpy()) < 0.02


def test_the_noise_is_measured():
    rng = np.random.default_rng(0)
    _, data, _ = problem((128, 130))
    assert _noise(data, None, {}) == pytest.approx(float(data.mean()) ** 0.5, rel=0.05)
    faint = torch.from_numpy(rng.poisson(0.05, (200, 200))).float()  # most voxels are dark
    assert _noise(faint, None, {}) == pytest.approx(0.05**0.5, rel=0.05)
    assert _noise(data * 7, None, {}) == pytest.approx(7 * _noise(data, None, {}))
    assert _noise(torch.full((1, 9), 3.0), None, {}) > 0


def test_half_quadratic_splitting_ends_once_the_noise_level_is_reached():
    _, data, blur = problem((24, 26))
    options = {"noise": 3.0, "strength": 0.2, "scheme": "half-quadratic"}
    steps = list(plug_and_play(data, blur, iterations=40, **options))
    assert len(steps) == 10
    assert len(list(plug_and_play(data, blur, iterations=4, **options))) == 4


def test_with_the_strength_found():
    obj, data, blur = problem((64, 66))
    psf = gaussian_psf((9, 9), 1.5)
    found, details = restore(data.numpy(), "plug-and-play", psf=psf, details=True)
    assert len(details.choices["strength"].values) >= 3
    assert details.parameters["noise"] == pytest.approx(_noise(data, blur, {}))
    assert details.iterations == 10
    assert relative_rmse(found, obj) < 0.85 * relative_rmse(data.numpy(), obj)
