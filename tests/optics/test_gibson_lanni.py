from __future__ import annotations

import dataclasses
import math

import numpy as np
import psf_reference as reference
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import j1

from napari_deconv.optics import Microscope, focal_shift, generate_psf
from napari_deconv.optics.gibson_lanni import gibson_lanni
from napari_deconv.optics.intensity import Sampling
from napari_deconv.optics.optical_path import OpticalPath
from napari_deconv.optics.radial import radii

OIL = Microscope(numerical_aperture=1.4, emission_wavelength=0.61, depth=2.0)
IDEAL = dataclasses.replace(OIL, sample_index=1.515)
SCOPES = {
    "ideal": IDEAL,
    "oil into water, at the coverslip": dataclasses.replace(OIL, depth=0.0),
    "oil into water, 2 um deep": OIL,
    "oil into water, 20 um deep": dataclasses.replace(OIL, depth=20.0),
    "air": Microscope(
        numerical_aperture=0.8, emission_wavelength=0.52, immersion_index=1.0, depth=20.0
    ),
    "water": Microscope(
        numerical_aperture=1.2, emission_wavelength=0.52, immersion_index=1.33, depth=20.0
    ),
    "water, thick coverslip": Microscope(
        numerical_aperture=1.2,
        emission_wavelength=0.52,
        immersion_index=1.33,
        sample_index=1.38,
        depth=10.0,
        coverslip_thickness=175.0,
        coverslip_index=1.5255,
    ),
    "total reflection, wrong oil": Microscope(
        numerical_aperture=1.49,
        emission_wavelength=0.52,
        immersion_index=1.518,
        immersion_index_design=1.515,
        sample_index=1.36,
        depth=0.1,
    ),
}
each_scope = pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES.keys())


@each_scope
@pytest.mark.parametrize("evanescent", [True, False])
def test_the_reference_itself_agrees_with_20_digits(scope, evanescent):
    for z, r in ((0.0, 0.3), (1.7, 2.9)):
        exact = abs(reference.field_mpmath(scope, z, r, 0.6, evanescent)) ** 2
        found = reference.intensity(scope, np.array([z]), np.array([r]), 0.6, evanescent)[0, 0]
        assert found == pytest.approx(exact, abs=1e-12)


@each_scope
@pytest.mark.parametrize("evanescent", [True, False])
def test_the_integral_is_exact(scope, evanescent):
    z = np.array([-9.0, -2.1, 0.0, 0.4, 6.3])
    sampling = Sampling(z, 0.21, 20.0)
    found = gibson_lanni(scope, 0.6, sampling, evanescent=evanescent).values
    truth = reference.intensity(scope, z, radii(sampling), 0.6, evanescent)
    assert abs(found - truth).max() < 1e-10


@each_scope
@pytest.mark.parametrize(
    ("shape", "dx"), [((6, 31, 40), 0.05), ((7, 64, 64), 0.1), ((5, 41, 41), 0.16)]
)
def test_a_psf_is_exact_to_two_millionths(scope, shape, dx):
    spacing = (0.37, dx, dx)
    truth = reference.psf(scope, shape, spacing, focal_shift(scope))
    psf = generate_psf(scope, shape, spacing, pixel_integration=False)
    assert reference.relative_error(psf, truth) < 2e-6


@pytest.mark.parametrize("scope", [IDEAL, OIL, SCOPES["air"]], ids=["ideal", "oil", "air"])
@pytest.mark.parametrize("size", [(0.05, 0.05), (0.1, 0.1), (0.16, 0.16), (0.1, 0.13)])
def test_a_psf_in_pixels_is_exact_to_two_millionths(scope, size):
    """Against 7 x 7 Gauss-Legendre points in each pixel, each at its own distance."""
    shape = (3, 8, 9)
    truth = reference.psf(scope, shape, (0.5, *size), focal_shift(scope), points=7)
    psf = generate_psf(scope, shape, (0.5, *size))
    assert reference.relative_error(psf, truth) < 2e-6


def test_in_focus_it_is_the_airy_pattern():
    for index in (1.515, 1.45):
        scope = dataclasses.replace(IDEAL, immersion_index=index, sample_index=index)
        sampling = Sampling(np.zeros(1), 0.01, 2.0)
        found = gibson_lanni(scope, 0.61, sampling).values[0]
        v = 2 * math.pi * 1.4 / 0.61 * radii(sampling)[1:]
        np.testing.assert_allclose(found[1:], (2 * j1(v) / v) ** 2, atol=1e-12)
        assert found[0] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("zero", [0.60983, 1.11657, 1.61916])
def test_airy_rings_are_dark_where_they_should_be(zero):
    sampling = Sampling(np.zeros(1), zero * 0.61 / 1.4, 1.0)
    assert gibson_lanni(IDEAL, 0.61, sampling).values[0, 1] < 1e-10


def test_on_the_axis_it_is_the_closed_form():
    """With ``s ds = -q dq``, q the axial part, the integral on the axis is elementary."""
    z = np.linspace(-5, 5, 41)
    k, low, high = 2 * math.pi / 0.61, math.sqrt(1.515**2 - 1.4**2), 1.515

    def antiderivative(q):  # of q exp(-i a q)
        a = k * np.where(z == 0, 1, z)
        return np.where(z == 0, q * q / 2, np.exp(-1j * a * q) * (1 + 1j * a * q) / a**2)

    truth = abs(antiderivative(high) - antiderivative(low)) ** 2 * (2 / 1.4**2) ** 2
    found = gibson_lanni(IDEAL, 0.61, Sampling(z, 0.1, 0.1)).values[:, 0]
    np.testing.assert_allclose(found, truth, atol=1e-11)


@given(st.floats(0.1, 1.3), st.floats(0.3, 0.9), st.floats(0.1, 8.0))
@settings(max_examples=25, deadline=None)
def test_without_aberration_above_is_as_below(na, wavelength, z):
    scope = dataclasses.replace(
        IDEAL, numerical_aperture=na, immersion_index=1.33, sample_index=1.33
    )
    up, down = gibson_lanni(scope, wavelength, Sampling(np.array([z, -z]), 0.1, 3.0)).values
    np.testing.assert_allclose(up, down, rtol=1e-9, atol=1e-13)


def test_with_depth_above_is_not_as_below():
    shift = focal_shift(OIL)
    z = shift + np.array([-2.0, 2.0])
    below, above = gibson_lanni(OIL, 0.61, Sampling(z, 0.1, 0.1)).values.max(axis=1)
    assert above > 1.5 * below  # oil into water: marginal rays focus deeper than others


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 50.0, "sample_index": 1.515},
        {"coverslip_thickness": 185.0},
        {"immersion_thickness_design": 300.0},
        {"coverslip_index": 1.53, "coverslip_index_design": 1.53},
    ],
)
def test_what_makes_no_optical_difference_makes_none(change):
    scope = dataclasses.replace(IDEAL, **change)
    assert OpticalPath(scope).is_ideal
    np.testing.assert_array_equal(
        generate_psf(scope, (5, 9, 9), (0.3, 0.1, 0.1)),
        generate_psf(IDEAL, (5, 9, 9), (0.3, 0.1, 0.1)),
    )


@pytest.mark.parametrize(
    "change",
    [
        {"sample_index": 1.45},
        {"coverslip_index": 1.5255},
        {"coverslip_thickness": 175.0, "coverslip_index": 1.5255, "coverslip_index_design": 1.5255},
        {"immersion_index_design": 1.518},
        {"immersion_index_design": 1.518, "immersion_thickness_design": 200.0},
        {"depth": 3.0, "sample_index": 1.45},
    ],
)
def test_every_mismatch_lowers_the_peak(change):
    scope = dataclasses.replace(IDEAL, **change)
    sampling = Sampling(np.array([focal_shift(scope)]), 0.1, 0.1)
    peak = gibson_lanni(scope, 0.61, sampling).values[0, 0]
    assert 0.02 < peak < 0.999


@pytest.mark.parametrize(
    ("depth", "travel"), [(1, 1.377), (2, 1.329), (5, 1.267), (10, 1.232), (20, 1.206), (50, 1.182)]
)
def test_oil_into_water_the_stage_travels_farther_than_the_focus(depth, travel):
    scope = dataclasses.replace(OIL, depth=depth)
    assert 1 + focal_shift(scope, evanescent=False) / depth == pytest.approx(travel, abs=5e-4)


def test_at_low_aperture_the_shift_is_that_of_paraxial_rays():
    scope = dataclasses.replace(OIL, numerical_aperture=0.05, depth=30.0)
    assert focal_shift(scope) == pytest.approx(30 * (1.515 / 1.33 - 1), rel=1e-3)


def test_light_from_beyond_the_critical_angle_fades_with_depth():
    """Relative L2 with and without it, for the same stack: 13 % at the coverslip, 0.4 % at 2 um."""

    def difference(depth):
        scope = dataclasses.replace(OIL, depth=depth)
        sampling = Sampling(np.arange(-16, 16) * 0.2 + focal_shift(scope), 0.02, 2.0)
        r = radii(sampling)
        a, b = (
            gibson_lanni(scope, 0.61, sampling, evanescent=e).values * np.sqrt(r)
            for e in (True, False)
        )
        return np.linalg.norm(a / a.max() - b / b.max()) / np.linalg.norm(a / a.max())

    assert difference(0.0) > 0.05
    assert difference(0.0) > 2 * difference(0.5) > 8 * difference(2.0)


@pytest.mark.parametrize("scope", [IDEAL, OIL, SCOPES["air"]], ids=["ideal", "oil", "air"])
def test_every_plane_holds_the_same_light(scope):
    """A widefield lens does not lose light out of focus (Parseval), given a wide enough field."""
    psf = generate_psf(scope, (9, 401, 401), (0.3, 0.1, 0.1))
    planes = psf.sum(axis=(1, 2), dtype=np.float64)
    assert planes.min() > 0.985 * planes.max()
