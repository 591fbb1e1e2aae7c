"""Conjugate gradients: the minimum of a quadratic function, whatever its scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deconv.operators.slabs import slabs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor


def conjugate_gradients(
    solution: Tensor,
    residual: Tensor,
    normal: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    product: Callable[[Tensor, Tensor], float],
    enough: float,
) -> Iterator[float]:
    """Solve ``A x = b`` for a positive definite A (Hestenes and Stiefel 1952).

    Parameters
    ----------
    solution
        Where to start; changed in place by each step.
    residual
        ``b - A x``; changed in place.
    normal, precondition
        Apply A, and something close to its inverse; what they return may be memory that the other
        overwrites, or the argument itself.
    product
        Inner product of matching slabs of two vectors.
    enough
        The energy at which to end.

    Yields
    ------
    float
        After each step the residual's energy in the preconditioner's metric.
    """
    image = precondition(residual)
    energy = sum(product(r, z) for r, z in slabs(residual, image))
    direction = image.clone()
    while True:
        if energy > enough:
            image = normal(direction)
            bend = sum(product(d, q) for d, q in slabs(direction, image))
            length = energy / bend
            for x, r, d, q in slabs(solution, residual, direction, image):
                x.add_(d, alpha=length)
                r.sub_(q, alpha=length)
            image = precondition(residual)
            before, energy = energy, sum(product(r, z) for r, z in slabs(residual, image))
            for d, z in slabs(direction, image):
                d.mul_(energy / before).add_(z)
        yield energy
        if energy <= enough:
            return
