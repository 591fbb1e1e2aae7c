"""The compiled loops compute what the network of torch does."""

import pytest
import torch

from napari_deconv.networks.lucyd import Lucyd, folded
from napari_deconv.networks.lucyd_compiled import CompiledLucyd, usable

if not usable(torch.device("cpu"), 3):
    pytest.skip("there are no compiled loops here", allow_module_level=True)


def taught(variant):
    """Return a network whose every number matters."""
    torch.manual_seed(1)
    network = Lucyd(3, variant)
    for name, each in network.state_dict().items():
        if "running_var" in name:
            each.uniform_(0.5, 2)
        elif each.ndim == 1:
            each.normal_(0.2, 0.3)
    return folded(network)


@pytest.mark.parametrize("variant", ["repaired", "paper"])
@pytest.mark.parametrize("shape", [(6, 10, 34), (2, 4, 6), (16, 8, 20)])
@pytest.mark.parametrize("threads", [1, 2])
def test_all_parts_are_those_of_the_network(variant, shape, threads):
    network, before = taught(variant), torch.get_num_threads()
    image = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(2))
    torch.set_num_threads(threads)
    try:
        with torch.no_grad():
            made, expected = CompiledLucyd(network).parts(image), network.parts(image)
    finally:
        torch.set_num_threads(before)
    for name in ("mask", "corrected", "projection", "quotient", "update", "restored"):
        one, other = getattr(made, name), getattr(expected, name)
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=2e-4, atol=1e-5, msg=name)


def test_they_are_for_stacks_on_a_processor_unless_switched_off(monkeypatch):
    assert not usable(torch.device("cpu"), 2)
    assert not usable(torch.device("cuda"), 3)
    monkeypatch.setenv("NAPARI_DECONV_NUMBA", "off")
    assert not usable(torch.device("cpu"), 3)
