"""The lattice of :mod:`~napari_deconv.operators.wavelet_steps`, compiled by numba.

Every rotation of a row is made while the row is in the first cache; torch walks through memory once
for each of its three shears.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from typing import Any

from napari_deconv.compiling import compiled, copy


@compiled
def turned(a: Any, b: Any, p: Any, q: Any) -> Any:
    """Return two samples turned against each other: ``a += p b; b += q a; a += p b``."""
    a += p * b
    b += q * a
    return a + p * b, b


@compiled
def turn(a: Any, b: Any, p: Any, q: Any) -> None:
    """Turn two rows against each other, in place."""
    for i in range(a.size):
        a[i], b[i] = turned(a[i], b[i], p, q)


@compiled
def turn_into(even: Any, odd: Any, p: Any, q: Any, a: Any, b: Any) -> None:
    """Write what two rows become when they are turned."""
    for i in range(a.size):
        a[i], b[i] = turned(even[i], odd[i], p, q)


@compiled
def part(x: Any, axis: int, i: int, k: int, left: int, right: int) -> Any:
    """Return part of the row that is the i-th along an axis of the k-th line, or plane."""
    if axis == 0:
        return x[i, k, left:right]
    return x[k, i, left:right]


@compiled
def turn_lines(
    y: Any, axis: int, pairs: int, start: int, apart: int, p: Any, q: Any,
    k: int, left: int, right: int,
) -> None:  # fmt: skip
    """Turn the approximations of a line and the details some places on, round the end."""
    for i in range(pairs):
        j = start + (i + apart) % pairs
        turn(part(y, axis, i, k, left, right), part(y, axis, j, k, left, right), p, q)


@compiled
def across(
    x: Any, y: Any, axis: int, whole: int, pairs: int, shift: int, shears: Any, back: bool,
    first: int, stop: int, left: int, right: int,
) -> None:  # fmt: skip
    """Take some lines along the first or second axis, or part of each, from x to y; or back."""
    period, start = 2 * pairs, whole - pairs
    p, q = shears[0, 0], shears[0, 1]
    for k in range(first, stop):
        if back:
            for r in range(len(shears) - 1, 0, -1):
                turn_lines(y, axis, pairs, start, r, -shears[r, 0], -shears[r, 1], k, left, right)
        for i in range(pairs):
            e = (shift + 2 * i) % period
            even = part(x, axis, e, k, left, right)
            odd = part(x, axis, (e + 1) % period, k, left, right)
            low, high = part(y, axis, i, k, left, right), part(y, axis, start + i, k, left, right)
            if back:
                turn_into(low, high, -p, -q, even, odd)
            else:
                turn_into(even, odd, p, q, low, high)
        if not back:
            for r in range(1, len(shears)):
                turn_lines(y, axis, pairs, start, r, shears[r, 0], shears[r, 1], k, left, right)
        for i in range(pairs, start):
            rest, same = part(x, axis, pairs + i, k, left, right), part(y, axis, i, k, left, right)
            if back:
                copy(same, rest)
            else:
                copy(rest, same)


@compiled
def turn_ends(low: Any, high: Any, apart: int, p: Any, q: Any) -> None:
    """Turn the samples of one row and those some places on of another, round the end."""
    split = low.size - apart
    turn(low[:split], high[apart:], p, q)
    turn(low[split:], high[:apart], p, q)


@compiled
def along(
    x: Any, y: Any, whole: int, pairs: int, shift: int, shears: Any, back: bool,
    first: int, stop: int, top: int, bottom: int,
) -> None:  # fmt: skip
    """Take the rows of some planes, or some rows, from x to y, along themselves; or back to x."""
    period = 2 * pairs
    p, q = shears[0, 0], shears[0, 1]
    inside = (period - shift) // 2
    beyond = inside + shift % 2
    for z in range(first, stop):
        for k in range(top, bottom):
            row, low, high = x[z, k], y[z, k, :pairs], y[z, k, whole - pairs : whole]
            if back:
                for r in range(len(shears) - 1, 0, -1):
                    turn_ends(low, high, r % pairs, -shears[r, 0], -shears[r, 1])
            for i in range(inside):
                e = shift + 2 * i
                if back:
                    row[e], row[e + 1] = turned(low[i], high[i], -p, -q)
                else:
                    low[i], high[i] = turned(row[e], row[e + 1], p, q)
            for i in range(inside, pairs):
                # A pair may lie across the end; those after it begin at the start.
                e = shift + 2 * i - period if i >= beyond else period - 1
                o = e + 1 if i >= beyond else 0
                if back:
                    row[e], row[o] = turned(low[i], high[i], -p, -q)
                else:
                    low[i], high[i] = turned(row[e], row[o], p, q)
            if not back:
                for r in range(1, len(shears)):
                    turn_ends(low, high, r % pairs, shears[r, 0], shears[r, 1])
            if back:
                copy(y[z, k, pairs : whole - pairs], row[period:whole])
            else:
                copy(row[period:whole], y[z, k, pairs : whole - pairs])
