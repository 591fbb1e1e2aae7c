"""In which numbers networks compute."""

from __future__ import annotations

import torch


def knows_bfloat16(device: str) -> bool:
    """Whether bfloat16 is what a kind of device computes in, and not what it has to imitate.

    A processor that imitates it takes ten times as long as in float32.
    """
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device == "cpu" and supported is not None and bool(supported())


def autocast(device: torch.device) -> torch.autocast:
    """Return a context in which networks compute in bfloat16 where the device knows it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=knows_bfloat16(device.type))
