"""Training LUCYD: its data, its loss, that it learns, goes on, and writes what can be used."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
import torch

import napari_deconv as nd
from napari_deconv.cli import main
from napari_deconv.errors import InputError
from napari_deconv.io import write_image
from napari_deconv.networks.lucyd import Lucyd
from napari_deconv.networks.weights import load_weights
from napari_deconv.training import own
from napari_deconv.training.crowds import crowd
from napari_deconv.training.degradations import Gaussians, Optics, blurred
from napari_deconv.training.lucyd import Plan, Training, paper_loss, repaired_loss, similarity
from napari_deconv.training.recipes import RECIPES
from napari_deconv.training.supply import Supply, Variation, apart

SMALL = (40, 40, 40)


def psf_of(shape=(9, 9, 9), sigma=1.2):
    grids = np.ogrid[tuple(slice(-(n // 2), n // 2 + 1) for n in shape)]
    psf = np.exp(-0.5 * sum((g / sigma) ** 2 for g in grids))
    return (psf / psf.sum()).astype(np.float32)


class TestCrowds:
    def test_it_is_as_crowded_as_the_original(self):
        phantom = crowd((128, 128, 128), 1)
        assert phantom.max() == 1
        assert phantom.min() == 0
        # The facts' phantoms have 14 % above a fiftieth, and a mean of 0.036.
        assert (phantom > 0.02).mean() == pytest.approx(0.14, abs=0.03)
        assert phantom.mean() == pytest.approx(0.036, rel=0.2)

    def test_it_follows_its_seed(self):
        np.testing.assert_array_equal(crowd(SMALL, 3), crowd(SMALL, 3))
        assert not np.array_equal(crowd(SMALL, 3), crowd(SMALL, 4))

    def test_flat_voxels_hold_as_much(self):
        full = np.mean([(crowd((64, 64, 64), i) > 0.02).mean() for i in range(6)])
        flat = np.mean([(crowd((16, 64, 64), i, ratio=4) > 0.02).mean() for i in range(6)])
        assert flat == pytest.approx(full, rel=0.4)


class TestDegradations:
    def test_blur_is_cut_to_the_taps_and_keeps_light(self):
        point = np.zeros((21, 21, 21), np.float32)
        point[10, 10, 10] = 1
        made = blurred(point, 2.0, 7)
        assert made.sum() == pytest.approx(1, abs=1e-5)
        assert made[10, 10, 6] == 0
        assert made[10, 10, 7] / made[10, 10, 10] == pytest.approx(np.exp(-9 / 8), rel=1e-5)

    def test_noise_is_of_the_papers_unit(self):
        noisy = Gaussians(noises=(51.0,)).noisy(torch.zeros(1, 1, *SMALL), torch.Generator())
        assert float(noisy.std()) == pytest.approx(0.2, rel=0.02)

    def test_object_and_image_share_a_unit_or_do_not(self):
        truth, image = Gaussians().pair(SMALL, (0, 1))
        assert image.max() == 1
        assert truth[8:-8, 8:-8, 8:-8].mean() == pytest.approx(
            float(image[8:-8, 8:-8, 8:-8].mean()), rel=0.3
        )
        truth, image = Gaussians(same_unit=False).pair(SMALL, (0, 1))
        assert truth.max() == image.max() == 1

    def test_optics_put_the_object_where_it_is(self):
        psf = np.zeros((3, 5, 4), np.float32)
        psf[1, 2, 2] = 1
        truth, image = Optics((psf,)).pair(SMALL, (0, 1))
        np.testing.assert_allclose(image, truth, atol=1e-5)

    def test_photons_vary_as_photons(self):
        optics = Optics((psf_of(),), photons=(100.0, 100.0), read_noise=(3.0, 3.0))
        noisy = optics.noisy(torch.full((1, 1, *SMALL), 0.5), torch.Generator())
        assert float(noisy.mean()) == pytest.approx(0.5, rel=0.01)
        assert float(noisy.var()) == pytest.approx((50 + 9) / 100**2, rel=0.05)


class TestSupply:
    def test_crops_are_even_where_pairs_are_not(self):
        optics, shape = Optics((psf_of(),), ratio=3.0), (19, 33, 33)
        supply = Supply(optics, shape, 0, pairs=1)
        for made in (supply.batch(0, 2, 40), apart(optics, shape, 0, 1, 40)):
            for each in made:
                assert each.shape[2:] == (18, 32, 32)

    def test_a_batch_depends_on_seed_and_number(self):
        made = [Supply(Gaussians(), SMALL, 5, pairs=2).batch(3, 2, 16) for _ in range(2)]
        torch.testing.assert_close(made[0], made[1])
        other = Supply(Gaussians(), SMALL, 6, pairs=2).batch(3, 2, 16)
        assert not torch.equal(made[0][0], other[0])

    def test_pairs_are_renewed(self):
        supply = Supply(Gaussians(), SMALL, 0, pairs=2, renewed=4)
        before = [truth for truth, _ in supply._pairs]
        supply.batch(4, 1, 16)
        assert sum(a is not b for a, (b, _) in zip(before, supply._pairs, strict=True)) == 1

    def test_image_and_object_lie_on_each_other(self):
        variation = Variation((0.5, 2.0), (0.1, 0.1))
        still = Gaussians(blurs=(0.3,), noises=(0.0,))
        images, truths = Supply(still, SMALL, 0, pairs=2, variation=variation).batch(0, 4, 24)
        for image, truth in zip(images, truths, strict=True):
            assert torch.corrcoef(torch.stack([image.ravel(), truth.ravel()]))[0, 1] > 0.98

    def test_what_judges_is_never_learned_from(self):
        judged = apart(Gaussians(), SMALL, 0, 2, 40)[1]
        learned = Supply(Gaussians(), SMALL, 0, pairs=2)._pairs
        assert all(not np.allclose(j[0], t) for j in judged for t, _ in learned)


def test_loss_is_equation_8():
    torch.manual_seed(0)
    truth = torch.rand(2, 1, 8, 8, 8)
    restored = truth + 0.1 * torch.randn_like(truth)
    x, y = restored.numpy().astype(float).ravel(), truth.numpy().astype(float).ravel()
    covariance = np.cov(x, y, bias=True)
    ssim = (2 * x.mean() * y.mean() + 1e-4) / (x.mean() ** 2 + y.mean() ** 2 + 1e-4)
    ssim *= (2 * covariance[0, 1] + 9e-4) / (covariance[0, 0] + covariance[1, 1] + 9e-4)
    expected = ((x - y) ** 2).mean() - np.log((1 + ssim) / 2)
    assert float(paper_loss(restored, truth)) == pytest.approx(expected, rel=1e-4)
    assert float(similarity(truth, truth, (1, 2, 3, 4)).min()) == pytest.approx(1)
    assert repaired_loss(truth, truth) < repaired_loss(restored, truth)
    assert repaired_loss(restored, truth) < repaired_loss(restored + 0.1, truth)


def training(folder=None, steps=40, **given):
    degradation = Gaussians(blurs=(1.0,), noises=(20.0,))
    supply = Supply(degradation, SMALL, 0, pairs=3, renewed=0)
    plan = Plan(steps=steps, batch=2, side=16, **given)
    return Training(supply, apart(degradation, SMALL, 0, 1, 24), plan, folder=folder)


@pytest.mark.parametrize("variant", ["repaired", "paper"])
def test_it_learns(variant):
    made = training(variant=variant, loss=variant)
    losses = [progress.loss for progress in made.steps()]
    assert made.step == 40
    assert losses[-1] < losses[0] - 0.1
    assert made.best_score > 0


def test_it_repeats_itself():
    one, two = training(steps=6), training(steps=6)
    for made in (one, two):
        list(made.steps())
    for name, value in one.network.state_dict().items():
        torch.testing.assert_close(value, two.network.state_dict()[name])


def test_it_stops_at_once_and_goes_on(tmp_path):
    made = training(tmp_path, steps=12)
    steps = made.steps()
    for _ in range(5):
        next(steps)
    steps.close()
    assert made.best_score > -np.inf
    again = training(tmp_path, steps=12)
    assert again.step == 5
    list(again.steps())
    assert again.step == 12
    whole = training(steps=12)
    list(whole.steps())
    name = "correction.first.filter.weight"
    torch.testing.assert_close(again.network.state_dict()[name], whole.network.state_dict()[name])


def test_recipes_tell_what_the_weights_know():
    for name, recipe in RECIPES.items():
        made = recipe()
        assert made.data
        assert made.limits
        assert made.plan.variant == ("paper" if name == "mixture-paper" else "repaired")


class TestOwn:
    def test_noise_is_that_of_the_image(self):
        random = np.random.default_rng(0)
        clean = 4000 * blurred(crowd((40, 64, 64), 1), 1.2, 9) + 20
        image = 2.0 * random.poisson(clean / 2.0) + random.normal(0, 4, clean.shape) + 100
        recipe = own.from_psf(psf_of(), image, spacing=(0.2, 0.1, 0.1))
        low, high = recipe.degradation.photons
        assert low < float(clean.max()) / 2.0 < high
        assert recipe.degradation.ratio == pytest.approx(2)
        assert recipe.settings["ratio"] == pytest.approx([1.6, 2.4])

    def test_pairs_have_the_same_light_and_one_is_apart(self):
        sharp = [500 * crowd((24, 32, 40), i) + 10 for i in range(3)]
        recipe = own.from_pairs([(3 * blurred(s, 1.0, 7) + 100, s) for s in sharp])
        (truth, image), last = recipe.degradation.pairs[0], recipe.degradation.pairs[-1]
        assert truth.mean() == pytest.approx(float(image.mean()), rel=1e-3)
        for number in range(5):
            assert recipe.degradation.pair((), (0, 0, number)) is not last
        assert recipe.degradation.pair((), (0, 1, 0)) is last

    def test_a_single_pair_is_split(self):
        sharp = crowd((24, 32, 80), 0)
        recipe = own.from_pairs([(blurred(sharp, 1.0, 7), sharp)])
        assert [t.shape for t, _ in recipe.degradation.pairs] == [(24, 32, 60), (24, 32, 20)]

    def test_bad_pairs_are_refused(self):
        with pytest.raises(InputError, match="no pairs"):
            own.from_pairs([])
        with pytest.raises(InputError, match="same shape"):
            own.from_pairs([(np.zeros((20, 20)), np.zeros((20, 21)))])


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(line, status=0):
        returned = main(shlex.split(line))
        out, err = capsys.readouterr()
        assert returned == status, err
        return out if status == 0 else err

    return run


def test_from_the_shell(shell, tmp_path):
    psf, image = psf_of((7, 7, 7)), 1000 * blurred(crowd((20, 32, 32), 0), 1.2, 7) + 100
    image = np.random.default_rng(0).poisson(image).astype(np.uint16)
    write_image("psf.tif", psf, axes="ZYX", spacing=(0.1, 0.1, 0.1))
    write_image("in.tif", image, axes="ZYX", spacing=(0.1, 0.1, 0.1))
    given = "train lucyd --psf psf.tif --image in.tif --start none --batch 1 --keep kept"
    assert "SHA-256" in shell(f"{given} --steps 2 -o w.safetensors")
    assert "exists" in shell(f"{given} --steps 3 -o w.safetensors", 2)
    shell(f"{given} --steps 3 -o w.safetensors --overwrite")
    card = json.loads((tmp_path / "w.json").read_text())
    assert card["steps"] == 3
    assert card["sha256"] == load_weights("w.safetensors", "lucyd").sha256
    assert "--psf psf.tif" in card["command"]
    shell("restore lucyd in.tif --weights w.safetensors -o out.tif")
    restored = nd.restore(image, "lucyd", weights="w.safetensors", spacing=(0.1, 0.1, 0.1))
    assert restored.shape == image.shape
    shell("train lucyd --psf psf.tif --start w.safetensors --steps 1 --batch 1 -o next.safetensors")


def test_pairs_from_the_shell(shell, tmp_path):
    for name in ("bad", "good"):
        (tmp_path / name).mkdir()
    for number in range(2):
        sharp = 500 * crowd((64, 64), number)
        write_image(f"good/{number}.tif", sharp, axes="YX")
        write_image(f"bad/{number}.tif", blurred(sharp, 1.5, 9), axes="YX")
    shell("train lucyd --pairs bad good --start none --steps 2 -o flat.safetensors")
    loaded = load_weights("flat.safetensors", "lucyd")
    Lucyd(2).load_state_dict(loaded.tensors, strict=False)
    assert loaded.settings["ndim"] == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train", "Which network"),
        ("train care", "no network 'care'"),
        ("train lucyd -o w.pth --psf x.tif", "NAME.safetensors"),
        ("train lucyd -o w.safetensors", "Give one of"),
        ("train lucyd -o w.safetensors --recipe none-such", "Known: mixture"),
        ("train lucyd -o w.safetensors --pairs a b", "is no folder"),
    ],
)
def test_what_is_refused(shell, line, message):
    assert message in shell(line, 2)
