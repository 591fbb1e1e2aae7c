"""A step of Richardson-Lucy with total variation in two passes through memory, by numba.

The same as :mod:`napari_deconv.methods.richardson_lucy_tv` does with torch, where
:func:`napari_deconv.operators.fused.usable` says that the compiled loops can. Loaded only then.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.compiling import compiled
from napari_deconv.operators.fused import everywhere, rows
from napari_deconv.sharing import shared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

ZERO, ONE = np.float32(0), np.float32(1)


def step(
    x: Tensor,
    correction: Tensor,
    sensitivity: Tensor,
    weights: Sequence[float],
    *,
    strength: float,
    least_slope: float,
    out: Tensor,
    scratch: Tensor,
    least_divisor: float = 0.0,
) -> None:
    """Write the next estimate to ``out``.

    Parameters
    ----------
    x
        Estimate, periodic along all axes.
    correction, sensitivity
        ``H^T y/(Hx + b)`` and ``H^T 1``.
    weights
        Weight of a difference along each axis.
    strength, least_slope
        Of the total variation.
    out, scratch
        Contiguous, of x's shape; their content is overwritten.
    least_divisor
        0 for the stable form; else the formula of Dey et al. with a divisor above this share of the
        sensitivity.
    """
    w = [np.float32(f) for f in ((0.0, *weights) if x.ndim == 2 else weights)]
    steep = tuple(np.float32(f / least_slope) for f in w)
    squares = tuple(f * f for f in w)
    xs, cs, factor, new = (rows(each)[0] for each in (x, correction, scratch, out))
    s = everywhere(sensitivity, x.shape[-1])

    def weigh(first: int, stop: int, plane: int, last: int) -> None:
        bend(xs, steep, np.float32(1 / least_slope), factor, first, stop, plane, last)

    def advance(first: int, stop: int, plane: int, last: int) -> None:
        place = (first, stop, plane, last)
        numbers = (np.float32(strength), np.float32(least_divisor))
        move(xs, factor, cs, s, squares, *numbers, new, *place)

    shared(weigh, xs.shape[0], xs.shape[1])
    shared(advance, xs.shape[0], xs.shape[1])


@compiled
def factor(here: Any, below: Any, behind: Any, f: Any, unit: Any, i: int, j: int) -> Any:
    """Return unit / sqrt(1 + |f Dx|^2) of voxel i, whose next one is j."""
    a = f[0] * (behind[i] - here[i])
    b = f[1] * (below[i] - here[i])
    c = f[2] * (here[j] - here[i])
    return unit / np.sqrt(ONE + a * a + b * b + c * c)


@compiled
def bend(x: Any, f: Any, unit: Any, out: Any, z0: int, z1: int, y0: int, y1: int) -> None:
    """Write unit / sqrt(1 + |f Dx|^2)."""
    planes, lines, n = x.shape
    for z in range(z0, z1):
        zn = z + 1 if z + 1 < planes else 0
        for y in range(y0, y1):
            yn = y + 1 if y + 1 < lines else 0
            here, below, behind, line = x[z, y], x[z, yn], x[zn, y], out[z, y]
            for i in range(n - 1):
                line[i] = factor(here, below, behind, f, unit, i, i + 1)
            line[n - 1] = factor(here, below, behind, f, unit, n - 1, 0)


@compiled
def move(
    x: Any, w: Any, r: Any, s: Any, f: Any, strength: Any, least: Any, out: Any,
    z0: int, z1: int, y0: int, y1: int,
) -> None:  # fmt: skip
    """Write the next estimate."""
    planes, lines, n = x.shape
    total = f[0] + f[1] + f[2]
    others, own = np.empty(n, np.float32), np.empty(n, np.float32)
    for z in range(z0, z1):
        zn, zp = (z + 1 if z + 1 < planes else 0), (z - 1 if z > 0 else planes - 1)
        for y in range(y0, y1):
            yn, yp = (y + 1 if y + 1 < lines else 0), (y - 1 if y > 0 else lines - 1)
            here, mine, up, back = x[z, y], w[z, y], w[z, yp], w[zp, y]
            below, above, behind, before = x[z, yn], x[z, yp], x[zn, y], x[zp, y]
            line, ratio, seen = out[z, y], r[z, y], s[z % s.shape[0], y % s.shape[1]]
            # What the neighbours have of the pull, and what the voxel has itself.
            for i in range(n):
                others[i] = mine[i] * (f[0] * behind[i] + f[1] * below[i])
                others[i] += f[0] * back[i] * before[i] + f[1] * up[i] * above[i]
                own[i] = total * mine[i] + f[0] * back[i] + f[1] * up[i]
            for i in range(n - 1):
                others[i] += f[2] * mine[i] * here[i + 1]
            for i in range(1, n):
                others[i] += f[2] * mine[i - 1] * here[i - 1]
                own[i] += f[2] * mine[i - 1]
            others[n - 1] += f[2] * mine[n - 1] * here[0]
            others[0] += f[2] * mine[n - 1] * here[n - 1]
            own[0] += f[2] * mine[n - 1]
            if least > ZERO:
                for i in range(n):
                    pull = own[i] * here[i] - others[i]
                    divisor = max(seen[i] + strength * pull, least * seen[i])
                    line[i] = here[i] * max(ratio[i], ZERO) / divisor
            else:
                for i in range(n):
                    raised = max(ratio[i], ZERO) + strength * others[i]
                    line[i] = here[i] * raised / (seen[i] + strength * own[i] * here[i])
