"""CiDeR's networks: made, placed where they compute best, and asked for an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deconv.methods import _zero_shot as zero_shot

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from napari_deconv.methods._cider_task import Task

TRAINED = "cider-refiner"
# Voxels of planes that a network sees at once when it need not learn from them.
SEEN = 400_000


def new_network(inputs: int, weights: str, task: Task) -> nn.Module:
    """Return a network that makes an image of a stack, both in units of the typical intensity."""
    from napari_deconv.networks.generator import STACK, Generator, Plan
    from napari_deconv.networks.refiner import Refiner
    from napari_deconv.networks.weights import load_weights

    if weights != "none":
        refiner = Refiner()
        source = TRAINED if weights == "pretrained" else weights
        refiner.load_state_dict(load_weights(source, "refiner").tensors)
        network: nn.Module = refiner
    elif task.data.ndim == 2:
        network = Generator(Plan(inputs=inputs))
    else:
        network = Generator(Plan(**{**vars(STACK), "inputs": inputs}))
    return placed_network(network, task.data.device, task.data.ndim)


def placed_network(network: nn.Module, device: torch.device, ndim: int) -> nn.Module:
    """Return a network where and as it computes best."""
    from napari_deconv.networks.precision import layout

    return network.to(device).to(memory_format=layout(device, ndim))  # type: ignore[no-any-return, call-overload]


def make_image(network: nn.Module, placed: Tensor) -> Tensor:
    """Return the image, in order of place, of a piece of a stack, in order of place."""
    import torch
    from torch.nn import functional

    from napari_deconv.networks.precision import autocast, layout
    from napari_deconv.networks.refiner import Refiner

    if isinstance(network, Refiner):
        # It knows planes: those of a stack are its batch.
        planes = placed[None] if placed.ndim == 3 else placed.transpose(0, 1)
        whole = torch.is_grad_enabled() or placed[0].numel() <= SEEN
        count = len(planes) if whole else max(1, SEEN // planes[0, 0].numel())
        made = []
        with autocast(placed.device):
            for some in torch.split(planes, count):
                made.append(network(some.contiguous(memory_format=layout(placed.device))).float())
        return torch.cat(made).reshape(placed.shape[1:])
    batch = placed[None].contiguous(memory_format=layout(placed.device, placed.ndim - 1))
    with autocast(placed.device):
        made = network(batch)
    # Unlike a sigmoid this has no top, and it is linear where there is light.
    bounded: Tensor = functional.softplus(made[0, 0].float(), beta=3.0)
    return bounded


def mean_image(networks: list[nn.Module], inputs: Tensor, task: Task) -> Tensor:
    """Return the mean of the networks' images, as the forward model wants it."""
    import torch

    whole = zero_shot.Pieces(task.blur, inputs[0].numel()).whole
    placed = whole.of(inputs)
    mean = torch.zeros(placed.shape[1:], device=placed.device)
    with torch.no_grad():
        for network in networks:
            mean += make_image(network, placed)
    return whole.as_object(mean).clamp_(min=0).mul_(task.level / len(networks))
