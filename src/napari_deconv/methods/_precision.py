"""What a network computes in, unless told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


def fastest(data: Tensor, blur: Convolution | None, parameters: Mapping[str, Any]) -> str:
    """Return bfloat16 where the processor computes in it."""
    del blur, parameters
    from napari_deconv.networks.precision import knows_bfloat16

    return "bfloat16" if knows_bfloat16(data.device.type) else "float32"
