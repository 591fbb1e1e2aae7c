"""Accelerated projected gradient steps: least squares within bounds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_deconv.operators import fused
from napari_deconv.operators.slabs import inner, slabs
from napari_deconv.sharing import shared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor


def projected_steps(
    estimate: Tensor,
    gradient: Callable[[Tensor], Tensor],
    length: float,
    lower: float,
    upper: float | None,
) -> Iterator[float]:
    r"""Bring an estimate to the minimiser of a smooth convex function within bounds.

    .. math:: x_{k+1} = P[z_k - \gamma \nabla f(z_k)], \qquad
              z_{k+1} = x_{k+1} + \frac{t_k - 1}{t_{k+1}} (x_{k+1} - x_k), \qquad
              t_{k+1} = \frac{1 + \sqrt{1 + 4 t_k^2}}{2}

    (Beck and Teboulle 2009, doi:10.1137/080716542, equations 4.1 to 4.3), with t set back to 1
    whenever the momentum points uphill (O'Donoghue and Candes 2015,
    doi:10.1007/s10208-013-9150-3, section 3.2).

    Parameters
    ----------
    estimate
        Where to start; changed in place by each step.
    gradient
        Of the function at a point; may be a view that the next call overwrites. It is changed.
    length
        Length of a step: at most the inverse of the gradient's Lipschitz constant.
    lower, upper
        Bounds of the estimate.

    Yields
    ------
    float
        After each step, the squared length of the gradient as far as the bounds let the point
        follow it.
    """
    estimate.clamp_(lower, upper)
    point, pace = estimate.clone(), 1.0
    while True:
        slope = gradient(point)
        moved, uphill = _descend(estimate, point, slope, length, lower, upper)
        if uphill > 0:
            pace = 1.0
        faster = (1 + (1 + 4 * pace**2) ** 0.5) / 2
        momentum, pace = (pace - 1) / faster, faster
        _proceed(estimate, point, slope, momentum)
        yield moved / length**2


def _descend(
    estimate: Tensor,
    point: Tensor,
    slope: Tensor,
    length: float,
    lower: float,
    upper: float | None,
) -> tuple[float, float]:
    """Set ``slope`` to a step from a point within bounds, ``point`` to how far it went back.

    Returns the square of that, and its product with how far the step is from the estimate.
    """
    import torch

    if fused.usable(slope, (True,)):
        from napari_deconv.operators import loops_bounded

        arrays = (fused.rows(estimate)[0], fused.rows(point)[0], fused.planes(slope))
        numbers = (length, lower, math.inf if upper is None else upper)
        parts = shared(
            lambda *place: loops_bounded.descend(*arrays, *numbers, *place), *arrays[0].shape[:2]
        )
        return sum(float(p[0]) for p in parts), sum(float(p[1]) for p in parts)
    uphill = moved = 0.0
    for x, z, g in slabs(estimate, point, slope):
        torch.add(z, g, alpha=-length, out=g)
        g.clamp_(lower, upper)
        z -= g
        moved += inner(z, z)
        uphill += inner(z, g - x)
    return moved, uphill


def _proceed(estimate: Tensor, point: Tensor, step: Tensor, momentum: float) -> None:
    """Go on from the estimate to a step, and the point beyond it."""
    import torch

    if fused.usable(step, (True,)):
        from napari_deconv.operators import loops_bounded

        arrays = (fused.rows(estimate)[0], fused.rows(point)[0], fused.planes(step))
        shared(
            lambda *place: loops_bounded.proceed(*arrays, momentum, *place), *arrays[0].shape[:2]
        )
        return
    for x, z, g in slabs(estimate, point, step):
        torch.lerp(x, g, 1 + momentum, out=z)
        x.copy_(g)
