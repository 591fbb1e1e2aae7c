"""Small restoration problems with a known truth, for the tests of methods and engine."""

import numpy as np
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
