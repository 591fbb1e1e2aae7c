"""The passes of :mod:`napari_deconv.operators.bounded` through memory, compiled by numba."""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from typing import Any

import numpy as np

from napari_deconv.compiling import compiled

ZERO, TWO = np.float32(0), np.float32(2)


@compiled
def mirror(b: Any, v: Any, out: Any, z0: int, z1: int, y0: int, y1: int) -> None:
    """Write ``2 v - b``."""
    for z in range(z0, z1):
        for y in range(y0, y1):
            one, two, line = b[z, y], v[z, y], out[z, y]
            for i in range(one.size):
                line[i] = TWO * two[i] - one[i]


@compiled
def answer(x: Any, s: Any, c: Any, hold: float, keep: bool, first: int, stop: int) -> None:
    """Set s to ``c (x + hold s)``, and x to the same where it is to be kept."""
    h = np.float32(hold)
    for k in range(first, stop):
        for i in range(x.shape[1]):
            re = c[k, i] * (x[k, i].real + h * s[k, i].real)
            im = c[k, i] * (x[k, i].imag + h * s[k, i].imag)
            s[k, i] = complex(re, im)
        if keep:
            for i in range(x.shape[1]):
                x[k, i] = s[k, i]


@compiled
def bound_row(b: Any, v: Any, x: Any, low: Any, high: Any, beyond: Any) -> Any:
    """Set b to ``b + beyond (x - v)``, v to b within bounds; return how far x was from v."""
    moved = ZERO
    for i in range(v.size):
        step = x[i] - v[i]
        moved += step * step
        new = b[i] + beyond * step
        b[i] = new
        v[i] = min(max(new, low), high)
    return moved


@compiled
def bound(
    b: Any, v: Any, x: Any, low: float, high: float, beyond: float,
    z0: int, z1: int, y0: int, y1: int,
) -> float:  # fmt: skip
    """Do so with all rows."""
    moved, n = 0.0, v.shape[2]
    limits = np.float32(low), np.float32(high), np.float32(beyond)
    for z in range(z0, z1):
        for y in range(y0, y1):
            moved += bound_row(b[z, y], v[z, y], x[z, y, :n], *limits)
    return moved


@compiled
def match_row(q: Any, p: Any, y: Any, share: Any, beyond: Any) -> Any:
    """Bring a row of the prediction closer to the projection and the data."""
    moved = ZERO
    for i in range(y.size):
        step = p[i] - (y[i] + share * (q[i] - y[i]))
        moved += step * step
        new = q[i] + beyond * step
        q[i] = new
        p[i] = TWO * (y[i] + share * (new - y[i])) - new
    return moved


@compiled
def follow_row(q: Any, p: Any, beyond: Any) -> None:
    """Bring a row of which there are no data closer to the projection."""
    for i in range(q.size):
        new = q[i] + beyond * (p[i] - q[i])
        q[i] = new
        p[i] = new


@compiled
def match(
    q: Any, p: Any, y: Any, share: float, beyond: float, z0: int, z1: int, y0: int, y1: int
) -> float:
    """Do so with all rows, of which the data are a corner."""
    planes, lines, n = y.shape
    moved, s, f = 0.0, np.float32(share), np.float32(beyond)
    for z in range(z0, z1):
        for k in range(y0, y1):
            start = 0
            if z < planes and k < lines:
                start = n
                moved += match_row(q[z, k, :n], p[z, k, :n], y[z, k], s, f)
            follow_row(q[z, k, start:], p[z, k, start : q.shape[2]], f)
    return moved


@compiled
def back(s: Any, h: Any, out: Any, first: int, stop: int) -> None:
    """Write ``conj(h) s``."""
    for k in range(first, stop):
        for i in range(s.shape[1]):
            a, b, re, im = h[k, i].real, h[k, i].imag, s[k, i].real, s[k, i].imag
            out[k, i] = complex(a * re + b * im, a * im - b * re)


@compiled
def descend_row(x: Any, z: Any, g: Any, length: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """Set g to a step from z within bounds, z to how far it went; return its square, and more."""
    moved, uphill = ZERO, ZERO
    for i in range(x.size):
        new = min(max(z[i] - length * g[i], low), high)
        back = z[i] - new
        g[i] = new
        z[i] = back
        moved += back * back
        uphill += back * (new - x[i])
    return moved, uphill


@compiled
def descend(
    x: Any, z: Any, g: Any, length: float, low: float, high: float,
    z0: int, z1: int, y0: int, y1: int,
) -> tuple[float, float]:  # fmt: skip
    """Do so with all rows; also return how far the step went against that from x."""
    moved, uphill, n = 0.0, 0.0, x.shape[2]
    numbers = np.float32(length), np.float32(low), np.float32(high)
    for k in range(z0, z1):
        for y in range(y0, y1):
            a, b = descend_row(x[k, y], z[k, y], g[k, y, :n], *numbers)
            moved += a
            uphill += b
    return moved, uphill


@compiled
def proceed(x: Any, z: Any, g: Any, momentum: float, z0: int, z1: int, y0: int, y1: int) -> None:
    """Set z to ``g + momentum (g - x)``, and x to g."""
    n, m = x.shape[2], np.float32(momentum)
    for k in range(z0, z1):
        for y in range(y0, y1):
            old, point, new = x[k, y], z[k, y], g[k, y, :n]
            for i in range(n):
                point[i] = new[i] + m * (new[i] - old[i])
                old[i] = new[i]
