"""The error that is expected of an estimate, beside the one that the truth knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_deconv.assessment.noise import Noise
from napari_deconv.engine.deblurred import Deblurred
from napari_deconv.engine.stein import _WINDOWS, SMALL, expected_error, more_noise
from napari_deconv.operators.convolution import Convolution
from problems import gaussian_psf

SHAPE = (48, 40)


@pytest.fixture
def blur():
    return Convolution(gaussian_psf((9, 9), 1.4), SHAPE, borders="circular")


def scene(blur, photons):
    truth = np.zeros(SHAPE, np.float32)
    points = np.random.default_rng(4).integers(0, SHAPE, (60, 2))
    truth[tuple(points.T)] = 20
    truth = torch.from_numpy(truth + 1) * photons
    return truth, blur(truth).clone()


def filtered(data, blur, weight):
    """Return a Tikhonov filter's estimate, and what it predicts."""
    otf = blur.otf
    spectrum = torch.fft.rfftn(data) * otf.conj() / (otf.abs().square() + weight)
    estimate = torch.fft.irfftn(spectrum, s=SHAPE)
    return estimate, torch.fft.irfftn(spectrum * otf, s=SHAPE)


@pytest.mark.parametrize("photons", [5, 200])
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_differences_of_errors_are_right_without_the_truth(blur, photons, gain):
    """Over many images the expected error differs among filters as the true one does."""
    truth, clean = scene(blur, photons)
    generator = np.random.default_rng(1)
    weights, noise = (1e-4, 3e-2, 1.0), Noise(gain, 0.0, 0.0)
    # As wide as it is at most, which it is for so much noise.
    deblurred = Deblurred(blur, SHAPE, _WINDOWS[0])
    told, true = [], []
    for seed in range(60):
        image = gain * generator.poisson(clean.numpy()).astype(np.float32)
        data, added = torch.from_numpy(image), torch.from_numpy(more_noise(image, noise, seed))
        each = []
        for weight in weights:
            estimate, prediction = filtered(data, blur, weight)
            _, moved = filtered(data + SMALL * added, blur, weight)
            response = (moved - prediction) / SMALL
            each.append(expected_error(data, prediction, added, response, blur))
            wrong = deblurred(blur(estimate - gain * truth).clone())
            true.append(deblurred.inner(wrong, wrong) / estimate.numel())
        told.append(each)
    told, true = np.array(told), np.array(true).reshape(-1, 3)
    for a, b in ((0, 1), (1, 2), (0, 2)):
        gap = (told[:, a] - told[:, b]) - (true[:, a] - true[:, b])
        spread = gap.std() / len(gap) ** 0.5
        assert abs(gap.mean()) < 4 * spread
        # Else anything would pass.
        assert 4 * spread < 0.5 * abs((true[:, a] - true[:, b]).mean())


def test_added_noise_is_like_the_cameras():
    noise = Noise(2.0, 100.0, 6.0)
    image = np.full((200, 200), 140, np.float32)
    added = more_noise(image, noise, 0)
    assert added.dtype == np.float32
    assert added.std() == pytest.approx((2.0 * 40 + 36) ** 0.5, rel=0.02)
    assert not np.array_equal(added, more_noise(image, noise, 1))
