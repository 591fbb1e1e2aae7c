"""Intensities without symmetry against waves whose means are known."""

import math

import numpy as np
import pytest
from scipy.special import j0, j1

from napari_deconv.optics.polar import Polar

STEP, FINEST = 0.025, 0.2  # eight samples in the finest period
DIRECTIONS = 240
WAVE = (4.1, 2.3)  # cycles per um along x and y
DISC, CIRCLE = 0.23, 0.7
F = math.hypot(*WAVE)


def wave(y, x):
    return 1 + 0.4 * np.cos(2 * math.pi * (WAVE[0] * x + WAVE[1] * y) + 0.3)


def polar(count=90):
    r = STEP * np.arange(count)[:, None]
    angle = 2 * math.pi * np.arange(DIRECTIONS) / DIRECTIONS
    values = wave(r * np.sin(angle), r * np.cos(angle))
    return Polar(np.stack([values, 2 * values]).astype(np.float32), STEP)


def grid(shape, spacing):
    y, x = (d * (np.arange(n) - n // 2) for n, d in zip(shape, spacing, strict=True))
    return y[:, None], x


@pytest.mark.parametrize("integrate", [False, True])
@pytest.mark.parametrize("spacing", [(0.1, 0.1), (0.06, 0.11)])
def test_voxels(integrate, spacing):
    shape = (11, 14)
    found = polar().voxels(shape, spacing, integrate=integrate)
    kept = np.sinc(WAVE[1] * spacing[0]) * np.sinc(WAVE[0] * spacing[1]) if integrate else 1.0
    truth = 1 + kept * (wave(*grid(shape, spacing)) - 1)
    np.testing.assert_allclose(found[0] / found[0].mean(), truth / truth.mean(), atol=2e-4)
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-5)
    assert found.sum() == pytest.approx(1, rel=1e-6)


def looked(intensity):
    values = intensity.voxels((9, 9), (0.05, 0.05), integrate=False)[0]
    return values / values.mean()


def expected(kept):
    truth = 1 + kept * (wave(*grid((9, 9), (0.05, 0.05))) - 1)
    return truth / truth.mean()


def test_mean_over_a_disc():
    q = 2 * math.pi * F * DISC
    np.testing.assert_allclose(looked(polar().blur_disc(DISC)), expected(2 * j1(q) / q), atol=1e-4)


def test_copies_on_a_circle():
    copies = polar().repeated([(3.0, CIRCLE)], 0.0, CIRCLE)
    kept = (1 + 3 * j0(2 * math.pi * F * CIRCLE)) / 4
    np.testing.assert_allclose(looked(copies), expected(kept), atol=1e-4)


def test_products_take_the_finer_of_both():
    few = Polar(polar().values[:, :, ::2], STEP)
    product = few * polar(60)
    assert product.values.shape == (2, 60, DIRECTIONS)
    truth = wave(*grid((9, 9), (0.05, 0.05))) ** 2
    np.testing.assert_allclose(looked(product), truth / truth.mean(), atol=1e-3)


def test_the_line_through_the_brightest():
    values = np.ones((3, 5, 8), np.float32)
    values[:, 2, 3] = [1, 4, 2]
    np.testing.assert_array_equal(Polar(values, STEP).on_axis(), [1, 4, 2])
