"""Bessel functions of all orders up to one, for many arguments at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BEYOND = 30  # orders above the last from which the ratios come down: costs 1e-14


def bessel(x: NDArray[np.float64], last: int) -> Iterator[NDArray[np.float64]]:
    """Yield ``J_0(x), J_1(x), ..., J_last(x)``.

    By ``J_(m+1) = 2 m / x J_m - J_(m-1)``: upwards below the argument, where that is stable; above
    it by the ratios of neighbours, which the same recurrence gives from the top down.

    Parameters
    ----------
    x
        Arguments, 0 or larger.
    last
        The largest order.
    """
    from scipy.special import j0, j1

    before, now = j0(x), j1(x)
    yield before
    if last > 0:
        yield now
    if last < 2:
        return
    twice = 2 / np.maximum(x, 1e-30)
    small = np.nonzero(x < last)
    ratios = _ratios(x[small], last)
    for m in range(2, last + 1):
        before, now = now, (m - 1) * twice * now - before
        above = x[small] < m
        place = tuple(each[above] for each in small)
        now[place] = before[place] * ratios[m][above]
        yield now


def _ratios(x: NDArray[np.float64], last: int) -> list[NDArray[np.float64]]:
    """Return ``J_m / J_(m-1)`` by m, good where x is below m."""
    ratio = np.zeros_like(x)
    found = []
    for m in range(last + BEYOND, 0, -1):
        # Where x is above m the ratio has poles, but is not asked for.
        under = 2 * m - x * ratio
        ratio = x / np.where(abs(under) < 1e-9, 1e-9, under)
        if m <= last:
            found.append(ratio)
    return [ratio, *reversed(found)]
