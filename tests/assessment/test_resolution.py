"""Widths of known spots."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.assessment import fwhm
from napari_deconv.errors import InputError, ParameterError

WIDTH = 2 * np.sqrt(2 * np.log(2))


def spot(shape, centre, sigmas):
    grid = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    parts = zip(grid, centre, sigmas, strict=True)
    return np.exp(-sum(((axis - c) / s) ** 2 for axis, c, s in parts) / 2)


@settings(max_examples=30, deadline=None)
@given(
    shift=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    sigmas=st.tuples(*[st.floats(1.1, 3.0)] * 3),
)
def test_a_gaussian_has_its_width_wherever_it_lies_between_voxels(shift, sigmas):
    centre = np.array([13, 15, 14]) + shift
    image = 100 + 50 * spot((27, 31, 28), centre, sigmas)
    spacing = (0.3, 0.1, 0.2)
    widths = fwhm(image, spacing=spacing, background=100)
    np.testing.assert_allclose(widths, WIDTH * np.array(sigmas) * spacing, rtol=0.01)


def test_position_chooses_the_spot_and_voxels_are_the_unit():
    image = 3 * spot((60, 60), (12.3, 45), (2, 2)) + spot((60, 60), (40, 15.6), (1.5, 3))
    np.testing.assert_allclose(fwhm(image), [2 * WIDTH] * 2, rtol=0.01)
    np.testing.assert_allclose(
        fwhm(image, (41.2, 14.8), reach=12), [1.5 * WIDTH, 3 * WIDTH], rtol=0.02
    )


def test_an_offset_is_found_in_the_neighbourhood():
    image = 1000 + 5 * spot((50, 50), (25, 25), (2, 2))
    np.testing.assert_allclose(fwhm(image), [2 * WIDTH] * 2, rtol=0.01)


def test_what_does_not_fall_to_half_has_no_width():
    line = spot((40, 40), (20, 20), (2, 1e9))
    down, across = fwhm(line)
    assert down == pytest.approx(2 * WIDTH, rel=0.01)
    assert np.isnan(across)
    assert np.isnan(fwhm(spot((40, 40), (0, 20), (2, 2)))[0])
    assert np.isnan(fwhm(np.ones((20, 20)))).all()


@pytest.mark.parametrize(
    "options",
    [
        {"position": (5, 5, 5)},
        {"position": (5, 20)},
        {"position": (-1, 5)},
        {"spacing": (1.0,)},
        {"spacing": (0.0, 1.0)},
    ],
)
def test_positions_and_spacings_have_to_fit(options):
    with pytest.raises(ParameterError):
        fwhm(np.ones((20, 20)), **options)


def test_series_are_refused():
    with pytest.raises(InputError, match="4 axes"):
        fwhm(np.ones((2, 9, 9, 9)))
