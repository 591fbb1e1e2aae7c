"""A step of the total-variation denoiser in two passes through memory, by numba.

The same as :mod:`napari_deconv.operators.denoisers` does with torch, where
:func:`napari_deconv.operators.fused.usable` says that the compiled loops can. Loaded only then.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.compiling import compiled, fetch, lent
from napari_deconv.operators.fused import rows, stack
from napari_deconv.sharing import shared

if TYPE_CHECKING:
    from torch import Tensor

ZERO, ONE = np.float32(0), np.float32(1)


def step(
    image: Tensor, point: Tensor, dual: Tensor, into: Tensor, radius: float, momentum: float
) -> float:
    """Take a step of accelerated gradient projection (Beck and Teboulle 2009, algorithm FGP).

    Parameters
    ----------
    image
        What is to be denoised, contiguous.
    point, dual
        Where the step begins, and the last one's end, which it is to replace: one component an
        axis, as ``gradients.field`` makes them.
    into
        Left with the denoised image that belongs to ``point``.
    radius
        Largest length of a voxel's vector: the weight of the total variation.
    momentum
        How far the next step begins beyond this one's end.

    Returns
    -------
    float
        How far the step went from ``point``, squared.
    """
    (y, n), x = rows(image), rows(into)[0]
    w, u = stack(point), stack(dual)

    def estimate(first: int, stop: int, plane: int, last: int) -> float:
        divergence(w, y, x, first, stop, plane, last)
        return 0.0

    def advance(first: int, stop: int, plane: int, last: int) -> float:
        numbers = (np.float32(radius), np.float32(momentum))
        return float(project(x, n, w, u, *numbers, first, stop, plane, last))

    shared(estimate, x.shape[0], x.shape[1])
    return sum(shared(advance, x.shape[0], x.shape[1]))


@compiled
def divergence(w: Any, y: Any, x: Any, z0: int, z1: int, y0: int, y1: int) -> None:
    """Write ``y - D^T w``; w is zero at the end of each axis."""
    w, y, x = lent(w), lent(y), lent(x)
    parts, n = w.shape[2], x.shape[2]
    for z in range(z0, z1):
        for k in range(y0, y1):
            if k + 1 < y1:
                fetch(x[z, k + 1])
                fetch(y[z, k + 1, :n])
                fetch(w[z, k + 1])
            line, along, across = x[z, k], w[z, k, parts - 1], w[z, k, parts - 2]
            line[0] = y[z, k, 0] + along[0] + across[0]
            for i in range(1, n):
                line[i] = y[z, k, i] + along[i] - along[i - 1] + across[i]
            if k > 0:
                before = w[z, k - 1, parts - 2]
                for i in range(n):
                    line[i] -= before[i]
            if parts == 3:
                for i in range(n):
                    line[i] += w[z, k, 0, i]
                if z > 0:
                    before = w[z - 1, k, 0]
                    for i in range(n):
                        line[i] -= before[i]


@compiled
def climb(here: Any, there: Any, w: Any, step: Any, out: Any, length: Any) -> None:
    """Write a component's gradient step, and add its square to the length."""
    for i in range(out.size):
        value = w[i] + step * (there[i] - here[i])
        out[i] = value
        length[i] += value * value


@compiled
def settle(row: Any, scale: Any, w: Any, u: Any, momentum: Any) -> Any:
    """Write a component of the step's end and of the next start; return how far it moved."""
    moved = ZERO
    for i in range(row.size):
        new = row[i] * scale[i]
        moved += (new - w[i]) * (new - w[i])
        w[i] = new + momentum * (new - u[i])
        u[i] = new
    return moved


@compiled
def project(
    x: Any, n: int, w: Any, u: Any, radius: Any, momentum: Any,
    z0: int, z1: int, y0: int, y1: int,
) -> float:  # fmt: skip
    """Take the step of the dual variable; return how far it moved, squared."""
    x, w, u = lent(x), lent(w), lent(u)
    planes, lines, parts = x.shape[0], x.shape[1], w.shape[2]
    step, moved = ONE / np.float32(4 * parts), 0.0
    rows, scale = np.zeros((parts, n), np.float32), np.empty(n, np.float32)
    for z in range(z0, z1):
        for k in range(y0, y1):
            if k + 1 < y1:
                fetch(w[z, k + 1])
                fetch(u[z, k + 1])
            here = x[z, k]
            scale[:] = ZERO
            along = w[z, k, parts - 1]
            climb(here[: n - 1], here[1:], along[: n - 1], step, rows[parts - 1, : n - 1], scale)
            if k + 1 < lines:
                climb(here, x[z, k + 1], w[z, k, parts - 2], step, rows[parts - 2], scale)
            else:
                rows[parts - 2, :] = ZERO
            if parts == 3:
                if z + 1 < planes:
                    climb(here, x[z + 1, k], w[z, k, 0], step, rows[0], scale)
                else:
                    rows[0, :] = ZERO
            for i in range(n):
                scale[i] = min(ONE, radius / max(np.sqrt(scale[i]), np.float32(1e-30)))
            for p in range(parts):
                moved += settle(rows[p], scale, w[z, k, p], u[z, k, p], momentum)
    return moved
