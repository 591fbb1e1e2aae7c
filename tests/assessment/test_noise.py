"""Gain, offset and read noise from one image, against the camera that took it."""

import time

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_deconv.assessment import Noise, estimate_noise
from napari_deconv.errors import InputError
from napari_deconv.simulation import record
from napari_deconv.simulation.phantoms import beads, filaments, nuclei

SHAPE = (256, 256)
SCENES = {
    "filaments": filaments(SHAPE, count=40, width=1.0),
    "blobs": beads(SHAPE, diameter=2.0, count=60)[0],
    "few": filaments(SHAPE, count=4),
    "nuclei": nuclei(SHAPE, count=15),
}


def light(scene: str, sigma: float, photons: float) -> np.ndarray:
    blurred = gaussian_filter(SCENES[scene].astype(np.float64), sigma)
    return photons * blurred / blurred.max()


@pytest.mark.parametrize("sigma", [1.5, 2.0])
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("photons", [5, 20, 100, 1000, 5000])
def test_pure_photon_counts_have_gain_one(scene, sigma, photons):
    image = record(light(scene, sigma, photons), offset=0, read_noise=0, seed=1)
    noise = estimate_noise(image)
    assert noise.gain == pytest.approx(1, rel=0.15)
    assert noise.offset == pytest.approx(0, abs=0.2 + 0.001 * photons)
    assert noise.read_noise < 0.6


@pytest.mark.parametrize("scene", ["filaments", "nuclei"])
@pytest.mark.parametrize("photons", [100, 2000])
@pytest.mark.parametrize(
    ("gain", "offset", "read_noise"), [(0.5, 100, 1), (1, 100, 2), (2, 0, 5), (5, 500, 5)]
)
def test_any_camera_is_found_from_one_image(scene, photons, gain, offset, read_noise):
    image = record(
        light(scene, 1.5, photons), gain=gain, offset=offset, read_noise=read_noise, bits=None
    )
    noise = estimate_noise(image)
    assert noise.gain == pytest.approx(gain, rel=0.1)
    assert noise.offset == pytest.approx(offset, abs=0.4 * gain + 0.1 * read_noise)
    assert noise.read_noise == pytest.approx(read_noise, abs=0.1 * read_noise + 0.4 * gain)


@pytest.mark.parametrize("sigma", [1.5, 2.0])
def test_an_image_without_noise_has_next_to_no_gain(sigma):
    image = light("filaments", sigma, 1.0)
    noise = estimate_noise(image)
    assert 0 < noise.gain < 1e-5  # as if the brightest pixel were 100 000 photons
    assert noise.read_noise < 1e-3


def test_noise_is_in_the_units_of_the_image():
    image = record(light("filaments", 1.5, 200), gain=2).astype(np.float32)
    noise, other = estimate_noise(image), estimate_noise(3 * image + 50)
    assert other.gain == pytest.approx(3 * noise.gain, rel=1e-3)
    assert other.offset == pytest.approx(3 * noise.offset + 50, rel=1e-3)
    assert other.read_noise == pytest.approx(3 * noise.read_noise, rel=1e-2)


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_constant_images_have_no_noise(value):
    noise = estimate_noise(np.full((40, 40), value, np.uint16))
    assert 0 < noise.gain <= max(1e-8 * value, 1e-30)
    assert noise.read_noise == 0


def test_an_even_field_is_taken_for_photons():
    noise = estimate_noise(np.random.default_rng(0).poisson(100, SHAPE))
    assert noise.gain == pytest.approx(1, rel=0.05)
    assert noise.offset == noise.read_noise == 0


def test_noise_about_zero_is_read_noise():
    noise = estimate_noise(np.random.default_rng(0).normal(0, 3, SHAPE))
    assert noise.read_noise == pytest.approx(3, rel=0.1)
    assert noise.gain < 3
    assert np.isfinite(noise.variance(1.0))


def test_saturation_and_hot_pixels_do_little():
    image = record(light("filaments", 1.5, 500), read_noise=1).astype(np.int64)
    cut = np.minimum(image, 350)
    assert 0.01 < np.mean(cut == 350) < 0.2
    assert estimate_noise(cut).gain == pytest.approx(1, rel=0.1)
    random = np.random.default_rng(0)
    image[random.integers(0, 256, 20), random.integers(0, 256, 20)] = 65535
    assert estimate_noise(image).gain == pytest.approx(1, rel=0.15)


def test_stacks_and_series_work_and_the_answer_does_not_vary():
    stack = record(np.stack([light("nuclei", 1.5, 100)] * 3).reshape(3, 1, *SHAPE))
    assert estimate_noise(stack) == estimate_noise(stack.copy())
    assert estimate_noise(stack).gain == pytest.approx(1, rel=0.05)
    before = stack.copy()
    estimate_noise(stack)
    np.testing.assert_array_equal(stack, before)


def test_a_large_stack_is_quick():
    stack = np.random.default_rng(0).poisson(20, (64, 256, 256)).astype(np.uint16)
    estimate_noise(stack[:1])
    start = time.perf_counter()
    noise = estimate_noise(stack)
    assert time.perf_counter() - start < 2.5  # 0.1 s on a quiet core
    assert noise.gain == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("shape", [(6, 6), (6, 300), (3, 7, 9)])
def test_tiny_images_give_finite_numbers(shape):
    noise = estimate_noise(np.random.default_rng(0).poisson(20, shape))
    assert noise.gain > 0
    assert np.isfinite([noise.gain, noise.offset, noise.read_noise]).all()


@pytest.mark.parametrize("photons", [1e3, 1e4, 1e5, 1e6])
def test_a_small_image_of_a_few_bright_spots_counts_photons(photons):
    """Few blocks differ in intensity: a slope's error of 1e14 is no gain."""
    spots = np.zeros((40, 44))
    spots[8, 9] = spots[20, 30] = spots[31, 12] = 1
    clean = gaussian_filter(spots, 1.4)
    image = np.random.default_rng(1).poisson(photons * clean / clean.max())
    assert 0.1 < estimate_noise(image).gain < 20


@pytest.mark.parametrize("shape", [(5, 5), (40, 3), (4,), ()])
def test_too_small_images_are_refused(shape):
    with pytest.raises(InputError, match="6 x 6"):
        estimate_noise(np.ones(shape))


def test_variance_follows_the_law_and_never_falls_below_the_read_noise():
    noise = Noise(gain=2.0, offset=100.0, read_noise=3.0)
    np.testing.assert_allclose(noise.variance([50, 100, 110]), [9, 9, 29])
