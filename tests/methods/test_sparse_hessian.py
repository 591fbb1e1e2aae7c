"""Sparse Hessian deconvolution, in space and in time."""

import numpy as np
import pytest
import torch

from napari_deconv import restore
from napari_deconv.methods.sparse_hessian import Continuity, sparse_hessian
from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.fused import Assembly
from napari_deconv.registry import methods
from napari_deconv.simulation.phantoms import filaments
from problems import gaussian_psf, photographed, relative_rmse


def threads(shape, peak=60.0, seed=1):
    obj = np.asarray(filaments(shape, seed=seed), dtype=float)
    return obj / obj.max() * peak


def problem(shape=(24, 26), borders="circular", dtype=torch.float64, background=5.0, **options):
    obj = threads(shape)
    psf = gaussian_psf((9,) * len(shape), 1.5)
    data = torch.from_numpy(photographed(obj, psf, background=background)).to(dtype)
    return obj + background, data, Convolution(psf, shape, borders, dtype=dtype, **options)


def last(data, blur, count=60, **options):
    values = {"strength": 0.01, "level": float(data.mean()), "axis_continuity": 1.0} | options
    *_, (x, residual) = sparse_hessian(data.clone(), blur, iterations=count, **values)
    return blur.crop(x).clone(), residual


def cost(x, data, blur, strength, sparsity, level, weights):
    """The sum of the paper, written out with rolled arrays."""
    value = float((blur(x) - data).square().sum()) / (2 * level) + sparsity * float(x.abs().sum())
    for a, v in enumerate(weights):
        for b, w in enumerate(weights):
            if a == b:
                bend = torch.roll(x, 1, a) - 2 * x + torch.roll(x, -1, a)
            else:
                step = torch.roll(x, -1, a) - x
                bend = torch.roll(step, -1, b) - step
            value += strength * (v * w) ** 0.5 * float(bend.abs().sum())
    return value


@pytest.mark.parametrize("shape", [(12, 13), (4, 6, 7)])
def test_it_minimises_what_it_says(shape):
    _, data, blur = problem(shape)
    values = {"strength": 0.02, "sparsity": 0.1, "level": 9.0}
    weights = (0.3, 1.0, 1.0) if len(shape) == 3 else (1.0, 1.0)
    best, residual = last(data, blur, 2000, axis_continuity=0.3, **values)
    assert residual < 1e-4
    assert float(best.min()) == 0
    least = cost(best, data, blur, weights=weights, **values)
    rng = np.random.default_rng(0)
    for size in (1e-2, 1.0):
        for _ in range(20):
            other = best + size * torch.from_numpy(rng.standard_normal(shape))
            assert least <= cost(other.clamp(min=0), data, blur, weights=weights, **values) + 1e-4
    # Each term counts: without it the minimiser is another.
    for name, less in (("strength", 0.01), ("sparsity", 0.0)):
        changed, _ = last(data, blur, 300, axis_continuity=0.3, **values | {name: less})
        assert cost(changed, data, blur, weights=weights, **values) > least * 1.0001
    for other in (0.1, 1.0):
        changed, _ = last(data, blur, 300, axis_continuity=other, **values)
        if len(shape) == 3:
            assert cost(changed, data, blur, weights=weights, **values) > least * 1.0001
        else:
            assert relative_rmse(changed.numpy(), best.numpy()) < 1e-2


@pytest.mark.parametrize("borders", ["extended", "circular", "reflect", "zero"])
def test_every_step_comes_closer(borders):
    _, data, blur = problem(borders=borders)
    values = {"strength": 0.01, "level": float(data.mean()), "axis_continuity": 1.0}
    steps = sparse_hessian(data.clone(), blur, iterations=120, **values)
    residuals = [residual for _, residual in steps]
    assert residuals[-1] < 0.03 * residuals[2]


@pytest.mark.parametrize("strength", [1e-8, 1e-3, 1.0, 1e2])
@pytest.mark.parametrize("misfit", ["gaussian", "poisson"])
@pytest.mark.parametrize("shape", [(22, 24), (8, 14, 15)])
def test_any_strength_is_finite_and_positive(strength, misfit, shape):
    _, data, blur = problem(shape, "extended", torch.float32)
    data[3:5] = 0
    found, residual = last(data, blur, 50, strength=strength, misfit=misfit)
    assert torch.isfinite(found).all()
    assert np.isfinite(residual)
    assert float(found.min()) >= 0


def test_a_slope_is_continuous():
    """Also across the border of the image, where its end and its beginning do not meet."""
    y, x = np.mgrid[:20, :22]
    plane = torch.from_numpy(50.0 + 3 * y + 2 * x)
    blur = Convolution(gaussian_psf((7, 7), 1.2), plane.shape, "extended", dtype=torch.float64)
    found, _ = last(plane, blur, 1500, strength=10.0, sparsity=0.0)
    assert relative_rmse(found.numpy(), plane.numpy()) < 1e-3


def test_sparsity_takes_a_share_of_the_typical_intensity():
    data = torch.full((12, 13), 40.0, dtype=torch.float64)
    blur = Convolution(gaussian_psf((5, 5), 1.0), data.shape, "circular", dtype=torch.float64)
    found, _ = last(data, blur, 300, sparsity=0.1)
    assert torch.allclose(found, 0.9 * data, rtol=1e-3)


@pytest.mark.parametrize("shape", [(64, 66), (16, 32, 34)])
def test_noise_is_held_back(shape):
    truth, data, blur = problem(shape, "extended")
    best = min(
        relative_rmse(last(data, blur, 80, strength=s)[0].numpy(), truth) for s in (1e-3, 1e-2)
    )
    assert best < 0.85 * relative_rmse(data.numpy(), truth)
    rough, _ = last(data, blur, 80, strength=1e-6)
    assert best < 0.8 * relative_rmse(rough.numpy(), truth)


def test_scaling_and_shifting_the_image():
    _, data, blur = problem()
    found, _ = last(data, blur, 25)
    scaled, _ = last(data * 1e4, blur, 25)
    assert torch.allclose(scaled, found * 1e4, rtol=1e-8, atol=1e-4)
    shifted, _ = last(torch.roll(data, (3, -5), (0, 1)), blur, 25)
    assert torch.allclose(shifted, torch.roll(found, (3, -5), (0, 1)), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("borders", ["circular", "extended", ["extended", "circular", "extended"]])
@pytest.mark.parametrize("shape", [(9, 6, 7), (3, 4, 8), (12, 13)])
def test_slabs_and_compiled_loops_make_no_difference(borders, shape, monkeypatch):
    rng = np.random.default_rng(0)
    ndim = len(shape)
    words = borders if isinstance(borders, str) else borders[-ndim:]
    blur = Convolution(np.ones((3,) * ndim), shape, words)
    x = torch.from_numpy(rng.standard_normal(blur.object_shape)).float()
    results = []
    for elements, compiled in ((1 << 18, "auto"), (1 << 18, "off"), (1, "off")):
        monkeypatch.setenv("NAPARI_DECONV_NUMBA", compiled)
        monkeypatch.setattr("napari_deconv.methods.sparse_hessian._ELEMENTS", elements)
        prior = Continuity(blur, (0.4, 1.0, 0.8)[-ndim:])
        dual, into, bent = prior.dual(), torch.empty_like(x), torch.zeros_like(x)
        assembly = Assembly(x.clone(), x.clone(), bent, into, 1.0, 0.1)
        moved = [prior.step(x, dual, threshold, assembly) for threshold in (0.3, 0.5)]
        results.append((torch.tensor(moved), dual, into, bent, assembly.estimate))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def series(frames=9, brighter=False):
    """Frames of a scene with a blur of their own, given as a stack with a PSF of one plane."""
    obj = np.repeat(threads((32, 34))[None], frames, axis=0)
    if brighter:
        obj += np.linspace(20, 80, frames)[:, None, None]
    psf = gaussian_psf((1, 9, 9), (1.0, 1.5, 1.5))
    return obj + 5, torch.from_numpy(photographed(obj, psf, background=5)).double(), psf


def test_frames_help_each_other():
    truth, data, psf = series()
    blur = Convolution(psf, data.shape, "extended", dtype=torch.float64)
    together, _ = last(data, blur, 100, strength=3e-3, sparsity=0.0, axis_continuity=3.0)
    alone, _ = last(data, blur, 100, strength=3e-3, sparsity=0.0, axis_continuity=0.0)
    truth = truth[:, 4:-4, 4:-4]
    together, alone = (x[:, 4:-4, 4:-4].numpy() for x in (together, alone))
    assert relative_rmse(together, truth) < 0.9 * relative_rmse(alone, truth)


def test_without_continuity_in_time_frames_are_on_their_own():
    _, data, psf = series(frames=3)
    stack = Convolution(psf, data.shape, "circular", dtype=torch.float64)
    plane = Convolution(psf[0], data.shape[1:], "circular", dtype=torch.float64)
    level = float(data.mean())
    together, _ = last(data, stack, 500, level=level, axis_continuity=0.0)
    for frame, found in zip(data, together, strict=True):
        alone, _ = last(frame, plane, 500, level=level)
        assert relative_rmse(found.numpy(), alone.numpy()) < 5e-3


def test_the_last_frame_is_not_before_the_first():
    """A scene that gets brighter is continuous, however strongly that is asked for."""
    truth, _, psf = series(brighter=True)
    blur = Convolution(psf, truth.shape, "extended", dtype=torch.float64)
    data = blur(blur.extend(torch.from_numpy(truth)))
    found, _ = last(data, blur, 300, strength=0.3, sparsity=0.0)
    light = found.sum((1, 2)).numpy()
    np.testing.assert_allclose(light, data.sum((1, 2)).numpy(), rtol=1e-2)


def test_automatic_continuity_along_the_first_axis():
    """A stack's from the depth of its voxels, a series' from the authors."""
    resolve = methods()["sparse-hessian"].parameters["axis_continuity"].auto.resolve
    deep = Convolution(np.ones((3, 3, 3)), (5, 6, 7), spacing=(0.4, 0.1, 0.1))
    assert resolve(None, deep, {}) == pytest.approx(1 / 16)
    frames = Convolution(np.ones((1, 3, 3)), (5, 6, 7), spacing=(60.0, 0.1, 0.1))
    assert resolve(None, frames, {}) == 0.5


def test_with_everything_found():
    """A series by way of the engine: the time between frames is no length."""
    truth, data, psf = series(frames=5)
    found, details = restore(
        data.numpy(), "sparse-hessian", psf=psf, spacing=(30.0, 0.1, 0.1), details=True
    )
    assert details.parameters["axis_continuity"] == 0.5
    assert len(details.choices["strength"].values) >= 3
    assert details.statistics[-1].residual < 1e-2
    assert relative_rmse(found, truth) < 0.85 * relative_rmse(data.numpy(), truth)
