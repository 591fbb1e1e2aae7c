from __future__ import annotations

import dataclasses
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv import registry
from napari_deconv.errors import ParameterError
from napari_deconv.optics import Microscope, focal_shift, generate_psf, suggest_shape
from napari_deconv.optics.instrument import Instrument
from napari_deconv.optics.intensity import Sampling

SCOPE = Microscope(
    numerical_aperture=1.4,
    emission_wavelength=0.61,
    excitation_wavelength=0.56,
    depth=2.0,
)
IDEAL = dataclasses.replace(SCOPE, sample_index=1.515)
SPACING = (0.2, 0.1, 0.1)


@pytest.mark.parametrize("model", sorted(registry.psf_models()))
@pytest.mark.parametrize("modality", sorted(registry.modalities()))
@pytest.mark.parametrize("integrate", [True, False])
def test_every_model_in_every_modality(model, modality, integrate):
    options = {"model": model, "modality": modality, "pixel_integration": integrate}
    psf = generate_psf(SCOPE, (9, 16, 15), SPACING, **options)
    assert psf.shape == (9, 16, 15)
    assert psf.dtype == np.float32
    assert psf.min() >= 0
    assert psf.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    assert np.unravel_index(psf.argmax(), psf.shape) == (4, 8, 7)


@given(st.integers(1, 12), st.integers(1, 20), st.integers(1, 20), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_origin_is_at_half_the_length_for_odd_and_even(nz, ny, nx, integrate):
    psf = generate_psf(IDEAL, (nz, ny, nx), SPACING, pixel_integration=integrate).astype(float)
    assert np.unravel_index(psf.argmax(), psf.shape) == (nz // 2, ny // 2, nx // 2)
    for n, axis in ((nz, 0), (ny, 1), (nx, 2)):
        # What has a mirror image about n // 2 equals it, so the centroid of that is n // 2.
        paired = np.moveaxis(psf, axis, 0)[1 - n % 2 :]
        np.testing.assert_allclose(paired, paired[::-1], rtol=1e-5, atol=1e-10)


@given(st.tuples(st.integers(1, 7), st.integers(1, 16), st.integers(1, 16)))
@settings(max_examples=20, deadline=None)
def test_a_smaller_psf_is_a_part_of_the_larger(shape):
    large = generate_psf(SCOPE, (9, 21, 24), SPACING).astype(float)
    small = generate_psf(SCOPE, shape, SPACING).astype(float)
    part = large[
        tuple(
            slice(m // 2 - n // 2, m // 2 - n // 2 + n)
            for m, n in zip((9, 21, 24), shape, strict=True)
        )
    ]
    np.testing.assert_allclose(small, part / part.sum(), rtol=2e-5, atol=1e-9)


def test_x_and_y_are_not_exchanged():
    wide = generate_psf(SCOPE, (3, 8, 15), (0.2, 0.1, 0.14))
    tall = generate_psf(SCOPE, (3, 15, 8), (0.2, 0.14, 0.1))
    np.testing.assert_allclose(wide, tall.transpose(0, 2, 1), rtol=1e-5)
    assert wide[1, 4, 8] < wide[1, 5, 7]  # 0.14 um along x is farther than 0.1 um along y


@pytest.mark.parametrize("modality", ["widefield", "confocal"])
def test_two_dimensions_are_the_plane_in_focus(modality):
    plane = generate_psf(SCOPE, (17, 18), (0.1, 0.1), modality=modality)
    stack = generate_psf(SCOPE, (5, 17, 18), SPACING, modality=modality)
    np.testing.assert_allclose(plane, stack[2] / stack[2].sum(dtype=float), rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("modality", ["widefield", "confocal"])
@pytest.mark.parametrize("depth", [0.2, 2.0, 20.0])
def test_the_brightest_plane_is_centred_between_planes_too(modality, depth):
    """Not the best of the planes there happen to be: a nanometre off it is already darker."""
    scope = dataclasses.replace(SCOPE, depth=depth)
    from napari_deconv.optics.instrument import Instrument

    instrument = Instrument(scope, modality=modality)
    shift = focal_shift(scope, modality=modality)
    axis = instrument.intensity(shift + np.array([-1e-3, 0, 1e-3]), 0.0).on_axis()
    assert axis[1] > max(axis[0], axis[2])
    everywhere = instrument.intensity(np.linspace(-2, 2 + depth, 800), 0.0).on_axis()
    assert axis[1] >= everywhere.max() * (1 - 1e-9)


def test_the_geometric_centre_keeps_the_shift_that_is_reported():
    shift = focal_shift(SCOPE)
    assert shift > 0.5
    spacing = (shift / 3, 0.1, 0.1)
    kept = generate_psf(SCOPE, (11, 15, 15), spacing, centre="geometric")
    assert np.unravel_index(kept.argmax(), kept.shape) == (5 + 3, 7, 7)
    centred = generate_psf(SCOPE, (11, 15, 15), spacing, centre="brightest").astype(float)
    np.testing.assert_allclose(
        kept[3:] / kept[8].max(), centred[:-3] / centred[5].max(), rtol=1e-4, atol=1e-7
    )


def test_deeper_is_towards_larger_z():
    """Oil into water, marginal rays focus deeper: light lingers at larger z."""
    psf = generate_psf(dataclasses.replace(SCOPE, depth=10.0), (41, 15, 15), SPACING)
    axis = psf[:, 7, 7]
    assert axis[30:].sum() > 2 * axis[:11].sum()


def test_pixels_lower_the_peak_by_what_is_known():
    """0.918 at 0.1 um and 0.979 at 0.05 um (NA 1.4, 0.61 um, in focus)."""
    for dx, ratio in ((0.05, 0.979), (0.1, 0.918), (0.16, 0.805)):
        n = 2 * round(3 / dx) + 1  # 6 um, so that the sums are those of the same light
        sharp, mean = (
            generate_psf(IDEAL, (n, n), (dx, dx), pixel_integration=i).max() for i in (False, True)
        )
        assert mean / sharp == pytest.approx(ratio, abs=5e-3)


def test_parameters_reach_the_model():
    at_coverslip = dataclasses.replace(SCOPE, depth=0.0)
    kept, clipped = (
        generate_psf(at_coverslip, (3, 15, 15), SPACING, evanescent=e) for e in (True, False)
    )
    assert abs(kept - clipped).max() > 0.02 * kept.max()


@pytest.mark.parametrize(
    ("shape", "spacing", "options", "message"),
    [
        ((8, 8, 8), SPACING, {"model": "gibson-lani"}, "Did you mean 'gibson-lanni'"),
        ((8, 8, 8), SPACING, {"modality": "wide"}, "Known: confocal, .*widefield"),
        ((8, 8, 8), SPACING, {"evanscent": False}, "Did you mean 'evanescent'"),
        ((8, 8, 8), SPACING, {"evanescent": 3}, "True or False"),
        ((8, 8, 8), SPACING, {"model": "gaussian", "evanescent": True}, "no parameter"),
        ((8, 8, 8), SPACING, {"centre": "middle"}, '"brightest", "geometric"'),
        ((8, 0, 8), SPACING, {}, "2 or 3 positive whole numbers"),
        ((8, 8.5, 8), SPACING, {}, "2 or 3 positive whole numbers"),
        ((8,), SPACING, {}, "2 or 3 positive whole numbers"),
        (8, SPACING, {}, "2 or 3 positive whole numbers"),
        ("abc", SPACING, {}, "2 or 3 positive whole numbers"),
        ((8, 8, 8), (0.1, 0.1), {}, r"3 positive lengths \(z, y, x\)"),
        ((8, 8), SPACING, {}, r"2 positive lengths \(y, x\)"),
        ((8, 8, 8), (0.2, -0.1, 0.1), {}, "3 positive lengths"),
        ((8, 8, 8), (0.2, float("nan"), 0.1), {}, "3 positive lengths"),
        ((8, 8, 8), 0.1, {}, "3 positive lengths"),
        ((8, 8, 8), (200, 100, 100), {}, r"nanometres.*did you mean \(0.2, 0.1, 0.1\)"),
        ((8, 8, 8), (2e-7, 1e-7, 1e-7), {}, r"metres.*did you mean \(0.2, 0.1, 0.1\)"),
        ((8, 8, 8), (0.2, 6.5, 6.5), {}, "camera's pixel divided by the magnification"),
        ((10**5, 10**4, 10**4), SPACING, {}, "GB are free: choose a smaller shape"),
    ],
)
def test_what_cannot_be_made_is_refused(shape, spacing, options, message):
    with pytest.raises(ParameterError, match=message):
        generate_psf(SCOPE, shape, spacing, **options)


@pytest.mark.parametrize("modality", ["widefield", "confocal"])
@pytest.mark.parametrize(
    ("na", "index", "depth", "spacing"),
    [
        (1.4, 1.515, 0.0, (0.2, 0.1, 0.1)),
        (1.4, 1.515, 10.0, (0.2, 0.1, 0.1)),
        (1.2, 1.33, 0.0, (0.3, 0.11, 0.11)),
        (0.75, 1.0, 20.0, (1.0, 0.3, 0.3)),
        (0.3, 1.0, 0.0, (5.0, 0.65, 0.65)),
    ],
)
def test_the_suggested_size_holds_the_light(na, index, depth, spacing, modality):
    scope = dataclasses.replace(SCOPE, numerical_aperture=na, immersion_index=index, depth=depth)
    shape = suggest_shape(scope, spacing, modality=modality)
    assert all(
        n % 2 == 1 and 9 <= n <= limit for n, limit in zip(shape, (129, 257, 257), strict=True)
    )
    psf = generate_psf(scope, shape, spacing, modality=modality)
    planes = psf.sum(axis=(1, 2), dtype=np.float64)
    if modality == "widefield":  # all planes send the same light, if the field is wide enough
        assert planes.min() > 0.85 * planes.max()
    else:  # a pinhole takes it from the outer planes
        assert planes[[0, -1]].max() < 0.1 * planes.max()
    axis = psf[:, shape[1] // 2, shape[2] // 2]
    assert axis[[0, -1]].max() < 0.05 * axis.max()


def test_the_suggested_size_stays_within_the_image():
    assert suggest_shape(SCOPE, SPACING, image_shape=(12, 50, 4096))[:2] == (11, 49)
    assert len(suggest_shape(SCOPE, (0.1, 0.1))) == 2
    assert suggest_shape(SCOPE, (0.1, 0.1), image_shape=(10, 1000))[0] == 9
    assert suggest_shape(SCOPE, SPACING, largest=(7, 8, 9)) == (7, 7, 9)
    with pytest.raises(ParameterError, match="image_shape"):
        suggest_shape(SCOPE, SPACING, image_shape=(10, 10))


def test_a_model_is_one_function():
    """What a further file has to do: register a function that fills a table."""
    from napari_deconv.optics.radial import Radial, radii

    for entry in registry.psf_models().values():
        sampling = Sampling(np.array([-1.0, 0.0, 1.0]), 0.02, 1.0)
        intensity = entry.function(IDEAL, 0.6, sampling)
        assert intensity.on_axis().shape == (3,)
        assert intensity.weighted(np.arange(3.0)).on_axis()[0] == 0
        if isinstance(intensity, Radial):
            assert intensity.values.shape == (3, radii(sampling).size)
        assert entry.title
        assert entry.summary
        assert entry.cites
        assert all(parameter.help for parameter in entry.parameters.values())


def test_importing_it_loads_nothing_heavy():
    code = (
        "import sys, napari_deconv.optics;"
        "print([m for m in ('torch', 'scipy', 'psutil', 'napari', 'qtpy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("model", ["gibson-lanni", "richards-wolf", "pupil"])
def test_the_focus_of_the_deepest_points_takes_little_memory(model):
    """And is the brightest of a scan; all rays in all planes at once would take a gigabyte."""
    scope = Microscope(numerical_aperture=1.4, emission_wavelength=0.52, depth=700.0)
    tracemalloc.start()
    try:
        shift = focal_shift(scope, model=model)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 1e8
    instrument = Instrument(scope, model)
    low, high = instrument.foci()
    everywhere = np.linspace(low, high, 400)
    found = instrument.on_axis(np.array([shift]))
    assert found >= instrument.on_axis(everywhere).max()
    near = shift + instrument.axial_period() * np.array([-0.02, 0.0, 0.02])
    assert instrument.on_axis(near).argmax() == 1


@pytest.mark.parametrize("modality", ["confocal", "spinning-disk"])
@pytest.mark.parametrize("pinhole", [0.5, 3.0])
def test_the_focus_behind_a_pinhole_is_the_brightest_of_all(modality, pinhole):
    scope = Microscope(
        numerical_aperture=1.4,
        emission_wavelength=0.52,
        excitation_wavelength=0.488,
        pinhole=pinhole,
        depth=15.0,
    )
    instrument = Instrument(scope, modality=modality)
    everywhere = np.linspace(1.0, 5.0, 200)
    best = everywhere[instrument.on_axis(everywhere).argmax()]
    assert instrument.focus() == pytest.approx(best, abs=0.03)


def test_a_suggested_size_has_room_for_the_aberrations_foci():
    scope, spacing = dataclasses.replace(IDEAL, depth=0.0), (0.2, 0.1, 0.1)
    plain, spherical, shifted = (
        suggest_shape(scope, spacing, model="pupil", aberrations=each)
        for each in ({}, {11: 0.5}, {4: 1.0})
    )
    assert spherical[0] > 1.2 * plain[0]
    # Defocus moves all foci together: no more room than without.
    assert shifted[0] <= 1.2 * plain[0]
