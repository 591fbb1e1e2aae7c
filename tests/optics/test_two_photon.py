from __future__ import annotations

import dataclasses

import numpy as np
import psf_reference as reference
import pytest

from napari_deconv.errors import ParameterError
from napari_deconv.optics import Microscope, focal_shift, generate_psf
from napari_deconv.optics.resolution import expected_fwhm, nyquist_spacing

SCOPE = Microscope(
    numerical_aperture=1.0,
    emission_wavelength=0.52,
    excitation_wavelength=0.92,
    immersion_index=1.33,
    sample_index=1.38,
    depth=50.0,
)
IDEAL = dataclasses.replace(SCOPE, sample_index=1.33)


@pytest.mark.parametrize("photons", [2, 3])
def test_it_is_a_power_of_the_excitation(photons):
    shape, spacing = (3, 9, 10), (0.5, 0.12, 0.12)
    shift = focal_shift(SCOPE, modality="two-photon", photons=photons)
    z, y, x = (reference.axis(n, d) for n, d in zip(shape, spacing, strict=True))
    truth = reference.spread(SCOPE, z + shift, np.hypot(y[:, None], x), 0.92) ** photons
    psf = generate_psf(
        SCOPE, shape, spacing, modality="two-photon", photons=photons, pixel_integration=False
    )
    assert reference.relative_error(psf, truth / truth.sum()) < 2e-6


def test_the_emission_does_not_enter():
    other = dataclasses.replace(SCOPE, emission_wavelength=0.7, pinhole=3.0)
    a, b = (generate_psf(s, (9, 9), (0.1, 0.1), modality="two-photon") for s in (SCOPE, other))
    np.testing.assert_array_equal(a, b)


def test_it_is_as_sharp_as_a_confocal_with_a_closed_pinhole_at_that_wavelength():
    closed = dataclasses.replace(IDEAL, emission_wavelength=0.92, pinhole=0.0)
    assert expected_fwhm(IDEAL, modality="two-photon") == pytest.approx(
        expected_fwhm(closed, modality="confocal"), rel=1e-6
    )
    assert expected_fwhm(IDEAL, modality="two-photon")[2] == pytest.approx(0.369 * 0.92, rel=2e-3)


def test_its_band_is_twice_that_of_the_laser():
    z, y, x = nyquist_spacing(IDEAL, "two-photon")
    assert (y, x) == pytest.approx((0.92 / 8,) * 2)
    assert z == pytest.approx(0.92 / 4 / IDEAL.axial_aperture)
    assert nyquist_spacing(IDEAL, "two-photon", photons=3)[2] == pytest.approx(0.92 / 12)


def test_it_asks_for_the_laser():
    scope = dataclasses.replace(SCOPE, excitation_wavelength=None)
    with pytest.raises(ParameterError, match=r"set excitation_wavelength, for instance 0.92"):
        generate_psf(scope, (9, 9), (0.1, 0.1), modality="two-photon")
