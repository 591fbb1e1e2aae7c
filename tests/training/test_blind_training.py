"""Training of blind identification: small, but all of it."""

import numpy as np
import pytest
import torch

from napari_deconv.cli import main, train_identification
from napari_deconv.identification.optics import TURN
from napari_deconv.training import blind_scenes, blind_signs, blind_spectra, blind_weighing
from napari_deconv.training.blind_scenes import Scenes, dead_leaves, noisy, photographs
from napari_deconv.training.blind_views import decibels, relative_error, view
from napari_deconv.training.deep_blur_identification import PARTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs that are none, in the format of those that are."""
    random = np.random.default_rng(0)
    images, names = [], []
    for number in range(1, 17):
        whole = dead_leaves(256, random)
        for at in ("00", "01", "02", "10", "11", "12"):
            images.append((255 * whole.clip(0, 1)).astype(np.uint8))
            names.append(f"{number:02d}.png_{at}")
    made = tmp_path_factory.mktemp("photographs")
    np.savez(made / "kodak_144x256x256_gray.npz", images=np.stack(images), names=np.array(names))
    return made


def test_photographs_are_put_together(folder):
    (whole,) = photographs(folder, [3])
    assert whole.shape == (512, 768)
    np.testing.assert_array_equal(whole[:256, :256], whole[256:, 512:])


class TestViews:
    def test_same_numbers_same_view(self, folder):
        scenes = Scenes(photographs(folder, [1]), synthetic=1)
        one, two = (view(scenes, np.random.default_rng(4)) for _ in range(2))
        np.testing.assert_array_equal(one.image, two.image)
        assert np.abs(one.coefficients).max() <= one.amplitude <= 0.15

    def test_scenes_that_were_kept_are_the_same(self, folder, tmp_path, monkeypatch):
        def drawn():
            scenes = Scenes(photographs(folder, [1]), synthetic=1, seed=5, kept=tmp_path)
            return view(scenes, np.random.default_rng(4)).image

        first = drawn()
        monkeypatch.setattr(blind_scenes, "scene", None)  # none is made again
        np.testing.assert_array_equal(drawn(), first)

    def test_noise_is_as_strong_as_said(self):
        image = np.full((300, 300), 0.5, np.float32)
        image[:150] = 0.1
        seen = noisy(image, 0.02, np.random.default_rng(0), photons=1.0) - image
        assert seen.std() == pytest.approx(0.02, rel=0.03)
        assert seen[150:].std() / seen[:150].std() == pytest.approx(5**0.5, rel=0.05)


def test_spectrum_of_the_mirrored_image(folder):
    """The half plane upside down goes with the aberrations upside down."""
    from napari_deconv.identification.optics import pupils
    from napari_deconv.identification.spectrum import half_plane, spectrum_of

    random = np.random.default_rng(1)
    image = torch.from_numpy(random.normal(size=(98, 98)).cumsum(1))
    one, two = (half_plane(spectrum_of(each).log) for each in (image, image.flip(0)))
    # Hann's window has a zero at one end only, hence the rest.
    assert (one.flip(0) - two)[:, 1:].abs().mean() < 0.03
    assert (one - two)[:, 1:].abs().mean() > 0.2
    signs = torch.tensor(blind_spectra.upside_down())
    coefficients = torch.linspace(-0.1, 0.1, 8)[None]
    model = pupils(0.2, (31, 31))
    mirrored = model.psf(coefficients).flip(-2)
    torch.testing.assert_close(model.psf(coefficients * signs), mirrored, atol=2e-7, rtol=0)
    assert len(TURN) == 8


def test_signs_learn_what_tells(folder):
    """Of ten differences one tells: its gain grows, the others' stay."""
    random = torch.Generator().manual_seed(0)
    cases = []
    for _ in range(300):
        differences = torch.randn(10, generator=random)
        differences[3] = differences[3].abs() + 0.1
        cases.append((differences, torch.zeros(3), torch.tensor(1.0)))
    _, scores = blind_signs.learn(cases[:200], cases[200:])
    assert scores["all"] > 0.9


def test_weighing_learns_whom_to_believe():
    """Noise in the facts decides whether fit or network is right, and how nearly."""
    random = torch.Generator().manual_seed(0)
    facts = torch.randn(200, 7, generator=random)
    noisy_ = facts[:, 0] > 0
    psfs = torch.rand(200, 4, 5, 5, generator=random)
    psfs[noisy_, 1] = psfs[noisy_, 3]
    psfs[~noisy_, 0] = 1.1 * psfs[~noisy_, 3]
    network, scores = blind_weighing.learn(facts, psfs)
    with torch.no_grad():
        shares, expected = network(facts)
    assert shares[noisy_][:, 1].mean() > 0.7
    assert shares[~noisy_][:, 0].mean() > 0.7
    torch.testing.assert_close(shares.sum(1), torch.ones(200))
    assert expected[noisy_].mean() > expected[~noisy_].mean() + 1
    assert scores["together"] > max(scores["fit alone"], scores["network alone"])


def test_weighing_learns_from_facts_of_any_size():
    """Large ones make shares of nothing, and expectations of anything."""
    random = torch.Generator().manual_seed(0)
    psfs = torch.rand(50, 4, 5, 5, generator=random)
    network, scores = blind_weighing.learn(1e4 * torch.randn(50, 7, generator=random), psfs)
    assert all(weight.isfinite().all() for weight in network.parameters())
    assert np.isfinite(list(scores.values())).all()


def test_weighing_is_scored_by_the_mean_psf():
    """The score is the signal to noise of the weighted mean of the PSFs, whatever their scale."""
    random = torch.Generator().manual_seed(0)
    facts = torch.randn(20, 7, generator=random)
    psfs = torch.rand(20, 4, 5, 5, generator=random)
    network, scores = blind_weighing.learn(facts, 1e-3 * psfs)
    with torch.no_grad():
        shares, _ = network(facts)
    mean = torch.einsum("ni,niyx->nyx", shares, psfs[:, :3])
    error = relative_error(mean, psfs[:, 3])
    assert scores["together"] == pytest.approx(float(decibels(error + 0.001).mean()), abs=1e-3)


def test_the_help_tells_the_parts_own_times():
    *most, last = (f"{minutes:g}" for minutes in PARTS.values())
    assert train_identification._MINUTES.endswith(f" {', '.join(most)} and {last}.")
    assert tuple(PARTS) == train_identification._PARTS


def test_everything_from_the_shell(folder, tmp_path, capsys):
    words = ["train", "deep-blur-identification", "--images", str(folder), "-o", str(tmp_path)]
    words += ["--minutes", "0.002"]
    assert main([*words, "--parts", "prior", "encoder", "sign", "weighing", "resnet"]) == 0
    made = {path.name for path in tmp_path.glob("*.safetensors")}
    assert len(made) == 5
    assert all((tmp_path / name).with_suffix(".json").is_file() for name in made)
    assert main(words) != 0  # weights are not replaced unasked
    assert "overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--parts", "nothing"]) != 0
    assert main(["train", "deep-blur-identification", "--images", str(tmp_path), "-o", "x"]) != 0
