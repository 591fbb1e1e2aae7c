import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.errors import InputError
from napari_deconv.operators.kernel import prepare_kernel
from problems import gaussian_psf


def centroid(kernel):
    """The centroid relative to the origin."""
    grids = np.indices(kernel.array.shape)
    place = [(g * kernel.array).sum() for g in grids]
    return np.array(place) - kernel.origin


@settings(max_examples=30, deadline=None)
@given(shape=st.tuples(st.integers(15, 24), st.integers(15, 24)), scale=st.floats(1e-6, 1e6))
def test_sum_is_one_and_the_origin_is_n_over_2(shape, scale):
    kernel = prepare_kernel(gaussian_psf(shape, 1.5) * scale)
    assert kernel.array.sum() == pytest.approx(1)
    assert kernel.origin == tuple(n // 2 for n in shape)
    np.testing.assert_allclose(centroid(kernel), 0, atol=1e-3)


@pytest.mark.parametrize("shift", [0.0, 0.3, -0.45, 2.0])
def test_centroid_centres_to_a_fraction_of_a_voxel(shift):
    kernel = prepare_kernel(gaussian_psf((20, 21, 22), 1.8, shift), centre="centroid")
    np.testing.assert_allclose(centroid(kernel), 0, atol=0.02)


def test_peak_and_index_given():
    psf = gaussian_psf((16, 17), 1.2, shift=3)
    assert prepare_kernel(psf, centre="peak").origin == (11, 11)
    assert prepare_kernel(psf, centre=(8, 9)).origin == (8, 9)
    with pytest.raises(InputError, match="not a voxel"):
        prepare_kernel(psf, centre=(8, 17))


def test_a_cameras_offset_goes_and_a_box_stays():
    counts = np.rint(1000 * gaussian_psf((31, 31), 2) / gaussian_psf((31, 31), 2).max()) + 100
    kernel = prepare_kernel(counts.astype(np.uint16))
    assert kernel.array[0, 0] == 0
    assert "offset of 100" in kernel.notes[0]
    box = prepare_kernel(np.ones((5, 5), np.uint8))
    np.testing.assert_allclose(box.array, 1 / 25)
    floats = prepare_kernel(counts / 7)
    assert floats.array[0, 0] > 0  # not touched, but told
    assert "camera's offset" in floats.warnings[0]
    told = prepare_kernel(counts / 7, background=100 / 7)
    assert told.array[0, 0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("ratio", [0.5, 1.5, 2.0, 3.0])
def test_resampling_keeps_width_and_centre(ratio):
    """A Gaussian of 0.3 um stays one of 0.3 um, widened only by the voxel that integrates it."""
    psf = gaussian_psf((61, 61), 6.0)  # 0.05 um voxels
    spacing = 0.05 * ratio
    kernel = prepare_kernel(psf, spacing=(spacing,) * 2, psf_spacing=(0.05, 0.05))
    grids = np.indices(kernel.array.shape) - np.array(kernel.origin)[:, None, None]
    variance = (kernel.array * grids[0] ** 2).sum() * spacing**2
    pixel = spacing**2 / 12 if ratio > 1 else 0.0
    assert variance == pytest.approx(0.3**2 + pixel, rel=0.02)
    np.testing.assert_allclose(centroid(kernel), 0, atol=1e-5)
    assert "resampled" in kernel.notes[0]


def test_the_same_spacing_with_other_digits_is_the_same():
    psf = gaussian_psf((9, 9), 1)
    kernel = prepare_kernel(psf, spacing=(0.1, 0.1), psf_spacing=(0.1000001, 0.0999999))
    np.testing.assert_allclose(kernel.array, psf)


@settings(max_examples=30, deadline=None)
@given(energy=st.floats(0.9, 0.9999))
def test_cropping_keeps_the_energy_it_promises(energy):
    psf = gaussian_psf((40, 60), (3.0, 2.0))
    kernel = prepare_kernel(psf, energy=energy)
    corner = np.array([20, 30]) - kernel.origin
    stop = corner + kernel.array.shape
    kept = psf[corner[0] : stop[0], corner[1] : stop[1]].sum()
    assert kept >= energy - 1e-9
    assert kernel.array.size < psf.size
    assert kernel.array[kernel.origin] == kernel.array.max()


def test_reach():
    kernel = prepare_kernel(np.ones((9, 31)), reach=(20, 5))
    assert kernel.array.shape == (9, 11)
    assert kernel.origin == (4, 5)
    assert "larger than the image" in kernel.warnings[0]


@pytest.mark.parametrize(
    ("psf", "message"),
    [
        (np.zeros((5, 5)), "zero everywhere"),
        (np.full((5, 5), np.nan), "NaN"),
        (np.ones(5), "1 axes"),
        (np.ones((2, 2, 2, 2)), "4 axes"),
        (np.ones((0, 5)), "empty"),
        (np.ones((5, 5), complex), "real numbers"),
        (-np.ones((5, 5)), "zero everywhere"),
    ],
)
def test_no_psf_in_it(psf, message):
    with pytest.raises(InputError, match=message):
        prepare_kernel(psf)
