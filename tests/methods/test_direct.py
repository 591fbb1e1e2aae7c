"""Direct filters: their formulas, what they must not do, and their automatic strengths."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import napari_deconv as nd
from napari_deconv.methods.naive_inverse import naive_inverse
from napari_deconv.methods.regularized_inverse import regularized_inverse
from napari_deconv.methods.tikhonov import tikhonov
from napari_deconv.methods.wiener import wiener
from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.spectra import cross_validated_weight, penalty_power
from napari_deconv.registry import Chosen, methods
from problems import circular_scene, decibels, gaussian_psf, relative_rmse, scene

METHODS = {
    "naive-inverse": (naive_inverse, "threshold"),
    "wiener": (wiener, "noise_to_signal"),
    "tikhonov": (tikhonov, "strength"),
    "regularized-inverse": (regularized_inverse, "strength"),
}
REGULARISED = [name for name in METHODS if name != "naive-inverse"]
CROOKED = np.zeros((7, 7))
CROOKED[2, 3], CROOKED[3, 4], CROOKED[5, 1] = 0.6, 0.3, 0.1


def smooth_object(shape, seed=0):
    rng = np.random.default_rng(seed)
    return 100 + 400 * gaussian_filter(rng.standard_normal(shape), 2.0, mode="wrap")


def squared_frequency(shape, spacing):
    """|omega|^2 in (radians per finest voxel)^2, on the full spectrum."""
    finest = min(spacing)
    axes = [2 * np.pi * np.fft.fftfreq(n) * finest / s for n, s in zip(shape, spacing, strict=True)]
    return sum(a**2 for a in np.meshgrid(*axes, indexing="ij"))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(24, 23), (5, 12, 11)])
def test_closed_form(name, shape):
    """Each filter is its formula, with a PSF that is neither centred nor symmetric."""
    function, weight = METHODS[name]
    rng = np.random.default_rng(0)
    spacing = (0.3, 0.1, 0.1)[-len(shape) :]
    psf = CROOKED if len(shape) == 2 else np.stack([0.2 * CROOKED, 0.8 * CROOKED[::-1]])
    data = rng.random(shape)
    value = 0.02
    kernel = np.zeros(shape)
    places = [np.arange(n) - n // 2 for n in psf.shape]
    np.add.at(kernel, np.ix_(*places), psf)
    h = np.fft.fftn(kernel)
    power = np.abs(h) ** 2
    denominator = {
        "naive-inverse": np.maximum(power, value**2),
        "wiener": power + value,
        "tikhonov": power + value,
        "regularized-inverse": power + value * squared_frequency(shape, spacing) ** 2,
    }[name]
    expected = np.fft.ifftn(np.conj(h) / denominator * np.fft.fftn(data)).real
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-6)):
        blur = Convolution(psf, shape, "circular", spacing=spacing, dtype=dtype)
        found = function(torch.from_numpy(data).to(dtype), blur, **{weight: value})
        assert relative_rmse(found.numpy(), expected) < tolerance


def test_a_measured_spectrum_weighs_each_frequency_and_leaves_the_mean():
    rng = np.random.default_rng(1)
    data = 50 + rng.standard_normal((32, 32))
    psf = gaussian_psf((9, 9), 1.5)
    blur = Convolution(psf, data.shape, "circular", dtype=torch.float64)
    # The ratio doubles from half octave to half octave, of four steps each: it is omega squared.
    highest = 2 * np.pi**2
    profile = tuple(highest / 2.0 ** (k / 4) for k in range(56))
    found = wiener(
        torch.from_numpy(data),
        blur,
        noise_to_signal=0.01,
        spectrum="radial",
        profile=profile,
        level=data.mean(),
    ).numpy()
    kernel = np.zeros(data.shape)
    kernel[:9, :9] = psf
    h = np.fft.fftn(np.roll(kernel, (-4, -4), (0, 1)))
    filtered = np.conj(h) / (np.abs(h) ** 2 + 0.01 * squared_frequency(data.shape, (1, 1)))
    expected = np.fft.ifftn(filtered * np.fft.fftn(data)).real
    assert relative_rmse(found, expected) < 1e-6
    assert found.mean() == pytest.approx(data.mean(), rel=1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_without_noise_the_object_comes_back(name):
    function, weight = METHODS[name]
    obj = torch.from_numpy(smooth_object((32, 30)))
    blur = Convolution(CROOKED, obj.shape, "circular", dtype=torch.float64)
    found = function(blur(obj), blur, **{weight: 1e-8 if name == "naive-inverse" else 1e-12})
    assert relative_rmse(found.numpy(), obj.numpy()) < 1e-6


@pytest.mark.parametrize("name", REGULARISED)
def test_a_shifted_psf_shifts_the_result_and_nothing_else(name):
    """With H^2 in place of |H|^2, as DeconvolutionLab2 has it, 12 dB are lost."""
    function, weight = METHODS[name]
    rng = np.random.default_rng(2)
    obj = torch.from_numpy(smooth_object((40, 40)))
    psf = gaussian_psf((15, 15), 1.5)
    errors = []
    for shift in ((0, 0), (1, 2)):
        moved = np.roll(psf, shift, (0, 1))
        blur = Convolution(moved, obj.shape, "circular", dtype=torch.float64)
        data = blur(torch.roll(obj, (-shift[0], -shift[1]), (0, 1)))
        noise = torch.from_numpy(np.random.default_rng(2).normal(0, 1, obj.shape))
        found = function(data + noise, blur, **{weight: 1e-3})
        errors.append(relative_rmse(torch.roll(found, shift, (0, 1)).numpy(), obj.numpy()))
    assert errors[1] == pytest.approx(errors[0], rel=0.2)
    assert errors[0] < 0.5 * relative_rmse(
        np.full(obj.shape, obj.mean()) + rng.normal(0, 1, obj.shape), obj.numpy()
    )


@pytest.mark.parametrize("name", METHODS)
def test_shifting_the_image_shifts_the_result(name):
    function, weight = METHODS[name]
    data = torch.from_numpy(np.random.default_rng(3).random((20, 18)))
    blur = Convolution(gaussian_psf((7, 7), 1.2), data.shape, "circular", dtype=torch.float64)
    found = function(data, blur, **{weight: 1e-2})
    moved = function(torch.roll(data, (3, -5), (0, 1)), blur, **{weight: 1e-2})
    assert torch.allclose(torch.roll(found, (3, -5), (0, 1)), moved, atol=1e-10)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("value", [1e-8, 1e-6, 1e-4, 1e-2, 1.0, 1e2])
@pytest.mark.parametrize("borders", ["extended", "circular", "reflect", "zero"])
def test_finite_at_any_strength(name, value, borders):
    function, weight = METHODS[name]
    data = torch.from_numpy(np.random.default_rng(4).random((9, 24, 25)).astype(np.float32))
    blur = Convolution(gaussian_psf((9, 11, 11), 3.0), data.shape, borders, spacing=(3, 1, 1))
    found = function(data, blur, **{weight: value})
    assert torch.isfinite(found).all()
    assert blur.crop(found).shape == data.shape


@pytest.mark.parametrize("name", ["tikhonov", "regularized-inverse"])
def test_it_minimises_its_own_cost(name):
    """The filter's output has a lower cost than anything near it."""
    function, weight = METHODS[name]
    rng = np.random.default_rng(1)
    data = torch.from_numpy(rng.normal(10, 2, (16, 18)))
    blur = Convolution(gaussian_psf((5, 5), 1.2), data.shape, "circular", dtype=torch.float64)
    best = function(data, blur, **{weight: 0.05})
    square = torch.from_numpy(squared_frequency(data.shape, (1, 1)))

    def cost(x):
        penalised = x if name == "tikhonov" else torch.fft.ifft2(torch.fft.fft2(x) * square).real
        return float((blur(x) - data).square().sum() + 0.05 * penalised.square().sum())

    for _ in range(10):
        assert cost(best) < cost(best + 0.01 * torch.from_numpy(rng.standard_normal(data.shape)))


@pytest.mark.parametrize("penalty", ["laplacian", "identity"])
@pytest.mark.parametrize("noise", [0.5, 5.0])
def test_cross_validation_finds_what_predicts_the_image_best(penalty, noise):
    function = regularized_inverse if penalty == "laplacian" else tikhonov
    obj = torch.from_numpy(smooth_object((96, 95)))
    blur = Convolution(gaussian_psf((13, 13), 2.0), obj.shape, "circular", dtype=torch.float64)
    clean = blur(obj)
    data = clean + torch.from_numpy(np.random.default_rng(2).normal(0, noise, obj.shape))
    chosen = cross_validated_weight(data, blur, penalty_power(blur, penalty))
    assert isinstance(chosen, Chosen)
    assert list(chosen.values) == sorted(chosen.values)
    nearest = np.argmin(np.abs(np.log(np.array(chosen.values) / chosen)))
    assert chosen.scores[nearest] >= max(chosen.scores) - 0.01

    def error(value):
        return relative_rmse(blur(function(data, blur, strength=value)).numpy(), clean.numpy())

    assert error(chosen) <= 1.05 * min(error(10.0**e) for e in np.arange(-8, 2, 0.25))


@pytest.mark.parametrize("noise", [0.003, 0.03, 0.3])
@pytest.mark.parametrize("name", REGULARISED)
def test_automatic_is_as_good_as_the_best(name, noise):
    """Within 0.3 dB of the best strength in a fine search, with the object's error in mind."""
    weight = METHODS[name][1]
    image, truth, psf = scene(noise)
    found, details = nd.restore(image, name, psf, details=True)
    best = max(
        decibels(nd.restore(image, name, psf, **{weight: 10.0**e}), truth)
        for e in np.arange(-6, 2, 0.25)
    )
    assert decibels(found, truth) > best - 0.3
    if name == "wiener":
        assert details.parameters["spectrum"] == "radial"
        assert len(details.parameters["profile"]) > 5
    else:
        chosen = details.choices[weight]
        assert len(chosen.values) >= 5
        assert chosen.values[0] < chosen < chosen.values[-1]


@pytest.mark.parametrize("name", REGULARISED)
def test_automatic_knows_an_image_without_noise(name):
    """Its finest waves are no noise, though there is nothing fainter in the image."""
    image, truth, psf = circular_scene()
    found = nd.restore(image, name, psf, borders="circular", psf_error=0)
    assert decibels(found, truth) > 90


@pytest.mark.parametrize("name", REGULARISED)
def test_what_the_borders_hide_counts_within_the_image_alone(name):
    """A wide PSF lets much in. Counted in the margin as well, it costs 0.32 to 0.51 dB here."""
    rng = np.random.default_rng(6)
    # Patches with sharp edges, as in photographs.
    truth = np.round(2 * gaussian_filter(rng.standard_normal((176, 176)), 6) * 6) / 2
    truth = 100 * (truth - truth.min())
    psf = np.zeros((25, 25))
    turn = np.linspace(0, 4, 200)
    places = np.rint(12 + 2 * turn * [np.cos(turn), np.sin(turn)]).astype(int)
    np.add.at(psf, tuple(places), 1 / 200)
    blur = Convolution(psf, truth.shape, "circular", dtype=torch.float64)
    inside = (slice(24, -24),) * 2
    image = (blur(torch.from_numpy(truth)).numpy() + rng.normal(0, 0.3, truth.shape))[inside]
    weight = METHODS[name][1]
    found, details = nd.restore(image, name, psf, details=True, psf_centre="index")
    auto = details.parameters[weight]
    known = ("spectrum", "profile", "level")
    settings = {k: details.parameters[k] for k in known if k in details.parameters}
    best = max(
        decibels(
            nd.restore(image, name, psf, psf_centre="index", **settings | {weight: auto * 10.0**e}),
            truth[inside],
        )
        for e in np.arange(-1.5, 1.5, 0.25)
    )
    # Wiener's ratios are told in shells, which are few for so small an image.
    assert decibels(found, truth[inside]) > best - (0.3 if name == "wiener" else 0.2)


@pytest.mark.parametrize("name", REGULARISED)
def test_a_doubtful_psf_asks_for_more_strength(name):
    """An image without noise, and a PSF that is too wide, with which it cannot be explained."""
    image, _, _ = scene(0.0)
    psf = gaussian_psf((17, 17), 2.6)
    strengths = []
    for error in (0.0, 0.01):
        _, details = nd.restore(image, name, psf, details=True, psf_error=error)
        told = details.parameters
        # Of a radial spectrum, that of the finest waves, for which there is nothing but noise.
        strengths.append(told["profile"][0] if name == "wiener" else told["strength"])
    assert strengths[1] > 1.5 * strengths[0]


@pytest.mark.parametrize("unit", [4096.0, 1e12])
@pytest.mark.parametrize("name", ["wiener", "tikhonov"])
def test_automatic_does_not_depend_on_the_unit_of_intensity(name, unit):
    image, _, psf = scene(0.03, shape=(48, 48))
    results = [
        nd.restore(scale * image, name, psf, details=True, spectrum="constant")
        if name == "wiener"
        else nd.restore(scale * image, name, psf, details=True)
        for scale in (1.0, unit)
    ]
    weight = METHODS[name][1]
    one, other = (float(details.parameters[weight]) for _, details in results)
    assert other == pytest.approx(one, rel=1e-3)
    assert relative_rmse(results[1][0], unit * results[0][0]) < 1e-3


def test_a_ratio_that_is_given_stands_for_all_frequencies():
    image, _, psf = scene(0.03, shape=(40, 40))
    _, details = nd.restore(image, "wiener", psf, noise_to_signal=0.01, details=True)
    assert details.parameters["spectrum"] == "constant"
    one = nd.restore(image, "wiener", psf, noise_to_signal=0.01)
    same = nd.restore(image, "tikhonov", psf, strength=0.01)
    assert relative_rmse(one, same) < 1e-6


def test_a_picture_of_noise_is_smoothed_away():
    image = 10 + np.random.default_rng(6).normal(0, 1, (64, 64)).astype(np.float32)
    found = nd.restore(image, "wiener", gaussian_psf((9, 9), 1.5))
    assert found.std() < 0.5
    assert found.mean() == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize("name", ["wiener", "regularized-inverse"])
def test_strength_means_the_same_at_any_depth_of_voxel(name):
    """The same object, sampled twice as finely along z, is restored to the same thing."""
    fine = torch.from_numpy(smooth_object((32, 24, 24)))
    fine = torch.from_numpy(gaussian_filter(fine.numpy(), (4, 0, 0), mode="wrap"))
    coarse = fine[::2].contiguous()
    results = []
    for data, depth in ((fine, 1.0), (coarse, 2.0)):
        blur = Convolution(
            np.ones((1, 1, 1)), data.shape, "circular", spacing=(depth, 1, 1), dtype=torch.float64
        )
        if name == "wiener":
            # The same ratio at the same physical frequency, omega squared, on both grids.
            highest = np.pi**2 * (1 / depth**2 + 2)
            profile = tuple(highest / 2.0 ** (k / 4) for k in range(64))
            options = {"spectrum": "radial", "profile": profile, "level": float(data.mean())}
            results.append(wiener(data, blur, noise_to_signal=1.0, **options))
        else:
            results.append(regularized_inverse(data, blur, strength=1.0))
    assert relative_rmse(results[0][::2].numpy(), results[1].numpy()) < 5e-3
    assert relative_rmse(results[1].numpy(), coarse.numpy()) > 2e-2  # it did smooth


def test_the_naive_inverse_warns_and_amplifies_noise():
    image, truth, psf = scene(0.03, shape=(48, 48))
    found, details = nd.restore(image, "naive-inverse", psf, details=True)
    assert any("teaching example" in words for words in details.warnings)
    assert methods()["naive-inverse"].summary.startswith("Teaching example")
    assert decibels(found, truth) < decibels(image, truth)
    _, details = nd.restore(image, "tikhonov", psf, details=True)
    assert not any("teaching example" in words for words in details.warnings)
