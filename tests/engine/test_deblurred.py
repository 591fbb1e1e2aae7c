"""Errors of an image, measured as errors of the object."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from napari_deconv.engine.deblurred import Deblurred
from napari_deconv.operators.convolution import Convolution
from problems import gaussian_psf

SHAPE = (40, 48)
PSF = gaussian_psf((9, 9), 1.4)


def size(blur, values, width=1e-3):
    deblurred = Deblurred(blur, values.shape, width)
    spectrum = deblurred(values)
    return deblurred.inner(spectrum, spectrum)


def wave(cycles):
    place = torch.arange(SHAPE[1], dtype=torch.float32)
    return torch.cos(2 * math.pi * cycles / SHAPE[1] * place).expand(SHAPE).contiguous()


@pytest.mark.parametrize("cycles", [1, 4, 7])
def test_what_was_blurred_has_its_own_size_again(cycles):
    """As long as the blur passes much more of the wave's power than the width."""
    blur = Convolution(PSF, SHAPE, borders="circular")
    error = wave(cycles)
    passed = float(blur.otf[0, cycles].abs().square())
    assert passed > 0.05
    expected = float(error.square().sum()) / (1 + 1e-3 / passed) ** 2
    assert size(blur, blur(error)) == pytest.approx(expected, rel=1e-4)


def test_waves_that_do_not_get_through_do_not_count():
    blur = Convolution(PSF, SHAPE, borders="circular")
    assert float(blur.otf[0, -1].abs().square()) < 1e-5
    fine, coarse = (blur(wave(cycles)).clone() for cycles in (SHAPE[1] // 2, 1))
    assert size(blur, fine) < 0.02 * size(blur, coarse)


def test_both_ways_of_inner_products_agree():
    """With the sum over a plain image, since the spectrum holds only half of the waves."""
    blur = Convolution(np.ones((1, 1)), SHAPE, borders="circular")
    first, second = torch.randn((2, *SHAPE), generator=torch.Generator().manual_seed(0))
    deblurred = Deblurred(blur, SHAPE, 0.0)
    found = deblurred.inner(deblurred(first), deblurred(second))
    assert found == pytest.approx(float((first * second).sum()), rel=1e-4)


def test_a_constant_is_no_fine_error_where_the_image_is_cut_off():
    """Without fading, the jump at the border would count, many times its size."""
    blur = Convolution(PSF, SHAPE, borders="extended")
    ones = torch.ones(SHAPE)
    assert blur.grid != SHAPE
    assert size(blur, ones) < 1.5 * ones.numel()
    spectrum = torch.fft.rfftn(ones, s=blur.grid)
    power = blur.otf.abs().square()
    unfaded = (spectrum.abs().square() * power / (power + 1e-3) ** 2).sum() / math.prod(blur.grid)
    assert float(unfaded) > 2 * ones.numel()


def test_circular_borders_do_not_fade():
    blur = Convolution(PSF, SHAPE, borders="circular")
    spot = torch.zeros(SHAPE)
    spot[0, 0] = 1
    middle = torch.zeros(SHAPE)
    middle[20, 24] = 1
    assert size(blur, spot) == pytest.approx(size(blur, middle), rel=1e-4)
    extended = Convolution(PSF, SHAPE, borders="extended")
    assert size(extended, spot) < 0.1 * size(extended, middle)


def test_a_part_of_a_circular_image_fades_where_it_is_cut_off():
    blur = Convolution(PSF, SHAPE, borders="circular")
    part = torch.zeros((20, SHAPE[1]))
    part[0, 0] = 1
    middle = part.roll(10, 0)
    # Along the other axis it is whole.
    assert size(blur, middle) == pytest.approx(size(blur, middle.roll(24, 1)), rel=1e-4)
    assert size(blur, part) < 0.5 * size(blur, middle)
