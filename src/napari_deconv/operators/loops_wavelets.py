"""The lattice of :mod:`~napari_deconv.operators.wavelet_steps`, compiled by numba.

Every rotation of a row is made while the row is in the first cache; torch walks through memory once
for each of its three shears.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from typing import Any

from napari_deconv.compiling import compiled
from napari_deconv.operators.loops import copy


@compiled
def turn(a: Any, b: Any, p: Any, q: Any) -> None:
    """Turn two rows against each other: ``a += p b; b += q a; a += p b``."""
    for i in range(a.size):
        one = a[i] + p * b[i]
        two = b[i] + q * one
        a[i] = one + p * two
        b[i] = two


@compiled
def turn_into(even: Any, odd: Any, p: Any, q: Any, a: Any, b: Any) -> None:
    """Write what two rows become when they are turned."""
    for i in range(a.size):
        one = even[i] + p * odd[i]
        two = odd[i] + q * one
        a[i] = one + p * two
        b[i] = two


@compiled
def turn_out(a: Any, b: Any, p: Any, q: Any, even: Any, odd: Any) -> None:
    """Write what two rows were before they were turned."""
    for i in range(a.size):
        one = a[i] - p * b[i]
        two = b[i] - q * one
        even[i] = one - p * two
        odd[i] = two


@compiled
def across(
    x: Any, y: Any, axis: int, whole: int, pairs: int, shift: int, shears: Any, back: bool,
    first: int, stop: int, left: int, right: int,
) -> None:  # fmt: skip
    """Take some lines along the first or second axis, or part of each, from x to y; or back."""
    period, start = 2 * pairs, whole - pairs
    for k in range(first, stop):
        if back:
            for r in range(len(shears) - 1, 0, -1):
                for i in range(pairs):
                    j = start + (i + r) % pairs
                    if axis == 0:
                        turn(y[i, k, left:right], y[j, k, left:right], -shears[r, 0], -shears[r, 1])
                    else:
                        turn(y[k, i, left:right], y[k, j, left:right], -shears[r, 0], -shears[r, 1])
        p, q = shears[0, 0], shears[0, 1]
        for i in range(pairs):
            e = (shift + 2 * i) % period
            o, j = (e + 1) % period, start + i
            if axis == 0 and back:
                turn_out(
                    y[i, k, left:right],
                    y[j, k, left:right],
                    p,
                    q,
                    x[e, k, left:right],
                    x[o, k, left:right],
                )
            elif back:
                turn_out(
                    y[k, i, left:right],
                    y[k, j, left:right],
                    p,
                    q,
                    x[k, e, left:right],
                    x[k, o, left:right],
                )
            elif axis == 0:
                turn_into(
                    x[e, k, left:right],
                    x[o, k, left:right],
                    p,
                    q,
                    y[i, k, left:right],
                    y[j, k, left:right],
                )
            else:
                turn_into(
                    x[k, e, left:right],
                    x[k, o, left:right],
                    p,
                    q,
                    y[k, i, left:right],
                    y[k, j, left:right],
                )
        if not back:
            for r in range(1, len(shears)):
                for i in range(pairs):
                    j = start + (i + r) % pairs
                    if axis == 0:
                        turn(y[i, k, left:right], y[j, k, left:right], shears[r, 0], shears[r, 1])
                    else:
                        turn(y[k, i, left:right], y[k, j, left:right], shears[r, 0], shears[r, 1])
        for i in range(whole - period):
            s, t = period + i, pairs + i
            if axis == 0 and back:
                copy(y[t, k, left:right], x[s, k, left:right])
            elif back:
                copy(y[k, t, left:right], x[k, s, left:right])
            elif axis == 0:
                copy(x[s, k, left:right], y[t, k, left:right])
            else:
                copy(x[k, s, left:right], y[k, t, left:right])


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
                    one = low[i] - p * high[i]
                    two = high[i] - q * one
                    row[e] = one - p * two
                    row[e + 1] = two
                else:
                    one = row[e] + p * row[e + 1]
                    two = row[e + 1] + q * one
                    low[i] = one + p * two
                    high[i] = two
            for i in range(inside, pairs):
                e = shift + 2 * i - period if i >= beyond else period - 1
                o = e + 1 if i >= beyond else 0
                if back:
                    one = low[i] - p * high[i]
                    two = high[i] - q * one
                    row[e] = one - p * two
                    row[o] = two
                else:
                    one = row[e] + p * row[o]
                    two = row[o] + q * one
                    low[i] = one + p * two
                    high[i] = two
            if not back:
                for r in range(1, len(shears)):
                    turn_ends(low, high, r % pairs, shears[r, 0], shears[r, 1])
            for i in range(whole - period):
                if back:
                    row[period + i] = y[z, k, pairs + i]
                else:
                    y[z, k, pairs + i] = row[period + i]
