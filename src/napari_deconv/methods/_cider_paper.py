"""CiDeR as printed: Chobola et al. 2023."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_deconv.errors import ParameterError
from napari_deconv.methods import _zero_shot as zero_shot
from napari_deconv.methods._cider_features import FEATURE_STEPS, feature_maps
from napari_deconv.methods._cider_network import placed_network
from napari_deconv.operators.classics import after

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_deconv.methods._cider_task import Task

_RATE = 1e-2
# Shares of the steps after which the learning rate is halved: 2000, 2300 and 2700 of 3000.
HALVINGS = (2000 / 3000, 2300 / 3000, 2700 / 3000)


def paper(task: Task, features: str, weights: str, seed: int) -> Iterator[Any]:
    """Algorithm 1 of Chobola et al. 2023, with the loss of their equation 7."""
    import torch

    from napari_deconv.networks.generator import PAPER, Generator
    from napari_deconv.networks.precision import layout

    if task.data.ndim != 2:
        raise ParameterError("The paper's preset is for planes; take the fast one for stacks.")
    if features == "estimates":
        raise ParameterError(
            "The paper's preset works on deconvolved features: choose filter-bank, or extractor "
            "with a file of its weights."
        )
    brightest = max(float((task.data - task.floor).max()), 1e-30)
    y = ((task.data - task.floor) / brightest).clamp(min=0)
    torch.manual_seed(seed)
    maps = []
    zero = torch.zeros((), dtype=y.dtype, device=y.device)
    for each in feature_maps(task, task.data, features, weights):
        # Their code shifts and scales each feature to lie between 0 and 1.
        low, high = float(each.min()), float(each.max())
        scaled = (each - low) / max(high - low, 1e-30)
        estimate = yield from after(FEATURE_STEPS, scaled, task.blur, zero)
        maps.append(estimate.clamp(0, 1))
    inputs = torch.stack(maps)
    network = placed_network(Generator(PAPER), y.device, 2)
    optimiser = torch.optim.NAdam(network.parameters(), lr=_RATE)
    whole = zero_shot.Pieces(task.blur, inputs[0].numel()).whole
    batch = whole.of(inputs)[None].contiguous(memory_format=layout(y.device))
    # The authors' Hessian, summed, is taken per pixel: else its weight would grow with the image.
    rough = zero_shot.hessian_l1 if task.prior == "hessian" else zero_shot.gradient_l1
    step = 0
    while True:
        halvings = sum(step >= share * task.steps for share in HALVINGS)
        for group in optimiser.param_groups:
            group["lr"] = _RATE * 0.5**halvings
        with torch.enable_grad():
            placed = torch.sigmoid(network(batch)[0, 0])
            estimate = whole.as_object(placed)
            model = zero_shot.blurred(estimate, task.blur)
            terms = {
                "1 - SSIM": 1 - zero_shot.structural_similarity(model, y),
                "prior": task.strength * rough(placed),
                "sparsity": task.sparsity * placed.abs().mean(),
            }
            loss = torch.stack(list(terms.values())).sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        step += 1
        figures = {name: float(value.detach()) for name, value in terms.items()}
        yield estimate.detach() * brightest, None, figures
