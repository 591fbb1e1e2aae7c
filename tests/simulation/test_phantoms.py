"""Phantoms: the truth is where they say it is."""

import numpy as np
import pytest
from scipy.ndimage import center_of_mass, label

from napari_deconv.errors import ParameterError
from napari_deconv.simulation import phantoms

DRAW = {
    "filaments": phantoms.filaments,
    "beads": lambda *args, **options: phantoms.beads(*args, diameter=4, **options)[0],
    "nuclei": phantoms.nuclei,
    "shells": phantoms.shells,
    "haze": phantoms.haze,
}


@pytest.mark.parametrize("kind", DRAW)
@pytest.mark.parametrize("shape", [(65, 80), (12, 40, 50)])
def test_each_phantom_is_drawn_from_its_seed_between_zero_and_one(kind, shape):
    spacing = (1.0,) * 2 if len(shape) == 2 else (3.0, 1.0, 1.0)
    volume = DRAW[kind](shape, spacing=spacing, seed=2)
    assert volume.shape == shape
    assert volume.dtype == np.float32
    assert volume.min() >= 0
    assert 0.5 < volume.max() <= 1
    np.testing.assert_array_equal(volume, DRAW[kind](shape, spacing=spacing, seed=2))
    assert (volume != DRAW[kind](shape, spacing=spacing, seed=3)).any()


@pytest.mark.parametrize(
    ("shape", "spacing", "diameter"),
    [((60, 60), (1, 1), 3.0), ((30, 60, 60), (0.2, 0.1, 0.1), 0.4)],
)
def test_beads_lie_where_they_are_said_to_and_have_their_volume(shape, spacing, diameter):
    volume, positions = phantoms.beads(
        shape, count=6, diameter=diameter, separation=8 * max(spacing), spacing=spacing, seed=1
    )
    assert len(positions) == 6
    parts, count = label(volume)
    assert count == 6
    found = np.array(center_of_mass(volume, parts, range(1, count + 1)))
    for position in positions:
        assert np.linalg.norm(found - position, axis=1).min() < 0.03
    ball = np.pi * diameter**2 / 4 if len(shape) == 2 else np.pi * diameter**3 / 6
    assert volume.sum() * np.prod(spacing) == pytest.approx(6 * ball, rel=0.02)


def test_given_positions_are_kept():
    volume, positions = phantoms.beads((21, 21), positions=[(10.25, 8.5)], diameter=4)
    np.testing.assert_array_equal(positions, [(10.25, 8.5)])
    np.testing.assert_allclose(center_of_mass(volume), (10.25, 8.5), atol=0.02)


def test_shells_are_hollow_and_spheres_keep_their_diameter_on_any_grid():
    shell = phantoms.shells((40, 80, 80), count=1, diameter=24, thickness=3, spacing=(1, 0.5, 0.5))
    middle = np.rint(center_of_mass(shell)).astype(int)
    assert shell[tuple(middle)] == 0
    widths = [np.ptp(np.nonzero(shell)[axis]) + 1 for axis in range(3)]
    for width, size in zip(widths, (1, 0.5, 0.5), strict=True):
        assert 0.7 * 24 < width * size < 26


def test_haze_has_the_scale_asked_for():
    smooth, rough = (phantoms.haze((128, 128), scale=scale) for scale in (30, 5))
    slopes = [np.abs(np.diff(field)).mean() / field.std() for field in (smooth, rough)]
    # A Gaussian field of scale s changes by about 1/s of its deviation from pixel to pixel.
    assert slopes[1] / slopes[0] == pytest.approx(6, rel=0.3)


def test_a_filament_has_its_width():
    volume = phantoms.filaments((64, 64), count=1, width=6, persistence=1e6, seed=1)
    area = volume.sum() / volume.max()
    thin = phantoms.filaments((64, 64), count=1, width=3, persistence=1e6, seed=1)
    assert area / (thin.sum() / thin.max()) == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize(
    ("shape", "spacing"), [((10,), None), ((10, 0), None), ((9, 9), (1, 1, 1)), ((9, 9), (1, 0))]
)
def test_impossible_grids_are_refused(shape, spacing):
    with pytest.raises(ParameterError):
        phantoms.haze(shape, spacing=spacing)
