from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from napari_deconv.optics import Microscope, generate_psf
from napari_deconv.optics.averages import mean_inside
from napari_deconv.optics.born_wolf import born_wolf
from napari_deconv.optics.intensity import Sampling

SCOPE = Microscope(numerical_aperture=1.3, emission_wavelength=0.6, depth=10.0)
SPACING = (0.3, 0.1, 0.1)


def test_it_is_gibson_lanni_without_aberration():
    ideal = dataclasses.replace(SCOPE, sample_index=1.515)
    truth = generate_psf(ideal, (9, 16, 17), SPACING)
    aberrated = dataclasses.replace(
        SCOPE, coverslip_thickness=180.0, coverslip_index=1.54, immersion_index_design=1.52
    )
    for scope in (SCOPE, ideal, aberrated):
        found = generate_psf(scope, (9, 16, 17), SPACING, model="born-wolf")
        np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-10)


def test_paraxially_it_is_the_book_s_pattern_on_the_axis():
    """Born and Wolf 8.8: ``[sin(u / 4) / (u / 4)]**2`` with ``u = k NA**2 z / n``."""
    z = np.linspace(-6, 6, 41)
    found = born_wolf(SCOPE, 0.6, Sampling(z, 0.1, 0.1), defocus="paraxial").values[:, 0]
    u = 2 * math.pi / 0.6 * 1.3**2 / 1.515 * z
    np.testing.assert_allclose(found, np.sinc(u / 4 / math.pi) ** 2, atol=1e-12)


def test_paraxially_the_edge_of_the_shadow_holds_its_known_value():
    """On ``u = v`` the book has a closed form: ``[1 - 2 J0(u) cos u + J0(u)**2] / u**2``."""
    from scipy.special import j0

    z = np.array([0.5, 1.1, 2.7])
    u = 2 * math.pi / 0.6 * 1.3**2 / 1.515 * z
    for place, at in enumerate(u):
        r = at / (2 * math.pi / 0.6 * 1.3)
        found = born_wolf(SCOPE, 0.6, Sampling(z, r, r), defocus="paraxial").values[place, 1]
        truth = (1 - 2 * j0(at) * math.cos(at) + j0(at) ** 2) / at**2
        assert found == pytest.approx(truth, abs=1e-11)


@pytest.mark.parametrize(("na", "same"), [(0.1, True), (1.3, False)])
def test_the_first_term_is_enough_for_small_angles_only(na, same):
    scope = dataclasses.replace(SCOPE, numerical_aperture=na)
    sampling = Sampling(np.array([0.5 / na**2]), 0.05 / na, 2.0 / na)
    a, b = (born_wolf(scope, 0.6, sampling, defocus=d).values for d in ("exact", "paraxial"))
    assert np.allclose(a, b, atol=3e-3) == same


@pytest.mark.parametrize("defocus", ["exact", "paraxial"])
def test_every_plane_holds_the_same_light(defocus):
    sampling = Sampling(np.linspace(-1.5, 1.5, 5), 0.05, 50.0)
    values = born_wolf(SCOPE, 0.6, sampling, defocus=defocus).values
    light = mean_inside(values, sampling.step)[:, -1]
    np.testing.assert_allclose(light, light.mean(), rtol=2e-3)
