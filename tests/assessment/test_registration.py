"""Shifts between images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_deconv.assessment import find_shift, shift_image
from napari_deconv.errors import InputError
from napari_deconv.simulation.phantoms import filaments

SCENE = gaussian_filter(filaments((90, 101), count=25).astype(np.float64), 1.2) * 1000


@settings(max_examples=20, deadline=None)
@given(shift=st.tuples(st.floats(-9, 9), st.floats(-9, 9)))
def test_a_known_shift_is_found_to_hundredths(shift):
    moved = shift_image(SCENE, shift)
    np.testing.assert_allclose(find_shift(moved, SCENE), -np.array(shift), atol=0.03)
    np.testing.assert_allclose(find_shift(SCENE, moved), shift, atol=0.03)


def test_noise_blur_and_scale_hardly_disturb_it():
    blurred = gaussian_filter(SCENE, 2.0)
    moved = np.random.default_rng(0).poisson(shift_image(blurred, (2.3, -4.6)).clip(0) + 5)
    np.testing.assert_allclose(find_shift(3 * moved, SCENE), (-2.3, 4.6), atol=0.1)


def test_stacks_work_and_the_largest_shift_is_kept():
    stack = gaussian_filter(filaments((12, 60, 60), count=30, width=3).astype(np.float64), 1.0)
    moved = shift_image(stack, (1, -2.5, 3.25))
    np.testing.assert_allclose(find_shift(moved, stack), (-1, 2.5, -3.25), atol=0.05)
    # Twice the same scene side by side: only the near copy is within reach.
    twice = np.tile(SCENE, (1, 2))
    assert abs(find_shift(np.roll(twice, 3, axis=1), twice, largest=5)[1] + 3) < 0.1


def test_whole_shifts_are_exact_and_zero_changes_nothing():
    np.testing.assert_allclose(shift_image(SCENE, (0, 0)), SCENE, rtol=1e-6, atol=1e-4)
    moved = shift_image(SCENE, (3, -5))
    np.testing.assert_allclose(moved[3:, :-5], SCENE[:-3, 5:], atol=1e-3)


def test_shapes_have_to_fit():
    with pytest.raises(InputError, match="equal"):
        find_shift(SCENE, SCENE[1:])
    with pytest.raises(InputError, match="3 shifts"):
        shift_image(SCENE, (1, 2, 3))
