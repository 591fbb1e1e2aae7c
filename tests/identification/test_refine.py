"""The refinement: halves of an image, other spectra of it, and what keeps it from harm."""

import numpy as np
import pytest
import torch

from napari_deconv.identification import contrast, estimate, identify, refine, spectrum
from napari_deconv.identification.halves import Halves
from napari_deconv.identification.mixture import Mixture
from napari_deconv.identification.optics import pupils, turned
from napari_deconv.training.blind_scenes import blurred, dead_leaves

TRUE = torch.tensor([0.1, -0.06, 0.08, 0.12, -0.05, 0.02, -0.09, 0.04])
SIGMA = 0.02
P = pupils(0.2, (31, 31))


def signal(psf, truth):
    return float(-10 * torch.log10((psf - truth).square().sum() / truth.square().sum()))


def image_of(size, sigma=SIGMA, seed=3):
    random = np.random.default_rng(seed)
    scene = dead_leaves(size + 30, random).astype(np.float32)
    image = blurred(scene, P.psf(TRUE).numpy())
    return image + sigma * random.normal(size=image.shape).astype(np.float32)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(refine, "DRAWS", 8)


def first_look(sigma):
    """What comes before the refinement of a small image: planes, spectrum, estimates."""
    planes = torch.from_numpy(image_of(128, sigma).astype(np.float64))[None]
    seen = spectrum.spectrum_of(planes)
    return planes, seen, estimate.estimates(planes, seen, 0.15)


class TestHalves:
    def test_noise_of_the_halves_is_independent_and_as_told(self):
        noise = 0.1 * torch.randn(200, 200, generator=torch.Generator().manual_seed(5))
        scene = (torch.arange(200) > 100) * 1.0 + torch.zeros(200, 1)
        planes = (scene + noise)[None]
        told = 0.0
        for loud, first, second, counts in Halves(planes, 0.1, (31, 31))._parts:
            rests = [(half[0] - scene + planes.mean()).flatten() for half in (first, second)]
            assert float(rests[0].std()) == pytest.approx(loud, rel=0.02)
            assert abs(float(torch.corrcoef(torch.stack(rests))[0, 1])) < 0.02
            # One over twice the variance of what was held back, whatever it is compared with.
            assert counts == pytest.approx(1 / (2 * float(rests[1].var())), rel=0.02)
            told += counts
        # All second halves together know what the image did beyond the last first half.
        assert told == pytest.approx((1 / 0.1**2 - 1 / 0.2**2) / 2)

    def test_truth_foretells_better_than_others(self):
        halves = Halves(torch.from_numpy(image_of(160))[None], SIGMA, (31, 31))
        others = [TRUE, turned(TRUE), TRUE.flip(0)]
        surprises = [float(halves.foretold(P.psf(each))) for each in others]
        assert min(surprises[1:]) > surprises[0] + 5


class TestContrast:
    def test_windows_have_welchs_mean(self):
        planes = torch.from_numpy(image_of(130))[None].double()
        windows = spectrum.window_powers(planes)
        torch.testing.assert_close(windows.mean(-3), spectrum.welch(planes))

    def test_noise_hides_less_of_what_is_lively_in_one_place(self):
        """A scene in one corner of a noisy plane: by contrast its spectrum is seen farther."""
        random = np.random.default_rng(0)
        lively = np.zeros((256, 256))
        lively[:96, :96] = random.normal(size=(96, 96))
        image = torch.from_numpy(lively + random.normal(size=lively.shape))[None].double()
        seen = spectrum.spectrum_of(image, 1.0)
        by_contrast, likely = contrast.spectra(image, seen)
        above = [float(torch.exp(each.log).mean()) / seen.noise for each in (seen, by_contrast)]
        assert above[1] > above[0] + 0.3
        assert by_contrast.windows < seen.windows
        assert likely.windows == seen.windows


class TestRefined:
    def test_what_foretells_no_better_is_left_as_it_was(self, monkeypatch):
        """Judged by the distance from the truth, since chance may prefer another one to it."""
        planes, seen, made = first_look(SIGMA)
        truth = P.psf(TRUE)
        monkeypatch.setattr(refine.Halves, "foretold", lambda _, psf: (psf - truth).norm())
        perfect = (Mixture(TRUE[None], torch.ones(1)), 40.0, 1.0)
        again, answer = refine.refined(planes, seen, made, perfect, 0.15)
        assert again is made
        assert answer is perfect

    def test_what_is_wrong_comes_closer(self):
        """With little noise: with more of it, so small an image tells hardly anything."""
        planes, seen, made = first_look(0.005)
        wrong = (Mixture(TRUE[None] + 0.06, torch.ones(1)), 5.0, 0.3)
        again, answer = refine.refined(planes, seen, made, wrong, 0.15)
        assert again is not made
        truth = P.psf(TRUE)
        assert signal(answer[0].psf(P), truth) > signal(wrong[0].psf(P), truth) + 4
        assert float(again.weights.sum()) == pytest.approx(1, abs=1e-5)
        assert answer[1] > wrong[1]


def test_same_image_same_answer_and_all_of_it_is_told():
    image = image_of(80)
    one, two = (identify(image, cutoff=0.2, refine=True) for _ in range(2))
    np.testing.assert_array_equal(one.psf, two.psf)
    assert one.coefficients == two.coefficients
    assert one.psf.sum() == pytest.approx(1, abs=1e-5)
    assert one.candidates[0].coefficients == one.coefficients
    assert 0 <= one.flip_probability <= 0.5
