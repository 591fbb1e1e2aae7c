"""Small restoration problems with a known truth, for the tests of methods and engine."""

import numpy as np
from scipy.ndimage import convolve, gaussian_filter
from scipy.signal import fftconvolve


def gaussian_psf(shape, sigma, shift=0.0):
    """A Gaussian with its centre ``shift`` voxels from index n // 2 on every axis, sum 1."""
    axes = [np.arange(n) - n // 2 - shift for n in shape]
    grids = np.meshgrid(*axes, indexing="ij")
    widths = np.broadcast_to(sigma, (len(shape),))
    psf = np.exp(-sum((g / w) ** 2 for g, w in zip(grids, widths, strict=True)) / 2)
    return psf / psf.sum()


def spots(shape, count=30, seed=0, margin=3):
    """Bright voxels at random places."""
    rng = np.random.default_rng(seed)
    obj = np.zeros(shape)
    for _ in range(count):
        obj[tuple(rng.integers(margin, n - margin) for n in shape)] = rng.uniform(200, 1000)
    return obj


def photographed(obj, psf, background=2.0, seed=0):
    """The object blurred (nothing beyond its borders), with Poisson noise, as float32."""
    expected = np.clip(fftconvolve(obj, psf, mode="same"), 0, None) + background
    return np.random.default_rng(seed).poisson(expected).astype(np.float32)


def relative_rmse(result, reference):
    return float(np.linalg.norm(result - reference) / np.linalg.norm(reference))


def scene(noise, shape=(96, 96), margin=16):
    """Spots and patches that go on beyond the border: image with noise, truth, PSF."""
    rng = np.random.default_rng(5)
    whole = np.zeros([n + 2 * margin for n in shape])
    whole[tuple(rng.integers(0, n, 150) for n in whole.shape)] = rng.uniform(20, 100, 150)
    whole = gaussian_filter(whole, 1.0) + 3 * gaussian_filter(rng.random(whole.shape), 6) ** 2
    psf = gaussian_psf((17, 17), 2.0)
    inside = (slice(margin, -margin),) * 2
    image = fftconvolve(whole, psf, mode="same")[inside]
    image = image + rng.normal(0, noise * image.std(), image.shape)
    return image.astype(np.float32), whole[inside], psf


def circular_scene(shape=(96, 96)):
    """A sharp object, all of which shows: image without noise, truth, and an uneven PSF."""
    rng = np.random.default_rng(5)
    truth = np.zeros(shape)
    truth[tuple(rng.integers(0, n, 150) for n in shape)] = rng.uniform(20, 100, 150)
    truth = gaussian_filter(truth, 0.7, mode="wrap")
    truth += 3 * gaussian_filter(rng.random(shape), 6, mode="wrap") ** 2
    psf = rng.random((9, 9))
    psf /= psf.sum()
    image = convolve(truth, psf, mode="wrap")
    return image.astype(np.float32), truth, psf


def decibels(found, truth):
    """Signal over error, by the standard deviation of the truth."""
    return 20 * np.log10(truth.std() / np.sqrt(np.mean((found - truth) ** 2)))
