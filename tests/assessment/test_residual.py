"""Residuals: noise looks like noise, and what is missed does not."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_deconv.assessment import Noise, chi_squared, residual_correlation
from napari_deconv.errors import InputError
from napari_deconv.simulation import record
from napari_deconv.simulation.phantoms import filaments

NOISE = Noise(gain=2.0, offset=100.0, read_noise=3.0)
LIGHT = 200 * gaussian_filter(filaments((128, 128), count=25).astype(np.float64), 1.5)
MEAN = 100 + 2 * LIGHT
DATA = record(LIGHT, gain=2, offset=100, read_noise=3, bits=None)


def test_the_truth_leaves_noise():
    assert chi_squared(DATA, MEAN, NOISE) == pytest.approx(1, abs=0.04)
    assert residual_correlation(DATA, MEAN, NOISE) < 3 / 128


def test_what_is_missed_shows():
    missed = gaussian_filter(MEAN, 1.5)
    assert chi_squared(DATA, missed, NOISE) > 1.5
    assert residual_correlation(DATA, missed, NOISE) > 0.1


def test_following_the_noise_shows():
    followed = (DATA + MEAN) / 2
    assert chi_squared(DATA, followed, NOISE) == pytest.approx(0.25, abs=0.02)


def test_smooth_residuals_correlate_by_how_smooth_they_are():
    flat = Noise(gain=1e-9, offset=0.0, read_noise=1.0)
    noise = np.random.default_rng(0).normal(size=(400, 400))
    smooth = gaussian_filter(noise, 1.0, mode="wrap")
    # A Gaussian of deviation 1 leaves exp(-d^2 / 4) between pixels d apart.
    lags = [(dy, dx) for dy in range(3) for dx in range(-2, 3) if dy > 0 or dx > 0]
    expected = np.sqrt(np.mean([np.exp(-(dy**2 + dx**2) / 2) for dy, dx in lags]))
    found = residual_correlation(smooth, np.zeros_like(smooth), flat)
    assert found == pytest.approx(expected, rel=0.03)


def test_no_residual_and_no_noise_are_no_trouble():
    silent = Noise(gain=1.0, offset=0.0, read_noise=0.0)
    zeros = np.zeros((10, 10))
    assert chi_squared(zeros, zeros, silent) == 0
    assert np.isnan(residual_correlation(zeros, zeros, silent))
    assert np.isfinite(chi_squared(zeros + 1, zeros, silent))


def test_shapes_have_to_fit():
    with pytest.raises(InputError, match="equal"):
        chi_squared(DATA, MEAN[1:], NOISE)
    with pytest.raises(InputError, match="5 x 5"):
        residual_correlation(DATA[:4], MEAN[:4], NOISE)
