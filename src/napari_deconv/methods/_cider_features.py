"""What CiDeR's network is given of an image: classic estimates, or features deconvolved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deconv.errors import ParameterError
from napari_deconv.operators.classics import after

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from torch import Tensor

    from napari_deconv.methods._cider_task import Task

EXTRACTOR = "cider-extractor"
# Richardson-Lucy steps on the features: those of the authors' demonstration, since the paper prints
# none, and on images with noise.
FEATURE_STEPS, NOISY_STEPS = 50, 8


def inputs_of(features: str, weights: str) -> Callable[..., Generator[None, None, Tensor]]:
    """Return what makes the network's input of an image and its classic estimates."""

    def estimates(task: Task, data: Tensor, stack: Tensor) -> Generator[None, None, Tensor]:
        del task, data
        yield
        return stack

    def filtered(task: Task, data: Tensor, stack: Tensor) -> Generator[None, None, Tensor]:
        import torch

        maps = feature_maps(task, data, features, weights)
        count = FEATURE_STEPS if task.clean else NOISY_STEPS
        deconvolved = []
        for each in maps:
            deconvolved.append((yield from _signed_lucy(task, each, count)))
        return torch.cat([stack, torch.stack(deconvolved)])

    return estimates if features == "estimates" else filtered


def feature_maps(task: Task, data: Tensor, features: str, weights: str) -> Tensor:
    """Return 16 feature maps of the image, in units of its typical intensity."""
    import torch

    from napari_deconv.networks.extractor import Extractor
    from napari_deconv.networks.filter_bank import apply_filters, filter_bank
    from napari_deconv.networks.weights import load_weights

    image = (data - task.floor) / task.level
    if features == "filter-bank":
        return apply_filters(image, filter_bank(image.ndim))
    if image.ndim == 3:
        raise ParameterError("The extractor is for planes; choose other features for a stack.")
    extractor = Extractor()
    loaded = load_weights(EXTRACTOR if weights in ("pretrained", "none") else weights, "extractor")
    extractor.load_state_dict(loaded.tensors)
    extractor.to(image.device)
    with torch.no_grad():
        maps: Tensor = extractor(image[None, None])[0]
    return maps


def _signed_lucy(task: Task, feature: Tensor, steps: int) -> Generator[None, None, Tensor]:
    """Deconvolve what is positive and what is negative of a feature apart: both are light."""
    import torch

    zero = torch.zeros((), dtype=feature.dtype, device=feature.device)
    parts = []
    for part in (feature.clamp(min=0), (-feature).clamp(min=0)):
        if float(part.max()) > 0:
            parts.append((yield from after(steps, part, task.blur, zero)))
        else:
            parts.append(torch.zeros(task.blur.object_shape, device=feature.device))
    return parts[0] - parts[1]
