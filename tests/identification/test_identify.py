"""Blind identification as its users meet it: images whose PSF is known."""

import numpy as np
import pytest
import torch

from napari_deconv.errors import InputError, ParameterError
from napari_deconv.identification import identify, reading
from napari_deconv.identification.mixture import before_looking
from napari_deconv.identification.optics import MODES, Pupils
from napari_deconv.training.blind_scenes import blurred, dead_leaves

AMPLITUDE = 0.15
TRUE = np.array([0.1, -0.06, 0.08, 0.12, -0.05, 0.02, -0.09, 0.04])


def signal(psf, truth):
    return -10 * np.log10(((psf - truth) ** 2).sum() / (truth**2).sum())


def image_of(size, cutoff=0.2, seed=3, sigma=0.0, shape=(31, 31)):
    random = np.random.default_rng(seed)
    psf = Pupils(cutoff, shape).psf(torch.tensor(TRUE).float()[None])[0].numpy()
    scene = dead_leaves(size + shape[0] - 1, random).astype(np.float32)
    image = blurred(scene, psf)
    return image + sigma * random.normal(size=image.shape).astype(np.float32), psf


@pytest.fixture(scope="module")
def quiet():
    image, psf = image_of(256)
    return image, psf, identify(image, cutoff=0.2, emission_wavelength=0.5)


@pytest.fixture(scope="module")
def mean_psf():
    return before_looking(AMPLITUDE).psf(Pupils(0.2)).numpy()


class TestQuiet:
    def test_psf_is_far_better_than_the_mean(self, quiet, mean_psf):
        _, truth, found = quiet
        assert signal(found.psf, truth) > signal(mean_psf, truth) + 8
        assert found.confidence > 0.6
        assert found.verdict.startswith("Found")

    def test_psf_is_a_psf(self, quiet):
        _, _, found = quiet
        assert found.psf.dtype == np.float32
        assert found.psf.shape == (31, 31)
        assert found.psf.min() >= 0
        assert found.psf.sum() == pytest.approx(1, abs=1e-5)

    def test_coefficients_are_those_of_the_pupil_but_for_the_even_sign(self, quiet):
        _, _, found = quiet
        got = np.array([found.coefficients[j] for j in MODES])
        odd = np.array([j in (7, 8, 9, 10) for j in MODES])
        assert np.abs(got - TRUE)[odd].max() < 0.03
        twins = [np.abs(sign * got - TRUE)[~odd].max() for sign in (1, -1)]
        assert min(twins) < 0.03
        assert "common sign" in found.sign
        even = {j: found.coefficients[j] for j in (4, 5, 6, 11)}
        assert max(even.values(), key=abs) > 0

    def test_numbers_agree_with_each_other(self, quiet):
        _, _, found = quiet
        for j, waves in found.coefficients.items():
            assert found.nanometres[j] == pytest.approx(500 * waves)
        assert found.names[4] == "defocus"
        phase = found.pupil_phase[np.isfinite(found.pupil_phase)]
        assert phase.std() == pytest.approx(found.rms, rel=0.1)
        # Marechal: for small aberrations; here it is only not below that.
        assert found.strehl >= np.exp(-((2 * np.pi * found.rms) ** 2)) * 0.5
        assert found.candidates[0].coefficients == found.coefficients

    def test_same_image_same_answer(self, quiet):
        image, _, found = quiet
        again = identify(image, cutoff=0.2)
        np.testing.assert_array_equal(again.psf, found.psf)
        assert again.nanometres is None

    def test_units_of_the_image_do_not_matter(self, quiet):
        image, _, found = quiet
        other = identify(100 + 3000 * image, cutoff=0.2)
        assert signal(other.psf, found.psf) > 20

    def test_image_turned_is_psf_turned(self, quiet):
        image, truth, _ = quiet
        found = identify(image[::-1, ::-1].copy(), cutoff=0.2)
        assert signal(found.psf[::-1, ::-1], truth) > signal(found.psf, truth) + 5


def test_noise_alone_is_said_to_tell_nothing(mean_psf):
    image, truth = image_of(64, sigma=2.0)
    found = identify(image, cutoff=0.2)
    assert found.verdict.startswith("Too small or too noisy")
    assert signal(found.psf, truth) > signal(mean_psf, truth) - 0.7
    assert found.noise == pytest.approx(2.0, rel=0.1)


def test_on_average_no_worse_than_the_mean(mean_psf):
    """Small and noisy: where a single best fit is far below the mean PSF."""
    gains = []
    for seed in range(6):
        image, truth = image_of(98, seed=seed, sigma=0.05)
        found = identify(image, cutoff=0.2).psf
        gains.append(signal(found, truth) - signal(mean_psf, truth))
    assert np.mean(gains) > -0.2


def test_other_pixels_are_brought_to_the_trained_ones_and_back():
    image, truth = image_of(340, cutoff=0.15, shape=(41, 41))
    found = identify(image, cutoff=0.15, shape=(41, 41))
    mean = before_looking(AMPLITUDE).psf(Pupils(0.15, (41, 41))).numpy()
    assert signal(found.psf, truth) > signal(mean, truth) + 5
    by_optics = identify(
        image, spacing=(0.5, 0.075, 0.075), numerical_aperture=1.0, emission_wavelength=0.5,
        shape=(41, 41),
    )  # fmt: skip
    assert by_optics.cutoff == pytest.approx(0.15)
    np.testing.assert_allclose(by_optics.psf, found.psf, atol=1e-4)


def test_coarser_pixels_than_trained():
    image, truth = image_of(220, cutoff=0.24)
    found = identify(image, cutoff=0.24)
    mean = before_looking(AMPLITUDE).psf(Pupils(0.24)).numpy()
    assert signal(found.psf, truth) > signal(mean, truth) + 3


@pytest.mark.parametrize("cutoff", [0.12, 0.2, 0.25])
def test_noise_is_found_and_may_be_given(cutoff):
    image, _ = image_of(200, cutoff=cutoff, sigma=0.03)
    found = identify(image, cutoff=cutoff)
    assert found.noise == pytest.approx(0.03, rel=0.06)
    given = identify(image, cutoff=cutoff, noise=0.03)
    assert given.noise == pytest.approx(0.03, rel=1e-3)
    assert signal(given.psf, found.psf) > 15


def test_frames_vote(mean_psf):
    frames = np.stack([image_of(98, seed=seed, sigma=0.02)[0] for seed in range(4)])
    truth = image_of(98)[1]
    found = identify(frames, cutoff=0.2)
    assert found.frames == 4
    one = identify(frames[0], cutoff=0.2)
    assert found.expected_snr > one.expected_snr
    assert signal(found.psf, truth) > signal(mean_psf, truth)


def test_no_more_is_expected_than_was_taught(monkeypatch):
    """The weighing may say anything of an image unlike those it was taught with."""
    told = (torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([80.0]))
    monkeypatch.setattr(reading, "weighing", lambda: lambda facts: told)
    found = identify(image_of(64)[0], cutoff=0.2)
    assert found.expected_snr == 30
    assert found.confidence < 1


@pytest.mark.parametrize("shape", [(48, 48), (61, 75), (50, 130)])
def test_small_and_odd_images(shape):
    random = np.random.default_rng(0)
    found = identify(random.normal(size=shape).cumsum(0), cutoff=0.2, shape=(15, 21))
    assert found.psf.shape == (15, 21)
    assert np.isfinite(found.psf).all()


def test_what_was_not_given_is_said():
    image, _ = image_of(64)
    assert "assumed" in identify(image).verdict
    assert "assumed" not in identify(image, cutoff=0.2).verdict


def test_progress_rises_to_the_end():
    told = []
    identify(image_of(64)[0], cutoff=0.2, progress=lambda share, doing: told.append(share))
    assert told == sorted(told)
    assert told[-1] > 0.9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cutoff": 0.3}, "too large"),
        ({"cutoff": 0.01}, "oversampled"),
        ({"cutoff": 0.0}, "above 0"),
        ({"numerical_aperture": 1.4}, "together"),
        (
            {"spacing": (0.1, 0.2), "numerical_aperture": 1, "emission_wavelength": 0.5},
            "not square",
        ),
        ({"amplitude": 0.5}, "amplitude"),
        ({"noise": -1.0}, "noise"),
        ({"noise": "much"}, "noise"),
        ({"shape": (31,)}, "shape"),
    ],
)
def test_what_cannot_be_is_refused(options, words):
    with pytest.raises(ParameterError, match=words):
        identify(np.random.default_rng(0).normal(size=(64, 64)), **options)


@pytest.mark.parametrize(
    ("image", "options", "words"),
    [
        (np.zeros((64, 64)), {}, "same everywhere"),
        (np.eye(40), {}, "at least 48"),
        (np.eye(100), {"cutoff": 0.05}, "25 x 25"),
        (np.zeros((2, 2, 64, 64)), {}, "4 axes"),
    ],
)
def test_images_that_cannot_be(image, options, words):
    with pytest.raises(InputError, match=words):
        identify(image, **{"cutoff": 0.2} | options)
