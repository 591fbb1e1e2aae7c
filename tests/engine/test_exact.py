"""Noise where the PSF is exact: what is known of it, against what was added."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import napari_deconv as nd
from napari_deconv.assessment import estimate_noise
from napari_deconv.engine.exact import no_more_than_seen
from napari_deconv.operators.convolution import Convolution
from problems import circular_scene, decibels

IMAGE, TRUTH, PSF = circular_scene((128, 128))
EXACT = {"borders": "circular", "psf_error": 0, "background": 0}


@pytest.mark.parametrize("borders", ["circular", "extended"])
@pytest.mark.parametrize(("photons", "read"), [(30, 0.0), (30, 3.0), (3000, 0.0)])
def test_noise_that_is_there_stays(borders, photons, read):
    rng = np.random.default_rng(3)
    data = rng.poisson(IMAGE * (photons / IMAGE.max())) + rng.normal(0, read, IMAGE.shape)
    data = data.astype(np.float32)
    noise = estimate_noise(data)
    assert no_more_than_seen(noise, data, Convolution(PSF, data.shape, borders)) == noise


def test_noise_stays_where_all_light_is_at_a_border():
    """The image fades there, and with it most of the noise."""
    light = np.zeros((96, 96))
    light[:10] = 40 * gaussian_filter(np.random.default_rng(1).random((10, 96)), 2)
    data = np.random.default_rng(2).poisson(light).astype(np.float32)
    noise = estimate_noise(data)
    assert no_more_than_seen(noise, data, Convolution(PSF, data.shape, "extended")) == noise


def test_fine_structures_are_no_noise():
    blur = Convolution(PSF, IMAGE.shape, "circular")
    noise = estimate_noise(IMAGE)
    assert noise.variance(IMAGE).mean() > 1e-4 * IMAGE.var()
    left = no_more_than_seen(noise, IMAGE, blur)
    assert left.variance(IMAGE).mean() < 1e-10 * IMAGE.var()
    # What looks like an offset for all who count read noise as photons stays where it was.
    zero = [each.offset - each.read_noise**2 / each.gain for each in (noise, left)]
    assert zero[1] == pytest.approx(zero[0])


@pytest.mark.parametrize("unit", [1e-12, 1e13])
def test_any_unit_of_intensity(unit):
    data = IMAGE * np.float32(unit)
    left = no_more_than_seen(estimate_noise(data), data, Convolution(PSF, IMAGE.shape, "circular"))
    assert 0 < left.variance(data).mean() < 1e-10 * data.astype(float).var()


@pytest.mark.parametrize(("method", "least"), [("richardson-lucy", 22), ("nnls", 30), ("ictm", 24)])
def test_an_image_without_noise_is_restored_as_far_as_the_method_goes(method, least):
    """With fine structures taken for noise these stop at 17, 15 and 15 dB."""
    assert decibels(nd.restore(IMAGE, method, PSF, **EXACT), TRUTH) > least


def test_a_strength_is_tried_on_all_of_it():
    """Of a region that is cut out, what lies beyond would be the largest error: 36 dB."""
    rng = np.random.default_rng(1)
    psf = rng.random((61, 61))
    truth = 50 * gaussian_filter(rng.random((400, 400)), 3, mode="wrap")
    truth += circular_scene((400, 400))[1]
    blur = Convolution(psf / psf.sum(), truth.shape, "circular", dtype=torch.float64)
    image = blur(torch.from_numpy(truth)).float().numpy()
    found = nd.restore(image, "plug-and-play", psf, denoiser="tv", **EXACT)
    assert decibels(found, truth) > 45


def test_a_doubtful_psf_tells_nothing():
    details = [
        nd.restore(IMAGE, "richardson-lucy", PSF, iterations=1, details=True, **EXACT | doubt)[1]
        for doubt in ({}, {"psf_error": 0.01})
    ]
    assert details[1].gain == pytest.approx(estimate_noise(IMAGE).gain)
    assert details[0].gain < 1e-6 * details[1].gain


def test_a_gain_that_is_given_is_believed():
    options = {"iterations": 1, "gain": 2.0, "details": True, **EXACT}
    assert nd.restore(IMAGE, "richardson-lucy", PSF, **options)[1].gain == 2.0


def test_a_part_of_a_larger_image_is_enough():
    """Only a representative region is looked at, whose borders are cut."""
    image = np.tile(IMAGE, (9, 9))
    options = {"iterations": 1, "details": True, **EXACT}
    gain = nd.restore(image, "landweber", PSF, **options)[1].gain
    assert gain < 0.01 * estimate_noise(image).gain
