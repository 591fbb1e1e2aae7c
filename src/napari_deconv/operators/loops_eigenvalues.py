"""Eigenvalues of a row of small symmetric matrices, cut by a loop that numba compiles.

The same as :func:`napari_deconv.operators.eigenvalues.clip_eigenvalues` does with torch.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

import math
from typing import Any

from napari_deconv.compiling import compiled

root, third = math.sqrt(0.5), 2 * math.pi / 3
eps, tiny = 2.0**-52, 1e-300
tiny_root = tiny**0.25


@compiled
def cut(value: float, most: float) -> float:
    """Return a number kept between -most and most."""
    return min(max(value, -most), most)


@compiled
def slope(above: float, below: float, most: float, least: float) -> Any:
    """Return how much of the difference of two eigenvalues remains."""
    share = (cut(above, most) - cut(below, most)) / max(above - below, least)
    return min(max(share, 0.0), 1.0)


@compiled
def clip2(rows: Any, most: float) -> None:
    """Cut the eigenvalues of matrices of two rows."""
    for i in range(rows.shape[1]):
        a, b, c = float(rows[0, i]), root * rows[1, i], float(rows[2, i])
        if a * a + 2 * b * b + c * c <= most * most:
            continue
        mean = (a + c) / 2
        apart = math.sqrt((a - c) * (a - c) / 4 + b * b)
        high = mean + apart
        s = slope(high, mean - apart, most, max(eps * (abs(mean) + apart), tiny))
        new = cut(high, most)
        rows[0, i] = new + s * (a - high)
        rows[1, i] = s * rows[1, i]
        rows[2, i] = new + s * (c - high)


@compiled
def clip3(rows: Any, most: float) -> None:
    """Cut the eigenvalues of matrices of three rows."""
    for i in range(rows.shape[1]):
        a, d, f = float(rows[0, i]), float(rows[3, i]), float(rows[5, i])
        b, c, e = root * rows[1, i], root * rows[2, i], root * rows[4, i]
        cross = 2 * (b * b + c * c + e * e)
        if a * a + d * d + f * f + cross <= most * most:
            continue
        mean = (a + d + f) / 3
        a, d, f = a - mean, d - mean, f - mean
        size = max(math.sqrt((a * a + d * d + f * f + cross) / 6), tiny_root)
        determinant = a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d)
        angle = math.acos(cut(determinant / (2 * size * size * size), 1.0)) / 3
        # Eigenvalues without their mean, as the matrix is without it by now.
        high, low = 2 * size * math.cos(angle), 2 * size * math.cos(angle + third)
        middle = -high - low
        least = max(eps * (abs(mean) + high - low), tiny)
        s = slope(mean + high, mean + middle, most, least)
        t = slope(mean + middle, mean + low, most, least)
        bend = (s - t) / max(high - low, least)
        new = cut(mean + high, most)
        # new + s (A - high) + bend (A - high) (A - middle)
        u, x, z = a - high, d - high, f - high
        p, q, r = a - middle, d - middle, f - middle
        rows[0, i] = new + s * u + bend * (u * p + b * b + c * c)
        rows[3, i] = new + s * x + bend * (b * b + x * q + e * e)
        rows[5, i] = new + s * z + bend * (c * c + e * e + z * r)
        rows[1, i] = (s * b + bend * (u * b + b * q + c * e)) / root
        rows[2, i] = (s * c + bend * (u * c + b * e + c * r)) / root
        rows[4, i] = (s * e + bend * (b * c + x * e + e * r)) / root


@compiled
def clip(rows: Any, most: float) -> None:
    """Cut the eigenvalues of the matrices of a row, in place, to -most and most."""
    if rows.shape[0] == 3:
        clip2(rows, most)
    else:
        clip3(rows, most)
