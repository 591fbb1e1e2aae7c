"""The loops of a variational step, compiled by numba; :mod:`~napari_deconv.operators.fused` calls.

Functions of a module, not of a function: only such are found again on disk by the next process.
Each loop goes along a row, over so few arrays that the compiler vectorises it; what stands between
two loops stays in the cache.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from typing import Any

import numpy as np

from napari_deconv.compiling import compiled, fetch, lent
from napari_deconv.operators.loops_eigenvalues import clip

ZERO, ONE, TWO, TINY = np.float32(0), np.float32(1), np.float32(2), np.float32(1e-30)

# What keeps the dual of a prior in its place: the length of a voxel's vector, the largest absolute
# eigenvalue of its Hessian, or the absolute value of each component, which is zero across seams.
GRADIENT, HESSIAN, NUCLEAR, CONTINUITY = range(4)


@compiled
def gradient(x: Any, n: int, u: Any, f: Any, z: int, y: int, rows: Any) -> None:
    """Write ``D x + u`` of a row, a component each."""
    planes, lines, parts = x.shape[0], x.shape[1], u.shape[2]
    zn, yn, c, last = (z + 1) % planes, (y + 1) % lines, parts - 2, n - 1
    for i in range(last):
        rows[c + 1, i] = f[2] * (x[z, y, i + 1] - x[z, y, i]) + u[z, y, c + 1, i]
    rows[c + 1, last] = f[2] * (x[z, y, 0] - x[z, y, last]) + u[z, y, c + 1, last]
    for i in range(n):
        rows[c, i] = f[1] * (x[z, yn, i] - x[z, y, i]) + u[z, y, c, i]
    if parts == 3:
        for i in range(n):
            rows[0, i] = f[0] * (x[zn, y, i] - x[z, y, i]) + u[z, y, 0, i]


@compiled
def hessian(x: Any, n: int, u: Any, f: Any, z: int, y: int, rows: Any) -> None:
    """Write ``D^2 x + u`` of a row, a component each; mixed ones from voxels further on."""
    planes, lines, parts = x.shape[0], x.shape[1], u.shape[2]
    zn, zp, yn, yp = (z + 1) % planes, (z - 1) % planes, (y + 1) % lines, (y - 1) % lines
    c, last = parts - 3, n - 1
    for i in range(n):
        rows[c, i] = f[3] * (x[z, yp, i] - TWO * x[z, y, i] + x[z, yn, i]) + u[z, y, c, i]
    for i in range(last):
        step = x[z, yn, i + 1] - x[z, y, i + 1] - x[z, yn, i] + x[z, y, i]
        rows[c + 1, i] = f[4] * step + u[z, y, c + 1, i]
    step = x[z, yn, 0] - x[z, y, 0] - x[z, yn, last] + x[z, y, last]
    rows[c + 1, last] = f[4] * step + u[z, y, c + 1, last]
    for i in range(1, last):
        step = x[z, y, i - 1] - TWO * x[z, y, i] + x[z, y, i + 1]
        rows[c + 2, i] = f[5] * step + u[z, y, c + 2, i]
    step = x[z, y, last] - TWO * x[z, y, 0] + x[z, y, 1]
    rows[c + 2, 0] = f[5] * step + u[z, y, c + 2, 0]
    step = x[z, y, last - 1] - TWO * x[z, y, last] + x[z, y, 0]
    rows[c + 2, last] = f[5] * step + u[z, y, c + 2, last]
    if c == 3:
        for i in range(n):
            rows[0, i] = f[0] * (x[zp, y, i] - TWO * x[z, y, i] + x[zn, y, i]) + u[z, y, 0, i]
        for i in range(n):
            step = x[zn, yn, i] - x[zn, y, i] - x[z, yn, i] + x[z, y, i]
            rows[1, i] = f[1] * step + u[z, y, 1, i]
        for i in range(last):
            step = x[zn, y, i + 1] - x[z, y, i + 1] - x[zn, y, i] + x[z, y, i]
            rows[2, i] = f[2] * step + u[z, y, 2, i]
        step = x[zn, y, 0] - x[z, y, 0] - x[zn, y, last] + x[z, y, last]
        rows[2, last] = f[2] * step + u[z, y, 2, last]


@compiled
def gradient_adjoint(u: Any, f: Any, z: int, y: int, step: Any, line: Any) -> None:
    """Write a row of ``D^T u``."""
    planes, lines, parts, n = u.shape
    zp, yp, c = (z - 1) % planes, (y - 1) % lines, parts - 2
    for i in range(n):
        step[i] = f[2] * u[z, y, c + 1, i]
    for i in range(n):
        line[i] = f[1] * (u[z, yp, c, i] - u[z, y, c, i])
    if parts == 3:
        for i in range(n):
            line[i] += f[0] * (u[zp, y, 0, i] - u[z, y, 0, i])
    back_along(step, line)


@compiled
def hessian_adjoint(u: Any, f: Any, z: int, y: int, step: Any, line: Any) -> None:
    """Write a row of the adjoint of ``D^2``."""
    planes, lines, parts, n = u.shape
    zn, zp, yn, yp = (z + 1) % planes, (z - 1) % planes, (y + 1) % lines, (y - 1) % lines
    c, last = parts - 3, n - 1
    for i in range(n):
        line[i] = f[3] * (u[z, yp, c, i] - TWO * u[z, y, c, i] + u[z, yn, c, i])
    # What goes back along the row, of both mixed components.
    for i in range(n):
        step[i] = f[4] * (u[z, yp, c + 1, i] - u[z, y, c + 1, i])
    if c == 3:
        for i in range(n):
            line[i] += f[0] * (u[zp, y, 0, i] - TWO * u[z, y, 0, i] + u[zn, y, 0, i])
        for i in range(n):
            step[i] += f[2] * (u[zp, y, 2, i] - u[z, y, 2, i])
        for i in range(n):
            across = u[zp, yp, 1, i] - u[zp, y, 1, i] - u[z, yp, 1, i] + u[z, y, 1, i]
            line[i] += f[1] * across
    back_along(step, line)
    k = c + 2
    line[0] += f[5] * (u[z, y, k, last] - TWO * u[z, y, k, 0] + u[z, y, k, 1])
    for i in range(1, last):
        line[i] += f[5] * (u[z, y, k, i - 1] - TWO * u[z, y, k, i] + u[z, y, k, i + 1])
    line[last] += f[5] * (u[z, y, k, last - 1] - TWO * u[z, y, k, last] + u[z, y, k, 0])


@compiled
def back_along(a: Any, line: Any) -> None:
    """Add ``b - a`` with b the voxel before."""
    n = line.size
    line[0] += a[n - 1] - a[0]
    for i in range(1, n):
        line[i] += a[i - 1] - a[i]


@compiled
def replace(rows: Any, scale: Any, u: Any, z: int, y: int, k: int) -> Any:
    """Write the scaled row of a component; return how far it moved, squared."""
    moved = ZERO
    for i in range(scale.size):
        new = rows[k, i] * scale[i]
        step = new - u[z, y, k, i]
        moved += step * step
        u[z, y, k, i] = new
    return moved


@compiled
def clamp(rows: Any, most: Any, u: Any, z: int, y: int, k: int) -> Any:
    """Write the row of a component, kept within its bound; return how far it moved, squared."""
    moved = ZERO
    for i in range(u.shape[3]):
        new = min(max(rows[k, i], -most), most)
        step = new - u[z, y, k, i]
        moved += step * step
        u[z, y, k, i] = new
    return moved


@compiled
def shorten(rows: Any, most: Any, scale: Any) -> None:
    """Write what shortens the vectors of a row to a length."""
    if rows.shape[0] == 6:
        for i in range(scale.size):
            one = rows[0, i] * rows[0, i] + rows[1, i] * rows[1, i] + rows[2, i] * rows[2, i]
            two = rows[3, i] * rows[3, i] + rows[4, i] * rows[4, i] + rows[5, i] * rows[5, i]
            scale[i] = one + two
    else:
        last = rows.shape[0] - 1
        for i in range(scale.size):
            scale[i] = rows[0, i] * rows[0, i] + rows[1, i] * rows[1, i]
        if last == 2:
            for i in range(scale.size):
                scale[i] += rows[last, i] * rows[last, i]
    for i in range(scale.size):
        scale[i] = min(ONE, most / max(np.sqrt(scale[i]), TINY))


@compiled
def cut(place: int, seam: int, times: int, length: int) -> bool:
    """Whether a difference (``times`` over) at a place of an axis would reach across its seam."""
    return seam >= 0 and (place == seam or (times == 2 and place == (seam + 1) % length))


@compiled
def open_seams(rows: Any, seams: Any, z: int, y: int, planes: int, lines: int) -> None:
    """Set to zero what a row says across seams."""
    c, n, (sz, sy, sx) = rows.shape[0] - 3, rows.shape[1], seams
    if c == 3:
        if cut(z, sz, 2, planes):
            rows[0, :] = ZERO
        if cut(z, sz, 1, planes) or cut(y, sy, 1, lines):
            rows[1, :] = ZERO
        if cut(z, sz, 1, planes):
            rows[2, :] = ZERO
        elif sx >= 0:
            rows[2, sx] = ZERO
    if cut(y, sy, 2, lines):
        rows[c, :] = ZERO
    if cut(y, sy, 1, lines):
        rows[c + 1, :] = ZERO
    elif sx >= 0:
        rows[c + 1, sx] = ZERO
    if sx >= 0:
        rows[c + 2, sx] = ZERO
        rows[c + 2, (sx + 1) % n] = ZERO


@compiled
def project(
    kind: int, x: Any, n: int, u: Any, f: Any, limits: Any, seams: Any,
    z: int, y: int, rows: Any, scale: Any,
) -> float:  # fmt: skip
    """Set a row of u to the projection of ``L x + u``; return how far it moved, squared."""
    moved = 0.0
    if kind == GRADIENT:
        gradient(x, n, u, f, z, y, rows)
    else:
        hessian(x, n, u, f, z, y, rows)
    if kind == CONTINUITY:
        open_seams(rows, seams, z, y, x.shape[0], x.shape[1])
        for k in range(u.shape[2]):
            moved += clamp(rows, limits[k], u, z, y, k)
        return moved
    if kind == NUCLEAR:
        clip(rows, limits[0])
        for i in range(n):
            scale[i] = ONE
    else:
        shorten(rows, limits[0], scale)
    for k in range(u.shape[2]):
        moved += replace(rows, scale, u, z, y, k)
    return moved


@compiled
def assemble_row(
    x: Any, line: Any, before: Any, s: Any, e: Any, out: Any,
    hold: Any, hold_positive: Any, positive: bool, z: int, y: int,
) -> Any:  # fmt: skip
    """Assemble a row of what x is to be drawn to; ``line`` is overwritten, ``out`` may be x.

    Where the object has to be positive, returns how far that variable's dual moved, squared.
    """
    moved, n = ZERO, line.size
    for i in range(n):
        bent = line[i]
        line[i] = hold * (before[z, y, i] - TWO * bent)
        before[z, y, i] = bent
    if positive:
        for i in range(n):
            negative = min(s[z, y, i], ZERO)
            new = x[z, y, i] + negative
            e[z, y, i] = max(new, ZERO)
            line[i] += hold_positive * abs(new)
            step = negative - min(new, ZERO)
            moved += step * step
            s[z, y, i] = new
    else:
        for i in range(n):
            e[z, y, i] = x[z, y, i]
    for i in range(n):
        out[z, y, i] = line[i]
    return moved


@compiled
def assemble(
    x: Any, n: int, now: Any, before: Any, s: Any, e: Any, out: Any,
    hold: float, hold_positive: float, positive: bool, z0: int, z1: int, y0: int, y1: int,
) -> float:  # fmt: skip
    """Do so with all rows."""
    moved, line = 0.0, np.empty(n, np.float32)
    h, p = np.float32(hold), np.float32(hold_positive)
    for z in range(z0, z1):
        for y in range(y0, y1):
            for i in range(n):
                line[i] = now[z, y, i]
            moved += assemble_row(x, line, before, s, e, out, h, p, positive, z, y)
    return moved


@compiled
def back(
    kind: int, x: Any, u: Any, f: Any, before: Any, s: Any, e: Any, out: Any,
    hold: Any, hold_positive: Any, positive: bool, z: int, y: int, step: Any, line: Any,
) -> Any:  # fmt: skip
    """Assemble a row with its ``L^T u``."""
    if kind == GRADIENT:
        gradient_adjoint(u, f, z, y, step, line)
    else:
        hessian_adjoint(u, f, z, y, step, line)
    return assemble_row(x, line, before, s, e, out, hold, hold_positive, positive, z, y)


@compiled
def fetch_next(x: Any, n: int, u: Any, z: int, y: int) -> None:
    """Ask for what the projection of a row needs and the one before it did not."""
    fetch(u[z, y])
    fetch(x[z + 1 if z + 1 < x.shape[0] else 0, y, :n])


@compiled
def sweep(
    kind: int, x: Any, n: int, u: Any, f: Any, limits: Any, seams: Any, before: Any, s: Any, e: Any,
    out: Any, hold: float, hold_positive: float, positive: bool, scratch: Any,
    blocks: int, first: int, stop: int,
) -> Any:  # fmt: skip
    """Project, and assemble all rows of some blocks but the outermost of each; see :func:`rim`.

    A plane of a block is assembled as soon as the duals of the next are there, out of the cache.
    No other block reads what that overwrites when ``out`` is x. ``scratch`` holds a row more than
    there are components, and two more.
    """
    x, u, before, s, e, out = lent(x), lent(u), lent(before), lent(s), lent(e), lent(out)
    scratch = lent(scratch)
    planes, lines, parts = x.shape[0], x.shape[1], u.shape[2]
    rows, scale = scratch[:parts], scratch[parts]
    line, step = scratch[parts + 1], scratch[parts + 2]
    h, p = np.float32(hold), np.float32(hold_positive)
    moved, lifted = 0.0, 0.0
    for block in range(first, stop):
        a, b = lines * block // blocks, lines * (block + 1) // blocks
        # The first plane has to wait for the last.
        for turn in range(planes + min(planes, 2)):
            if turn < planes:
                for y in range(a, b):
                    if y + 1 < b:
                        fetch_next(x, n, u, turn, y + 1)
                    elif turn + 1 < planes:
                        fetch_next(x, n, u, turn + 1, a)
                    moved += project(kind, x, n, u, f, limits, seams, turn, y, rows, scale)
            if turn < min(planes, 2):
                continue
            z = (turn - 1) % planes
            for y in range(a + 1, b - 1):
                fetch(before[z, y + 1])
                fetch(s[z, y + 1])
                fetch(e[z, y + 1])
                lifted += back(kind, x, u, f, before, s, e, out, h, p, positive, z, y, step, line)
    return moved, lifted


@compiled
def rim(
    kind: int, x: Any, n: int, u: Any, f: Any, before: Any, s: Any, e: Any, out: Any,
    hold: float, hold_positive: float, positive: bool, blocks: int, first: int, stop: int,
) -> float:  # fmt: skip
    """Assemble the last row of some blocks and the first of the next, once all are projected."""
    planes, lines = x.shape[0], x.shape[1]
    line, step = np.empty(n, np.float32), np.empty(n, np.float32)
    h, p = np.float32(hold), np.float32(hold_positive)
    lifted = 0.0
    for block in range(first, stop):
        b = lines * (block + 1) // blocks
        for z in range(planes):
            for y in (b - 1, b % lines):
                lifted += back(kind, x, u, f, before, s, e, out, h, p, positive, z, y, step, line)
    return lifted


@compiled
def photons_row(q: Any, u: Any, y: Any, b: Any, hold: Any) -> tuple[Any, Any]:
    """Take the step of Poisson's data term."""
    moved, size = ZERO, ZERO
    half_one, inverse = np.float32(0.5), ONE / hold
    for i in range(u.size):
        size += q[i] * q[i]
        p = q[i] + u[i]
        half = half_one * (p + b[i] - inverse)
        product = y[i] * inverse
        root = np.sqrt(half * half + product)
        other = product / max(root - half, TINY)
        z = (half + root if half > ZERO else other) - b[i]
        new = p - z
        step = new - u[i]
        moved += step * step
        u[i] = new
        q[i] = z - new
    return moved, size


@compiled
def gauss_row(q: Any, u: Any, y: Any, b: Any, share: Any) -> tuple[Any, Any]:
    """Take the step of the Gaussian data term: z goes that share of the way from y - b to p."""
    moved, size = ZERO, ZERO
    for i in range(u.size):
        size += q[i] * q[i]
        p = q[i] + u[i]
        goal = y[i] - b[i]
        z = goal + share * (p - goal)
        new = p - z
        step = new - u[i]
        moved += step * step
        u[i] = new
        q[i] = z - new
    return moved, size


@compiled
def fit(
    poisson: bool, q: Any, u: Any, y: Any, b: Any, number: float,
    z0: int, z1: int, y0: int, y1: int,
) -> tuple[float, float]:  # fmt: skip
    """Take the step of a data term; the number is ``hold`` or ``share``, see above."""
    n, moved, size, f = u.shape[2], 0.0, 0.0, np.float32(number)
    for z in range(z0, z1):
        for k in range(y0, y1):
            floor = b[z, k, :n] if b.shape[1] > 1 else b[0, 0]
            if poisson:
                a, c = photons_row(q[z, k, :n], u[z, k], y[z, k], floor, f)
            else:
                a, c = gauss_row(q[z, k, :n], u[z, k], y[z, k], floor, f)
            moved += a
            size += c
    return moved, size
