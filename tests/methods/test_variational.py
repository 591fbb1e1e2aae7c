"""Variational restoration against its own optimality conditions, invariants and the truth."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import napari_deconv as nd
from napari_deconv.methods.variational import variational
from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.priors import make_prior
from napari_deconv.simulation.phantoms import filaments

PRIORS = ["hessian", "nuclear-hessian", "tv", "wavelet"]


def gaussian_psf(shape, sigma=1.3):
    axes = np.ogrid[tuple(slice(-(n // 2), n - n // 2) for n in shape)]
    psf = np.exp(-sum(a.astype(float) ** 2 for a in axes) / (2 * sigma**2))
    return psf / psf.sum()


@pytest.fixture(scope="module")
def scene():
    truth = filaments((64, 72), count=12, seed=3).astype(np.float32)
    psf = gaussian_psf((13, 13))
    image = nd.simulate(
        truth, psf, photons=60, offset=0, read_noise=0, background_photons=2, seed=1
    )
    return truth, psf, np.asarray(image, np.float32)


def objective(blur, data, estimate, prior, strength, floor):
    model = (blur(estimate) + floor).clamp(min=1e-9)
    misfit = float((model - torch.xlogy(data, model)).sum(dtype=torch.float64))
    return misfit + strength * prior.value(estimate)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("borders", ["circular", "extended", "reflect"])
def test_nothing_near_the_result_is_better(scene, prior, borders):
    _, psf, image = scene
    data = torch.from_numpy(image)
    blur = Convolution(psf, data.shape, borders)
    floor, strength = 2.0, 0.02
    steps = variational(
        data,
        blur,
        iterations=400,
        strength=strength,
        prior=prior,
        misfit="poisson",
        level=float(data.mean()),
        background=floor,
    )
    *_, (estimate, residual) = steps
    assert residual < 2e-3
    assert float(estimate.min()) >= 0
    penalty = make_prior(prior, blur)
    best = objective(blur, data, estimate, penalty, strength, floor)
    generator = torch.Generator().manual_seed(0)
    smooth = blur.adjoint(blur(estimate))
    others = [
        0.97 * estimate,
        1.03 * estimate,
        0.95 * estimate + 0.05 * smooth,
        (1.05 * estimate - 0.05 * smooth).clamp(min=0),
        (estimate + 0.1 * torch.randn(estimate.shape, generator=generator)).clamp(min=0),
        torch.roll(estimate, 1, 0),
    ]
    for other in others:
        assert objective(blur, data, other, penalty, strength, floor) > best - 1e-5 * abs(best)


@pytest.mark.parametrize("misfit", ["poisson", "gaussian"])
@pytest.mark.parametrize("prior", PRIORS)
def test_the_unit_of_intensity_does_not_matter(scene, prior, misfit):
    _, psf, image = scene
    options = {"prior": prior, "misfit": misfit, "strength": 0.02, "iterations": 30}
    one = nd.restore(image, "variational", psf, background=2.0, **options)
    other = nd.restore(100 * image, "variational", psf, background=200.0, **options)
    np.testing.assert_allclose(other, 100 * one, rtol=2e-3, atol=0.02 * one.max())


@pytest.mark.parametrize("prior", ["hessian", "nuclear-hessian", "tv"])
def test_shifting_the_image_shifts_the_result(scene, prior):
    _, psf, image = scene
    options = {"prior": prior, "strength": 0.02, "iterations": 20, "borders": "circular"}
    one = nd.restore(image, "variational", psf, **options)
    other = nd.restore(np.roll(image, (5, -3), (0, 1)), "variational", psf, **options)
    np.testing.assert_allclose(other, np.roll(one, (5, -3), (0, 1)), atol=1e-3 * one.max())


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("strength", [1e-8, 1e-4, 1.0, 1e2])
@pytest.mark.parametrize("misfit", ["poisson", "poisson-gaussian", "gaussian"])
def test_any_strength_is_finite(scene, prior, strength, misfit):
    _, psf, image = scene
    result = nd.restore(
        image,
        "variational",
        psf,
        prior=prior,
        strength=strength,
        misfit=misfit,
        iterations=15,
        read_noise=1.5,
        gain=1.0,
    )
    assert np.isfinite(result).all()
    assert result.min() >= 0


def test_strong_priors_leave_what_they_do_not_see(scene):
    """Where total variation is all that counts, the flat image of the same light remains."""
    _, psf, image = scene
    result = nd.restore(
        image, "variational", psf, prior="tv", strength=100.0, borders="circular", iterations=600
    )
    assert result.std() < 0.05 * image.std()
    assert result.mean() == pytest.approx(image.mean(), rel=0.05)


def test_without_positivity_the_result_may_be_negative(scene):
    _, psf, image = scene
    options = {"strength": 1e-4, "iterations": 60, "misfit": "gaussian", "background": 2.0}
    assert nd.restore(image, "variational", psf, positive=False, **options).min() < 0
    assert nd.restore(image, "variational", psf, positive=True, **options).min() >= 0


@pytest.mark.parametrize("shape", [(128, 144), (24, 64, 64)])
def test_automatic_is_near_the_best_and_beats_richardson_lucy(shape):
    """Over three noises: of one small image chance alone may take half a dB."""
    # Smooth and dense, as most of what is stained is; sparse and thin is for Richardson-Lucy.
    truth = gaussian_filter(filaments(shape, count=20, seed=5), 2.5).astype(np.float32)
    psf = gaussian_psf((7, 13, 13)[-len(shape) :], 1.6)
    losses = []
    for seed in (2, 3, 4):
        image = nd.simulate(
            truth, psf, photons=40, offset=0, read_noise=0, background_photons=2, seed=seed
        )
        scale = float((image.mean() - 2) / truth.mean())

        def psnr(result, scale=scale):
            return -10 * np.log10(np.mean((result / scale - truth) ** 2) / truth.max() ** 2)

        result, details = nd.restore(image, "variational", psf, background=2.0, details=True)
        choice = details.choices["strength"]
        assert choice == details.parameters["strength"]
        assert len(choice.values) >= 3
        best = max(
            psnr(nd.restore(image, "variational", psf, background=2.0, strength=s))
            for s in choice.values
        )
        losses.append(best - psnr(result))
        assert psnr(result) > psnr(nd.restore(image, "richardson-lucy", psf, background=2.0))
    assert np.mean(losses) < 0.5


@pytest.mark.parametrize("prior", ["hessian", "nuclear-hessian", "tv"])
def test_compiled_and_plain_loops_agree(scene, prior, monkeypatch):
    _, psf, image = scene
    options = {"prior": prior, "strength": 0.02, "iterations": 15, "background": 2.0}
    options["misfit"] = "poisson"
    compiled = nd.restore(image, "variational", psf, **options)
    monkeypatch.setenv("NAPARI_DECONV_NUMBA", "off")
    plain = nd.restore(image, "variational", psf, **options)
    np.testing.assert_allclose(compiled, plain, atol=1e-5 * plain.max())


@pytest.mark.parametrize("compiled", ["auto", "off"])
@pytest.mark.parametrize("transforms", ["auto", "torch"])
def test_looking_at_an_estimate_changes_nothing(scene, compiled, transforms, monkeypatch):
    """Between steps the prediction waits in memory that whoever blurs an estimate takes."""
    monkeypatch.setenv("NAPARI_DECONV_NUMBA", compiled)
    monkeypatch.setenv("NAPARI_DECONV_FFT", transforms)
    _, psf, image = scene
    data, results = torch.from_numpy(image), []
    for looks in (False, True):
        blur = Convolution(psf, data.shape, "extended")
        steps = variational(data, blur, iterations=12, strength=0.02, level=float(data.mean()))
        for number, (estimate, _) in enumerate(steps):
            if looks and number % 3:
                blur(estimate)
        results.append(estimate)
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-4)


def test_depth_of_voxels_counts():
    """One object on voxels of two depths: slopes are measured in micrometres, not in voxels."""
    x = torch.zeros((8, 8))
    x[4:] = 1
    psf = np.ones((1, 1))
    flat = make_prior("tv", Convolution(psf, x.shape, "circular", spacing=(1.0, 1.0)))
    deep = make_prior("tv", Convolution(psf, x.shape, "circular", spacing=(4.0, 1.0)))
    assert deep.value(x) == pytest.approx(flat.value(x) / 4)


def test_the_residual_falls(scene):
    _, psf, image = scene
    data = torch.from_numpy(image)
    blur = Convolution(psf, data.shape, "extended")
    steps = variational(data, blur, iterations=200, strength=0.02, level=float(data.mean()))
    residuals = [residual for _, residual in islice(steps, 200)]
    assert residuals[-1] < 0.05 * residuals[4]
