"""Eigenvalues of a row of small symmetric matrices, cut by a loop that numba compiles.

The same as :func:`napari_deconv.operators.eigenvalues.clip_eigenvalues` does with torch.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

import math
from typing import Any

import numpy as np

from napari_deconv.compiling import compiled

root = math.sqrt(0.5)
eps, tiny = 2.0**-52, 1e-300
tiny_root = tiny**0.25
# Matrices that are cut at a time, an entry of all after the other: with a constant distance between
# entries the compiler sees that they are apart, and takes several matrices at once.
SOME = 64
# cos(acos(t) / 3) for t from 0 to 1 is this polynomial within 4e-11 (Chebyshev's interpolation).
SERIES = (
    0.866025403824,
    0.166666657042,
    -0.048112130683,
    0.024685043725,
    -0.015538832191,
    0.010705743071,
    -0.007382040095,
    0.004549328117,
    -0.002180842649,
    0.000682820783,
    -0.000101150966,
)


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
def third_of_angle(t: float) -> float:
    """Return cos(acos(t) / 3) for t from 0 to 1, where it is the largest root of 4 g^3 - 3 g = t.

    By a polynomial and a step of Newton's: the library's functions take one number at a time.
    """
    g = SERIES[10]
    for k in range(9, -1, -1):
        g = g * t + SERIES[k]
    return g - (g * (4 * g * g - 3) - t) / (12 * g * g - 3)


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
def clip3(w: Any, most: float) -> None:
    """Cut the eigenvalues of some matrices of three rows."""
    for i in range(SOME):
        a, d, f = w[i], w[3 * SOME + i], w[5 * SOME + i]
        b, c, e = root * w[SOME + i], root * w[2 * SOME + i], root * w[4 * SOME + i]
        mean = (a + d + f) / 3
        a, d, f = a - mean, d - mean, f - mean
        # Eigenvalues without their mean, as the matrix is without it by now.
        square = a * a + d * d + f * f + 2 * (b * b + c * c + e * e)
        size = max(math.sqrt(square / 6), tiny_root)
        determinant = a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d)
        t = cut(determinant / (2 * size * size * size), 1.0)
        g = third_of_angle(abs(t))
        # The one of largest size, and the other two of the other sign.
        h, first = math.sqrt(max(3 * (1 - g * g), 0.0)), 2 * size * g
        near, far = size * (g - h), size * (g + h)
        high, middle, low = (first, -near, -far) if t >= 0 else (far, near, -first)
        least = max(eps * (abs(mean) + high - low), tiny)
        s = slope(mean + high, mean + middle, most, least)
        t = slope(mean + middle, mean + low, most, least)
        bend = (s - t) / max(high - low, least)
        new = cut(mean + high, most)
        # new + s (A - high) + bend (A - high) (A - middle)
        u, x, z = a - high, d - high, f - high
        p, q, r = a - middle, d - middle, f - middle
        w[i] = new + s * u + bend * (u * p + b * b + c * c)
        w[3 * SOME + i] = new + s * x + bend * (b * b + x * q + e * e)
        w[5 * SOME + i] = new + s * z + bend * (c * c + e * e + z * r)
        w[SOME + i] = (s * b + bend * (u * b + b * q + c * e)) / root
        w[2 * SOME + i] = (s * c + bend * (u * c + b * e + c * r)) / root
        w[4 * SOME + i] = (s * e + bend * (b * c + x * e + e * r)) / root


@compiled
def clip(rows: Any, most: float) -> None:
    """Cut the eigenvalues of the matrices of a row, in place, to -most and most."""
    parts, n = rows.shape
    if parts == 3:
        clip2(rows, most)
        return
    w = np.zeros(parts * SOME)
    for first in range(0, n, SOME):
        count = min(SOME, n - first)
        for k in range(parts):
            row = rows[k]
            for i in range(count):
                w[k * SOME + i] = row[first + i]
        clip3(w, most)
        for k in range(parts):
            row = rows[k]
            for i in range(count):
                row[first + i] = w[k * SOME + i]
