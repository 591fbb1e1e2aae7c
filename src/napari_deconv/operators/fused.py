"""The passes of a variational step through memory, each in one loop: compiled by numba.

Total variation and the Hessian have three to six numbers a voxel, which plain torch walks through
thirty times a step. On a CPU each pass is one loop; on a GPU, where an axis is not periodic, or
where ``NAPARI_DECONV_NUMBA=off``, the same is done by torch (:func:`usable` tells). The
differences are those of :mod:`~napari_deconv.operators.gradients`.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

import importlib.util
import math
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from napari_deconv.sharing import shared

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


def usable(tensor: Tensor, periodic: Sequence[bool]) -> bool:
    """Whether the compiled loops can work on a tensor of this kind."""
    import torch

    return (
        tensor.device.type == "cpu"
        and tensor.dtype == torch.float32
        and all(periodic)
        and min(tensor.shape) >= 3
        and os.environ.get("NAPARI_DECONV_NUMBA", "auto") != "off"
        and importlib.util.find_spec("numba") is not None
    )


def project(
    order: int,
    x: Tensor,
    dual: Tensor,
    weights: Sequence[float],
    threshold: float,
    *,
    spectral: bool = False,
) -> float:
    """Set ``dual`` to the projection of ``L x + dual``; return how far it moved, squared.

    Parameters
    ----------
    order
        1 for the gradient, 2 for the Hessian.
    x
        Estimate; a view of a row-padded array may be given.
    dual
        Components of shape ``(components, *x.shape)``, contiguous.
    weights
        Weight of a difference along each axis.
    threshold
        Largest length of a voxel's vector afterwards.
    spectral
        Whether it is the largest absolute eigenvalue instead, of a voxel's Hessian.
    """
    function = _kernels()[f"project{order}"]
    array, length = _rows(x)
    u = _stack(dual)
    factors = _factors(order, weights)

    def work(first: int, stop: int, plane: int, last: int) -> float:
        place = (first, stop, plane, last)
        if order == 2:
            return float(function(array, length, u, factors, threshold, spectral, *place))
        return float(function(array, length, u, factors, threshold, *place))

    return sum(shared(work, array.shape[0], array.shape[1]))


def adjoint(order: int, dual: Tensor, weights: Sequence[float], into: Tensor) -> None:
    """Set ``into`` to ``L^T dual``; all contiguous."""
    function = _kernels()[f"adjoint{order}"]
    u, out = _stack(dual), _rows(into)[0]
    factors = _factors(order, weights)

    def work(first: int, stop: int, plane: int, last: int) -> float:
        function(u, factors, out, first, stop, plane, last)
        return 0.0

    shared(work, out.shape[0], out.shape[1])


def photons(
    prediction: Tensor, dual: Tensor, data: Tensor, floor: Tensor, hold: float
) -> tuple[float, float]:
    """Take the Poisson step of :class:`~napari_deconv.operators.splitting.Misfit`."""
    function = _kernels()["photons"]
    q, length = _rows(prediction)
    u, y = _rows(dual)[0], _rows(data)[0]
    b = _rows(floor)[0] if floor.ndim else floor.expand(1, 1, length).contiguous().numpy()

    def work(first: int, stop: int, plane: int, last: int) -> tuple[float, float]:
        moved, size = function(q, u, y, b, hold, first, stop, plane, last)
        return float(moved), float(size)

    parts = shared(work, q.shape[0], q.shape[1])
    return sum(p[0] for p in parts), sum(p[1] for p in parts)


def assemble(
    x: Tensor,
    signed: Tensor | None,
    estimate: Tensor,
    bent: Tensor,
    target: Tensor,
    hold: float,
    hold_positive: float,
) -> float:
    """Take the step of the positive variable, and leave in ``bent`` what x is to be drawn to.

    See :mod:`~napari_deconv.operators.splitting`. Returns how far its dual moved, squared.
    """
    function = _kernels()["assemble"]
    v = _rows(x)[0]
    e, b, t = (_rows(each)[0] for each in (estimate, bent, target))
    s = e if signed is None else _rows(signed)[0]

    def work(first: int, stop: int, plane: int, last: int) -> float:
        place = (first, stop, plane, last)
        return float(function(v, s, e, b, t, hold, hold_positive, signed is not None, *place))

    return sum(shared(work, e.shape[0], e.shape[1]))


def divide(
    x: Tensor, back: Tensor, spectrum: Tensor, otf: Tensor, bend: Tensor, holds: tuple[float, float]
) -> None:
    """Set x to ``(bend x + back + spectrum) / (holds[0] |otf|^2 + bend + holds[1])``."""
    function = _kernels()["divide"]
    arrays = [each.reshape(-1, each.shape[-1]).numpy() for each in (x, back, spectrum, otf)]
    curve = bend.expand(x.shape).reshape(-1, x.shape[-1]).numpy()

    def work(first: int, stop: int, plane: int, last: int) -> float:
        del plane, last
        function(*arrays, curve, holds[0], holds[1], first, stop)
        return 0.0

    shared(work, arrays[0].shape[0], 1)


def _factors(order: int, weights: Sequence[float]) -> tuple[float, ...]:
    """Return the factor of each component of a stack; zero where a plane has none."""
    import numpy as np

    w = (0.0, *weights) if len(weights) == 2 else tuple(weights)
    if order == 2:
        root = math.sqrt(2)
        w = (
            w[0] * w[0],
            root * w[0] * w[1],
            root * w[0] * w[2],
            w[1] * w[1],
            root * w[1] * w[2],
            w[2] * w[2],
        )
    return tuple(np.float32(f) for f in w)


def _rows(x: Tensor) -> tuple[Any, int]:
    """Return a stack with contiguous rows, padded as they are in memory, and their true length."""
    length = x.shape[-1]
    row = x.stride(-2)
    if x.ndim == 2:
        return x.as_strided((1, x.shape[0], row), (x.shape[0] * row, row, 1)).numpy(), length
    if x.stride(0) == x.shape[1] * row:
        return x.as_strided((x.shape[0], x.shape[1], row), (x.stride(0), row, 1)).numpy(), length
    return x.numpy(), length  # a part of larger planes


def _stack(dual: Tensor) -> Any:
    return (dual if dual.ndim == 4 else dual.unsqueeze(1)).numpy()


@cache
def _kernels() -> dict[str, Callable[..., Any]]:
    """Compile the loops; what was compiled once is kept on disk.

    Each works on one row at a time, in loops over a few rows that the compiler can vectorise;
    what stands between them stays in the cache.
    """
    import numba
    import numpy as np

    from napari_deconv.operators.fused_eigenvalues import clipping

    compiled = numba.njit(nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, cache=True)
    two, one = np.float32(2), np.float32(1)

    @compiled
    def slope(a: Any, b: Any, f: Any, u: Any, out: Any) -> None:
        """Write ``f (b - a) + u``."""
        for i in range(out.size):
            out[i] = f * (b[i] - a[i]) + u[i]

    @compiled
    def slope_along(a: Any, f: Any, u: Any, out: Any) -> None:
        """Write the same with b the next voxel of the row."""
        n = out.size
        for i in range(n - 1):
            out[i] = f * (a[i + 1] - a[i]) + u[i]
        out[n - 1] = f * (a[0] - a[n - 1]) + u[n - 1]

    @compiled
    def bend(a: Any, b: Any, c: Any, f: Any, u: Any, out: Any) -> None:
        """Write ``f (a - 2 b + c) + u``."""
        for i in range(out.size):
            out[i] = f * (a[i] - two * b[i] + c[i]) + u[i]

    @compiled
    def bend_along(a: Any, f: Any, u: Any, out: Any) -> None:
        n = out.size
        out[0] = f * (a[n - 1] - two * a[0] + a[1]) + u[0]
        for i in range(1, n - 1):
            out[i] = f * (a[i - 1] - two * a[i] + a[i + 1]) + u[i]
        out[n - 1] = f * (a[n - 2] - two * a[n - 1] + a[0]) + u[n - 1]

    @compiled
    def back(a: Any, b: Any, f: Any, out: Any) -> None:
        """Add ``f (b - a)``."""
        for i in range(out.size):
            out[i] += f * (b[i] - a[i])

    @compiled
    def back_along(a: Any, f: Any, out: Any) -> None:
        """Add the same with b the voxel before."""
        n = out.size
        out[0] += f * (a[n - 1] - a[0])
        for i in range(1, n):
            out[i] += f * (a[i - 1] - a[i])

    @compiled
    def shrink(rows: Any, t: Any, scale: Any) -> None:
        """Write what shortens the vectors of a row to length t."""
        for i in range(scale.size):
            scale[i] = rows[0, i] * rows[0, i]
        for k in range(1, rows.shape[0]):
            row = rows[k]
            for i in range(scale.size):
                scale[i] += row[i] * row[i]
        for i in range(scale.size):
            scale[i] = min(one, t / max(np.sqrt(scale[i]), np.float32(1e-30)))

    @compiled
    def replace(row: Any, scale: Any, u: Any) -> Any:
        """Write the shortened components; return how far they moved, squared."""
        moved = np.float32(0)
        for i in range(u.size):
            new = row[i] * scale[i]
            step = new - u[i]
            moved += step * step
            u[i] = new
        return moved

    @compiled
    def project1(
        x: Any, n: int, u: Any, f: Any, t: float, z0: int, z1: int, y0: int, y1: int
    ) -> float:
        planes, lines, parts = x.shape[0], x.shape[1], u.shape[0]
        rows, scale = np.empty((parts, n), np.float32), np.empty(n, np.float32)
        moved = 0.0
        for z in range(z0, z1):
            zn = z + 1 if z + 1 < planes else 0
            for y in range(y0, y1):
                yn = y + 1 if y + 1 < lines else 0
                here = x[z, y, :n]
                slope_along(here, f[2], u[parts - 1, z, y], rows[parts - 1])
                slope(here, x[z, yn, :n], f[1], u[parts - 2, z, y], rows[parts - 2])
                if parts == 3:
                    slope(here, x[zn, y, :n], f[0], u[0, z, y], rows[0])
                shrink(rows, np.float32(t), scale)
                for k in range(parts):
                    moved += replace(rows[k], scale, u[k, z, y])
        return moved

    @compiled
    def adjoint1(u: Any, f: Any, out: Any, z0: int, z1: int, y0: int, y1: int) -> None:
        planes, lines, parts, n = u.shape[1], u.shape[2], u.shape[0], u.shape[3]
        for z in range(z0, z1):
            zp = z - 1 if z > 0 else planes - 1
            for y in range(y0, y1):
                yp = y - 1 if y > 0 else lines - 1
                line = out[z, y, :n]
                line[:] = 0
                back_along(u[parts - 1, z, y], f[2], line)
                back(u[parts - 2, z, y], u[parts - 2, z, yp], f[1], line)
                if parts == 3:
                    back(u[0, z, y], u[0, zp, y], f[0], line)

    clip = clipping(compiled)

    @compiled
    def project2(
        x: Any, n: int, u: Any, f: Any, t: float, spectral: bool,
        z0: int, z1: int, y0: int, y1: int,
    ) -> float:  # fmt: skip
        planes, lines, parts = x.shape[0], x.shape[1], u.shape[0]
        c = parts - 3
        rows, scale = np.empty((parts, n), np.float32), np.empty(n, np.float32)
        step, other, none = (
            np.zeros(n, np.float32),
            np.zeros(n, np.float32),
            np.zeros(n, np.float32),
        )
        moved = 0.0
        for z in range(z0, z1):
            zn, zp = (z + 1 if z + 1 < planes else 0), (z - 1 if z > 0 else planes - 1)
            for y in range(y0, y1):
                yn, yp = (y + 1 if y + 1 < lines else 0), (y - 1 if y > 0 else lines - 1)
                here, below = x[z, y, :n], x[z, yn, :n]
                bend(x[z, yp, :n], here, below, f[3], u[c, z, y], rows[c])
                slope(here, below, one, none, step)
                slope_along(step, f[4], u[c + 1, z, y], rows[c + 1])
                bend_along(here, f[5], u[c + 2, z, y], rows[c + 2])
                if c == 3:
                    behind = x[zn, y, :n]
                    bend(x[zp, y, :n], here, behind, f[0], u[0, z, y], rows[0])
                    slope(behind, x[zn, yn, :n], one, none, other)
                    slope(step, other, f[1], u[1, z, y], rows[1])
                    slope(here, behind, one, none, step)
                    slope_along(step, f[2], u[2, z, y], rows[2])
                if spectral:
                    clip(rows, t)
                    scale[:] = one
                else:
                    shrink(rows, np.float32(t), scale)
                for k in range(parts):
                    moved += replace(rows[k], scale, u[k, z, y])
        return moved

    @compiled
    def adjoint2(u: Any, f: Any, out: Any, z0: int, z1: int, y0: int, y1: int) -> None:
        planes, lines, parts, n = u.shape[1], u.shape[2], u.shape[0], u.shape[3]
        c = parts - 3
        step, other, none = (
            np.zeros(n, np.float32),
            np.zeros(n, np.float32),
            np.zeros(n, np.float32),
        )
        for z in range(z0, z1):
            zn, zp = (z + 1 if z + 1 < planes else 0), (z - 1 if z > 0 else planes - 1)
            for y in range(y0, y1):
                yn, yp = (y + 1 if y + 1 < lines else 0), (y - 1 if y > 0 else lines - 1)
                line = out[z, y, :n]
                bend_along(u[c + 2, z, y], f[5], none, line)
                bend(u[c, z, yp], u[c, z, y], u[c, z, yn], f[3], line, line)
                slope(u[c + 1, z, y], u[c + 1, z, yp], one, none, step)
                back_along(step, f[4], line)
                if c == 3:
                    bend(u[0, zp, y], u[0, z, y], u[0, zn, y], f[0], line, line)
                    slope(u[1, z, y], u[1, z, yp], one, none, step)
                    slope(u[1, zp, y], u[1, zp, yp], one, none, other)
                    back(step, other, f[1], line)
                    slope(u[2, z, y], u[2, zp, y], one, none, step)
                    back_along(step, f[2], line)

    @compiled
    def photons_row(q: Any, u: Any, y: Any, b: Any, hold: Any) -> tuple[Any, Any]:
        moved, size = np.float32(0), np.float32(0)
        tiny, half_one, inverse = np.float32(1e-30), np.float32(0.5), one / hold
        for i in range(u.size):
            size += q[i] * q[i]
            p = q[i] + u[i]
            half = half_one * (p + b[i] - inverse)
            product = y[i] * inverse
            root = np.sqrt(half * half + product)
            other = product / max(root - half, tiny)
            z = (half + root if half > 0 else other) - b[i]
            new = p - z
            step = new - u[i]
            moved += step * step
            u[i] = new
            q[i] = z - new
        return moved, size

    @compiled
    def photons(
        q: Any, u: Any, y: Any, b: Any, hold: float, z0: int, z1: int, y0: int, y1: int
    ) -> tuple[float, float]:
        n, moved, size = u.shape[2], 0.0, 0.0
        for z in range(z0, z1):
            for k in range(y0, y1):
                floor = b[z, k, :n] if b.shape[1] > 1 else b[0, 0]
                a, c = photons_row(q[z, k, :n], u[z, k], y[z, k], floor, np.float32(hold))
                moved += a
                size += c
        return moved, size

    @compiled
    def positive_row(v: Any, s: Any, e: Any, t: Any, hold_positive: Any) -> Any:
        moved, zero = np.float32(0), np.float32(0)
        for i in range(e.size):
            negative = min(s[i], zero)
            new = v[i] + negative
            e[i] = max(new, zero)
            t[i] += hold_positive * abs(new)
            step = negative - min(new, zero)
            moved += step * step
            s[i] = new
        return moved

    @compiled
    def assemble(
        v: Any, s: Any, e: Any, b: Any, t: Any, hold: float, hold_positive: float,
        positive: bool, z0: int, z1: int, y0: int, y1: int,
    ) -> float:  # fmt: skip
        n, moved, h = e.shape[2], 0.0, np.float32(hold)
        for z in range(z0, z1):
            for k in range(y0, y1):
                before, now = b[z, k], t[z, k]
                for i in range(n):
                    before[i] = h * (before[i] - two * now[i])
                if positive:
                    line = v[z, k, :n]
                    moved += positive_row(line, s[z, k], e[z, k], before, np.float32(hold_positive))
                else:
                    e[z, k, :] = v[z, k, :n]
        return moved

    @compiled
    def divide(
        x: Any, b: Any, s: Any, h: Any, bend: Any, a: float, c: float, first: int, stop: int
    ) -> None:
        hold, positive, tiny = np.float32(a), np.float32(c), np.float32(1e-30)
        for k in range(first, stop):
            for i in range(x.shape[1]):
                re, im, curve = h[k, i].real, h[k, i].imag, bend[k, i]
                scale = one / max(hold * (re * re + im * im) + curve + positive, tiny)
                x[k, i] = scale * (curve * x[k, i] + b[k, i] + s[k, i])

    return {
        "project1": project1,
        "adjoint1": adjoint1,
        "project2": project2,
        "adjoint2": adjoint2,
        "photons": photons,
        "assemble": assemble,
        "divide": divide,
        "clip": clip,
    }
