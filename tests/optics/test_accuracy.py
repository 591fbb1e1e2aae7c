"""How many digits a PSF holds: against quadrature at every pixel's own distance, and mpmath."""

from __future__ import annotations

import math

import numpy as np
import psf_reference as reference
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_deconv.errors import ParameterError
from napari_deconv.optics import Microscope, focal_shift, generate_psf
from napari_deconv.optics.instrument import Instrument
from napari_deconv.optics.intensity import DOUBLE, SINGLE

# NA, immersion, sample, depth (um), pixel (um), shape
CASES = [
    (0.3, 1.0, 1.33, 0.0, 0.2, (5, 20, 21)),
    (0.3, 1.0, 1.52, 100.0, 0.2, (4, 21, 20)),
    (0.75, 1.0, 1.33, 30.0, 0.16, (5, 20, 20)),
    (0.8, 1.33, 1.45, 100.0, 0.13, (4, 17, 24)),
    (1.2, 1.33, 1.38, 50.0, 0.1, (5, 21, 21)),
    (1.2, 1.33, 1.52, 5.0, 0.05, (4, 16, 31)),
    (1.3, 1.515, 1.47, 100.0, 0.065, (3, 24, 24)),
    (1.4, 1.515, 1.33, 0.0, 0.1, (4, 21, 21)),
    (1.4, 1.515, 1.33, 2.0, 0.2, (5, 20, 21)),
    (1.4, 1.515, 1.33, 20.0, 0.05, (5, 31, 24)),
    (1.4, 1.515, 1.33, 100.0, 0.1, (3, 25, 25)),
    (1.45, 1.515, 1.515, 100.0, 0.1, (4, 24, 25)),
    (1.49, 1.52, 1.36, 0.1, 0.065, (5, 24, 25)),
    (1.49, 1.515, 1.33, 10.0, 0.05, (4, 25, 24)),
    (1.49, 1.515, 1.52, 100.0, 0.2, (3, 20, 20)),
]
each_case = pytest.mark.parametrize(("na", "immersion", "sample", "depth", "pixel", "shape"), CASES)


def microscope(na, immersion, sample, depth):
    return Microscope(
        numerical_aperture=na,
        emission_wavelength=0.56,
        immersion_index=immersion,
        sample_index=sample,
        depth=depth,
    )


@each_case
def test_gibson_lanni_in_the_middles_of_pixels(na, immersion, sample, depth, pixel, shape):
    scope = microscope(na, immersion, sample, depth)
    spacing = (0.3, pixel, pixel)
    truth = reference.psf(scope, shape, spacing, focal_shift(scope))
    for dtype, bound in (("float32", 2e-6), ("float64", 1e-10)):
        psf = generate_psf(scope, shape, spacing, pixel_integration=False, dtype=dtype)
        assert psf.dtype == dtype
        assert reference.relative_error(psf, truth) < bound


@pytest.mark.parametrize("case", [CASES[i] for i in (0, 4, 7, 8, 9, 14)])
def test_gibson_lanni_in_pixels(case):
    """Against 12 x 12 Gauss-Legendre points in each pixel, each at its own distance."""
    *numbers, pixel, _ = case
    scope = microscope(*numbers)
    shape, spacing = (2, 7, 8), (0.4, pixel, 1.3 * pixel)
    truth = reference.psf(scope, shape, spacing, focal_shift(scope), points=12)
    for dtype, bound in (("float32", 2e-6), ("float64", 1e-10)):
        psf = generate_psf(scope, shape, spacing, dtype=dtype)
        assert reference.relative_error(psf, truth) < bound


@pytest.mark.parametrize("case", [CASES[i] for i in (0, 4, 8, 12)])
def test_born_wolf(case):
    na, immersion, sample, depth, pixel, shape = case
    spacing = (0.3, pixel, pixel)
    truth = reference.psf(microscope(na, immersion, immersion, 0.0), shape, spacing)
    for dtype, bound in (("float32", 2e-6), ("float64", 1e-10)):
        psf = generate_psf(
            microscope(na, immersion, sample, depth),
            shape,
            spacing,
            model="born-wolf",
            pixel_integration=False,
            dtype=dtype,
        )
        assert reference.relative_error(psf, truth) < bound


@pytest.mark.parametrize("case", [CASES[i] for i in (1, 3, 8, 12)])
def test_single_voxels_agree_with_mpmath(case):
    """At 25 digits, at voxels near the focus and far from it."""
    *numbers, pixel, _ = case
    scope = microscope(*numbers)
    shape, spacing = (3, 17, 17), (0.7, pixel, pixel)
    psf = generate_psf(
        scope, shape, spacing, pixel_integration=False, dtype="float64", centre="geometric"
    )
    places = [(1, 8, 8), (2, 8, 11), (0, 12, 16)]
    exact = []
    for z, y, x in places:
        r = pixel * math.hypot(y - 8, x - 8)
        exact.append(abs(reference.field_mpmath(scope, 0.7 * (z - 1), r, 0.56)) ** 2)
    found = np.array([psf[place] for place in places])
    # The sum is common to all of them.
    scale = exact[0] / found[0]
    np.testing.assert_allclose(found * scale, exact, rtol=1e-8, atol=1e-10 * max(exact))


@given(
    st.floats(0.3, 1.49),
    st.floats(1.33, 1.52),
    st.floats(1.33, 1.52),
    # Micrometres, to a picometre: the focus is sought no nearer.
    st.floats(0, 100).map(lambda depth: round(depth, 6)),
    st.floats(0.05, 0.2),
    st.integers(1, 12),
    st.integers(1, 12),
)
@settings(max_examples=12, deadline=None)
def test_anywhere_in_between(na, immersion, sample, depth, pixel, ny, nx):
    assume(na < immersion - 0.02)
    scope = microscope(na, immersion, sample, depth)
    shape, spacing = (2, ny, nx), (0.25, pixel, pixel)
    truth = reference.psf(scope, shape, spacing, focal_shift(scope))
    for dtype, bound in (("float32", 2e-6), ("float64", 1e-10)):
        psf = generate_psf(scope, shape, spacing, pixel_integration=False, dtype=dtype)
        assert reference.relative_error(psf, truth) < bound


@pytest.mark.parametrize("modality", ["confocal", "two-photon", "light-sheet", "spinning-disk"])
@pytest.mark.parametrize("model", ["gibson-lanni", "richards-wolf"])
def test_six_digits_agree_with_ten_in_every_modality(model, modality):
    scope = Microscope(
        numerical_aperture=1.3, emission_wavelength=0.52, excitation_wavelength=0.488, depth=3.0
    )
    options = {"model": model, "modality": modality}
    if model == "richards-wolf":
        options["polarisation"] = "linear"
    single, double = (
        generate_psf(scope, (5, 16, 17), (0.2, 0.08, 0.08), dtype=dtype, **options)
        for dtype in ("float32", "float64")
    )
    assert reference.relative_error(single, double) < 2e-6


def test_other_kinds_of_numbers_are_refused():
    with pytest.raises(ParameterError, match='"float32", "float64"'):
        generate_psf(microscope(1.2, 1.33, 1.33, 0.0), (4, 4), (0.1, 0.1), dtype="float16")


def test_ten_digits_need_a_finer_table():
    scope = microscope(1.2, 1.33, 1.33, 0.0)
    single, double = (
        Instrument(scope).intensity(np.zeros(1), 2.0, digits) for digits in (SINGLE, DOUBLE)
    )
    assert double.step == pytest.approx(single.step / 2)
