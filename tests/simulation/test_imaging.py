"""Blur and light level against direct sums."""

import numpy as np
import pytest
from scipy.ndimage import convolve as direct

from napari_deconv.errors import InputError, ParameterError
from napari_deconv.simulation import simulate
from napari_deconv.simulation.imaging import convolve

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "psf_shape"),
    [((20, 21), (5, 5)), ((20, 21), (4, 7)), ((6, 12, 13), (4, 5, 6)), ((9, 8), (11, 12))],
)
@pytest.mark.parametrize(
    ("borders", "mode"), [("zero", "constant"), ("reflect", "reflect"), ("circular", "wrap")]
)
def test_convolution_has_its_origin_at_half_the_shape(shape, psf_shape, borders, mode):
    obj = RANDOM.random(shape).astype(np.float32)
    psf = RANDOM.random(psf_shape).astype(np.float32)
    # scipy's origin is at n//2 too.
    expected = direct(obj.astype(float), psf.astype(float) / psf.sum(), mode=mode)
    np.testing.assert_allclose(convolve(obj, psf, borders=borders), expected, atol=1e-6)


def test_leading_axes_are_images_of_their_own():
    series = RANDOM.random((2, 3, 10, 11)).astype(np.float32)
    psf = RANDOM.random((3, 3)).astype(np.float32)
    np.testing.assert_allclose(convolve(series, psf)[1, 2], convolve(series[1, 2], psf))


def test_light_level_background_and_offset_mean_what_they_say():
    obj = np.zeros((40, 40))
    obj[20, 20] = 3.0
    psf = np.exp(-sum(axis**2 for axis in np.ogrid[-8:9, -8:9]) / 8)
    options = {"photons": 50, "gain": 2, "offset": 100, "background_photons": 10, "bits": None}
    mean = np.mean([simulate(obj, psf, seed=seed, **options) for seed in range(400)], axis=0)
    assert mean[20, 20] == pytest.approx(100 + 2 * (50 + 10), rel=0.01)
    assert mean[:5].mean() == pytest.approx(100 + 2 * 10, rel=0.005)
    np.testing.assert_array_equal(simulate(obj, psf, seed=5), simulate(obj, psf, seed=5))
    assert simulate(obj, psf).dtype == np.uint16
    # The scale of PSF and object does not matter; the sum of the PSF least of all.
    np.testing.assert_array_equal(simulate(obj, psf), simulate(8 * obj, 4 * psf))


def test_zero_borders_let_light_leave_and_circular_ones_keep_it():
    obj = np.zeros((16, 16), np.float32)
    obj[0, 0] = 1.0
    psf = np.ones((5, 5), np.float32)
    assert convolve(obj, psf, borders="zero").sum() == pytest.approx(9 / 25)
    assert convolve(obj, psf, borders="circular").sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("obj", "psf", "message"),
    [
        (np.ones((8, 8)), np.zeros((3, 3)), "The PSF has to be zero or more everywhere"),
        (np.ones((8, 8)), -np.ones((3, 3)), "The PSF has to be"),
        (np.ones((8, 8)), np.ones((3, 3, 3)), "at most as many"),
        (np.zeros((8, 8)), np.ones((3, 3)), "The object has to be"),
        (-np.ones((8, 8)), np.ones((3, 3)), "The object has to be"),
        (np.full((8, 8), np.nan), np.ones((3, 3)), "The object holds 64 values"),
        (np.ones((8, 0)), np.ones((3, 3)), "The object is empty"),
    ],
)
def test_impossible_objects_and_psfs_are_refused(obj, psf, message):
    with pytest.raises(InputError, match=message):
        simulate(obj, psf)


@pytest.mark.parametrize("options", [{"photons": 0}, {"gain": 0}, {"borders": "open"}, {"bits": 0}])
def test_parameters_out_of_bounds_are_refused(options):
    with pytest.raises(ParameterError):
        simulate(np.ones((8, 8)), np.ones((3, 3)), **options)
