"""The engine from the outside: any kind of array, every kind of mistake."""

import json
import warnings

import dask.array as da
import numpy as np
import pytest
import torch
import zarr

import napari_deconv as nd
from napari_deconv.engine import Job
from problems import gaussian_psf, photographed, relative_rmse, spots

PSF = gaussian_psf((7, 9), (1.2, 1.6))
IMAGE = photographed(spots((40, 44)), PSF)
# Those that anyone would use without being warned, and that this PSF means anything to.
METHODS = [n for n, method in nd.methods().items() if method.needs_psf and not method.warning]


def rl(image=IMAGE, psf=PSF, **options):
    options.setdefault("iterations", 5)
    return nd.restore(image, "richardson-lucy", psf=psf, **options)


@pytest.mark.parametrize(
    "dtype", [bool, "u1", "i2", "u2", "i4", "u4", "f2", "f4", "f8", ">u2", ">f4"]
)
def test_any_real_type_works(dtype):
    image = (IMAGE > 20) if dtype is bool else np.clip(IMAGE, 0, 120).astype(dtype)
    reference = rl(image.astype(np.float64))
    before = image.copy()
    result = rl(image)
    assert result.dtype == np.float32
    assert result.shape == image.shape
    np.testing.assert_array_equal(image, before)
    assert relative_rmse(result, reference) < 1e-6


def test_memory_layout_does_not_matter():
    for view in (IMAGE.T.copy().T, np.repeat(IMAGE, 2, axis=1)[:, ::2], IMAGE[::-1][::-1]):
        np.testing.assert_array_equal(rl(view), rl())


def test_read_only_input_is_fine_and_stays_as_it_is():
    image = IMAGE.copy()
    image.flags.writeable = False
    for method in METHODS:
        options = {"iterations": 3} if nd.methods()[method].iterative else {}
        nd.restore(image, method, psf=PSF, **options)
    np.testing.assert_array_equal(image, IMAGE)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("borders", ["extended", "reflect", "circular", "zero"])
def test_every_method_sharpens_with_every_border(method, borders):
    truth = spots((40, 44))
    # On so few pixels the photons of Landweber's small steps cannot be told from each other.
    options = {"iterations": 100} if method == "landweber" else {}
    result = nd.restore(IMAGE, method, psf=PSF, borders=borders, background=2.0, **options)
    assert result.shape == IMAGE.shape
    before = relative_rmse(IMAGE - 2.0, truth)
    assert relative_rmse(result, truth) < 0.95 * before
    assert float(result.sum()) == pytest.approx(float((IMAGE - 2).sum()), rel=0.1)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_results_are_in_the_inputs_own_units(scale):
    assert relative_rmse(rl(IMAGE * scale) / scale, rl()) < 1e-4


@pytest.mark.parametrize("method", ["wiener", "tikhonov-miller", "richardson-lucy"])
def test_what_is_automatic_is_told_by_a_frame_that_shows_something(method):
    series = np.stack([IMAGE, 0 * IMAGE, IMAGE[::-1]])
    for image in (series, da.from_array(series, chunks=(1, 40, 44))):
        result = nd.restore(image, method, PSF)
        np.testing.assert_allclose(result[0], nd.restore(IMAGE, method, PSF), rtol=1e-5, atol=1e-3)
        assert np.abs(result[1]).max() < 1e-3 * result[0].max()


def test_time_and_channels_are_frames():
    series = np.stack([np.stack([IMAGE, 2 * IMAGE]), np.stack([IMAGE + 1, IMAGE[::-1]])])
    result = rl(series)
    for frame in np.ndindex(2, 2):
        np.testing.assert_allclose(result[frame], rl(series[frame]), rtol=1e-5, atol=1e-4)


def test_every_channel_may_have_its_psf():
    other = gaussian_psf((5, 5), 0.8)
    series = np.stack([np.stack([IMAGE, 2 * IMAGE])] * 3)  # time, channel
    result = rl(series, psf=[PSF, other])
    np.testing.assert_allclose(result[1, 0], rl(IMAGE), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(result[2, 1], rl(2 * IMAGE, other), rtol=1e-5, atol=1e-4)
    stack = photographed(spots((6, 20, 20), margin=1), gaussian_psf((3, 5, 5), 1))
    psfs = np.stack([gaussian_psf((3, 5, 5), s) for s in (0.8, 1.4)])
    result = rl(np.stack([stack, stack]), psf=psfs)
    np.testing.assert_allclose(result[1], rl(stack, psfs[1]), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", ["dask", "zarr"])
def test_lazy_arrays_are_read_block_by_block(kind):
    blocks = []

    class Watched:
        shape, dtype, ndim = IMAGE.shape, IMAGE.dtype, 2

        def __getitem__(self, index):
            block = array[index]
            blocks.append(block.shape)
            return block

    array = (
        da.from_array(IMAGE, chunks=16) if kind == "dask" else zarr.array(IMAGE, chunks=(16, 16))
    )
    result = rl(Watched(), tiles=(16, 16), gain=1.0)
    np.testing.assert_allclose(result, rl(tiles=(16, 16), gain=1.0), rtol=1e-5, atol=1e-4)
    restored = [s for s in blocks if s != IMAGE.shape]
    # Nine blocks: once for the light of the whole image, once to be restored.
    assert len(restored) == 18
    assert max(np.prod(s) for s in restored) <= 34 * 34


def test_a_psf_of_another_spacing_is_resampled():
    fine = gaussian_psf((33, 33), 4.0)  # 0.05 um
    right = rl(psf=gaussian_psf((17, 17), 2.0))
    resampled = rl(psf=fine, spacing=(0.1, 0.1), psf_spacing=(0.05, 0.05))
    taken_as_it_is = rl(psf=fine)
    assert relative_rmse(resampled, right) < 0.02 < relative_rmse(taken_as_it_is, right)


def test_moving_the_psf_moves_the_result_the_other_way():
    image = np.pad(IMAGE, 12)
    wide = np.pad(PSF, 4)
    moved = rl(image, np.roll(wide, (2, -1), axis=(0, 1)), borders="circular")
    still = rl(image, wide, borders="circular")
    np.testing.assert_allclose(moved, np.roll(still, (-2, 1), axis=(0, 1)), rtol=1e-3, atol=1e-2)


def test_background_is_in_the_model_or_subtracted():
    """A number, or an image of it; what the dark voxels tell is at least as good."""
    image = IMAGE + 98
    for method in ("richardson-lucy", "wiener"):
        options = {"iterations": 20} if method == "richardson-lucy" else {"noise_to_signal": 0.01}
        number = nd.restore(image, method, psf=PSF, background=100, **options)
        array = nd.restore(
            image, method, psf=PSF, background=np.full(image.shape, 100.0), **options
        )
        found, details = nd.restore(
            image, method, psf=PSF, background="auto", details=True, **options
        )
        ignored = nd.restore(image, method, psf=PSF, **options)
        np.testing.assert_allclose(array, number, rtol=1e-4, atol=1e-2)
        assert details.background == pytest.approx(100, abs=3)
        truth = spots((40, 44))
        assert relative_rmse(found, truth) < 1.02 * relative_rmse(number, truth)
        assert ignored.min() > 30 > number.min()


@pytest.mark.parametrize("method", METHODS)
def test_the_cameras_offset_is_subtracted_first(method):
    options = {"iterations": 5} if nd.methods()[method].iterative else {}
    expected = nd.restore(IMAGE, method, psf=PSF, **options)
    found = nd.restore(IMAGE + 100, method, psf=PSF, offset=100, **options)
    # A network makes more of rounding than a formula does, and so does a strength that is found by
    # a small change of the image.
    coarse = nd.methods()[method].group == "learned" or method == "plug-and-play"
    assert relative_rmse(found, expected) < (1e-3 if coarse else 1e-4)


def test_an_offset_that_is_found_is_where_the_noise_vanishes():
    """Haze is light, has noise, and is no part of it."""
    rng = np.random.default_rng(8)
    light = 20 + 200 * np.clip(np.sin(np.arange(160) / 9), 0, 1)[:, None] * np.ones((160, 150))
    image = 2.0 * rng.poisson(light) + 100
    result = rl(image, offset="auto")
    assert float(result.mean()) == pytest.approx(float(image.mean()) - 100, abs=8)
    assert np.quantile(image, 0.05) > 125  # the darkest level, which haze has raised


@pytest.mark.parametrize(
    ("image", "psf", "message"),
    [
        (np.where(np.eye(40, 44) > 0, np.nan, IMAGE), PSF, "NaN"),
        (np.where(np.eye(40, 44) > 0, np.inf, IMAGE), PSF, "infinity"),
        (np.zeros((40, 44, 3), np.uint8), PSF, "RGB"),
        (np.zeros((0, 44)), PSF, "empty"),
        (np.zeros((40, 44)), PSF, "constant"),
        (np.full((40, 44), 7, np.uint16), PSF, "constant"),
        (IMAGE * 1e30, PSF, "between 1e-12 and 1e15. Multiply"),
        (IMAGE * 1e-30, PSF, "between 1e-12 and 1e15. Multiply"),
        (np.zeros(44), PSF, "1 axis"),
        (IMAGE.astype(complex), PSF, "complex"),
        (np.array([["a", "b"]]), PSF, "grey values"),
        (IMAGE, None, "needs a PSF"),
        (IMAGE, np.zeros((5, 5)), "zero everywhere"),
        (IMAGE, np.full((5, 5), np.nan), "NaN"),
        (IMAGE, np.ones((3, 5, 5)), "2 axes, but the PSF has 3"),
        (IMAGE, [PSF, PSF, PSF], "3 PSFs for 1 channel"),
    ],
)
def test_what_cannot_be_restored_says_why(image, psf, message):
    with pytest.raises(nd.InputError, match=message):
        rl(image, psf)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("richardson-lucie", {}, "Did you mean 'richardson-lucy'"),
        ("richardson-lucy", {"iteration": 3}, "Did you mean 'iterations'"),
        ("richardson-lucy", {"iterations": 0}, "between 1 and"),
        ("richardson-lucy", {"iterations": "many"}, "whole number"),
        ("richardson-lucy", {"borders": "round"}, "extended, reflect"),
        ("wiener", {"iterations": 3}, "no parameter 'iterations'"),
        ("wiener", {"noise_to_signal": -1}, "between"),
        ("richardson-lucy", {"device": "tpu"}, "kind of device"),
        ("richardson-lucy", {"device": "cuda:99"}, "CUDA device"),
        ("richardson-lucy", {"spacing": (0.1,) * 2, "psf_spacing": (0.0, 0.1)}, "psf_spacing"),
        ("richardson-lucy", {"psf_centre": (99, 99)}, "psf_centre"),
        ("richardson-lucy", {"background": np.zeros((3, 3))}, "another shape"),
        ("richardson-lucy", {"tiles": (16, 16, 16)}, "tiles"),
    ],
)
def test_what_cannot_be_meant_says_so(method, options, message):
    with pytest.raises(nd.DeconvolutionError, match=message):
        nd.restore(IMAGE, method, psf=PSF, **options)


def test_negative_values_are_told_and_count_as_zero():
    image = IMAGE - 5
    with pytest.warns(UserWarning, match="below zero"):
        result = rl(image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(result, rl(np.maximum(image, 0)))


def test_a_background_below_zero_counts_as_none():
    image = IMAGE - np.median(IMAGE)
    background = np.full(image.shape, -3.0, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with_it = rl(image, background=background)
        without = rl(image, background=np.zeros_like(background))
    np.testing.assert_array_equal(with_it, without)


def test_a_psf_larger_than_the_image_is_told_and_works():
    small = IMAGE[10:18, 10:20]
    with pytest.warns(UserWarning, match="larger than the image"):
        result = rl(small, np.pad(gaussian_psf((41, 41), 3.0), 20))
    assert result.shape == small.shape
    assert np.isfinite(result).all()


def test_one_plane_and_one_row():
    with pytest.warns(UserWarning, match="larger than the image"):
        assert rl(IMAGE[:1]).shape == (1, 44)
    stack = photographed(spots((1, 30, 30), margin=0), gaussian_psf((1, 5, 5), 1))
    assert rl(stack, gaussian_psf((1, 5, 5), 1)).shape == (1, 30, 30)


def test_details_tell_what_was_done():
    result, details = rl(iterations=12, details=True, background=1.0)
    assert details.iterations == 12
    assert details.parameters["background"] == 1.0
    assert details.parameters["iterations"] == 12
    assert details.psf.sum() == pytest.approx(1)
    assert details.blocks == 1
    record = json.loads(json.dumps(details.provenance))
    assert record["method"] == "richardson-lucy"
    assert record["parameters"]["borders"] == "extended"
    assert record["image_shape"] == [40, 44]
    assert len(record["psf_sha256"]) == 64
    assert record["seconds"] > 0
    again = nd.restore(IMAGE, record["method"], psf=PSF, **_arguments(record["parameters"]))
    np.testing.assert_array_equal(again, result)


def _arguments(parameters):
    return {k: v for k, v in parameters.items() if v is not None}


def test_a_callback_sees_the_steps_and_may_stop_the_job():
    seen = []
    rl(callback=seen.append)
    assert seen[-1].fraction == 1
    assert seen[-1].iteration == 5

    def stop(step):
        raise KeyboardInterrupt

    threads = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        rl(callback=stop, iterations=1000, threads=1)
    assert torch.get_num_threads() == threads
    rl()  # the device is free again


def test_grad_mode_and_threads_are_left_alone():
    threads = torch.get_num_threads()
    job = Job(IMAGE, "richardson-lucy", PSF, iterations=1000, threads=1)
    steps = job.steps()
    next(steps)
    assert torch.is_grad_enabled()
    steps.close()
    assert torch.get_num_threads() == threads
