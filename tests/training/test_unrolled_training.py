"""Training deep-blur's restoration: its data, that it learns, goes on, and what it writes."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve
from tifffile import imwrite

import napari_deconv as nd
from napari_deconv.cli import main, train_deep_blur
from napari_deconv.networks.douglas_rachford import Unrolled
from napari_deconv.networks.drunet import Plan as Prior
from napari_deconv.networks.weights import load_weights
from napari_deconv.training import deep_blur, found_psfs, unrolled_pairs
from napari_deconv.training.deep_blur import RECIPES, Plan, Training, restored
from napari_deconv.training.unrolled_pairs import Pairs

TINY = Unrolled(Prior(channels=(4, 6), blocks=1, maps=2, patch=2, residual=True), steps=2)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few objects, small ones to judge by."""
    monkeypatch.setattr(unrolled_pairs, "_DRAWN", 2)
    monkeypatch.setattr(unrolled_pairs, "_DRAWN_APART", 1)
    monkeypatch.setattr(deep_blur, "_SIDE", 48)
    monkeypatch.setattr(deep_blur, "_EACH", 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs that are none."""
    made = tmp_path_factory.mktemp("natural")
    random = np.random.default_rng(0)
    names = ["01.png_00", "15.png_12", "16.png_00", "17.png_00"]
    images = [gaussian_filter(random.random((256, 256)), 2 + i) for i in range(len(names))]
    images = [(each - each.min()) / np.ptp(each) for each in images]
    # What is not to be learned from would be seen: it is white.
    images[-1][...] = 1
    np.savez(
        made / "kodak_144x256x256_gray.npz",
        images=np.array([255 * each for each in images], np.uint8),
        names=np.array(names),
    )
    return made


class TestPairs:
    def test_a_batch_depends_on_seed_and_number(self, folder):
        one, again = (Pairs(folder, seed=3).batch(5, 2, 40) for _ in range(2))
        assert torch.equal(one.images, again.images)
        assert torch.equal(one.otf, again.otf)
        assert not torch.equal(one.images, Pairs(folder, seed=3).batch(6, 2, 40).images)
        assert not torch.equal(one.images, Pairs(folder, seed=4).batch(5, 2, 40).images)

    def test_photographs_are_kept_apart(self, folder):
        assert len(Pairs(folder)._photographs) == 2
        assert len(Pairs(folder, apart=True)._photographs) == 1

    def test_without_noise_the_true_psf_makes_the_image(self, folder):
        batch = Pairs(folder).batch(0, 4, 40, 0.0, told=False)
        made = torch.fft.irfft2(torch.fft.rfft2(batch.truths) * batch.otf, s=(40, 40))
        torch.testing.assert_close(made, batch.images, rtol=0, atol=1e-5)
        assert float(batch.error.max()) < 0.05
        assert float(batch.noise.max()) == 0
        # Light is kept, and nothing is brighter than one.
        assert float(batch.otf[..., 0, 0].abs().sub(1).abs().max()) < 1e-5
        assert 0 <= float(batch.truths.min()) <= float(batch.truths.max()) <= 1

    def test_noise_is_what_the_map_says(self, folder):
        pairs, ratios = Pairs(folder), []
        for number in range(30):
            batch = pairs.batch(number, 4, 48, told=False)
            clean = torch.fft.irfft2(torch.fft.rfft2(batch.truths) * batch.otf, s=(48, 48))
            noise = batch.images - clean
            noisy = batch.noise.mean((1, 2, 3)) > 2.5e-3
            ratio = (
                noise.square().mean((1, 2, 3)).sqrt() / batch.noise.square().mean((1, 2, 3)).sqrt()
            )
            ratios += ratio[noisy].tolist()
        # It is told to a tenth.
        assert np.mean(ratios) == pytest.approx(1, abs=0.05)
        assert np.std(np.log(ratios)) == pytest.approx(0.1, abs=0.05)

    def test_psfs_are_wrong_by_what_is_told(self, folder):
        pairs, told, true = Pairs(folder), [], []
        for number in range(20):
            right = pairs.batch(number, 8, 40, 0.0, told=False)
            wrong = pairs.batch(number, 8, 40, 0.0)
            assert torch.equal(right.images, wrong.images)
            # By Parseval; half spectra hold all but the first column twice.
            error = (wrong.otf - right.otf).abs().square()
            power = right.otf.abs().square()
            error, power = (
                2 * e.sum((1, 2, 3)) - e[..., 0].sum((1, 2)) - e[..., -1].sum((1, 2))
                for e in (error, power)
            )
            true += (error / power).sqrt().tolist()
            told += wrong.error.flatten().tolist()
        told, true = np.array(told), np.array(true)
        assert 0.3 < (true < 1e-6).mean() < 0.7
        seen = (true > 0.1) & (told < 0.5)
        assert np.log(told[seen] / true[seen]).std() < 0.4
        assert abs(np.log(told[seen] / true[seen]).mean()) < 0.25


class TestPairsOfMicroscopy:
    def test_lively_planes_of_all_that_is_large_enough(self, tmp_path):
        random = np.random.default_rng(0)
        stack = gaussian_filter(random.random((3, 130, 140)), (0, 2, 2))
        stack[1] = stack[1].mean()
        imwrite(tmp_path / "stack.tif", (1000 * stack).astype(np.uint16), photometric="minisblack")
        imwrite(tmp_path / "small.tif", np.ones((40, 40), np.uint8))
        made = unrolled_pairs.planes(tmp_path)
        assert [plane.shape for plane in made] == [(130, 140)] * 2
        assert {plane.dtype for plane in made} == {np.dtype(np.float32)}
        assert min(float(plane.min()) for plane in made) == 0
        assert max(float(plane.max()) for plane in made) == 1

    def test_a_folder_without_any_is_told_of(self, tmp_path):
        with pytest.raises(nd.InputError, match="no microscope image"):
            unrolled_pairs.planes(tmp_path)


class TestFoundPsfs:
    def test_they_are_right_for_their_object_however_it_is_turned(self, folder, tmp_path):
        pairs = Pairs(folder, found=1, kept=tmp_path / "found.pt", say=lambda words: None)
        case = pairs._found[0]
        assert relative(case.found, case.psf) > 1e-3
        side = min(case.source.object.shape)
        assert case.source.object.shape == (side, side)
        image = fftconvolve(case.source.object.astype(np.float32), case.psf, mode="valid")
        turned = [np.rot90(each, k) for each in (image, image[:, ::-1]) for k in range(4)]
        met = set()
        for number in range(40):
            source, psf, found = unrolled_pairs._turned(case, np.random.default_rng(number), side)
            seen = fftconvolve(source.object, psf, mode="valid")
            # The image of all of it, turned or mirrored, is what the object turned with it makes.
            (which,) = [i for i, each in enumerate(turned) if np.abs(each - seen).max() < 1e-5]
            met.add(which)
            assert relative(found, psf) == pytest.approx(relative(case.found, case.psf), rel=1e-5)
        assert met == set(range(8))
        crop = unrolled_pairs._turned(case, np.random.default_rng(0), 64)[0].object
        assert crop.shape == (64, 64)

    def test_a_second_call_finds_them_kept(self, folder, tmp_path, monkeypatch):
        kept = tmp_path / "found.pt"
        first = Pairs(folder, found=2, kept=kept, say=lambda words: None)._found
        monkeypatch.setattr(found_psfs, "identify", None)
        again = Pairs(folder, found=2, kept=kept)._found
        for one, two in zip(first, again, strict=True):
            np.testing.assert_array_equal(one.found, two.found)
            np.testing.assert_array_equal(one.source.object, two.source.object)
            assert one.source.sigma == two.source.sigma
            assert one.error == two.error

    def test_they_are_told_with_what_is_expected_of_them(self, folder, monkeypatch):
        monkeypatch.setattr(unrolled_pairs, "_FOUND", 1.0)
        pairs = Pairs(folder, found=1, say=lambda words: None)
        case = pairs._found[0]
        batch = pairs.batch(0, 3, 48)
        assert batch.error.flatten().tolist() == pytest.approx(3 * [case.error])
        # However it is turned, what is told has the squares of the PSF that was found.
        told = torch.fft.irfft2(batch.otf, s=(48, 48)).square().sum((1, 2, 3))
        assert told.tolist() == pytest.approx(3 * [float(np.square(case.found).sum())], rel=1e-4)

    def test_who_judges_sees_none(self, folder):
        found = Pairs(folder, found=1, say=lambda words: None).batch(0, 4, 40, 0.02)
        none = Pairs(folder).batch(0, 4, 40, 0.02)
        assert torch.equal(found.images, none.images)


def relative(estimate, truth):
    return float(np.square(estimate - truth).sum() / np.square(truth).sum())


def training(folder, keep=None, steps=30, rate=3e-3, **given):
    plan = Plan(network=TINY, steps=steps, batch=2, side=32, rate=rate, found=0, **given)
    return Training(folder, plan, folder=keep)


class TestTraining:
    def test_it_learns(self, folder):
        made = training(folder, steps=120, rate=2e-2)
        before = self.error(made)
        assert [progress.step for progress in made.steps()][-1] == 120
        assert self.error(made) < 0.97 * before

    @staticmethod
    def error(made):
        """Mean error on noisy images that were not seen."""
        with torch.no_grad():
            batches = [made._pairs.batch(1000 + i, 4, 32, 0.1) for i in range(4)]
            pairs = [(restored(made.network, b, made.device)[-1], b.truths) for b in batches]
        return float(np.mean([float((a - b).abs().mean()) for a, b in pairs]))

    def test_it_repeats_itself(self, folder):
        one, two = training(folder, steps=5), training(folder, steps=5)
        for made in (one, two):
            list(made.steps())
        for name, value in one.network.state_dict().items():
            torch.testing.assert_close(value, two.network.state_dict()[name])

    def test_the_others_begin_as_the_first(self, folder):
        made = training(folder, steps=20, rate=1e-3)
        steps = made.steps()
        alone = [progress.step for progress, _ in zip(steps, range(3), strict=False)]
        first, second = (next(n.parameters()).clone() for n in made.network.networks)
        assert alone == [1, 2, 3]
        assert not torch.equal(first, second)
        next(steps)
        first, second = (next(n.parameters()).clone() for n in made.network.networks)
        assert float((first - second).detach().norm() / first.detach().norm()) < 0.05

    def test_it_goes_on_where_it_was(self, folder, tmp_path):
        whole = training(folder, steps=12)
        list(whole.steps())
        part = training(folder, tmp_path, steps=12)
        steps = part.steps()
        for _ in range(6):
            next(steps)
        steps.close()
        rest = training(folder, tmp_path, steps=12)
        assert rest.step == 6
        list(rest.steps())
        for name, value in whole.network.state_dict().items():
            torch.testing.assert_close(value, rest.network.state_dict()[name])

    def test_recipes_are_as_large_as_they_say(self):
        from napari_deconv.networks.douglas_rachford import DouglasRachford

        sizes = {"small": 4e6, "large": 60e6}
        for name, most in sizes.items():
            with torch.device("meta"):
                network = DouglasRachford(RECIPES[name].network)
            # In half precision.
            assert 2 * sum(p.numel() for p in network.parameters()) < most

    def test_crops_fit_into_all_that_is_learned_from(self):
        assert all(plan.side <= unrolled_pairs.SMALLEST for plan in RECIPES.values())


def test_the_help_tells_the_plans_own_times():
    for plan in RECIPES.values():
        assert f"{plan.minutes:g} for" in train_deep_blur._MINUTES
        assert f"{plan.found:,} images" in train_deep_blur._MINUTES


def test_from_the_shell_to_a_restored_image(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(
        deep_blur.RECIPES, "small", replace(RECIPES["small"], network=TINY, side=32, found=2)
    )
    weights = tmp_path / "own.safetensors"
    imwrite(tmp_path / "seen.tif", np.random.default_rng(1).random((130, 130), np.float32))
    command = (
        f"train deep-blur --images {folder} --microscopy {tmp_path} --steps 4 --batch 1 "
        f"-o {weights}"
    )
    assert main(shlex.split(command)) == 0
    told = capsys.readouterr()
    assert "PSFs found to learn from: 2 of 2" in told.err
    assert "SSIM on pairs apart" in told.out
    card = json.loads(weights.with_suffix(".json").read_text())
    assert card["steps"] == 4
    assert "microscope images" in card["training"]
    assert card["command"].startswith("napari-deconv train deep-blur")
    assert load_weights(weights, "deep-blur").tensors.keys()
    image = np.random.default_rng(0).random((40, 40), np.float32)
    psf = np.full((3, 3), 1 / 9)
    assert nd.restore(image, "deep-blur", psf, weights=str(weights)).shape == image.shape
    # Nothing is overwritten unasked.
    assert main(shlex.split(command)) != 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("deep-blur --images nowhere -o a.safetensors", "give the folder"),
        ("deep-blur --images . -o a.txt", "NAME.safetensors"),
        ("deep-blurr", "Known: lucyd, deep-blur"),
    ],
)
def test_mistakes_are_told(words, message, capsys):
    assert main(["train", *shlex.split(words)]) != 0
    assert message in capsys.readouterr().err
