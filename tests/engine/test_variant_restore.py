"""Restoring with a PSF that changes over the field: every method, tiles, regions, forecasts."""

import numpy as np
import pytest

import napari_deconv as nd
from napari_deconv.engine import Job
from napari_deconv.errors import InputError, ParameterError
from napari_deconv.optics.variant import VariantPsf
from napari_deconv.registry import methods
from problems import decibels
from variant_field import blurred, corner_psfs, grid_places

SHAPE = (96, 88)
ITERATIVE = [m for m in methods().values() if m.iterative and m.group != "learned"]
DIRECT = [m for m in methods().values() if not m.iterative and m.group != "learned"]


@pytest.fixture(scope="module")
def model():
    places = grid_places(SHAPE, 7)
    return VariantPsf.from_psfs(
        corner_psfs(places, SHAPE), places, SHAPE, tolerance=3e-3, align=False
    )


@pytest.fixture(scope="module")
def scene():
    """Spots and a haze: the truth, and its image with photon noise."""
    rng = np.random.default_rng(0)
    truth = np.zeros(SHAPE)
    truth[tuple(rng.integers(4, n - 4, 160) for n in SHAPE)] = rng.uniform(3000, 9000, 160)
    image = blurred(truth, lambda places: corner_psfs(places, SHAPE))
    return truth, rng.poisson(image + 2).astype(np.float32)


def smooth(array):
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(array, 0.8)


@pytest.mark.parametrize("method", ITERATIVE, ids=lambda m: m.id)
def test_every_iterative_method_takes_it(method, model, scene):
    truth, image = scene
    result = nd.restore(image, method.id, model, iterations=6)
    assert np.isfinite(result).all()
    assert result.shape == image.shape
    assert np.corrcoef(smooth(result).ravel(), smooth(truth).ravel())[0, 1] > 0.5


@pytest.mark.parametrize("method", DIRECT, ids=lambda m: m.id)
@pytest.mark.filterwarnings("ignore:The naive inverse filter")
def test_direct_filters_say_why_they_cannot(method, model, scene):
    with pytest.raises(InputError, match="changes from place to place"):
        nd.restore(scene[1], method.id, model)


@pytest.mark.parametrize(
    ("method", "options"),
    [("richardson-lucy", {"background": 2.0, "iterations": 60}), ("fista", {"iterations": 60})],
)
def test_it_is_better_than_the_mean_psf(method, options, model, scene):
    truth, image = scene
    scores = [
        decibels(smooth(nd.restore(image, method, psf, **options)), smooth(truth))
        for psf in (model, model.mean)
    ]
    assert scores[0] > scores[1] + 1


@pytest.mark.parametrize("borders", ["extended", "reflect", "circular", "zero"])
@pytest.mark.parametrize("order", ["product-convolution", "convolution-product"])
def test_borders_and_orders(borders, order, scene):
    places = grid_places(SHAPE, 3)
    psf = VariantPsf.from_psfs(corner_psfs(places, SHAPE), places, SHAPE, order=order, terms=3)
    result = nd.restore(scene[1], "richardson-lucy", psf, iterations=3, borders=borders)
    assert np.isfinite(result).all()
    assert result.min() >= 0


def test_tiles_are_seamless(model, scene):
    whole = nd.restore(scene[1], "landweber", model, iterations=5, tiles=None)
    tiled = nd.restore(scene[1], "landweber", model, iterations=5, tiles=(48, 40))
    error = np.abs(tiled - whole).max() / np.abs(whole).max()
    assert error < 0.02


def test_a_region_sees_the_psf_of_its_place(model, scene):
    """The preview of a corner is the corner of the whole."""
    region = (slice(60, 96), slice(52, 88))
    whole = nd.restore(scene[1], "landweber", model, iterations=5)
    job = Job(scene[1], "landweber", model, region=region, iterations=5)
    for _ in job.steps():
        pass
    assert np.abs(job.result - whole[region]).max() < 0.02 * np.abs(whole).max()
    # With the PSF of another place it would not be.
    elsewhere = nd.restore(scene[1], "landweber", model.mean, iterations=5)[region]
    assert np.abs(elsewhere - whole[region]).max() > 0.05 * np.abs(whole).max()


def test_frames_and_details(model, scene):
    image = np.stack([scene[1], scene[1] / 2])
    result, details = nd.restore(image, "richardson-lucy", model, iterations=3, details=True)
    np.testing.assert_allclose(result[1], result[0] / 2, rtol=0.05, atol=1)
    assert details.psf.sum() == pytest.approx(1)
    assert details.provenance["psf_shape"] == list(details.psf.shape)


def test_forecast_counts_the_terms(model, scene):
    plain = Job(scene[1], "richardson-lucy", model.mean, iterations=5).forecast
    variant = Job(scene[1], "richardson-lucy", model, iterations=5).forecast
    grid = 4 * (SHAPE[0] + 32) * (SHAPE[1] + 32)
    assert variant.memory_bytes > plain.memory_bytes + len(model.components) * grid
    assert variant.seconds_per_iteration > 1.5 * plain.seconds_per_iteration


def test_automatic_everything(model, scene):
    """Held-out photons, strengths found by trying: all of it knows where it is in the field."""
    for method in ("richardson-lucy", "tikhonov-miller"):
        result = nd.restore(scene[1], method, model)
        assert np.isfinite(result).all()


def test_sweep_of_a_region(model, scene):
    from napari_deconv.engine.settings import Setting
    from napari_deconv.engine.sweep import Sweep

    region = (slice(50, 90), slice(44, 84))
    setting = Setting("richardson-lucy", {"iterations": 4})
    (found,) = list(Sweep(scene[1], model, [setting], region=region))
    assert found.error == ""
    whole = nd.restore(scene[1], "richardson-lucy", model, iterations=4)[region]
    assert np.abs(found.thumbnail - whole)[4:-4, 4:-4].max() < 0.05 * whole.max()


def test_what_does_not_fit(model, scene):
    with pytest.raises(InputError, match="was made for images of"):
        nd.restore(scene[1][:50], "richardson-lucy", model)
    with pytest.raises(ParameterError, match="psf_centre"):
        nd.restore(scene[1], "richardson-lucy", model, psf_centre="peak")
    from dataclasses import replace

    spaced = replace(model, spacing=(0.1, 0.1))
    with pytest.raises(InputError, match="Make it at the image's voxel size"):
        nd.restore(scene[1], "richardson-lucy", spaced, spacing=(0.2, 0.2))


def test_lights(model, scene):
    """What is looked at before a job knows such a PSF, too."""
    from napari_deconv.engine.preflight import preflight

    lights = preflight(scene[1], psf=model, method="richardson-lucy")
    assert not [light for light in lights if light.level == "stop"]
    lights = preflight(scene[1], psf=model, method="wiener")
    assert any("changes from place to place" in light.text for light in lights)


def test_a_stack_whose_psf_changes_with_depth():
    """Planes far down are blurred more; each gets its own PSF, in the whole as in tiles."""
    from problems import gaussian_psf

    shape = (24, 40, 40)
    depths = np.array([0.0, 8.0, 16.0, 23.0])
    psfs = [gaussian_psf((9, 13, 13), (1.2, 0.9 + 0.06 * d, 0.9 + 0.06 * d)) for d in depths]
    places = np.stack([depths, np.full(4, 20.0), np.full(4, 20.0)], axis=1)
    psf = VariantPsf.from_psfs(psfs, places, shape, tolerance=1e-3)
    rng = np.random.default_rng(0)
    truth = np.zeros(shape)
    truth[tuple(rng.integers(5, n - 5, 40) for n in shape)] = 50000
    image = np.zeros([n + 12 for n in shape])
    for z, y, x in np.argwhere(truth):
        image[z + 2 : z + 11, y : y + 13, x : x + 13] += truth[z, y, x] * psf.at((z, y, x))
    image = rng.poisson(image[6:-6, 6:-6, 6:-6] + 1).astype(np.float32)
    options = {"iterations": 100, "background": 1.0}
    scores = [
        decibels(smooth(nd.restore(image, "richardson-lucy", each, **options)), smooth(truth))
        for each in (psf, psf.mean)
    ]
    assert scores[0] > scores[1] + 0.5
    whole = nd.restore(image, "landweber", psf, iterations=4, tiles=None)
    tiled = nd.restore(image, "landweber", psf, iterations=4, tiles=(12, 20, 20))
    assert np.abs(tiled - whole).max() < 0.02 * np.abs(whole).max()
