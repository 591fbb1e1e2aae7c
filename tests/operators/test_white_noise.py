"""White noise, as an image with a known one shows it."""

import numpy as np
import pytest
import torch

from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.white_noise import seen, white_noise
from problems import gaussian_psf

SHAPE = (160, 176)
PSF = gaussian_psf((13, 13), 1.2)


def ring_psf():
    """A PSF that passes some waves of every length, and others of the same length not at all."""
    psf = np.zeros((13, 13))
    psf[6, 6] = psf[6, 9] = psf[8, 6] = 1 / 3
    return psf


def powers(image, blur):
    return torch.from_numpy(np.abs(np.fft.rfftn(image)) ** 2 / image.size)


def test_white_noise_is_seen_beside_a_bright_structure():
    rng = np.random.default_rng(1)
    data = rng.normal(0, 0.3, SHAPE)
    data[60:100] += 40 * np.hanning(40)[:, None]
    blur = Convolution(PSF, SHAPE, "circular")
    assert white_noise(powers(data, blur), blur) == pytest.approx(0.09, rel=0.1)


@pytest.mark.parametrize("noise", [3.0, 1.0])
def test_what_a_sharp_object_shows_is_no_noise(noise):
    """Its finest waves are above the noise in all directions; it shows where they do not pass."""
    rng = np.random.default_rng(1)
    blur = Convolution(ring_psf(), SHAPE, "circular", dtype=torch.float64)
    clean = blur(torch.from_numpy(100 * rng.random(SHAPE)))
    data = clean.numpy() + rng.normal(0, noise, SHAPE)
    assert white_noise(powers(data, blur), blur) == pytest.approx(noise**2, rel=0.25)


def test_without_noise_there_is_only_rounding():
    rng = np.random.default_rng(1)
    blur = Convolution(ring_psf(), SHAPE, "circular", dtype=torch.float64)
    clean = blur(torch.from_numpy(100 * rng.random(SHAPE))).float()
    power = torch.fft.rfftn(clean - clean.mean()).abs().square() / clean.numel()
    exact = torch.fft.rfftn(clean.double() - clean.double().mean()).abs().square() / clean.numel()
    rounded = float((power.sqrt() - exact.sqrt()).square().mean())
    assert rounded / 10 < white_noise(power, blur) < 10 * rounded


def test_waves_of_which_nothing_is_passed_are_all_noise():
    """A box of three voxels passes nothing of a third of each axis of a grid in threes."""
    image = 2 + torch.randn((16, 106, 106), generator=torch.Generator().manual_seed(0))
    blur = Convolution(np.full((3, 3, 3), 1 / 27), image.shape)
    assert blur.grid == (18, 108, 108)
    power = seen(image, blur)
    expected = float(power.mean())
    assert white_noise(power, blur) == pytest.approx(expected, rel=0.05)
