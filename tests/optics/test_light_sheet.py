from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from napari_deconv.errors import ParameterError
from napari_deconv.optics import Microscope, focal_shift, generate_psf, suggest_shape
from napari_deconv.optics.resolution import expected_fwhm, nyquist_spacing

SCOPE = Microscope(
    numerical_aperture=0.8,
    emission_wavelength=0.52,
    excitation_wavelength=0.488,
    immersion_index=1.33,
    sample_index=1.33,
)
MISMATCH = dataclasses.replace(SCOPE, sample_index=1.45, depth=60.0)
SHAPE, SPACING = (21, 15, 16), (0.3, 0.15, 0.15)


def sheet(scope=SCOPE, shape=SHAPE, spacing=SPACING, **options):
    return generate_psf(scope, shape, spacing, modality="light-sheet", **options).astype(float)


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({"waist": 1.5}, 1.5),
        ({"sheet_aperture": 0.1}, 0.488 / (math.pi * 0.1)),
        (
            {"waist": 1.5, "distance": 20.0},
            1.5 * math.hypot(1, 20 * 0.488 / (math.pi * 1.33 * 2.25)),
        ),
    ],
)
def test_it_is_the_emission_times_a_gaussian(options, width):
    truth = generate_psf(SCOPE, SHAPE, SPACING).astype(float)
    z = SPACING[0] * (np.arange(SHAPE[0]) - SHAPE[0] // 2)
    truth *= np.exp(-2 * (z / width) ** 2)[:, None, None]
    np.testing.assert_allclose(sheet(**options), truth / truth.sum(), rtol=1e-5, atol=1e-10)


def test_the_sheet_lies_where_the_emission_is_sharp():
    """Whatever refraction does to where that is."""
    focus = focal_shift(MISMATCH)
    assert focus < -1
    assert focal_shift(MISMATCH, modality="light-sheet", waist=1.0) == pytest.approx(
        focus, abs=0.05
    )
    psf = sheet(MISMATCH, waist=1.0)
    assert np.unravel_index(psf.argmax(), psf.shape) == (10, 7, 8)


def test_an_offset_moves_the_sheet_and_not_the_focus():
    deeper, nearer = (sheet(waist=1.5, offset=o, centre="geometric") for o in (1.0, -1.0))
    np.testing.assert_allclose(deeper, nearer[::-1], rtol=1e-4, atol=1e-9)
    planes = deeper.sum(axis=(1, 2))
    assert planes[13] > 5 * planes[7]


def test_a_thick_sheet_is_widefield_and_a_thin_one_optical_sectioning():
    widefield = generate_psf(SCOPE, SHAPE, SPACING).astype(float)
    np.testing.assert_allclose(sheet(waist=100.0), widefield, rtol=4e-3)
    assert expected_fwhm(SCOPE, modality="light-sheet", waist=0.5)[0] < 0.6
    lateral = expected_fwhm(SCOPE)[2]
    assert expected_fwhm(SCOPE, modality="light-sheet", waist=0.5)[2] == pytest.approx(lateral)


def test_the_thickness_is_1_18_waists():
    """Through a lens that sees no depth the sheet alone is left."""
    scope = dataclasses.replace(SCOPE, numerical_aperture=0.02)
    depth = expected_fwhm(scope, modality="light-sheet", waist=2.0)[0]
    assert depth == pytest.approx(2.0 * math.sqrt(2 * math.log(2)), rel=1e-4)


def test_nyquist_counts_the_sheet_s_own_frequencies():
    widefield = nyquist_spacing(SCOPE)
    z, y, x = nyquist_spacing(SCOPE, "light-sheet", waist=1.0)
    assert (y, x) == pytest.approx(widefield[1:])
    finest = 1 / (2 * z) - 1 / (2 * widefield[0])
    assert math.exp(-((math.pi * finest) ** 2) / 2) == pytest.approx(0.01)


def test_it_asks_for_the_laser():
    scope = dataclasses.replace(SCOPE, excitation_wavelength=None)
    with pytest.raises(ParameterError, match="light sheet PSF needs the laser"):
        sheet(scope)


def test_a_sheet_does_not_cut_the_suggested_size():
    """A thick one is widefield, and shows as much of it; its numbers are accepted."""
    widefield = suggest_shape(SCOPE, SPACING)
    assert suggest_shape(SCOPE, SPACING, modality="light-sheet", waist=0.5) == widefield
