"""The typical intensity of an image, which makes strengths independent of its unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_deconv.operators.slabs import total

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


def typical_level(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> float:
    """Return the mean intensity above the background."""
    import torch

    del blur
    floor = torch.as_tensor(parameters.get("background", 0.0), dtype=data.dtype)
    light = (total(data) - total(floor.to(data.device).expand_as(data))) / data.numel()
    return max(light, 1e-3 * float(data.abs().mean()), 1e-30)
