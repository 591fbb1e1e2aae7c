"""The network against the paper: its parameters, its equations, and numbers of few bits."""

from __future__ import annotations

import pytest
import torch

from napari_deconv.networks.lucyd import PARAMETERS, REACH, Lucyd, folded


def trained(ndim=3, variant="repaired", seed=0):
    """Return a network with weights and statistics as after some training."""
    torch.manual_seed(seed)
    network = Lucyd(ndim, variant)
    for _ in range(5):
        network(torch.rand(2, 1, *(16,) * ndim))
    return network.eval()


@pytest.mark.parametrize("variant", ["paper", "repaired"])
def test_it_has_the_papers_parameters(variant):
    network = Lucyd(3, variant)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[3] == 24_964
    assert sum(p.numel() for p in Lucyd(2, variant).parameters()) == PARAMETERS[2]


@pytest.mark.parametrize("ndim", [2, 3])
@torch.no_grad()
def test_parts_follow_the_equations(ndim):
    network, image = trained(ndim), torch.rand(1, 1, *(12,) * ndim)
    parts = network.parts(image)
    torch.testing.assert_close(parts.corrected, image + parts.mask)
    torch.testing.assert_close(parts.quotient, image / (parts.projection + 0.1))
    product = parts.corrected * parts.update
    torch.testing.assert_close(parts.restored, network.end.weight * product + network.end.bias)
    assert parts.update.min() >= 0
    for part in vars(parts).values():
        assert part.shape == image.shape


@torch.no_grad()
def test_the_paper_divides_without_a_guard_and_ends_rectified():
    network, image = trained(3, "paper"), torch.rand(1, 1, 8, 8, 8)
    parts = network.parts(image)
    seen = parts.projection > 1e-6
    torch.testing.assert_close(parts.quotient[seen], (image / parts.projection)[seen])
    assert parts.restored.min() >= 0


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("variant", ["paper", "repaired"])
@torch.no_grad()
def test_few_bits_never_make_nan(variant, kind):
    network = trained(3, variant)
    # The darkest projection there can be.
    torch.nn.init.constant_(network.update.mean.norm.bias, -100.0)
    image = torch.rand(1, 1, 8, 8, 8)
    image[..., :4] = 0
    with torch.autocast("cpu", kind):
        assert torch.isfinite(network(image)).all()
    if (variant, kind) != ("paper", torch.float16):  # whose statistics have no place in 16 bits
        assert torch.isfinite(network.to(kind)(image.to(kind))).all()


@pytest.mark.parametrize("ndim", [2, 3])
@torch.no_grad()
def test_folding_changes_nothing(ndim):
    network, image = trained(ndim), torch.rand(1, 1, *(16,) * ndim)
    torch.testing.assert_close(folded(network)(image), network(image), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_it_sees_no_farther_than_it_says():
    network = trained().double()
    image = torch.rand(1, 1, 8, 8, 4 * REACH).double()
    before = network(image)
    for place in (2 * REACH, 2 * REACH + 1):
        changed = image.clone()
        changed[..., place] += 1
        places = (network(changed) != before).any(0)[0].any(0).any(0).nonzero()
        assert places.min() >= place - REACH
        assert places.max() <= place + REACH


def test_it_begins_near_the_identity():
    torch.manual_seed(0)
    image = torch.rand(4, 1, 16, 16, 16)
    restored = Lucyd()(image).detach()
    assert torch.corrcoef(torch.stack([restored.flatten(), image.flatten()]))[0, 1] > 0.8
