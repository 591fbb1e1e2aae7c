"""The vectorial model, against plane waves summed one by one."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import psf_reference as reference
import pytest

from napari_deconv.optics import Microscope, focal_shift, generate_psf
from napari_deconv.optics.angular import Angular
from napari_deconv.optics.averages import mean_inside
from napari_deconv.optics.gibson_lanni import gibson_lanni
from napari_deconv.optics.intensity import Sampling
from napari_deconv.optics.resolution import expected_fwhm
from napari_deconv.optics.richards_wolf import richards_wolf

OIL = Microscope(numerical_aperture=1.4, emission_wavelength=0.61, depth=1.0)
IDEAL = dataclasses.replace(OIL, sample_index=1.515)
SCOPES = {
    "ideal": IDEAL,
    "oil into water, at the coverslip": dataclasses.replace(OIL, depth=0.0),
    "oil into water": OIL,
    "total reflection": dataclasses.replace(
        OIL, numerical_aperture=1.49, immersion_index=1.518, sample_index=1.36, depth=0.1
    ),
    "water, other coverslip": Microscope(
        numerical_aperture=1.2,
        emission_wavelength=0.52,
        immersion_index=1.33,
        sample_index=1.4,
        coverslip_index=1.6,
        coverslip_index_design=1.52,
        coverslip_thickness=171.0,
        depth=2.0,
    ),
    "dipping": Microscope(
        numerical_aperture=1.0,
        emission_wavelength=0.52,
        immersion_index=1.33,
        sample_index=1.45,
        coverslip_thickness=0.0,
        coverslip_thickness_design=0.0,
        depth=3.0,
    ),
    "air": Microscope(
        numerical_aperture=0.3, emission_wavelength=0.52, immersion_index=1.0, depth=20.0
    ),
}
each_scope = pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES.keys())
Z = np.array([-1.7, 0.0, 0.4, 2.3])
X = np.array([0.0, 0.17, -0.21, 0.9, 1.9])
Y = np.array([0.0, 0.0, 0.33, -0.4, 1.1])


@each_scope
@pytest.mark.parametrize("evanescent", [True, False])
@pytest.mark.parametrize("apodisation", ["sine", "uniform", "herschel"])
def test_it_is_the_sum_of_plane_waves(scope, evanescent, apodisation):
    """To 1e-10 of the peak, at places between the axes, linearly polarised and not."""
    power = {"sine": -0.5, "uniform": 0.0, "herschel": -1.0}[apodisation]
    for name, fields in (("linear", [(1, 0)]), ("unpolarised", [(1, 0), (0, 1)])):
        truth = reference.vector_intensity(scope, Z, X, Y, 0.6, fields, power, evanescent)
        for x, y, expected in zip(X, Y, truth.T, strict=True):
            r = math.hypot(x, y)
            found = richards_wolf(
                scope,
                0.6,
                Sampling(Z, r or 1.0, r),
                polarisation=name,
                apodisation=apodisation,
                evanescent=evanescent,
            )
            parts = found.parts if isinstance(found, Angular) else {0: found.values}
            place = 1 if r else 0
            value = sum(p[:, place] * math.cos(m * math.atan2(y, x)) for m, p in parts.items())
            np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["ideal", "oil into water, at the coverslip", "oil into water"])
def test_molecules_that_turn_freely_look_like_the_focus_of_unpolarised_light(name):
    """Reciprocity: the image of dipoles, by way of their far field, is the same but for a factor.

    So emission and excitation share one apodisation, ``1 / sqrt(cos)`` per area of the pupil.
    """
    scope = SCOPES[name]
    truth = reference.dipole_image(scope, Z, X, Y, 0.6)
    focus = reference.vector_intensity(scope, Z, X, Y, 0.6, [(1, 0), (0, 1)])
    np.testing.assert_allclose(truth / truth.max(), focus / focus.max(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("polarisation", ["unpolarised", "circular", "linear"])
@pytest.mark.parametrize("spacing", [(0.3, 0.1, 0.1), (0.3, 0.08, 0.11)])
def test_a_psf_holds_it_to_two_millionths(polarisation, spacing):
    shape = (2, 10, 9)
    fields = [(1, 0)] if polarisation == "linear" else [(1, 0), (0, 1)]
    shift = focal_shift(OIL, model="richards-wolf")
    z = reference.axis(2, 0.3) + shift
    y, x = np.meshgrid(reference.axis(10, spacing[1]), reference.axis(9, spacing[2]), indexing="ij")
    truth = reference.vector_intensity(OIL, z, x.ravel(), y.ravel(), 0.61, fields).reshape(shape)
    truth /= truth.sum()
    options = {"model": "richards-wolf", "polarisation": polarisation, "pixel_integration": False}
    psf = generate_psf(OIL, shape, spacing, **options)
    assert reference.relative_error(psf, truth) < 2e-6
    exact = generate_psf(OIL, shape, spacing, dtype="float64", **options)
    assert reference.relative_error(exact, truth) < 1e-10


def test_a_polarised_psf_in_pixels_is_the_mean_over_their_area():
    x, w = np.polynomial.legendre.leggauss(6)
    ys, xs = (np.add.outer(reference.axis(n, 0.12), 0.06 * x) for n in (3, 4))
    y, x = np.broadcast_arrays(ys[:, :, None, None], xs)
    truth = reference.vector_intensity(IDEAL, np.zeros(1), x.ravel(), y.ravel(), 0.61, [(1, 0)])
    truth = np.einsum("ypxq,p,q->yx", truth.reshape(x.shape), w, w)
    options = {"model": "richards-wolf", "polarisation": "linear"}
    psf = generate_psf(IDEAL, (3, 4), (0.12, 0.12), **options)
    assert reference.relative_error(psf, truth / truth.sum()) < 2e-6


def test_linear_light_widens_the_spot_along_its_own_axis():
    _, y, x = expected_fwhm(IDEAL, model="richards-wolf", polarisation="linear")
    assert x > 1.2 * y
    _, y, x = expected_fwhm(IDEAL, model="richards-wolf")
    assert x == pytest.approx(y, rel=1e-6)


def test_circular_is_as_bright_as_unpolarised():
    a, b = (
        generate_psf(OIL, (3, 9, 9), (0.2, 0.1, 0.1), model="richards-wolf", polarisation=p)
        for p in ("circular", "unpolarised")
    )
    np.testing.assert_array_equal(a, b)


def test_light_along_x_and_along_y_is_unpolarised_light():
    options = {"model": "richards-wolf", "pixel_integration": True}
    along_x = generate_psf(
        OIL, (3, 17, 17), (0.2, 0.1, 0.1), polarisation="linear", **options
    ).astype(float)
    both = (along_x + along_x.transpose(0, 2, 1)) / 2
    psf = generate_psf(OIL, (3, 17, 17), (0.2, 0.1, 0.1), **options)
    assert reference.relative_error(psf, both) < 1e-6


def test_the_width_is_the_known_one():
    """0.246 um at NA 1.4, 0.61 um, where the scalar model has 0.224."""
    assert expected_fwhm(IDEAL, model="richards-wolf")[2] == pytest.approx(0.2458, abs=5e-5)
    assert expected_fwhm(IDEAL)[2] == pytest.approx(0.2242, abs=5e-5)


@pytest.mark.parametrize(("na", "bound"), [(0.05, 3e-4), (0.1, 1.2e-3), (0.2, 5e-3)])
def test_at_low_aperture_it_is_the_scalar_model(na, bound):
    """But for what the coverslip reflects; the difference falls with the aperture's square."""
    scope = dataclasses.replace(
        IDEAL, numerical_aperture=na, immersion_index=1.33, sample_index=1.33
    )
    sampling = Sampling(np.array([0.0, 0.5 / na**2]), 0.05 / na, 2.0 / na)
    scalar = gibson_lanni(scope, 0.61, sampling).values
    vectorial = richards_wolf(scope, 0.61, sampling).values
    assert 0.99 < vectorial.max() < 1
    assert abs(vectorial / vectorial.max() - scalar / scalar.max()).max() < bound


@each_scope
def test_every_plane_holds_the_same_light(scope):
    """Parseval, for tables that reach far; what is missing is in the rings' tail."""
    sampling = Sampling(np.linspace(-1.5, 1.5, 5), 0.05, 60.0 / scope.numerical_aperture)
    values = richards_wolf(scope, 0.6, sampling).values
    light = mean_inside(values, sampling.step)[:, -1]
    np.testing.assert_allclose(light, light.mean(), rtol=5e-4)


def test_near_the_coverslip_the_evanescent_light_counts():
    scope = dataclasses.replace(OIL, depth=0.0)
    sampling = Sampling(np.zeros(1), 0.1, 0.1)
    kept, clipped = (
        richards_wolf(scope, 0.61, sampling, evanescent=e).values[0, 0] for e in (True, False)
    )
    assert kept > 1.2 * clipped


def test_in_a_confocal_only_the_laser_is_polarised():
    """Molecules that turn freely forget it: the emission stays round."""
    scope = dataclasses.replace(OIL, excitation_wavelength=0.56, pinhole=0.6)
    shape, spacing = (2, 6, 7), (0.2, 0.06, 0.06)
    shift = focal_shift(scope, model="richards-wolf", modality="confocal", polarisation="linear")
    z = reference.axis(2, 0.2) + shift
    rho, weight = np.polynomial.legendre.leggauss(5)
    rho, weight = (1 + rho) / 2, weight * (1 + rho)
    angle = 2 * np.pi * (np.arange(12) + 0.5) / 12
    points = (np.outer(rho, np.exp(1j * angle)) * scope.pinhole * scope.airy_unit / 2).ravel()
    places = np.add.outer(1j * reference.axis(6, 0.06)[:, None] + reference.axis(7, 0.06), points)
    x, y = places.real.ravel(), places.imag.ravel()
    # Distinct distances only: unpolarised light depends on nothing else.
    r, where = np.unique(np.hypot(x, y).round(10), return_inverse=True)
    emission = reference.vector_intensity(scope, z, r, 0 * r, 0.61, [(1, 0), (0, 1)])[:, where]
    seen = np.einsum("zyxra,r->zyx", emission.reshape(2, 6, 7, 5, 12), weight)
    x, y = np.meshgrid(reference.axis(7, 0.06), reference.axis(6, 0.06))
    lit = reference.vector_intensity(scope, z, x.ravel(), y.ravel(), 0.56, [(1, 0)])
    truth = lit.reshape(shape) * seen
    psf = generate_psf(
        scope,
        shape,
        spacing,
        model="richards-wolf",
        modality="confocal",
        polarisation="linear",
        pixel_integration=False,
    )
    assert reference.relative_error(psf, truth / truth.sum()) < 1e-5
