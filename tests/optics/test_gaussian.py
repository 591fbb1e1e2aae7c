from __future__ import annotations

import math

import numpy as np
import pytest

from napari_deconv.optics import Microscope, generate_psf
from napari_deconv.optics.gaussian import gaussian
from napari_deconv.optics.gibson_lanni import gibson_lanni
from napari_deconv.optics.intensity import Sampling


def widths(na, index, wavelength=0.6, **parameters):
    """(axial, lateral) sigma, um, read from the table."""
    microscope = Microscope(
        numerical_aperture=na, emission_wavelength=wavelength, immersion_index=index
    )
    sampling = Sampling(np.array([0.0, 0.1]), 0.01, 1.0)
    values = gaussian(microscope, wavelength, sampling, **parameters).values
    assert values[0, 0] == 1
    return 0.1 / math.sqrt(-2 * math.log(values[1, 0])), 0.1 / math.sqrt(
        -2 * math.log(values[0, 10])
    )


@pytest.mark.parametrize("na", [0.2, 0.45, 0.65])
def test_small_angles_have_the_published_coefficients(na):
    axial, lateral = widths(na, 1.0)
    assert lateral * na / 0.6 == pytest.approx(0.225, abs=5e-4)
    assert axial * na**2 / 0.6 == pytest.approx(0.78, abs=5e-3)


@pytest.mark.parametrize(("na", "index"), [(0.8, 1.0), (1.2, 1.33), (1.4, 1.515)])
def test_all_angles_follow_the_published_closed_form(na, index):
    """Zhang, Zerubia and Olivo-Marin 2007: widefield, 3D, nonparaxial."""
    c = math.cos(math.asin(na / index))
    k = 2 * math.pi * index / 0.6
    lateral = math.sqrt(7 * (1 - c**1.5) / (4 - 7 * c**1.5 + 3 * c**3.5)) / k
    root = math.sqrt(4 * c**5 - 25 * c**3.5 + 42 * c**2.5 - 25 * c**1.5 + 4)
    axial = 5 * math.sqrt(7) * (1 - c**1.5) / (math.sqrt(6) * k * root)
    assert widths(na, index) == pytest.approx((axial, lateral), rel=1e-9)


def test_automatic_changes_over_at_na_0_7():
    assert widths(0.69, 1.0) == widths(0.69, 1.0, approximation="paraxial")
    assert widths(0.7, 1.0) == widths(0.7, 1.0, approximation="nonparaxial")
    assert widths(0.7, 1.0) != widths(0.7, 1.0, approximation="paraxial")


def test_both_forms_curve_like_the_diffraction_pattern_at_small_angles():
    low = Microscope(
        numerical_aperture=0.1,
        emission_wavelength=0.6,
        immersion_index=1.0,
        sample_index=1.0,
    )
    z = np.array([0.0, 1.0])
    exact = gibson_lanni(low, 0.6, Sampling(z, 0.01, 1.0)).values
    for approximation in ("paraxial", "nonparaxial"):
        found = gaussian(low, 0.6, Sampling(z, 0.01, 1.0), approximation=approximation).values
        assert 1 - found[1, 0] == pytest.approx(1 - exact[1, 0], rel=0.01)
        assert 1 - found[0, 20] == pytest.approx(1 - exact[0, 20] / exact[0, 0], rel=0.01)


def test_it_stays_at_the_origin_whatever_the_depth():
    deep = Microscope(numerical_aperture=1.4, emission_wavelength=0.6, depth=10)
    shallow = Microscope(numerical_aperture=1.4, emission_wavelength=0.6)
    a, b = (generate_psf(m, (9, 9, 9), (0.2, 0.1, 0.1), model="gaussian") for m in (deep, shallow))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-9)
