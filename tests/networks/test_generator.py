"""The generator: sizes as printed, any shape, no dependence on what lies far away."""

from __future__ import annotations

import pytest
import torch

from napari_deconv.networks.generator import PAPER, STACK, Generator, Plan, count_parameters
from napari_deconv.networks.refiner import PLAN, Refiner


def test_it_has_the_papers_number_of_parameters():
    """Table 3 of Chobola et al. 2023."""
    assert count_parameters(Generator(PAPER)) == 322_913


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (16, 50)])
def test_planes_of_any_size(shape):
    assert Generator(PAPER)(torch.randn(2, 16, *shape)).shape == (2, 1, *shape)


@pytest.mark.parametrize("shape", [(8, 16, 16), (9, 21, 18)])
def test_stacks_of_any_size(shape):
    assert Generator(STACK)(torch.randn(1, 16, *shape)).shape == (1, 1, *shape)


def test_attention_begins_as_the_identity():
    """So that it may be left out: the network with it gives the same at the start."""
    with_it = Generator(PAPER)
    without = Generator(Plan(attention=()))
    missing, unexpected = without.load_state_dict(with_it.state_dict(), strict=False)
    assert not missing
    assert all("attention" in name for name in unexpected)
    x = torch.randn(1, 16, 32, 40)
    torch.testing.assert_close(with_it(x), without(x))


def test_every_parameter_learns():
    network = Generator(PAPER)
    network(torch.randn(1, 16, 48, 48)).square().sum().backward()
    still = {n for n, p in network.named_parameters() if p.grad is None}
    assert still == set()


def test_the_same_seed_gives_the_same_network():
    torch.manual_seed(3)
    one = Generator(STACK).state_dict()
    torch.manual_seed(3)
    other = Generator(STACK).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_refiner_without_training_changes_nothing():
    stack = torch.rand(1, PLAN.inputs, 24, 31)
    torch.testing.assert_close(Refiner()(stack), stack[:, 1])


def test_a_refiners_piece_does_not_know_the_rest():
    """Pieces fit without seams: far from a change, nothing changes."""
    torch.manual_seed(0)
    refiner = Refiner()
    torch.nn.init.normal_(refiner.generator.last.weight)
    stack = torch.rand(1, PLAN.inputs, 32, 256)
    other = stack.clone()
    other[..., 200:] += 3
    one, two = refiner(stack), refiner(other)
    torch.testing.assert_close(one[..., :64], two[..., :64])
    assert not torch.allclose(one[..., 200:], two[..., 200:])
