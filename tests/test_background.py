"""Background: the formula, its invariants, and known backgrounds."""

import numpy as np
import pytest
import pywt
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.background import estimate_background, estimate_offset, usable_level
from napari_deconv.errors import InputError, ParameterError
from napari_deconv.simulation import record, simulate
from napari_deconv.simulation.imaging import convolve
from napari_deconv.simulation.phantoms import beads, filaments, haze, nuclei

quiet = pytest.mark.filterwarnings("ignore:Planes of")


def gaussian(sigma: float) -> np.ndarray:
    squared = sum(axis**2 for axis in np.ogrid[-12:13, -12:13])
    return np.exp(-squared / (2 * sigma**2))


def by_the_book(image: np.ndarray, level: int, iterations: int, over_mean: str) -> np.ndarray:
    """CiDeR 3.4.1 in pywt's own words, for one plane."""

    def lowest_band(values: np.ndarray) -> np.ndarray:
        bands = pywt.wavedec2(values, "db6", level=level)
        empty = [tuple(np.zeros_like(band) for band in bands_) for bands_ in bands[1:]]
        smooth = pywt.waverec2([bands[0], *empty], "db6")
        return smooth[: values.shape[0], : values.shape[1]]

    dark = np.percentile(image, 1)
    y = (image - dark) / (image.max() - dark)
    r = np.minimum(y, y.mean()) if over_mean == "mean" else np.where(y > y.mean(), 0, y)
    for _ in range(iterations):
        r = np.minimum(lowest_band(r), np.sqrt(np.maximum(y, 0)) / 2)
    return np.maximum(lowest_band(r), 0) * (image.max() - dark) + dark


@quiet
@pytest.mark.parametrize("shape", [(64, 64), (97, 64), (45, 130), (33, 31)])
@pytest.mark.parametrize("over_mean", ["mean", "zero"])
@pytest.mark.filterwarnings("ignore:Level value")
def test_it_is_the_wavelet_transform_of_the_paper(shape, over_mean):
    image = np.random.default_rng(0).gamma(1.0, 50.0, shape)
    level = usable_level(shape)
    expected = by_the_book(image, level, 3, over_mean)
    found = estimate_background(image, over_mean=over_mean)
    np.testing.assert_allclose(found, expected, atol=1e-5 * image.max())


@quiet
@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    scale=st.floats(1e-4, 1e5),
    offset=st.floats(-10, 10),
)
def test_units_and_offset_do_not_matter_at_any_shape(height, width, scale, offset):
    image = np.random.default_rng(height).gamma(1.0, 1.0, (height, width)).astype(np.float32)
    background = estimate_background(image)
    assert background.shape == image.shape
    assert background.dtype == np.float32
    other = estimate_background(scale * (image + np.float32(offset)))
    np.testing.assert_allclose(other / scale - offset, background, atol=2e-4)


@quiet
def test_stacks_go_plane_by_plane_and_stay_as_they_were():
    stack = np.random.default_rng(1).poisson(30, (2, 3, 40, 50)).astype(np.uint16)
    before = stack.copy()
    background = estimate_background(stack)
    np.testing.assert_array_equal(stack, before)
    np.testing.assert_allclose(background[1, 2], estimate_background(stack[1, 2]), rtol=1e-5)
    constant = estimate_background(np.broadcast_to(np.float32(7), (4, 32, 32)))
    np.testing.assert_array_equal(constant, np.full((4, 32, 32), 7, np.float32))


def hazy_scene(depth: float, *, even: bool) -> tuple[np.ndarray, np.ndarray]:
    shape = (256, 256)
    glow = np.full(shape, depth) if even else depth * haze(shape, scale=50, seed=4)
    light = convolve(filaments(shape, count=8, seed=3), gaussian(1.5).astype(np.float32))
    expected = np.maximum(100 * light / light.max(), 0) + glow
    return record(expected, bits=None), glow + 100


def error_of(background: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((background - truth) ** 2)))


def test_even_haze_is_found_and_structure_is_left():
    image, truth = hazy_scene(20, even=True)
    assert error_of(estimate_background(image), truth) < 1.5


def test_uneven_haze_is_followed_and_further_passes_follow_it_closer():
    image, truth = hazy_scene(80, even=False)
    errors = [error_of(estimate_background(image, passes=passes), truth) for passes in (1, 5)]
    assert errors[0] < 0.95 * truth.std()
    assert errors[1] < 0.55 * truth.std()
    # The other reading of the paper does worse than the best constant.
    assert error_of(estimate_background(image, over_mean="zero"), truth) > truth.std()


def test_passes_are_repeats_on_the_remainder():
    image, _ = hazy_scene(40, even=False)
    first = estimate_background(image)
    expected = first + estimate_background(image - first)
    np.testing.assert_allclose(estimate_background(image, passes=2), expected, atol=1e-3)
    nuclear = nuclei((256, 256), count=6, diameter=40) * 100
    for passes in (1, 8):
        taken = estimate_background(nuclear, passes=passes)[nuclear > 20].mean()
        assert taken < 0.15 * nuclear[nuclear > 20].mean()


def test_too_small_planes_use_fewer_levels_and_say_so():
    image = np.random.default_rng(0).random((100, 300))
    with pytest.warns(UserWarning, match="100 x 300 pixels are too small for 7 .* 5 are used"):
        found = estimate_background(image)
    np.testing.assert_array_equal(found, estimate_background(image, level=5))
    assert [usable_level((n, 999)) for n in (1, 4, 16, 255, 256, 999)] == [1, 1, 3, 6, 7, 7]
    assert usable_level((999, 999), 2) == 2


@quiet
@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "float16", "float64", ">u2", ">f4", "bool", "uint64"]
)
def test_every_real_type_works(dtype):
    counts = np.random.default_rng(0).poisson(3, (40, 60))
    image = counts.astype(dtype)[::2, ::-1]
    expected = estimate_background(image.astype(np.float32))
    np.testing.assert_array_equal(estimate_background(image), expected)
    assert estimate_offset(image) == pytest.approx(estimate_offset(image.astype(np.float32)))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((20, 20), np.nan), "400 values that are not finite"),
        (np.where(np.eye(20) > 0, np.inf, 1.0), "20 values that are not finite"),
        (np.zeros((20, 20, 3)), "RGB"),
        (np.zeros((0, 20)), "empty"),
        (np.zeros(20), "at least Y and X"),
        (np.zeros((20, 20), complex), "grey values"),
        (np.full((20, 20), 1e300), "not finite"),
    ],
)
@pytest.mark.parametrize("function", [estimate_background, estimate_offset])
def test_bad_images_are_refused_in_plain_words(function, image, message):
    with pytest.raises(InputError, match=message):
        function(image)


@pytest.mark.parametrize(
    "options",
    [{"level": 0}, {"passes": 0}, {"iterations": 0}, {"wavelet": "haar2"}, {"method": "median"}],
)
def test_parameters_out_of_bounds_are_refused(options):
    with pytest.raises(ParameterError):
        estimate_background(np.ones((20, 20)), **options)


SCENES = {
    "dense": filaments((256, 256), count=60),
    "sparse": filaments((256, 256), count=3, seed=1),
    "beads": beads((256, 256), diameter=3.0)[0],
}


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("photons", [5, 100, 3000])
@pytest.mark.parametrize(("gain", "read_noise"), [(0.5, 1), (1, 2), (5, 5)])
def test_offset_of_a_camera_is_found(scene, photons, gain, read_noise):
    image = simulate(
        SCENES[scene], gaussian(2.0), photons=photons, gain=gain, read_noise=read_noise, offset=100
    )
    # Within a tenth of the noise, or what light there is in the darkest hundredth of the scene.
    assert estimate_offset(image) == pytest.approx(100, abs=0.3 * read_noise + 0.002 * photons)


def test_offset_follows_units_leaves_padding_out_and_keeps_zero():
    image = simulate(SCENES["sparse"], gaussian(2.0), offset=100).astype(np.float32)
    offset = estimate_offset(image)
    assert estimate_offset(3 * image + 7) == pytest.approx(3 * offset + 7, rel=1e-5)
    padded = np.pad(image, 48)
    assert estimate_offset(padded) == pytest.approx(100, abs=1.5)
    np.testing.assert_array_equal(estimate_background(image, method="constant"), np.float32(offset))
    truth = SCENES["beads"]
    assert estimate_offset(truth) == 0
    assert estimate_offset(np.full((3, 5), 7)) == 7


def test_offset_of_a_large_stack_reads_some_planes():
    stack = np.random.default_rng(0).normal(100, 3, (8, 1000, 1000)).astype(np.float32)
    stack[1::2] = 1e6  # eight million voxels: every other plane is read
    assert estimate_offset(stack) == pytest.approx(100, abs=0.3)
