"""The passes of Richardson-Lucy's steps through memory, by numba.

The same as :mod:`napari_deconv.methods.richardson_lucy` does with torch, where
:func:`napari_deconv.operators.fused.usable` says that the compiled loops can. Loaded only then.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.compiling import compiled, copy
from napari_deconv.operators.fused import everywhere, rows
from napari_deconv.operators.loops_logarithm import logarithm
from napari_deconv.sharing import shared

if TYPE_CHECKING:
    from torch import Tensor

ZERO, TINY = np.float32(0), np.float32(1e-30)


def divide(prediction: Tensor, data: Tensor, floor: Tensor, darkest: float) -> float:
    """Set ``prediction`` p to y / (p + b); return ``sum(y log(y / (p + b)) - y + p + b)``.

    Parameters
    ----------
    prediction, data
        p and y.
    floor
        b: one number, or of the data's shape.
    darkest
        Least value to divide by.
    """
    p, y = rows(prediction)[0], rows(data)[0]
    b = everywhere(floor, data.shape[-1])

    def work(*place: int) -> float:
        return float(divide_rows(p, y, b, np.float32(darkest), *place))

    return sum(shared(work, y.shape[0], y.shape[1]))


def run_ahead(
    estimate: Tensor, point: Tensor, correction: Tensor, sensitivity: Tensor, momentum: float
) -> None:
    """Multiply ``point`` by its correction; set ``estimate`` to what lies ahead of that.

    Ahead by ``momentum`` times the way from the estimate, and not below zero.
    """
    x, y, c = rows(estimate)[0], rows(point)[0], rows(correction)[0]
    s = everywhere(sensitivity, estimate.shape[-1])
    further = np.float32(1 + momentum)
    shared(lambda *place: ahead(x, y, c, s, further, *place), x.shape[0], x.shape[1])


def change(
    estimate: Tensor, point: Tensor, last: Tensor, correction: Tensor, sensitivity: Tensor
) -> tuple[float, float]:
    """Set ``estimate`` to the corrected point, and ``point`` to the change that this is.

    Returns the inner products of the last change with this one and with itself.
    """
    x, y, g, c = (rows(t)[0] for t in (estimate, point, last, correction))
    s = everywhere(sensitivity, estimate.shape[-1])

    def work(*place: int) -> tuple[float, float]:
        product, square = changed(x, y, g, c, s, *place)
        return float(product), float(square)

    parts = shared(work, x.shape[0], x.shape[1])
    return sum(p[0] for p in parts), sum(p[1] for p in parts)


def extrapolate(into: Tensor, estimates: tuple[Tensor, Tensor, Tensor], a: float, b: float) -> None:
    """Set ``into`` to x0 + a (x0 - x1) + b (x0 - 2 x1 + x2), and not below zero."""
    arrays = [rows(t)[0] for t in (into, *estimates)]
    weights = np.float32(1 + a + b), np.float32(-a - 2 * b), np.float32(b)
    planes, lines, _ = arrays[0].shape
    shared(lambda *place: beyond(*arrays, weights, *place), planes, lines)


@compiled
def divide_row(q: Any, y: Any, b: Any, darkest: Any, line: Any, bits: Any, power: Any) -> Any:
    """Divide a row."""
    total = ZERO
    for i in range(y.size):
        line[i] = q[i] + b[i]
    for i in range(y.size):
        total += line[i] - y[i]
    for i in range(y.size):
        line[i] = y[i] / max(line[i], darkest)
    for i in range(y.size):
        q[i] = line[i]
        # Where y is zero the logarithm does not count, as long as it is finite.
        line[i] = max(line[i], TINY)
    logarithm(line, bits, power)
    for i in range(y.size):
        total += y[i] * line[i]
    return total


@compiled
def divide_rows(q: Any, y: Any, b: Any, darkest: Any, z0: int, z1: int, y0: int, y1: int) -> float:
    """Divide all rows."""
    n, total = y.shape[2], 0.0
    line, power = np.empty(n, np.float32), np.empty(n, np.float32)
    bits = line.view(np.int32)
    for z in range(z0, z1):
        for k in range(y0, y1):
            floor = b[z % b.shape[0], k % b.shape[1]]
            total += divide_row(q[z, k], y[z, k], floor, darkest, line, bits, power)
    return total


@compiled
def correct(y: Any, c: Any, s: Any, line: Any) -> None:
    """Write the corrected point of a row."""
    for i in range(line.size):
        line[i] = y[i] * max(c[i], ZERO) / s[i]


@compiled
def ahead(x: Any, y: Any, c: Any, s: Any, further: Any, z0: int, z1: int, y0: int, y1: int) -> None:
    """Advance all rows, and run ahead."""
    line = np.empty(x.shape[2], np.float32)
    for z in range(z0, z1):
        for k in range(y0, y1):
            old = x[z, k]
            correct(y[z, k], c[z, k], s[z % s.shape[0], k % s.shape[1]], line)
            for i in range(line.size):
                old[i] = max(old[i] + further * (line[i] - old[i]), ZERO)
            copy(line, y[z, k])


@compiled
def changed(
    x: Any, y: Any, g: Any, c: Any, s: Any, z0: int, z1: int, y0: int, y1: int
) -> tuple[float, float]:
    """Advance all rows, and compare the change with the last."""
    product: Any = 0.0
    square: Any = 0.0
    for z in range(z0, z1):
        for k in range(y0, y1):
            line, point, last, along, length = x[z, k], y[z, k], g[z, k], ZERO, ZERO
            correct(point, c[z, k], s[z % s.shape[0], k % s.shape[1]], line)
            for i in range(line.size):
                point[i] = line[i] - point[i]
            for i in range(line.size):
                along += point[i] * last[i]
                length += last[i] * last[i]
            product += along
            square += length
    return product, square


@compiled
def beyond(out: Any, x0: Any, x1: Any, x2: Any, w: Any, z0: int, z1: int, y0: int, y1: int) -> None:
    """Extrapolate all rows."""
    for z in range(z0, z1):
        for k in range(y0, y1):
            line, a, b, c = out[z, k], x0[z, k], x1[z, k], x2[z, k]
            for i in range(line.size):
                line[i] = max(w[0] * a[i] + w[1] * b[i] + w[2] * c[i], ZERO)
