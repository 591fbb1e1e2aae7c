"""The rule that stops by held-out photons, and what the PSF's own error has to do with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

import napari_deconv as nd
from napari_deconv.assessment.noise import Noise
from napari_deconv.engine import Job
from napari_deconv.engine.options import Options, most_iterations
from napari_deconv.engine.statistics import Statistics
from napari_deconv.engine.stopping import HeldOut, HeldOutPhotons
from napari_deconv.operators.convolution import Convolution
from napari_deconv.simulation.phantoms import filaments


def figures(iteration, held_out, misfit=None, explained=None):
    explained = held_out if explained is None else explained
    return Statistics(
        iteration=iteration, seconds=0.0, held_out=held_out, explained=explained, misfit=misfit
    )


def test_stops_where_the_residual_is_half_of_noise_and_error_together():
    rule = HeldOut(100)
    assert rule.enough(figures(1, 1.0, misfit=3.0)) is None
    assert rule.enough(figures(2, 2.0, misfit=0.8)) is None
    assert "PSF" not in rule.reason
    assert rule.enough(figures(3, 3.0, misfit=0.45)) == 3
    assert "PSF" in rule.reason


def test_goes_on_as_long_as_photons_are_predicted_better():
    rule = HeldOut(100)
    assert all(rule.enough(figures(i, float(i))) is None for i in range(1, 50))


@pytest.mark.parametrize(("likeliest", "clearest"), [(6, 20), (20, 6)])
def test_the_earlier_of_the_two_figures_decides(likeliest, clearest):
    rule = HeldOut(100)
    for i in range(1, 100):
        found = rule.enough(
            figures(i, -((i - likeliest) ** 2), explained=-((i - clearest) ** 2) / 100)
        )
        if found is not None:
            break
    assert found == 6
    # The later one is not waited for.
    assert i == 6 + 15 + 1


def test_likelihoods_that_cannot_be_told_apart_are_the_same():
    rule = HeldOut(100)
    found = [rule.enough(figures(i, -abs(i - 9) * 0.009, explained=float(i))) for i in range(1, 40)]
    assert next(each for each in found if each) == 7


def gaussian_psf(sigma):
    axes = np.ogrid[-8:9, -8:9]
    psf = np.exp(-(axes[0] ** 2 + axes[1] ** 2) / (2 * sigma**2))
    return psf / psf.sum()


def test_leaves_alone_what_the_psf_s_error_may_have_made():
    truth = gaussian_filter(filaments((160, 160), count=40, seed=4), 0.7) + 0.2
    psf = gaussian_psf(2.0)
    image = fftconvolve(truth, psf, mode="same").clip(min=0)[16:-16, 16:-16].astype(np.float32)

    def restored(psf_error):
        found, details = nd.restore(
            image, "richardson-lucy", psf, psf_error=psf_error, gain=1e-7, details=True
        )
        explained = fftconvolve(np.pad(found, 8, mode="reflect"), psf, mode="valid")
        error = (explained / image - 1)[8:-8, 8:-8]
        return float(np.sqrt(np.mean(error**2))), details.iterations

    (trusting, many), (wary, few) = restored(0.0), restored(0.01)
    assert few < many
    assert trusting < 0.005 < wary < 0.015


def test_deblurred_photons_are_explained_best_by_the_truth():
    """Though a sharper and noisier object predicts the image about as well."""
    truth = 200 * filaments((96, 96), seed=2).astype(np.float32)
    blur = Convolution(gaussian_psf(2.0), truth.shape)
    object_ = blur.extend(torch.from_numpy(truth))
    clean = blur(object_).clone() + 5
    aside = np.random.default_rng(1).poisson(0.1 * clean.numpy()).astype(np.float32)
    photons = HeldOutPhotons(torch.from_numpy(aside), blur, Noise(1.0, 0.0, 0.0))
    floor = torch.tensor(5.0)
    noise = torch.randn(object_.shape, generator=torch.Generator().manual_seed(3))
    right = photons.explained(clean - 5, floor)
    assert right > 0
    for wrong in (object_ + 20 * noise, 0.9 * object_, object_ * 0 + object_.mean()):
        assert photons.explained(blur(wrong).clone(), floor) < right
    # Of photons alone, in whatever unit the image is.
    again = HeldOutPhotons(torch.from_numpy(aside), blur, Noise(3.0, 50.0, 0.0))
    assert again.explained(3 * clean, torch.tensor(50.0)) == pytest.approx(right, rel=1e-3)


def test_steps_are_counted_for_the_object_where_the_image_ends():
    """The likelihood alone takes 134 steps here, where 31 are best, and loses 2 dB."""
    scene = 100 * gaussian_filter(filaments((192, 192), count=50, seed=4), 0.7)
    psf = gaussian_psf(1.8)
    clean = fftconvolve(scene, psf, mode="same").clip(min=0)
    inside = (slice(40, 152),) * 2
    scale = 60 / clean[inside].max()
    truth = scale * scene[inside]
    image = np.random.default_rng(0).poisson(scale * clean[inside]).astype(np.float32)
    job = Job(image, "landweber", psf, gain=1.0)
    for _ in job.steps():
        pass
    trace = Job(image, "landweber", psf, gain=1.0, iterations=1)
    for _ in trace.steps():
        pass
    errors = {}
    for _ in range(80):
        errors[trace.details.iterations] = np.linalg.norm(trace.result - truth)
        for _ in trace.more(1):
            pass
    taken = job.details.iterations
    assert 20 * np.log10(errors[taken] / min(errors.values())) < 0.4


@pytest.mark.parametrize(
    ("method", "given", "most"),
    [
        ("richardson-lucy", {"acceleration": "nesterov", "projector": "matched"}, 100),
        ("richardson-lucy", {"acceleration": "none", "projector": "matched"}, 500),
        ("richardson-lucy", {"acceleration": "none", "projector": "wiener-butterworth"}, 100),
        ("landweber", {}, 500),
        ("tikhonov-miller", {}, 500),
        ("nnls", {}, 100),
    ],
)
def test_slow_steps_and_exact_psfs_may_take_longer(method, given, most):
    entry = nd.methods()[method]
    assert most_iterations(entry, given, Options()) == most
    assert most_iterations(entry, given, Options(psf_error=0)) == 500
    assert most_iterations(entry, given, Options(max_iterations=7, psf_error=0)) == 7


def test_what_comes_to_one_result_takes_no_longer_for_an_exact_psf():
    assert most_iterations(nd.methods()["ictm"], {}, Options(psf_error=0)) == 100
