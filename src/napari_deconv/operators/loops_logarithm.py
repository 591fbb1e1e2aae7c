"""Logarithms of rows, many numbers at a time, compiled by numba.

The compiler takes the library's logarithm one number at a time, ten times as slow.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from typing import Any

import numpy as np

from napari_deconv.compiling import compiled

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
# log(1 + f) is f - f^2 / 2 + f^3 P(f), for 1 + f between the roots of 1/2 and of 2 within 3.2e-8 of
# it: P is fitted for the least largest relative error.
SERIES = tuple(
    np.float32(c)
    for c in (
        0.333339125, -0.250013292, 0.199629784, -0.165777996,
        0.149158403, -0.142661408, 0.086957082,
    )
)  # fmt: skip
LOG_TWO = np.float32(0.6931471805599453)
# The root of 1/2, and one, as the bits of a float32.
ROOT_HALF, EXPONENT = np.int32(0x3F3504F3), np.int32(23)


@compiled
def reduce(bits: Any, power: Any) -> None:
    """Divide numbers, given as their bits, by the powers of two nearest to them."""
    for i in range(power.size):
        e = (bits[i] - ROOT_HALF) >> EXPONENT
        bits[i] -= e << EXPONENT
        power[i] = np.float32(e)


@compiled
def whole(f: Any, power: Any) -> Any:
    """Return the logarithm of 1 + f times two to a power."""
    series = SERIES[6]
    for k in range(5, -1, -1):
        series = series * f + SERIES[k]
    return LOG_TWO * power + f + f * f * (series * f - HALF)


@compiled
def logarithm(line: Any, bits: Any, power: Any) -> None:
    """Set a row of normal positive numbers to their logarithms; ``bits`` are those of the row."""
    reduce(bits, power)
    for i in range(line.size):
        line[i] = whole(line[i] - ONE, power[i])


@compiled
def log_one_plus(x: Any, line: Any, bits: Any, power: Any) -> None:
    """Set a row of numbers above -1 to log(1 + x), with all digits of small ones."""
    for i in range(x.size):
        line[i] = ONE + x[i]
    reduce(bits, power)
    for i in range(x.size):
        x[i] = whole(x[i] if power[i] == ZERO else line[i] - ONE, power[i])
