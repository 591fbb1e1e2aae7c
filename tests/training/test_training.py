"""The training commands, on a few pairs: they run, go on, and their weights can be used."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_deconv.networks.extractor import Extractor
from napari_deconv.networks.refiner import Refiner
from napari_deconv.networks.weights import load_weights, save_weights
from napari_deconv.operators.convolution import Convolution
from napari_deconv.training import extractor, refiner
from napari_deconv.training.samples import SIZE, Samples


@pytest.fixture(scope="module")
def natural(tmp_path_factory):
    """Six invented photographs."""
    folder = tmp_path_factory.mktemp("natural")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (6, 16, 16)).repeat(16, 1).repeat(16, 2).astype(np.uint8)
    names = [f"{i:02d}.png_00" for i in range(6)]
    np.savez(folder / "kodak_144x256x256_gray.npz", images=images, names=names)
    return folder


def test_samples_are_the_same_each_time_and_physical(natural):
    samples = Samples(natural)
    for number in range(12):
        one, again = samples[number], Samples(natural)[number]
        np.testing.assert_array_equal(one.image, again.image)
        assert one.image.shape == one.truth.shape == (SIZE, SIZE)
        assert one.psf.sum() == pytest.approx(1)
        assert one.psf.min() >= 0
        assert one.noise > 0
        # Object and image are in the same unit: light is neither made nor lost.
        blurred = Convolution(one.psf, one.image.shape)(
            Convolution(one.psf, one.image.shape).extend(torch.from_numpy(one.truth))
        )
        level = float(blurred.mean()) + one.background
        assert one.image.mean() == pytest.approx(level, rel=0.35)


def test_scored_photographs_are_kept_apart(natural):
    seen, apart = Samples(natural), Samples(natural, scored=True)
    assert len(seen._photographs) == len(apart._photographs) == 3
    assert not np.array_equal(seen[0].image, apart[0].image)


TINY = ["--samples", "6", "--scored", "2", "--batch", "2", "--minutes", "0.01", "--crop", "32"]


def test_the_refiners_training_goes_on_and_its_weights_work(natural, tmp_path, capsys):
    refiner.main([str(natural), str(tmp_path), *TINY])
    first = torch.load(tmp_path / "refiner.pt", weights_only=True)["steps"]
    refiner.main([str(natural), str(tmp_path), *TINY])
    assert torch.load(tmp_path / "refiner.pt", weights_only=True)["steps"] > first
    loaded = load_weights(tmp_path / "cider-refiner.safetensors", "refiner")
    Refiner().load_state_dict(loaded.tensors)
    assert {"title", "training", "scores", "licence"} <= loaded.card.keys()
    assert "mean gain" in capsys.readouterr().out


def test_the_refiner_begins_with_weights_and_other_pairs(natural, tmp_path):
    torch.manual_seed(0)
    start = Refiner()
    torch.nn.init.normal_(start.generator.last.weight, std=0.01)
    save_weights(tmp_path / "start.safetensors", start.state_dict(), "refiner", {})
    few = ["--samples", "2", "--scored", "1", "--minutes", "0.0001", "--batch", "1", "--crop", "32"]
    weights, drawn = [], []
    for seed in ("0", "1"):
        folder = tmp_path / seed
        begin = ["--start", str(tmp_path / "start.safetensors"), "--seed", seed]
        refiner.main([str(natural), str(folder), *few, *begin])
        weights.append(load_weights(folder / "cider-refiner.safetensors", "refiner").tensors)
        drawn.append(np.load(folder / "pairs.npz")["truths"])
    for name, value in start.state_dict().items():
        # One step, at a hundredth of the rate.
        torch.testing.assert_close(weights[0][name].float(), value, atol=1e-3, rtol=1e-3)
    assert not np.array_equal(*drawn)


def test_the_refiner_learns(natural, tmp_path):
    """What is asked of it here is in its input: the image by total variation, a fifth brighter."""
    torch.manual_seed(0)
    stacks, _ = refiner.pairs(natural, tmp_path / "pairs.npz", range(4), scored=False)
    pairs = stacks, (1.2 * stacks[:, 3].astype(np.float32)).astype(np.float16)
    network, generator = Refiner(), np.random.default_rng(0)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(60):
        stack, truth = refiner.crop(*pairs, 4, 48, generator)
        loss = refiner.relative_loss(network(stack), stack, truth)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(1, abs=0.05)
    assert np.mean(losses[-10:]) < 0.7


@pytest.mark.parametrize("options", [[], ["--filter-bank"]], ids=["learned", "filter-bank"])
def test_the_extractors_training(natural, tmp_path, options):
    scores = extractor.main([str(natural), str(tmp_path), *TINY, *options])
    assert np.isfinite(list(scores.values())).all()
    written = tmp_path / "cider-extractor.safetensors"
    assert written.exists() != bool(options)
    if not options:
        Extractor().load_state_dict(load_weights(written, "extractor").tensors)


def test_wiener_undoes_a_blur():
    torch.manual_seed(0)
    x = torch.rand(3, 48, 48)
    psf = np.ones((3, 3)) / 9 * 0.3
    psf[1, 1] += 0.7
    blur = Convolution(psf, (48, 48), "circular")
    seen = torch.stack([blur(each) for each in x])
    torch.testing.assert_close(extractor.wiener(seen, blur, 0.0), x, atol=1e-3, rtol=1e-3)


def test_errors_reach_the_extractor():
    network = extractor.EndToEnd(learned=True)
    data = torch.rand(40, 40)
    blur = Convolution(np.full((3, 3), 1 / 9), data.shape)
    network(data, blur, 1e-3).square().mean().backward()
    assert float(network.extractor.first.weight.grad.abs().max()) > 0
