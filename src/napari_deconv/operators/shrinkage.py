"""The passes of iterative shrinkage through memory, besides its transforms.

On a CPU a pass is one loop of :mod:`~napari_deconv.operators.loops_shrinkage`, else torch's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_deconv.operators import fused
from napari_deconv.operators.slabs import inner, slabs
from napari_deconv.operators.wavelets import soft_threshold
from napari_deconv.sharing import shared

if TYPE_CHECKING:
    from torch import Tensor


def soften(coefficients: Tensor, most: float, approximation: tuple[slice, ...]) -> None:
    """Bring all coefficients but the approximation's nearer to zero by ``most``."""
    if fused.usable(coefficients, (True,)):
        import numpy as np

        from napari_deconv.operators import loops_shrinkage

        c = fused.rows(coefficients)[0]
        kept = (1, *(part.stop for part in approximation))[-3:]
        work = loops_shrinkage.soften
        shared(lambda *place: work(c, np.float32(most), kept, *place), c.shape[0], c.shape[1])
        return
    before = coefficients[approximation].clone()
    for (c,) in slabs(coefficients):
        soft_threshold(c, most)
    coefficients[approximation] = before


def blend(spectrum: Tensor, keep: Tensor, pull: Tensor) -> None:
    """Set ``spectrum`` to ``keep spectrum + pull``; half spectra, of which ``keep`` is real."""
    import torch

    if fused.usable(keep, (True,)):
        from napari_deconv.operators import loops_shrinkage

        arrays = fused.lines(spectrum, keep, pull)
        work = loops_shrinkage.blend
        shared(lambda first, stop, _, __: work(*arrays, first, stop), len(arrays[0]), 1)
        return
    for s, k, p in slabs(spectrum, keep, pull):
        # Real numbers times complex ones are slow in torch.
        torch.addcmul(p, s, k.to(s.dtype), out=s)


def move(
    new: Tensor,
    estimate: Tensor,
    *,
    positive: bool,
    mean: Tensor | None = None,
    share: float = 0.0,
    point: Tensor | None = None,
    ahead: float = 0.0,
) -> float:
    """Set ``estimate`` to ``new``, which may be overwritten.

    Parameters
    ----------
    new, estimate
        Where to go, and what is moved.
    positive
        Whether what is negative of ``new`` is taken for zero.
    mean, share
        What is brought nearer to ``new``, and by how much of the way.
    point, ahead
        What ``new`` was made of, to be set to what lies ahead of it by so many times the way from
        the estimate.

    Returns
    -------
    float
        The inner product of the ways from ``new`` to the point and from the estimate to ``new``:
        above zero the point had gone too far. Zero without a point.
    """
    import torch

    running, averaged = point is not None, mean is not None
    mean, point = estimate if mean is None else mean, estimate if point is None else point
    if fused.usable(estimate, (True,)):
        import numpy as np

        from napari_deconv.operators import loops_shrinkage

        arrays = [fused.rows(t)[0] for t in (new, estimate, mean, point)]
        least = 0.0 if positive else -math.inf
        numbers = [np.float32(number) for number in (share, ahead, least)]

        def work(*place: int) -> float:
            return float(loops_shrinkage.move(*arrays, *numbers, averaged, running, *place))

        return sum(shared(work, *arrays[1].shape[:2]))
    too_far = 0.0
    for now, x, m, s in slabs(new, estimate, mean, point):
        if positive:
            now.clamp_(min=0)
        if averaged:
            m.lerp_(now, share)
        if running:
            back = x.sub_(now)
            too_far -= inner(s.sub_(now), back)
            torch.sub(now, back, alpha=ahead, out=s)
        x.copy_(now)
    return too_far
