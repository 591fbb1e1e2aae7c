from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from napari_deconv.errors import ParameterError
from napari_deconv.optics import Microscope, generate_psf
from napari_deconv.optics.resolution import expected_fwhm

OIL = Microscope(numerical_aperture=1.4, emission_wavelength=0.61, sample_index=1.515)


def scope(na, index, **more):
    return Microscope(
        numerical_aperture=na,
        emission_wavelength=0.6,
        immersion_index=index,
        sample_index=index,
        **more,
    )


@pytest.mark.parametrize(
    ("na", "index", "axial"),
    [
        (0.3, 1.0, 0.886),
        (0.75, 1.0, 0.893),
        (0.8, 1.0, 0.897),
        (1.2, 1.33, 0.914),
        (1.3, 1.515, 0.904),
        (1.4, 1.515, 0.922),
        (1.45, 1.515, 0.942),
    ],
)
def test_widefield_widths_have_the_known_coefficients(na, index, axial):
    microscope = scope(na, index)
    z, y, x = microscope.expected_fwhm()
    assert y * na / 0.6 == pytest.approx(0.51450, abs=2e-5)
    assert x == pytest.approx(y)
    assert z * microscope.axial_aperture / 0.6 == pytest.approx(axial, abs=6e-4)


@pytest.mark.parametrize(("na", "index", "axial"), [(0.3, 1.0, 0.638), (1.45, 1.515, 0.675)])
def test_confocal_widths_through_a_closed_pinhole(na, index, axial):
    microscope = scope(na, index, excitation_wavelength=0.6, pinhole=0.0)
    z, _, x = microscope.expected_fwhm("confocal")
    assert x * na / 0.6 == pytest.approx(0.369, abs=5e-4)
    assert z * microscope.axial_aperture / 0.6 == pytest.approx(axial, abs=6e-4)


def test_a_pinhole_of_one_airy_unit_leaves_the_width_of_the_excitation():
    microscope = scope(1.2, 1.33, excitation_wavelength=0.6)
    assert microscope.expected_fwhm("confocal")[2] * 1.2 / 0.6 == pytest.approx(0.51, abs=0.01)


def test_depth_widens_the_axis():
    water = dataclasses.replace(OIL, sample_index=1.33)
    widths = [expected_fwhm(dataclasses.replace(water, depth=d))[0] for d in (0, 5, 20)]
    assert widths[0] < widths[1] < widths[2]


def test_nyquist_is_half_the_finest_period():
    z, y, x = OIL.nyquist_spacing()
    assert (y, x) == pytest.approx((0.61 / 5.6,) * 2)
    assert z == pytest.approx(0.326, abs=5e-4)
    same = dataclasses.replace(OIL, excitation_wavelength=0.61)
    assert same.nyquist_spacing("confocal") == pytest.approx((z / 2, y / 2, x / 2))


@pytest.mark.parametrize("model", ["gibson-lanni", "richards-wolf", "born-wolf"])
@pytest.mark.parametrize("modality", ["widefield", "confocal", "two-photon", "spinning-disk"])
def test_nothing_is_transmitted_beyond_the_band_that_nyquist_covers(modality, model):
    microscope = dataclasses.replace(OIL, excitation_wavelength=0.5, pinhole=0.3)
    # A small hole's own transfer function has no zero within the band.
    small = {"pinhole_diameter": 6.0} if modality == "spinning-disk" else {}
    fine = microscope.nyquist_spacing(modality)[2] / 1.25
    plane = generate_psf(
        microscope,
        (256, 256),
        (fine, fine),
        model=model,
        modality=modality,
        pixel_integration=False,
        **small,
    )
    spectrum = abs(np.fft.fft2(plane))[0, :128]
    frequency = np.fft.rfftfreq(256)[:128] * 1.25  # in units of the Nyquist frequency, 0.5
    assert spectrum[frequency > 0.52].max() < 2e-3
    assert spectrum[frequency < 0.2].min() > 2e-2
    assert spectrum[(frequency > 0.4) & (frequency < 0.45)].min() > 1e-5


def test_an_unknown_modality_is_named():
    with pytest.raises(ParameterError, match="Did you mean 'confocal'"):
        OIL.nyquist_spacing("confokal")
