"""The projection of sparse-hessian in one pass through memory, by numba.

The same as :mod:`napari_deconv.methods.sparse_hessian` does with torch, where
:func:`napari_deconv.operators.fused.usable` says that the compiled loops can.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from napari_deconv.operators.fused import _factors, _rows, _stack
from napari_deconv.sharing import shared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


def project(
    x: Tensor,
    dual: Tensor,
    weights: Sequence[float],
    bounds: Sequence[float],
    seams: Sequence[int | None],
) -> float:
    """Set ``dual`` to ``L x + dual`` with each component kept within its bound.

    Parameters
    ----------
    x
        Estimate, periodic along all axes; a view of a row-padded array may be given.
    dual
        Components of the Hessian L, contiguous; zero across the seams, where it stays so.
    weights
        Weight of a difference along each axis.
    bounds
        Largest absolute value of each component afterwards.
    seams
        See :func:`napari_deconv.operators.gradients.seams`.

    Returns
    -------
    float
        How far ``dual`` moved, squared.
    """
    import numpy as np

    array, length = _rows(x)
    u, factors = _stack(dual), _factors(2, weights)
    thresholds = tuple(np.float32(b) for b in (0,) * (6 - len(bounds)) + tuple(bounds))
    cuts = tuple(-1 if s is None else s for s in (None,) * (3 - len(seams)) + tuple(seams))

    def work(first: int, stop: int, plane: int, last: int) -> float:
        place = (first, stop, plane, last)
        return float(_kernel()(array, length, u, factors, thresholds, *cuts, *place))

    return sum(shared(work, array.shape[0], array.shape[1]))


@cache
def _kernel() -> Callable[..., float]:
    """Compile the loop, which goes along rows so that the compiler can vectorise it."""
    import numba
    import numpy as np

    compiled = numba.njit(nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, cache=True)
    zero, two = np.float32(0), np.float32(2)

    @compiled
    def clamp(bend: Any, f: Any, t: Any, u: Any) -> Any:
        """Add f bend to a row of the dual, keep it within t, return how far it moved, squared."""
        moved = zero
        for i in range(u.shape[0]):
            new = min(max(u[i] + f * bend[i], -t), t)
            moved += (new - u[i]) * (new - u[i])
            u[i] = new
        return moved

    @compiled
    def free(u: Any, i: int) -> Any:
        """Take back what was done to a voxel before a seam, where the dual had been zero."""
        moved = u[i] * u[i]
        u[i] = zero
        return moved

    @compiled
    def along(here: Any, there: Any, out: Any) -> None:
        """Write the second difference along a row and across to another one."""
        n = out.shape[0]
        for i in range(n - 1):
            out[i] = there[i + 1] - there[i] - here[i + 1] + here[i]
        out[n - 1] = there[0] - there[n - 1] - here[0] + here[n - 1]

    @compiled
    def project(
        x: Any, n: int, u: Any, f: Any, t: Any, sz: int, sy: int, sx: int,
        z0: int, z1: int, y0: int, y1: int,
    ) -> float:  # fmt: skip
        planes, lines, c = x.shape[0], x.shape[1], u.shape[0] - 3
        row, moved = np.empty(n, np.float32), 0.0
        tz, ty, tx = (sz + 1) % planes, (sy + 1) % lines, (sx + 1) % n
        for z in range(z0, z1):
            zn, zp = (z + 1 if z + 1 < planes else 0), (z - 1 if z > 0 else planes - 1)
            for y in range(y0, y1):
                yn, yp = (y + 1 if y + 1 < lines else 0), (y - 1 if y > 0 else lines - 1)
                here, below, above = x[z, y, :n], x[z, yn, :n], x[z, yp, :n]
                if c == 3:
                    behind, before = x[zn, y, :n], x[zp, y, :n]
                    if z != sz and (sz < 0 or z != tz):
                        for i in range(n):
                            row[i] = before[i] - two * here[i] + behind[i]
                        moved += clamp(row, f[0], t[0], u[0, z, y])
                    if z != sz and y != sy:
                        corner = x[zn, yn, :n]
                        for i in range(n):
                            row[i] = corner[i] - behind[i] - below[i] + here[i]
                        moved += clamp(row, f[1], t[1], u[1, z, y])
                    if z != sz:
                        along(here, behind, row)
                        moved += clamp(row, f[2], t[2], u[2, z, y])
                        if sx >= 0:
                            moved -= free(u[2, z, y], sx)
                if y != sy and (sy < 0 or y != ty):
                    for i in range(n):
                        row[i] = above[i] - two * here[i] + below[i]
                    moved += clamp(row, f[3], t[3], u[c, z, y])
                if y != sy:
                    along(here, below, row)
                    moved += clamp(row, f[4], t[4], u[c + 1, z, y])
                    if sx >= 0:
                        moved -= free(u[c + 1, z, y], sx)
                for i in range(1, n - 1):
                    row[i] = here[i - 1] - two * here[i] + here[i + 1]
                row[0] = here[n - 1] - two * here[0] + here[1]
                row[n - 1] = here[n - 2] - two * here[n - 1] + here[0]
                moved += clamp(row, f[5], t[5], u[c + 2, z, y])
                if sx >= 0:
                    moved -= free(u[c + 2, z, y], sx) + free(u[c + 2, z, y], tx)
        return moved

    kernel: Callable[..., float] = project
    return kernel
