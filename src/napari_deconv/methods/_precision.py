"""In which numbers networks compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


def fastest(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> str:
    """Return bfloat16 where the processor computes in it."""
    del blur, parameters
    return "bfloat16" if _knows_bfloat16(data.device.type) else "float32"


def _knows_bfloat16(device: str) -> bool:
    """Whether bfloat16 is what the processor computes in, and not what it has to imitate."""
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device == "cpu" and supported is not None and bool(supported())
