from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_deconv.optics.pixels import Pixels

sizes = st.integers(1, 12)


@given(sizes, sizes, st.sampled_from([(0.1, 0.1), (0.1, 0.13), (0.3, 0.2)]))
def test_unfolding_reaches_every_pixel_at_its_own_distance(ny, nx, spacing):
    pixels = Pixels((ny, nx), spacing)
    distance = np.hypot(pixels.y, pixels.x).astype(np.float32)
    plane = np.full((ny, nx), np.nan, np.float32)
    pixels.unfold(distance, plane)
    y, x = (step * (np.arange(n) - n // 2) for n, step in zip((ny, nx), spacing, strict=True))
    np.testing.assert_allclose(plane, np.hypot(y[:, None], x), rtol=1e-6)


@given(sizes, sizes, st.booleans())
def test_each_distinct_pixel_knows_how_many_it_stands_for(ny, nx, square):
    pixels = Pixels((ny, nx), (1.0, 1.0 if square else 0.7))
    plane = np.empty((ny, nx), np.float32)
    for number in range(pixels.counts.size):
        pixels.unfold((np.arange(pixels.counts.size) == number).astype(np.float32), plane)
        assert plane.sum() == pixels.counts[number]


def test_square_pixels_need_an_octant_only():
    assert Pixels((256, 256), (0.1, 0.1)).counts.size == 129 * 130 // 2
    assert Pixels((256, 256), (0.1, 0.2)).counts.size == 129**2
