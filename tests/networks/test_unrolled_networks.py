"""DRUNet and the unrolled Douglas-Rachford network."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from napari_deconv.networks.douglas_rachford import DouglasRachford, Unrolled, douglas_rachford
from napari_deconv.networks.drunet import PAPER, DRUNet, Plan
from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.inverse import FourierInverse, inverse_of

SMALL = Plan(channels=(4, 6), blocks=1)
PLANS = [
    SMALL,
    Plan(channels=(4, 6, 8), blocks=2, maps=2, patch=2, residual=True),
    Plan(ndim=3, channels=(3, 4), blocks=1, patch=2),
]


def network_of(plan, seed=0):
    torch.manual_seed(seed)
    return DRUNet(plan).double().eval()


def image_of(plan, *shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 1 + plan.maps, *shape, generator=generator, dtype=torch.float64)


class TestDRUNet:
    def test_the_publication_s_has_as_many_parameters(self):
        with torch.device("meta"):
            network = DRUNet(PAPER)
        # 32.64 million are what its authors count (Zhang et al. 2022).
        assert sum(p.numel() for p in network.parameters()) == 32_638_656

    @pytest.mark.parametrize("plan", PLANS)
    @pytest.mark.parametrize("length", [1, 7, 12])
    def test_any_size(self, plan, length):
        shape = (length, 9, 5)[-plan.ndim :]
        made = network_of(plan)(image_of(plan, *shape))
        assert made.shape == (1, 1, *shape)
        assert torch.isfinite(made).all()

    @pytest.mark.parametrize("plan", PLANS)
    def test_the_unit_does_not_matter(self, plan):
        network, image = network_of(plan), image_of(plan, *(8,) * plan.ndim)
        torch.testing.assert_close(network(1000 * image), 1000 * network(image))
        assert not any("bias" in name for name, _ in network.named_parameters())

    @pytest.mark.parametrize("plan", PLANS[:2])
    def test_it_sees_no_farther_than_it_says(self, plan):
        side = 2 * plan.reach + 9
        side += -side % plan.grid
        network = network_of(plan).requires_grad_(False)
        image = image_of(plan, side, plan.grid)
        changed = image.clone()
        changed[:, :, 0] += 1
        difference = (network(changed) - network(image)).abs().amax((0, 1, 3))
        assert float(difference[plan.reach + 1 :].max()) == 0
        assert float(difference[: plan.reach // 3].max()) > 0


def psf_of(n=7, sigma=1.2):
    grid = np.arange(n) - n // 2
    psf = np.exp(-0.5 * (grid[:, None] ** 2 + (grid - 0.5) ** 2) / sigma**2)
    return psf / psf.sum()


class TestDouglasRachford:
    """With a proximal operator that is one, it comes to the minimiser."""

    def test_with_a_quadratic_prior_it_comes_to_tikhonov_s_answer(self):
        blur = Convolution(psf_of(), (32, 30), "circular", dtype=torch.float64)
        data = torch.rand(32, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        weight, strength = 0.3, 0.05

        def shrink(v):  # of strength |x|^2, where the data term is |Hx - y|^2
            return v * weight / (weight + strength)

        *_, (u, x) = douglas_rachford(
            FourierInverse(data, blur.otf, 2),
            [shrink] * 150,
            [weight] * 150,
            [1.0] * 150,
            0 * data,
        )
        power = blur.otf.abs().square()
        answer = torch.fft.irfft2(
            blur.otf.conj() * torch.fft.rfft2(data) / (power + strength), s=(32, 30)
        )
        torch.testing.assert_close(x, answer, rtol=0, atol=1e-6)
        torch.testing.assert_close(u, answer, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("borders", ["circular", "extended"])
    @pytest.mark.parametrize("relaxation", [0.7, 1.5])
    def test_with_an_l1_prior_nothing_is_left_to_gain(self, borders, relaxation):
        """Optimality: the slope of the data term balances the subgradient of the l1 norm."""
        blur = Convolution(psf_of(), (24, 26), borders, dtype=torch.float64)
        data = torch.zeros(24, 26, dtype=torch.float64)
        data[5, 7], data[15, 12] = 4.0, -2.0
        weight, strength = 0.02, 0.02

        def soften(v):
            return v.sign() * (v.abs() - strength / weight / 2).clamp(min=0)

        start = torch.zeros(blur.object_shape, dtype=torch.float64)
        *_, (_, x) = douglas_rachford(
            inverse_of(data, blur), [soften] * 400, [weight] * 400, [relaxation] * 400, start
        )
        slope = 2 * blur.adjoint(blur(x) - data)
        assert 5 < int((x != 0).sum()) < x.numel() / 2
        torch.testing.assert_close(
            slope[x != 0], -strength * x[x != 0].sign(), rtol=0, atol=0.02 * strength
        )
        assert float(slope[x == 0].abs().max()) <= strength * 1.02


class TestUnrolled:
    def plan(self, **given):
        return Unrolled(Plan(channels=(4, 6), blocks=1, maps=2, residual=True), steps=3, **given)

    def parts(self, seed=0):
        generator = torch.Generator().manual_seed(seed)
        images = torch.rand(2, 1, 20, 17, generator=generator)
        otf = Convolution(psf_of(), (20, 17), "circular").otf
        noise = torch.full_like(images, 0.05)
        return FourierInverse(images, otf, 2), torch.zeros_like(images), noise, noise[..., :1, :1]

    @pytest.mark.parametrize("own", [True, False])
    def test_every_step_learns(self, own):
        torch.manual_seed(0)
        network = DouglasRachford(self.plan(own=own))
        *_, last = network(*self.parts())
        last.square().mean().backward()
        # A step whose result nobody sees has no relaxation to learn.
        idle = {"relaxation"}
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert name in idle or bool((parameter.grad != 0).any()), name
        count = sum(p.numel() for p in network.networks.parameters())
        assert count == (3 if own else 1) * sum(
            p.numel() for p in DRUNet(self.plan().prior).parameters()
        )

    def test_more_noise_and_doubt_weigh_more(self):
        network = DouglasRachford(self.plan()).requires_grad_(False)
        _, _, noise, error = self.parts()
        low = network._weights(noise, error)
        assert all(
            float((more - less).min()) > 0
            for more, less in zip(network._weights(2 * noise, error), low, strict=True)
        )
        assert all(
            float((more - less).min()) > 0
            for more, less in zip(network._weights(noise, 5 * error), low, strict=True)
        )

    def test_what_is_outside_stays_the_inverse_s(self):
        torch.manual_seed(0)
        network = DouglasRachford(self.plan()).eval()
        inverse, nothing, noise, error = self.parts()
        inside = (slice(2), slice(1), slice(0, 12), slice(0, 10))
        with torch.no_grad():
            first = next(network(inverse, nothing, noise[..., :12, :10], error, inside))
            whole = next(network(inverse, nothing, noise, error))
            weights = network._weights(noise, error)
            begin = inverse(nothing, weights[0])
            u = inverse(begin, weights[1])
        torch.testing.assert_close(first[..., 12:, :], (2 * u - begin)[..., 12:, :])
        assert not torch.equal(first[..., :12, :10], whole[..., :12, :10])

    def test_sizes_survive_as_text(self):
        plan = self.plan(own=False)
        assert Unrolled.of(json.loads(json.dumps(plan.settings()))) == plan
