"""The passes of a step towards an object within bounds, whose image is a window of a torus.

Each split variable is kept as its sum with its dual: the object within its bounds is ``bounded``
cut to them, and the prediction within the image lies between ``predicted`` and the data. On a CPU
a pass is one loop of :mod:`~napari_deconv.operators.loops_bounded`, else torch's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_deconv.operators import fused
from napari_deconv.operators.slabs import inner, slabs
from napari_deconv.sharing import shared

if TYPE_CHECKING:
    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


def mirror(bounded: Tensor, estimate: Tensor, into: Tensor) -> None:
    """Set ``into`` to ``2 estimate - bounded``."""
    import torch

    if fused.usable(into, (True,)):
        from napari_deconv.operators import loops_bounded

        arrays = [fused.rows(t)[0] for t in (bounded, estimate, into)]
        planes, lines, _ = arrays[0].shape
        shared(lambda *place: loops_bounded.mirror(*arrays, *place), planes, lines)
        return
    for b, v, t in slabs(bounded, estimate, into):
        torch.lerp(b, v, 2.0, out=t)


def answer(spectrum: Tensor, found: Tensor, inverse: Tensor, hold: float, *, keep: bool) -> None:
    """Set ``found`` to ``inverse (spectrum + hold found)``; keep it in ``spectrum`` as well."""
    import torch

    if fused.usable(inverse, (True,)):
        from napari_deconv.operators import loops_bounded

        arrays = fused.lines(spectrum, found, inverse)
        work = loops_bounded.answer
        shared(lambda a, b, _, __: work(*arrays, hold, keep, a, b), len(arrays[0]), 1)
        return
    for x, s, c in slabs(spectrum, found, inverse):
        # Real numbers times complex ones are slow in torch.
        torch.add(x, s, alpha=hold, out=s).mul_(c.to(s.dtype))
        if keep:
            x.copy_(s)


def bound(
    bounded: Tensor,
    estimate: Tensor,
    x: Tensor,
    lower: float,
    upper: float | None,
    beyond: float,
) -> float:
    """Bring the bounded object closer to x, by ``beyond`` times its distance; return that, squared.

    ``x`` is overwritten.
    """
    import torch

    if fused.usable(x, (True,)):
        from napari_deconv.operators import loops_bounded

        arrays = [fused.rows(t)[0] for t in (bounded, estimate, x)]
        numbers = (lower, math.inf if upper is None else upper, beyond)
        planes, lines, _ = arrays[0].shape
        parts = shared(
            lambda *place: float(loops_bounded.bound(*arrays, *numbers, *place)), planes, lines
        )
        return sum(parts)
    moved = 0.0
    for b, v, t in slabs(bounded, estimate, x):
        t -= v
        moved += inner(t, t)
        b.add_(t, alpha=beyond)
        torch.clamp(b, lower, upper, out=v)
    return moved


def match(
    predicted: Tensor,
    projection: Tensor,
    data: Tensor,
    blur: Convolution,
    share: float,
    beyond: float,
) -> float:
    """Bring the prediction closer to projection and data; ``projection`` becomes what x fits next.

    ``share`` is how far from the data to ``predicted`` the prediction lies. Returns how far the
    projection was from it, squared.
    """
    import torch

    if fused.usable(projection, (True,)):
        from napari_deconv.operators import loops_bounded

        arrays = [fused.rows(t)[0] for t in (predicted, projection, data)]
        planes, lines, _ = arrays[0].shape
        parts = shared(
            lambda *place: float(loops_bounded.match(*arrays, share, beyond, *place)), planes, lines
        )
        return sum(parts)
    moved = 0.0
    for q, p, y in slabs(blur.crop(predicted), blur.crop(projection), data):
        p -= torch.lerp(y, q, share)
        moved += inner(p, p)
        q.add_(p, alpha=beyond)
        torch.lerp(y, q, share, out=p).mul_(2).sub_(q)
    for axis, (length, whole) in enumerate(zip(blur.data_shape, blur.grid, strict=True)):
        # The axes before this one have their margins already.
        margin = (*map(slice, blur.data_shape[:axis]), slice(length, whole))
        for q, p in slabs(predicted[margin], projection[margin]):
            q.lerp_(p, beyond)
            p.copy_(q)
    return moved


def project_back(spectrum: Tensor, otf: Tensor, into: Tensor) -> None:
    """Set ``into`` to ``conj(otf) spectrum``."""
    import torch

    if fused.usable(torch.view_as_real(into)[..., 0], (True,)):
        from napari_deconv.operators import loops_bounded

        arrays = fused.lines(spectrum, otf, into)
        shared(lambda a, b, _, __: loops_bounded.back(*arrays, a, b), len(arrays[0]), 1)
        return
    for s, h, x in slabs(spectrum, otf, into):
        torch.mul(s, h.conj(), out=x)
