"""Conjugate gradients: the minimum of a quadratic function, whatever its scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deconv.operators.slabs import slabs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor


def conjugate_gradients(
    residual: Tensor,
    advance: Callable[[Tensor, float], None],
    normal: Callable[[Tensor], tuple[Tensor, float]],
    precondition: Callable[[Tensor], tuple[Tensor, float]],
    enough: float,
) -> Iterator[float]:
    """Solve ``A x = b`` for a positive definite A (Hestenes and Stiefel 1952).

    Parameters
    ----------
    residual
        ``b - A x`` for the x to start from; changed in place.
    advance
        Take a step: add a direction to x, so many times.
    normal, precondition
        Apply A, and something close to its inverse, and tell the inner product with the argument.
        The vector may be memory that the other one overwrites, or the argument itself.
    enough
        The energy at which to end.

    Yields
    ------
    float
        After each step the residual's energy in the preconditioner's metric.
    """
    import torch

    image, energy = precondition(residual)
    direction = image.clone()
    while True:
        if energy > enough:
            image, bend = normal(direction)
            length = energy / bend
            for r, q in slabs(residual, image):
                r.sub_(q, alpha=length)
            advance(direction, length)
            before = energy
            image, energy = precondition(residual)
            for d, z in slabs(direction, image):
                torch.add(z, d, alpha=energy / before, out=d)
        yield energy
        if energy <= enough:
            return
