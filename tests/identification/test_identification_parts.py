"""The parts of blind identification: optics, spectra, mixtures, which way round."""

import numpy as np
import pytest
import torch

from napari_deconv.identification import positivity, prior, reading, sign, spectrum
from napari_deconv.identification.fit import Model, fit, starts
from napari_deconv.identification.mixture import Mixture, before_looking, together
from napari_deconv.identification.optics import MODES, even_twin, pupils, turned
from napari_deconv.identification.resample import to_trained
from napari_deconv.networks.resnet_encoder import ResNetEncoder
from napari_deconv.networks.sign_network import SignNetwork, facts
from napari_deconv.networks.weights import load_weights
from napari_deconv.training.blind_scenes import blurred, dead_leaves

P = pupils(0.2, (31, 31))


@pytest.fixture
def coefficients():
    return (torch.rand(3, 8, generator=torch.Generator().manual_seed(2)) - 0.5) * 0.3


class TestOptics:
    def test_even_modes_negated_are_the_same_psf(self, coefficients):
        twin = torch.from_numpy(even_twin(coefficients.numpy()))
        assert not torch.allclose(twin, coefficients)
        torch.testing.assert_close(P.psf(twin), P.psf(coefficients), atol=2e-7, rtol=0)

    def test_odd_modes_negated_are_the_psf_turned(self, coefficients):
        flipped = P.psf(coefficients).flip(-2, -1)
        torch.testing.assert_close(P.psf(turned(coefficients)), flipped, atol=2e-7, rtol=0)
        assert (P.psf(coefficients) - flipped).abs().max() > 1e-3

    def test_derivatives_are_those_of_differences(self, coefficients):
        _, change = P.derivatives(coefficients)
        step = 1e-3
        for j in range(len(MODES)):
            by = torch.zeros(8).index_fill(0, torch.tensor(j), step)
            expected = (P.psf(coefficients + by) - P.psf(coefficients - by)) / (2 * step)
            error = (change[:, j] - expected).norm() / expected.norm()
            assert error < 1e-3

    def test_cutoff_is_where_light_ends(self, coefficients):
        psf = pupils(0.2, (101, 101)).psf(coefficients[:1])[0]
        otf = torch.fft.fft2(psf).abs()
        radius = torch.hypot(*torch.meshgrid(*[torch.fft.fftfreq(101)] * 2, indexing="ij"))
        assert otf[radius > 0.42].max() < 5e-3
        assert otf[(radius > 0.3) & (radius < 0.35)].max() > 1e-2


class TestSpectrum:
    def test_white_noise_has_its_variance_everywhere(self):
        image = 3 * torch.randn(256, 256, generator=torch.Generator().manual_seed(0)).double()
        power = spectrum.welch(image)
        assert float(power[4:30, 4:30].mean()) == pytest.approx(9, rel=0.05)
        assert spectrum.noise_level(power.numpy()) == pytest.approx(9, rel=0.05)

    @pytest.mark.parametrize("side", [64, 48])
    def test_blurred_noise_shows_the_transfer(self, coefficients, side):
        """The spectrum of a blurred white scene is |OTF|^2, as windows see it."""
        random = np.random.default_rng(0)
        psf = P.psf(coefficients[:1])[0]
        image = blurred(random.normal(size=(700, 700)).astype(np.float32), psf.numpy())
        seen = spectrum.at_disc(spectrum.welch(torch.from_numpy(image).double(), side).numpy())
        expected = spectrum.Transfer((31, 31), side)(psf[None])[0].numpy()
        strong = expected > 1e-4
        assert np.median(seen[strong] / expected[strong]) == pytest.approx(1, abs=0.03)
        assert np.log(seen[strong] / expected[strong]).std() < 0.25

    def test_transfer_derivatives_are_those_of_differences(self, coefficients):
        transfer = spectrum.transfer((31, 31), 64)
        psf, change = P.derivatives(coefficients)
        _, slope = transfer.derivatives(psf, change)
        by = torch.zeros(8).index_fill(0, torch.tensor(3), 1e-3)
        more, less = (transfer(P.psf(coefficients + s * by)) for s in (1, -1))
        expected = (more - less) / 2e-3
        assert (slope[:, 3] - expected).norm() / expected.norm() < 2e-3

    def test_half_plane_has_every_frequency_once(self):
        rows, columns = spectrum.disc()
        both = set(zip(rows.tolist(), columns.tolist(), strict=True))
        assert not any((-r, -c) in both for r, c in both)
        whole = spectrum.half_plane(torch.arange(len(rows)).float())
        assert whole.shape == (51, 26)
        assert float(whole[rows[7] + 25, columns[7]]) == 7

    @pytest.mark.parametrize("cutoff", [0.1, 0.25])
    def test_resampling_keeps_what_is_seen(self, cutoff):
        y, x = np.mgrid[:240, :180] + 0.5
        f = 0.5 * cutoff

        def wave(y, x, f):
            return np.cos(2 * np.pi * f * y) + np.cos(2 * np.pi * f * x)

        image = wave(y, x, round(f * 480) / 480)[None]
        made, pixels = to_trained(image, cutoff)
        factor = cutoff / 0.2
        assert made.shape == (1, round(240 * factor), round(180 * factor))
        assert pixels == pytest.approx(factor)
        assert made.mean() == pytest.approx(image.mean(), abs=1e-9)
        assert made.var() == pytest.approx(image.var(), rel=0.1)


class TestFit:
    def test_recovers_a_spectrum_of_its_own_model(self, coefficients):
        """A spectrum that is exactly as the model has it leaves no error."""
        known = prior.load()
        power = spectrum.transfer((31, 31), 64)(P.psf(coefficients[:1]))[0]
        log = torch.log(power * torch.exp(known.mean) + 1e-9)
        model = Model(spectrum.Spectrum(log, 1e-9, 200.0, 64), known, P, 0.15)
        found = fit(model, starts(16, 0, len(known.components)))
        psf, truth = P.psf(found.coefficients[0]), P.psf(coefficients[0])
        error = min((psf - truth).norm(), (psf.flip(0, 1) - truth).norm()) / truth.norm()
        assert error < 0.05
        assert (found.evidence.diff() <= 0).all()

    def test_of_more_starts_the_promising_go_on(self, coefficients):
        """Of few starts some end in a wrong place; of more, with as few of them followed, none."""
        known = prior.load()
        power = spectrum.transfer((31, 31), 64)(P.psf(coefficients))
        right = {4: 0, 24: 0}
        for each, truth in zip(power, P.psf(coefficients), strict=True):
            log = torch.log(each * torch.exp(known.mean) + 1e-9)
            model = Model(spectrum.Spectrum(log, 1e-9, 200.0, 64), known, P, 0.15)
            for count in right:
                found = fit(model, starts(count, 0, len(known.components)), kept=4)
                assert len(found.coefficients) == len(found.samples) == 4
                psf = P.psf(found.coefficients[0])
                error = min((psf - truth).norm(), (psf.flip(0, 1) - truth).norm()) / truth.norm()
                right[count] += bool(error < 0.05)
        assert right[24] == len(coefficients) > right[4]

    def test_noise_leaves_more_open(self, coefficients):
        known = prior.load()
        spreads = []
        for noise in (1e-6, 3e-2):
            power = spectrum.transfer((31, 31), 64)(P.psf(coefficients[:1]))[0]
            log = torch.log(power * torch.exp(known.mean) + noise)
            model = Model(spectrum.Spectrum(log, noise, 50.0, 64), known, P, 0.15)
            samples = fit(model, starts(8, 0, len(known.components))).samples[0]
            spreads.append(float(samples.std(0).mean()))
        assert spreads[1] > 1.5 * spreads[0]

    def test_rests_shrink_with_more_windows(self):
        known = prior.load()
        few, more = known.variance(5.0), known.variance(100.0)
        assert (few > more).all()
        torch.testing.assert_close(known.variance(1e9), known.rest[-1])


class TestMixture:
    def test_best_takes_the_likelier_of_two_that_exclude_each_other(self, coefficients):
        pair = torch.stack([coefficients[0], turned(coefficients[0])])
        found = Mixture(pair, torch.tensor([0.7, 0.3])).best(P)
        assert found.weights[0] > 0.9
        assert float(found.weights.sum()) == pytest.approx(1, abs=1e-5)

    def test_best_is_no_worse_than_the_mean(self, coefficients):
        mixture = before_looking(0.15)
        best = mixture.best(P)
        assert mixture.expected(best.psf(P), P) >= mixture.expected(mixture.psf(P), P) - 1e-3

    def test_error_of_one_is_none(self, coefficients):
        assert Mixture(coefficients[:1], torch.ones(1)).error(P) == pytest.approx(0, abs=1e-6)

    def test_together_keeps_shares(self, coefficients):
        one = Mixture(coefficients[:1], torch.ones(1))
        two = Mixture(coefficients[1:], torch.tensor([0.5, 0.5]))
        made = together([(0.25, one), (0.75, two)])
        torch.testing.assert_close(made.weights, torch.tensor([0.25, 0.375, 0.375]))


class TestSign:
    def test_way_round_of_a_sharp_scene(self, coefficients):
        right = 0
        for seed in range(6):
            scene = dead_leaves(230, np.random.default_rng(seed)).astype(np.float32)
            psf = P.psf(coefficients[seed % 3])
            image = torch.from_numpy(blurred(scene, psf.numpy()))
            odds = sign.odds(image, psf, 1e-5)
            assert sign.odds(image, psf.flip(0, 1), 1e-5) == pytest.approx(-odds, abs=2e-2)
            right += odds > 0
        assert right >= 5

    def test_network_is_odd(self):
        network = SignNetwork(4)
        torch.nn.init.normal_(network.gains[2].weight)
        seen = torch.randn(5, 4)
        known = facts(1e4, torch.full((5,), 1e-3), torch.full((5,), 0.5))
        torch.testing.assert_close(network(-seen, known), -network(seen, known))
        assert network(seen, known).abs().max() > 0


class TestPositivity:
    @pytest.fixture
    def scene(self):
        random = np.random.default_rng(3)
        dots = np.where(random.random((130, 130)) < 0.03, random.random((130, 130)), 0)
        return dots.astype(np.float32)

    def test_of_dots_in_the_dark_the_right_way_round_explains_more(self, scene, coefficients):
        for psf in P.psf(coefficients):
            image = torch.from_numpy(blurred(scene, psf.numpy()))
            shares, pixels = positivity.unexplained(image, torch.stack([psf, psf.flip(0, 1)]))
            assert pixels == 100 * 100
            assert shares[0] < shares[1] - 0.2
            mirrored, _ = positivity.unexplained(image.flip(0, 1), psf.flip(0, 1)[None])
            torch.testing.assert_close(mirrored, shares[:1], atol=1e-2, rtol=0)

    def test_brightness_and_offset_do_not_matter(self, scene, coefficients):
        psf = P.psf(coefficients[:1])
        image = torch.from_numpy(blurred(scene, psf[0].numpy()))
        expected, _ = positivity.unexplained(image, psf)
        found, _ = positivity.unexplained(40 * image + 100, psf)
        torch.testing.assert_close(found, expected, atol=1e-2, rtol=0)

    def test_what_has_nothing_in_it_is_no_error(self, coefficients):
        shares, _ = positivity.unexplained(torch.full((64, 70), 3.0), P.psf(coefficients))
        assert torch.isfinite(shares).all()

    def test_of_large_images_the_middle_is_looked_at(self, coefficients):
        random = torch.Generator().manual_seed(0)
        image = torch.rand(200, 300, generator=random)
        shares, pixels = positivity.unexplained(image, P.psf(coefficients[:1]))
        assert pixels == 192 * 192
        image[:4] = image[-4:] = image[:, :54] = image[:, -54:] = 1e3
        again, _ = positivity.unexplained(image, P.psf(coefficients[:1]))
        torch.testing.assert_close(again, shares)


class TestNetworks:
    @pytest.mark.parametrize("shape", [(48, 48), (61, 75)])
    def test_resnet_takes_any_size(self, shape):
        network = ResNetEncoder(8, (1, 1, 1, 1)).eval()
        image = torch.randn(2, *shape)
        found = network(image)
        assert found.shape == (2, 8)
        # Neither the brightness nor the offset of an image is anything to a PSF.
        torch.testing.assert_close(network(5 + 3 * image), found, atol=1e-5, rtol=1e-3)

    def test_resnet_of_the_paper_is_a_resnet_18(self):
        assert sum(p.numel() for p in ResNetEncoder().parameters()) == pytest.approx(
            11.17e6, rel=0.01
        )

    def test_encoder_answers_within_the_amplitude(self):
        log = torch.randn(len(spectrum.disc()[0]))
        mixture = reading.read(spectrum.Spectrum(log, 1e-3, 10.0, 64), 0.05)
        assert mixture.coefficients.abs().max() <= 0.05
        assert float(mixture.weights.sum()) == pytest.approx(1)

    def test_weights_are_what_their_cards_say(self):
        kinds = {
            prior.NAME: "spectrum prior",
            sign.NAME: "sign network",
            reading.ENCODER: "spectrum encoder",
            reading.WEIGHING: "weighing",
        }
        for name, kind in kinds.items():
            loaded = load_weights(name, kind)
            assert loaded.card["sha256"] == loaded.sha256
            assert {"title", "training", "scores", "limits", "licence"} <= set(loaded.card)
