"""How a strength is chosen, on images whose best strength can be found by looking at the truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import napari_deconv as nd
from napari_deconv.engine.strength import _crossing, _top
from napari_deconv.operators.convolution import Convolution
from napari_deconv.simulation.phantoms import filaments

# From so few pixels the gain is known to seven percent only.
OPTIONS = {"background": 2.0, "prior": "hessian", "gain": 1.0}


def gaussian_psf(sigma):
    axes = np.ogrid[-6:7, -6:7]
    psf = np.exp(-(axes[0] ** 2 + axes[1] ** 2) / (2 * sigma**2))
    return psf / psf.sum()


@pytest.fixture(scope="module", params=[30, 1000])
def scene(request):
    truth = gaussian_filter(filaments((72, 72), count=20, seed=5), 2).astype(np.float32)
    image = nd.simulate(
        truth,
        gaussian_psf(1.6),
        photons=request.param,
        offset=0,
        read_noise=0,
        background_photons=2,
        seed=2,
    )
    return truth * float((image.mean() - 2) / truth.mean()), image


def psnr(result, truth):
    return -10 * np.log10(np.mean((result - truth) ** 2) / truth.max() ** 2)


def test_the_choice_is_near_the_best(scene):
    truth, image = scene
    psf = gaussian_psf(1.6)
    result, details = nd.restore(image, "variational", psf, details=True, **OPTIONS)
    every = {
        s: psnr(nd.restore(image, "variational", psf, strength=s, **OPTIONS), truth)
        for s in 10 ** np.arange(-4, 0.1, 0.25)
    }
    assert psnr(result, truth) > max(every.values()) - 0.5
    choice = details.choices["strength"]
    assert list(choice.values) == sorted(choice.values)
    assert choice.values[0] <= choice <= choice.values[-1]
    assert len(choice.scores) == len(choice.values)


def test_errors_of_the_psf_are_not_explained(scene):
    """With a PSF that is too wide the residual must not be made smaller than noise."""
    _, image = scene
    _, details = nd.restore(image, "variational", gaussian_psf(1.9), details=True, **OPTIONS)
    assert details.statistics[-1].chi_squared > 0.8


def test_an_exact_psf_and_no_noise_want_next_to_no_prior():
    truth = gaussian_filter(filaments((48, 48), count=12, seed=5), 2).astype(np.float32)
    psf = gaussian_psf(1.6)
    blur = Convolution(psf, truth.shape, "circular")
    image = blur(torch.from_numpy(truth)).numpy().clip(0)
    found = {}
    for error in (0.0, 0.01):
        _, details = nd.restore(
            image,
            "variational",
            psf,
            borders="circular",
            psf_error=error,
            gain=1e-9,
            background=0.0,
            details=True,
        )
        found[error] = details.parameters["strength"]
    least = nd.methods()["variational"].parameters["strength"].search.lower
    assert found[0.0] < least <= found[0.01]


def test_the_same_seed_gives_the_same_choice(scene):
    _, image = scene
    found = [
        nd.restore(image, "variational", gaussian_psf(1.6), details=True, seed=s, **OPTIONS)[1]
        for s in (1, 1, 2)
    ]
    first, again, other = (each.parameters["strength"] for each in found)
    assert first == again
    assert first != other


def test_top_of_a_parabola():
    places = [-3.0, -2.5, -2.0, -1.5]
    scores = [-((p + 2.3) ** 2) for p in places]
    assert _top(places, scores) == pytest.approx(-2.3)
    assert _top(places, [4.0, 3.0, 2.0, 1.0]) == -3
    assert _top(places, [1.0, 1.0, 1.0, 1.0]) == -3


def test_crossing_of_the_noise():
    places = [-3.0, -2.0, -1.0]
    assert _crossing(places, [0.3, 0.8, 1.0]) == pytest.approx(-1.5)
    assert _crossing(places, [0.95, 1.0, 1.2]) == -3
    assert _crossing(places, [0.1, 0.2, 0.3]) == -1
