"""Powers of noise and object, against those that an image was made with."""

import math

import numpy as np
import pytest
import torch

from napari_deconv.methods._powers import fitted_share, object_power, unexplained_power
from napari_deconv.methods._shells import PER_OCTAVE, on_grid
from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.spectra import squared_frequency
from problems import gaussian_psf

SHAPE = (160, 176)
PSF = gaussian_psf((13, 13), 1.2)
NOISE = 0.05


def seen(borders, seed=0):
    """Return an image of a Gaussian field with power 1 / omega^3, cut from a larger one."""
    rng = np.random.default_rng(seed)
    whole = tuple(2 * n for n in SHAPE) if borders == "extended" else SHAPE
    field = Convolution(PSF, whole, "circular", dtype=torch.float64)
    power = squared_frequency(field).pow(-1.5)
    power[0, 0] = 0
    white = torch.fft.rfft2(torch.from_numpy(rng.standard_normal(whole)))
    made = torch.fft.irfft2(white * power.sqrt() * field.otf, s=whole)[: SHAPE[0], : SHAPE[1]]
    clean = 100 + made
    return (clean + NOISE * torch.from_numpy(rng.standard_normal(SHAPE))).float(), clean.float()


@pytest.mark.parametrize("borders", ["circular", "extended"])
def test_the_power_of_the_object_is_found(borders):
    data, _ = seen(borders)
    blur = Convolution(PSF, SHAPE, borders)
    found = on_grid(object_power(data, blur), blur) / math.prod(blur.grid)
    true = squared_frequency(blur).pow(-1.5)
    # Where the blur passes it well and a shell has many waves, up to what chance does to a shell.
    clear = (true * blur.otf.abs().square() > 30 * NOISE**2) & (squared_frequency(blur) > 0.05)
    assert 1000 < int(clear.sum()) < 0.9 * clear.numel()
    octaves = (found / true)[clear].log2()
    assert abs(float(octaves.mean())) < 0.25
    assert float(octaves.abs().max()) < 1.2


def test_the_power_never_rises_with_the_frequency():
    data, _ = seen("extended", seed=3)
    profile = object_power(data, Convolution(PSF, SHAPE, "extended"))
    assert len(profile) > 3 * PER_OCTAVE
    assert (np.diff(profile) >= 0).all()


def test_what_is_explained_is_no_power():
    data, clean = seen("extended")
    blur = Convolution(PSF, SHAPE, "extended")
    whole = object_power(data, blur)
    nothing = unexplained_power(data, torch.full(SHAPE, 100.0), blur)
    found = unexplained_power(data, clean, blur)
    assert (nothing <= whole * (1 + 1e-9)).all()
    # But for fine waves, of which the image shows hardly anything.
    coarse = slice(3 * PER_OCTAVE, None)
    np.testing.assert_allclose(nothing[coarse], whole[coarse], rtol=0.3)
    assert found[coarse].max() < 0.02 * whole[coarse].max()


def test_a_fit_follows_much_noise_of_what_is_sharp_and_none_of_what_shows_nothing():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(SHAPE, generator=generator)
    blur = Convolution(PSF, SHAPE, "extended")
    assert fitted_share(100 + noise, blur, 1.0) < 0.02
    data, _ = seen("extended")
    shares = [fitted_share(data, blur, variance) for variance in (1e-8, NOISE**2, 1.0)]
    assert shares[0] > 0.5
    assert shares[0] > shares[1] > shares[2] > 0
