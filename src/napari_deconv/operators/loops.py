"""The loops of a variational step, compiled by numba; :mod:`~napari_deconv.operators.fused` calls.

Functions of a module, not of a function: only such are found again on disk by the next process.
Each loop goes along a row, over so few arrays that the compiler vectorises it; what stands between
two loops stays in the cache.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from typing import Any

import numpy as np

from napari_deconv.compiling import compiled
from napari_deconv.operators.loops_eigenvalues import clip

ZERO, ONE, TWO, TINY = np.float32(0), np.float32(1), np.float32(2), np.float32(1e-30)

# What keeps the dual of a prior in its place: the length of a voxel's vector, the largest absolute
# eigenvalue of its Hessian, or the absolute value of each component, which is zero across seams.
GRADIENT, HESSIAN, NUCLEAR, CONTINUITY = range(4)


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
def slope_twice(a: Any, b: Any, f: Any, u: Any, out: Any) -> None:
    """Write ``f`` times the slope along the row of ``b - a``, plus u."""
    n = out.size
    for i in range(n - 1):
        out[i] = f * (b[i + 1] - a[i + 1] - b[i] + a[i]) + u[i]
    out[n - 1] = f * (b[0] - a[0] - b[n - 1] + a[n - 1]) + u[n - 1]


@compiled
def slope_across(a: Any, b: Any, c: Any, d: Any, f: Any, u: Any, out: Any) -> None:
    """Write ``f (d - c - b + a) + u``."""
    for i in range(out.size):
        out[i] = f * (d[i] - c[i] - b[i] + a[i]) + u[i]


@compiled
def bend(a: Any, b: Any, c: Any, f: Any, u: Any, out: Any) -> None:
    """Write ``f (a - 2 b + c) + u``."""
    for i in range(out.size):
        out[i] = f * (a[i] - TWO * b[i] + c[i]) + u[i]


@compiled
def bend_along(a: Any, f: Any, u: Any, out: Any) -> None:
    """Write the same with a, b, c neighbours in the row."""
    n = out.size
    out[0] = f * (a[n - 1] - TWO * a[0] + a[1]) + u[0]
    for i in range(1, n - 1):
        out[i] = f * (a[i - 1] - TWO * a[i] + a[i + 1]) + u[i]
    out[n - 1] = f * (a[n - 2] - TWO * a[n - 1] + a[0]) + u[n - 1]


@compiled
def back_along(a: Any, f: Any, out: Any) -> None:
    """Add ``f (b - a)`` with b the voxel before."""
    n = out.size
    out[0] += f * (a[n - 1] - a[0])
    for i in range(1, n):
        out[i] += f * (a[i - 1] - a[i])


@compiled
def differences(kind: int, x: Any, n: int, u: Any, f: Any, z: int, y: int, rows: Any) -> None:
    """Write ``L x + u`` of a row, a component each."""
    planes, lines, parts = x.shape[0], x.shape[1], u.shape[0]
    zn, zp = (z + 1 if z + 1 < planes else 0), (z - 1 if z > 0 else planes - 1)
    yn, yp = (y + 1 if y + 1 < lines else 0), (y - 1 if y > 0 else lines - 1)
    here, below = x[z, y, :n], x[z, yn, :n]
    if kind == GRADIENT:
        slope_along(here, f[2], u[parts - 1, z, y], rows[parts - 1])
        slope(here, below, f[1], u[parts - 2, z, y], rows[parts - 2])
        if parts == 3:
            slope(here, x[zn, y, :n], f[0], u[0, z, y], rows[0])
        return
    c = parts - 3
    bend(x[z, yp, :n], here, below, f[3], u[c, z, y], rows[c])
    slope_twice(here, below, f[4], u[c + 1, z, y], rows[c + 1])
    bend_along(here, f[5], u[c + 2, z, y], rows[c + 2])
    if c == 3:
        behind = x[zn, y, :n]
        bend(x[zp, y, :n], here, behind, f[0], u[0, z, y], rows[0])
        slope_across(here, below, behind, x[zn, yn, :n], f[1], u[1, z, y], rows[1])
        slope_twice(here, behind, f[2], u[2, z, y], rows[2])


@compiled
def adjoint(kind: int, u: Any, f: Any, z: int, y: int, step: Any, line: Any) -> None:
    """Write a row of ``L^T u``."""
    parts, planes, lines, n = u.shape
    zn, zp = (z + 1 if z + 1 < planes else 0), (z - 1 if z > 0 else planes - 1)
    yn, yp = (y + 1 if y + 1 < lines else 0), (y - 1 if y > 0 else lines - 1)
    if kind == GRADIENT:
        a, b = u[parts - 2, z, y], u[parts - 2, z, yp]
        for i in range(n):
            line[i] = f[1] * (b[i] - a[i])
        if parts == 3:
            a, b = u[0, z, y], u[0, zp, y]
            for i in range(n):
                line[i] += f[0] * (b[i] - a[i])
        back_along(u[parts - 1, z, y], f[2], line)
        return
    c = parts - 3
    a, b, d = u[c, z, yp], u[c, z, y], u[c, z, yn]
    for i in range(n):
        line[i] = f[3] * (a[i] - TWO * b[i] + d[i])
    # What goes back along the row, of both mixed components.
    a, b = u[c + 1, z, y], u[c + 1, z, yp]
    for i in range(n):
        step[i] = f[4] * (b[i] - a[i])
    if c == 3:
        a, b, d = u[0, zp, y], u[0, z, y], u[0, zn, y]
        for i in range(n):
            line[i] += f[0] * (a[i] - TWO * b[i] + d[i])
        a, b = u[2, z, y], u[2, zp, y]
        for i in range(n):
            step[i] += f[2] * (b[i] - a[i])
        a, b, d, e = u[1, z, y], u[1, z, yp], u[1, zp, y], u[1, zp, yp]
        for i in range(n):
            line[i] += f[1] * (e[i] - d[i] - b[i] + a[i])
    back_along(step, ONE, line)
    a = u[c + 2, z, y]
    line[0] += f[5] * (a[n - 1] - TWO * a[0] + a[1])
    for i in range(1, n - 1):
        line[i] += f[5] * (a[i - 1] - TWO * a[i] + a[i + 1])
    line[n - 1] += f[5] * (a[n - 2] - TWO * a[n - 1] + a[0])


@compiled
def replace(row: Any, scale: Any, u: Any) -> Any:
    """Write the scaled components; return how far they moved, squared."""
    moved = ZERO
    for i in range(u.size):
        new = row[i] * scale[i]
        step = new - u[i]
        moved += step * step
        u[i] = new
    return moved


@compiled
def clamp(row: Any, most: Any, u: Any) -> Any:
    """Write the components, each kept within its bound; return how far they moved, squared."""
    moved = ZERO
    for i in range(u.size):
        new = min(max(row[i], -most), most)
        step = new - u[i]
        moved += step * step
        u[i] = new
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
        last = rows[rows.shape[0] - 1]
        for i in range(scale.size):
            scale[i] = rows[0, i] * rows[0, i] + rows[1, i] * rows[1, i]
        if rows.shape[0] == 3:
            for i in range(scale.size):
                scale[i] += last[i] * last[i]
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
    differences(kind, x, n, u, f, z, y, rows)
    moved = 0.0
    if kind == CONTINUITY:
        open_seams(rows, seams, z, y, x.shape[0], x.shape[1])
        for k in range(u.shape[0]):
            moved += clamp(rows[k], limits[k], u[k, z, y])
        return moved
    if kind == NUCLEAR:
        clip(rows, limits[0])
        scale[:] = ONE
    else:
        shorten(rows, limits[0], scale)
    for k in range(u.shape[0]):
        moved += replace(rows[k], scale, u[k, z, y])
    return moved


@compiled
def copy(a: Any, out: Any) -> None:
    """Write ``a``; numba's own assignment is several times slower."""
    for i in range(out.size):
        out[i] = a[i]


@compiled
def positive_row(x: Any, s: Any, e: Any, goal: Any, hold: Any) -> Any:
    """Take the step of the positive variable; return how far its dual moved, squared."""
    moved = ZERO
    for i in range(e.size):
        negative = min(s[i], ZERO)
        new = x[i] + negative
        e[i] = max(new, ZERO)
        goal[i] += hold * abs(new)
        step = negative - min(new, ZERO)
        moved += step * step
        s[i] = new
    return moved


@compiled
def assemble_row(
    x: Any, now: Any, before: Any, s: Any, e: Any, out: Any,
    hold: Any, hold_positive: Any, positive: bool,
) -> float:  # fmt: skip
    """Assemble a row of what x is to be drawn to; ``now`` is overwritten, ``out`` may be x."""
    moved = 0.0
    for i in range(e.size):
        bent = now[i]
        now[i] = hold * (before[i] - TWO * bent)
        before[i] = bent
    if positive:
        moved = positive_row(x, s, e, now, hold_positive)
    else:
        copy(x, e)
    copy(now, out)
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
            copy(now[z, y, :n], line)
            moved += assemble_row(
                x[z, y, :n], line, before[z, y], s[z, y], e[z, y], out[z, y, :n], h, p, positive
            )
    return moved


@compiled
def sweep(
    kind: int, x: Any, n: int, u: Any, f: Any, limits: Any, seams: Any, before: Any, s: Any, e: Any,
    out: Any, hold: float, hold_positive: float, positive: bool, blocks: int, first: int, stop: int,
) -> Any:  # fmt: skip
    """Project, and assemble all rows of some blocks but the outermost of each; see :func:`rim`.

    A plane of a block is assembled as soon as the duals of the next are there, out of the cache.
    No other block reads what that overwrites when ``out`` is x.
    """
    planes, lines = x.shape[0], x.shape[1]
    rows, scale = np.empty((u.shape[0], n), np.float32), np.empty(n, np.float32)
    line, step = np.empty(n, np.float32), np.empty(n, np.float32)
    h, p = np.float32(hold), np.float32(hold_positive)
    moved, lifted = 0.0, 0.0
    for block in range(first, stop):
        a, b = lines * block // blocks, lines * (block + 1) // blocks
        # The first plane has to wait for the last.
        for turn in range(planes + min(planes, 2)):
            if turn < planes:
                for y in range(a, b):
                    moved += project(kind, x, n, u, f, limits, seams, turn, y, rows, scale)
            if turn < min(planes, 2):
                continue
            z = (turn - 1) % planes
            for y in range(a + 1, b - 1):
                adjoint(kind, u, f, z, y, step, line)
                lifted += assemble_row(
                    x[z, y, :n], line, before[z, y], s[z, y], e[z, y], out[z, y, :n], h, p, positive
                )
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
                adjoint(kind, u, f, z, y, step, line)
                lifted += assemble_row(
                    x[z, y, :n], line, before[z, y], s[z, y], e[z, y], out[z, y, :n], h, p, positive
                )
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


@compiled
def blurred(x: Any, h: Any, out: Any, first: int, stop: int) -> None:
    """Write ``h x``."""
    for k in range(first, stop):
        for i in range(x.shape[1]):
            a, b, re, im = h[k, i].real, h[k, i].imag, x[k, i].real, x[k, i].imag
            out[k, i] = complex(a * re - b * im, a * im + b * re)


@compiled
def gather(x: Any, s: Any, h: Any, bend: Any, hold: float, first: int, stop: int) -> None:
    """Set x to ``bend x + hold conj(h) s``, and s to what x was."""
    f = np.float32(hold)
    for k in range(first, stop):
        for i in range(x.shape[1]):
            a, b, c, d = f * h[k, i].real, f * h[k, i].imag, s[k, i].real, s[k, i].imag
            re, im, curve = x[k, i].real, x[k, i].imag, bend[k, i]
            s[k, i] = complex(re, im)
            x[k, i] = complex(curve * re + a * c + b * d, curve * im + a * d - b * c)


@compiled
def divide(
    x: Any, s: Any, h: Any, bend: Any, hold: float, hold_positive: float, first: int, stop: int
) -> None:
    """Set x to ``(x + s) / (hold |h|^2 + bend + hold_positive)``."""
    f, positive = np.float32(hold), np.float32(hold_positive)
    for k in range(first, stop):
        for i in range(x.shape[1]):
            re, im = h[k, i].real, h[k, i].imag
            scale = ONE / max(f * (re * re + im * im) + bend[k, i] + positive, TINY)
            x[k, i] = complex(
                scale * (x[k, i].real + s[k, i].real), scale * (x[k, i].imag + s[k, i].imag)
            )


@compiled
def invert(s: Any, h: Any, bend: Any, weight: float, first: int, stop: int) -> None:
    """Set s to ``conj(h) s / (|h|^2 + weight bend)``."""
    f = np.float32(weight)
    for k in range(first, stop):
        for i in range(s.shape[1]):
            a, b, re, im = h[k, i].real, h[k, i].imag, s[k, i].real, s[k, i].imag
            gain = ONE / (a * a + b * b + f * bend[k, i])
            s[k, i] = complex(gain * (a * re + b * im), gain * (a * im - b * re))
