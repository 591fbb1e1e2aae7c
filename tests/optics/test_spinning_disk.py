"""Spinning disk, against holes laid out one by one on a grid."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import psf_reference as reference
import pytest

from napari_deconv.errors import ParameterError
from napari_deconv.optics import Microscope, generate_psf
from napari_deconv.optics.resolution import expected_fwhm, nyquist_spacing
from napari_deconv.optics.spinning_disk import neighbours

SCOPE = Microscope(
    numerical_aperture=1.2,
    emission_wavelength=0.52,
    excitation_wavelength=0.488,
    immersion_index=1.33,
    sample_index=1.33,
)
DISK = {"modality": "spinning-disk", "magnification": 1.0}


def by_hand(shape, spacing, diameter, pitch, *, turns, reach, discs=1):
    """Excitation at every place's distance from every hole within ``reach``, averaged over turns.

    The hole's own disc by the confocal's blur, tested by itself.
    """
    z, y, x = (reference.axis(n, d) for n, d in zip(shape, spacing, strict=True))
    emission = reference.spread(SCOPE, z, np.hypot(y[:, None], x), 0.52)
    from napari_deconv.optics.gibson_lanni import gibson_lanni
    from napari_deconv.optics.intensity import Sampling

    far = reach + float(np.hypot(y.max(), x.max())) + 1
    step = 0.012
    table = gibson_lanni(SCOPE, 0.488, Sampling(z, step, far + 2 * diameter))
    for _ in range(discs):
        table = table.blur_disc(diameter / 2)
    n = math.ceil(reach / pitch * 1.2)
    a, b = (grid.ravel() for grid in np.indices((2 * n + 1, 2 * n + 1)) - n)
    holes = pitch * (a + b * np.exp(1j * np.pi / 3))
    holes = holes[abs(holes) <= reach]
    places = (x + 1j * y[:, None]).ravel()
    lit = np.zeros((len(z), places.size))
    for turn in turns:
        distance = abs(places[:, None] - holes * np.exp(1j * turn))
        place, after = np.divmod(distance / step, 1)
        place = place.astype(int)
        for plane, values in zip(lit, table.values, strict=True):
            between = values[place] + after * np.diff(values)[place]
            plane += between.sum(axis=1) / len(turns)
    truth = emission * lit.reshape(shape)
    return truth / truth.sum()


@pytest.mark.parametrize(
    ("diameter", "pitch", "microlenses"),
    [(0.5, 2.5, True), (0.3, 1.0, True), (0.5, 2.5, False)],
)
def test_it_is_the_sum_over_holes_while_the_disk_turns(diameter, pitch, microlenses):
    shape, spacing = (5, 17, 18), (1.0, 0.15, 0.15)
    turns = np.pi / 3 * (np.arange(20) + 0.5) / 20
    discs = 1 if microlenses else 2
    truth = by_hand(shape, spacing, diameter, pitch, turns=turns, reach=25.0, discs=discs)
    psf = generate_psf(
        SCOPE,
        shape,
        spacing,
        pixel_integration=False,
        pinhole_diameter=diameter,
        pinhole_pitch=pitch,
        microlenses=microlenses,
        **DISK,
    )
    assert reference.relative_error(psf, truth) < 1.5e-3


def test_a_disk_that_stood_still_would_differ_little():
    """What turning averages over is 0.02 % of the PSF, as light is blurred where it overlaps."""
    shape, spacing = (5, 21, 21), (1.0, 0.25, 0.25)
    turns = np.pi / 3 * (np.arange(15) + 0.5) / 15
    turning = by_hand(shape, spacing, 0.5, 2.5, turns=turns, reach=20.0)
    for angle in (0.0, np.pi / 6):
        still = by_hand(shape, spacing, 0.5, 2.5, turns=[angle], reach=20.0)
        assert reference.relative_error(still, turning) < 1e-3


def test_lone_small_holes_are_confocal():
    """Through a closed pinhole: h_ex h_em, whichever of the two the hole averages."""
    closed = dataclasses.replace(SCOPE, pinhole=0.0)
    confocal = generate_psf(closed, (9, 15, 15), (0.3, 0.1, 0.1), modality="confocal")
    psf = generate_psf(
        SCOPE, (9, 15, 15), (0.3, 0.1, 0.1), pinhole_diameter=0.0, pinhole_pitch=50.0, **DISK
    )
    assert reference.relative_error(psf, confocal) < 3e-4


def test_holes_side_by_side_are_widefield():
    psf = generate_psf(
        SCOPE, (9, 15, 15), (0.3, 0.1, 0.1), pinhole_diameter=0.1, pinhole_pitch=0.15, **DISK
    )
    widefield = generate_psf(SCOPE, (9, 15, 15), (0.3, 0.1, 0.1))
    assert reference.relative_error(psf, widefield) < 5e-3


def test_the_denser_the_holes_the_more_light_from_other_planes():
    shares = []
    for pitch in (5.0, 2.5, 1.2):
        psf = generate_psf(
            SCOPE,
            (21, 65, 65),
            (0.4, 0.15, 0.15),
            pinhole_pitch=pitch,
            pinhole_diameter=0.5,
            **DISK,
        )
        planes = psf.sum(axis=(1, 2))
        shares.append(planes[:4].sum() / planes.sum())
    assert shares[0] < shares[1] < shares[2]


def test_without_microlenses_the_focus_is_longer():
    with_, without = (
        expected_fwhm(SCOPE, modality="spinning-disk", microlenses=lenses)
        for lenses in (True, False)
    )
    assert without[0] > 1.01 * with_[0]


def test_lengths_on_the_disk_shrink_by_the_magnification():
    on_disk = {"pinhole_diameter": 50.0, "pinhole_pitch": 250.0}
    in_sample = {"pinhole_diameter": 0.5, "pinhole_pitch": 2.5}
    a = generate_psf(
        SCOPE, (3, 9, 9), (0.3, 0.1, 0.1), modality="spinning-disk", magnification=100.0, **on_disk
    )
    b = generate_psf(SCOPE, (3, 9, 9), (0.3, 0.1, 0.1), **in_sample, **DISK)
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_nyquist_is_the_confocal_one():
    assert nyquist_spacing(SCOPE, "spinning-disk") == nyquist_spacing(SCOPE, "confocal")


def test_the_rings_hold_as_many_holes_as_their_circle():
    rings, density, beyond = neighbours(2.0)
    assert [holes for holes, _ in rings] == [6, 6, 6, 12, 6]
    assert [d / 2 for _, d in rings] == pytest.approx([1, 3**0.5, 2, 7**0.5, 3])
    assert density * math.pi * beyond**2 == pytest.approx(37)


def test_overlapping_holes_are_refused():
    with pytest.raises(ParameterError, match="holes must not overlap"):
        generate_psf(SCOPE, (9, 9), (0.1, 0.1), modality="spinning-disk", pinhole_diameter=250.0)


def test_a_model_without_symmetry_agrees():
    """Rings of holes harmonic by harmonic, as light that depends on the direction has them."""
    shape, spacing = (3, 17, 18), (0.6, 0.12, 0.12)
    near = {"pinhole_diameter": 0.4, "pinhole_pitch": 1.5, "pixel_integration": False}
    a = generate_psf(SCOPE, shape, spacing, **near, **DISK)
    b = generate_psf(SCOPE, shape, spacing, model="pupil", aberrations={5: 1e-7}, **near, **DISK)
    assert reference.relative_error(b, a) < 2e-5
