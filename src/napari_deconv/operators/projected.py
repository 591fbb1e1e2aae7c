"""Accelerated projected gradient steps: least squares within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deconv.operators.slabs import inner, slabs

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
    import torch

    estimate.clamp_(lower, upper)
    point, pace = estimate.clone(), 1.0
    while True:
        slope = gradient(point)
        uphill = moved = 0.0
        for x, z, g in slabs(estimate, point, slope):
            torch.add(z, g, alpha=-length, out=g)
            g.clamp_(lower, upper)
            z -= g
            moved += inner(z, z)
            uphill += inner(z, g - x)
        if uphill > 0:
            pace = 1.0
        faster = (1 + (1 + 4 * pace**2) ** 0.5) / 2
        momentum, pace = (pace - 1) / faster, faster
        for x, z, g in slabs(estimate, point, slope):
            torch.lerp(x, g, 1 + momentum, out=z)
            x.copy_(g)
        yield moved / length**2
