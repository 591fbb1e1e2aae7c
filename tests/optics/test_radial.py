"""Tables over the radius, against functions whose integrals are known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psf_reference import axis, relative_error
from scipy.special import erf, j0, j1

from napari_deconv.optics.averages import pixel_matrix
from napari_deconv.optics.intensity import SINGLE
from napari_deconv.optics.radial import Radial

STEP = 0.025  # um, an eighth of the finest period of what is put in: 0.2 um, or band 5 / um
BAND = 5.0
R = STEP * np.arange(500)


def airy(r):
    """An Airy pattern of band ``BAND``: the finest a table of ``STEP`` is meant for."""
    v = np.maximum(math.pi * BAND * r, 1e-9)
    return (2 * j1(v) / v) ** 2


def airy_otf(f):
    """Its transfer function, 1 at 0 (the overlap of two discs)."""
    f = np.clip(f / BAND, 0, 1)
    return 2 / math.pi * (np.arccos(f) - f * np.sqrt(1 - f * f))


def band():
    x, w = np.polynomial.legendre.leggauss(160)
    return BAND * (1 + x) / 2, w * BAND / 2


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.floats(0.02, 0.3), st.floats(0.02, 0.3)),
)
@settings(max_examples=40, deadline=None)
def test_a_pixel_holds_the_mean_over_its_area(shape, spacing):
    """A Gaussian separates, so its means over rectangles are products of error functions."""
    sigma = 0.1
    table = Radial(np.exp(-(R**2) / (2 * sigma**2))[None], STEP)
    y, x = (
        [erf((axis(n, d) + side * d / 2) / (sigma * math.sqrt(2))) for side in (-1, 1)]
        for n, d in zip(shape, spacing, strict=True)
    )
    truth = np.outer(y[1] - y[0], x[1] - x[0])
    found = table.voxels(shape, spacing, integrate=True)[0]
    assert relative_error(found, truth / truth.sum()) < 2e-6


@pytest.mark.parametrize("spacing", [(0.05, 0.05), (0.08, 0.11)])
def test_interpolation_loses_less_than_a_millionth_at_the_finest_band(spacing):
    truth = airy(np.hypot(axis(61, spacing[0])[:, None], axis(50, spacing[1])))
    found = Radial(airy(R)[None], STEP).voxels((61, 50), spacing, integrate=False)[0]
    assert relative_error(found, truth / truth.sum()) < 1e-6


@pytest.mark.parametrize("pixel", [0.05, 0.1, 0.2, 0.5])
def test_pixels_integrate_the_finest_band_exactly(pixel):
    """The middle pixel's mean from the transfer function: OTF times the square's own."""
    f, w = band()
    angle = np.linspace(0, math.pi / 2, 80, endpoint=False)
    square = np.sinc(np.outer(f * pixel, np.cos(angle))) * np.sinc(
        np.outer(f * pixel, np.sin(angle))
    )
    truth = (w * f * airy_otf(f)) @ square.mean(axis=1) / ((w * f) @ airy_otf(f))
    table = Radial(airy(R)[None], STEP)
    matrix = pixel_matrix(_one_pixel(pixel), (pixel, pixel), STEP, R.size, SINGLE)
    assert float((matrix @ table.values[0])[0]) == pytest.approx(truth, rel=2e-6)


def _one_pixel(pixel):
    from napari_deconv.optics.pixels import Pixels

    return Pixels((1, 1), (pixel, pixel))


@pytest.mark.parametrize("radius", [0.01, 0.1, 0.266, 1.0, 3.0])
def test_the_disc_is_that_of_its_fourier_form(radius):
    f, w = band()
    v = 2 * math.pi * radius * f
    disc = 2 * j1(v) / v
    blurred = Radial(np.stack([airy(R), 3 * airy(R)]), STEP).blur_disc(radius)
    r = blurred.step * np.arange(blurred.values.shape[1])
    scale = (w * f) @ airy_otf(f)
    truth = (w * f * airy_otf(f) * disc) @ j0(2 * math.pi * np.outer(f, r)) / scale
    assert abs(blurred.values[0] - truth).max() < 1e-6 * truth.max()
    np.testing.assert_allclose(blurred.values[1], 3 * blurred.values[0], rtol=1e-9, atol=1e-12)
    assert r[-1] > R[-1] - radius - 0.5  # it does not eat more of the table than it has to


def test_no_pinhole_at_all_changes_nothing():
    table = Radial(airy(R)[None], STEP)
    assert table.blur_disc(0.0) is table


def test_a_product_is_as_long_as_the_shorter_factor():
    product = Radial(airy(R)[None], STEP) * Radial(airy(R[:300])[None], STEP)
    np.testing.assert_allclose(product.values, airy(R[:300])[None] ** 2)


def test_voxels_are_float32_with_sum_one_and_never_negative():
    table = Radial(np.stack([airy(R), airy(R) / 2]), STEP)
    for integrate in (True, False):
        voxels = table.voxels((33, 46), (0.05, 0.06), integrate=integrate)
        assert voxels.dtype == np.float32
        assert voxels.flags.c_contiguous
        assert voxels.min() >= 0
        assert voxels.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(voxels[1], voxels[0] / 2, rtol=1e-6)
