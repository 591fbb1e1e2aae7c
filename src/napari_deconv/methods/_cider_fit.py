"""CiDeR's networks are fitted to the photons of one image."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

from napari_deconv.methods import _zero_shot as zero_shot
from napari_deconv.methods._cider_network import make_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from torch import Tensor, nn

    from napari_deconv.methods._cider_task import Task
    from napari_deconv.methods._zero_shot import Piece

_RATES = {"trained": 2e-4, "scratch": 1e-2}
# A network without training first learns to copy the classic image, for this share of the steps.
_COPYING = 0.4


@dataclass
class Part:
    """Some of the image's photons: what the network is given, and what it is judged by."""

    inputs: Tensor
    classic: Tensor
    target: Tensor


def fit(
    task: Task,
    networks: list[nn.Module],
    parts: list[list[Part]],
    pieces: zero_shot.Pieces,
    generator: np.random.Generator,
    trained: bool,
) -> Iterator[dict[str, float]]:
    """Take steps, each network on its own parts by turns; yields the terms of the last one's loss.

    Networks with the same start differ by nothing but the photons that they are shown.
    """
    import torch

    rate = _RATES["trained" if trained else "scratch"]
    optimisers = [torch.optim.Adam(each.parameters(), lr=rate) for each in networks]
    copying = 0 if trained else round(_COPYING * task.steps)
    orders = [cycle(each) for each in parts]
    back_projection = None
    step = 0
    while True:
        piece = pieces.random(generator)
        if task.clean and not trained and (back_projection is None or piece.blur is not task.blur):
            back_projection = zero_shot.BackProjection(piece.blur)
        share = zero_shot.cosine(step - copying, task.steps - copying) if step >= copying else 1.0
        for network, optimiser, order in zip(networks, optimisers, orders, strict=True):
            part = next(order)
            for group in optimiser.param_groups:
                group["lr"] = rate * share * min(1.0, (step + 1) / 10)
            with torch.enable_grad():
                placed = make_image(network, piece.of(part.inputs))
                if step < copying:
                    loss = (placed - piece.of(part.classic)).abs().mean()
                    terms = {"distance from the classic image": loss}
                else:
                    loss, terms = _loss(task, part, piece, placed, back_projection, trained)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        step += 1
        yield {name: float(value.detach()) for name, value in terms.items()}


def _loss(
    task: Task,
    part: Part,
    piece: Piece,
    placed: Tensor,
    back_projection: zero_shot.BackProjection | None,
    trained: bool,
) -> tuple[Tensor, dict[str, Tensor]]:
    model = zero_shot.blurred(piece.as_object(placed) * task.level, piece.blur)
    y = part.target[piece.data]
    floor = task.floor[piece.data] if task.floor.ndim else task.floor
    if back_projection is not None:
        misfit = back_projection((model + floor - y) / task.level)
    elif task.clean:
        misfit = 0.5 * ((model + floor - y) / task.noise).square().mean()
    else:
        misfit = zero_shot.photon_misfit(model + floor, y, task.darkest) / task.level
    terms = {"misfit": misfit}
    loss = misfit
    # Targets with noise of their own leave nothing to overfit, and need no prior.
    if not trained and task.clean:
        smooth = zero_shot.roughness(placed, task.order, task.blur.spacing)
        terms["prior"] = task.strength * smooth
        loss = loss + terms["prior"]
    if task.sparsity:
        terms["sparsity"] = task.sparsity * placed.abs().mean()
        loss = loss + terms["sparsity"]
    return loss, terms
