"""The map of support finds what is missing and what was made up, in units of the noise."""

import numpy as np
import pytest

from napari_deconv.assessment.noise import Noise
from napari_deconv.assessment.support import support_map
from napari_deconv.errors import InputError
from napari_deconv.simulation.imaging import convolve
from problems import gaussian_psf

NOISE = Noise(gain=1.0, offset=0.0, read_noise=1.0)


def scene(seed=0, shape=(64, 72), size=(12, 13)):
    psf = gaussian_psf(size, 1.5)
    truth = np.full(shape, 40.0)
    truth[20, 30] = truth[40, 50] = 4000
    expected = convolve(truth, psf, borders="reflect")
    data = np.random.default_rng(seed).poisson(expected) + np.random.default_rng(9).normal(
        0, 1, shape
    )
    return data, truth, psf


def test_the_truth_leaves_unit_noise():
    data, truth, psf = scene()
    found = support_map(data, truth, psf, noise=NOISE)
    assert found.dtype == np.float32
    assert abs(found.mean()) < 0.15
    assert found.std() == pytest.approx(1, abs=0.1)
    assert np.abs(found).max() < 5.5


def test_missing_and_invented_points_stand_out_where_they_are():
    data, truth, psf = scene()
    wrong = truth.copy()
    wrong[20, 30] = 40  # left out
    wrong[10, 10] += 1500  # made up
    found = support_map(data, wrong, psf, noise=NOISE)
    assert np.unravel_index(found.argmax(), found.shape) == (20, 30)
    assert np.unravel_index(found.argmin(), found.shape) == (10, 10)
    assert found.max() > 10
    assert found.min() < -6
    quiet = found[45:, :30]
    assert quiet.std() == pytest.approx(1, abs=0.2)


def test_background_series_and_units():
    data, truth, psf = scene()
    once = support_map(data, truth, psf, background=0.0, noise=NOISE)
    raised = support_map(data + 100, truth, psf, background=100.0, noise=Noise(1.0, 100.0, 1.0))
    np.testing.assert_allclose(raised, once, atol=2e-3)
    found = support_map(data + 100, truth, psf, noise=Noise(1.0, 100.0, 1.0))
    np.testing.assert_allclose(found, once, atol=0.3)
    twice = support_map(
        np.stack([data, data]), np.stack([truth, truth]), psf, background=0.0, noise=NOISE
    )
    np.testing.assert_allclose(twice[1], once, atol=2e-3)
    scaled = support_map(3 * data, 3 * truth, psf, background=0.0, noise=Noise(3.0, 0.0, 3.0))
    np.testing.assert_allclose(scaled, once, atol=2e-3)
    assert support_map(data, truth, psf).std() == pytest.approx(1, abs=0.25)


def test_shapes_have_to_agree():
    data, truth, psf = scene()
    with pytest.raises(InputError, match="have to be equal"):
        support_map(data, truth[:-1], psf)
