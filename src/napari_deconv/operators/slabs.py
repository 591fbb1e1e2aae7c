"""Walk through large arrays in pieces that stay in the processor's cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

# One MiB of float32: a handful of such pieces fit into the caches, temporaries and all.
_ELEMENTS = 1 << 18


def slabs(*tensors: Tensor, elements: int = _ELEMENTS) -> Iterator[tuple[Tensor, ...]]:
    """Yield matching views along the first axis; on a GPU the tensors as they are.

    Several element-wise operations on one slab after another read memory once, where the same
    operations on whole arrays read it each time. A slab has about so many ``elements``.
    """
    first = tensors[0]
    if first.device.type != "cpu" or first.numel() <= elements:
        yield tensors
        return
    step = max(1, elements * first.shape[0] // first.numel())
    for start in range(0, first.shape[0], step):
        yield tuple(t[start : start + step] if t.ndim else t for t in tensors)


def total(tensor: Tensor) -> float:
    """Return the sum of a tensor, in float64 where the device has it.

    Slab by slab: on a CPU torch would turn the whole tensor into float64 first.
    """
    import torch

    dtype = None if tensor.device.type == "mps" else torch.float64
    return sum(float(piece.sum(dtype=dtype)) for (piece,) in slabs(tensor))


def inner(first: Tensor, second: Tensor) -> float:
    """Return the inner product of two slabs, in their own precision and quickly."""
    import torch

    return float(torch.dot(first.reshape(-1), second.reshape(-1)))
