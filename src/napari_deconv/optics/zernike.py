"""Zernike polynomials in Noll's order, orthonormal over the unit disc (Noll 1976).

Noll 1976, J. Opt. Soc. Am. 66:207: the mean of ``Z_i Z_j`` over the disc is 1 for ``i = j`` and
0 otherwise, so a coefficient is the rms of its own term, and rms of different terms add in
squares.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_deconv.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

WaveUnit = Literal["waves", "rad", "nm", "um"]

LARGEST = 231  # Noll index of the last polynomial of degree 20

_NAMES = {
    1: "piston",
    2: "tip (x)",
    3: "tilt (y)",
    4: "defocus",
    5: "oblique astigmatism",
    6: "vertical astigmatism",
    7: "vertical coma (y)",
    8: "horizontal coma (x)",
    9: "vertical trefoil (y)",
    10: "oblique trefoil (x)",
    11: "spherical",
}
_FOLDS = {
    1: "coma",
    2: "astigmatism",
    3: "trefoil",
    4: "quatrefoil",
    5: "pentafoil",
    6: "hexafoil",
    7: "heptafoil",
    8: "octafoil",
}
_ORDERS = {1: "primary", 2: "secondary", 3: "tertiary", 4: "quaternary"}


@cache
def degrees(j: int) -> tuple[int, int]:
    """Return the radial degree n and the azimuthal order m of Noll's polynomial ``j``.

    Positive m goes with ``cos(m theta)``, which even ``j`` have, negative with ``sin``.

    Raises
    ------
    ParameterError
        When ``j`` is not a whole number from 1 on.
    """
    if isinstance(j, bool) or int(j) != j or j < 1:
        raise ParameterError(f"{j!r} is no Noll index: those are whole numbers from 1 on.")
    n = (math.isqrt(8 * j - 7) - 1) // 2
    rest = j - n * (n + 1) // 2  # 1 to n + 1 among those of degree n
    m = 2 * (rest // 2) if n % 2 == 0 else 2 * ((rest - 1) // 2) + 1
    return n, m if j % 2 == 0 else -m


def name(j: int) -> str:
    """Return what people call the polynomial, with its axis where it has one."""
    if j in _NAMES:
        return _NAMES[j]
    n, m = degrees(j)
    order = (n - abs(m)) // 2 + (0 if abs(m) > 1 else -1) + 1
    if m == 0:
        order, word = n // 2 - 1, "spherical"
    else:
        word = _FOLDS.get(abs(m), f"{abs(m)}-foil")
    times = f"{_ORDERS.get(order, f'{order}th')} " if order > 1 else ""
    return f"{times}{word}{'' if m == 0 else ' (cos)' if m > 0 else ' (sin)'}"


def to_waves(value: float, unit: WaveUnit, wavelength: float) -> float:
    """Return an rms wavefront error in waves.

    Parameters
    ----------
    value
        In ``unit``.
    unit
        "waves", "rad" (of phase), "nm" or "um" (of optical path).
    wavelength
        In vacuum, um; matters for lengths only.

    Raises
    ------
    ParameterError
        For another unit.
    """
    return value / _per_wave(unit, wavelength)


def from_waves(waves: float, unit: WaveUnit, wavelength: float) -> float:
    """Return an rms wavefront error, given in waves, in another unit; see ``to_waves``."""
    return waves * _per_wave(unit, wavelength)


def _per_wave(unit: str, wavelength: float) -> float:
    units = {"waves": 1.0, "rad": 2 * math.pi, "nm": 1000 * wavelength, "um": wavelength}
    if unit not in units:
        known = ", ".join(units)
        raise ParameterError(f"There is no unit {unit!r} of aberration. Known: {known}.")
    return units[unit]


def basis(
    indices: Iterable[int], y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return Zernike polynomials at points of the unit disc.

    Parameters
    ----------
    indices
        Noll indices.
    y, x
        Points, in units of the disc's radius; any shape. The angle is counted from x to y.

    Returns
    -------
    float64 array (indices, *shape of x)
    """
    square, z = x * x + y * y, x + 1j * y
    out = [_polynomial(*degrees(j), square, z) for j in indices]
    return np.stack(out) if out else np.empty((0, *np.shape(x)))


def gradients(
    indices: Iterable[int], y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the derivatives (indices, 2, *shape) of the polynomials by y and by x."""
    step = 1e-5  # central differences of polynomials: to 1e-9, for ray slopes
    js = list(indices)
    by_y = basis(js, y + step, x) - basis(js, y - step, x)
    by_x = basis(js, y, x + step) - basis(js, y, x - step)
    return np.stack([by_y, by_x], axis=1) / (2 * step)


def _polynomial(
    n: int, m: int, square: NDArray[np.float64], z: NDArray[np.complex128]
) -> NDArray[np.float64]:
    """``sqrt(n + 1) R_n^m(r)``, times ``sqrt(2) cos(m t)`` or ``sin``, with ``z = r exp(i t)``.

    ``R_n^m(r) = r**m P_k(0, m; 2 r**2 - 1)`` with ``k = (n - m) / 2``: the recurrence of Jacobi
    polynomials is stable for any degree, where the sum of powers of r loses a digit per two
    degrees.
    """
    order = abs(m)
    radial = _jacobi((n - order) // 2, order, 2 * square - 1)
    if m == 0:
        return math.sqrt(n + 1) * radial
    turned = z**order
    return math.sqrt(2 * (n + 1)) * radial * (turned.real if m > 0 else turned.imag)


def _jacobi(k: int, b: int, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Jacobi polynomial ``P_k(0, b; t)`` (Abramowitz and Stegun 22.7.1)."""
    before, now = np.zeros_like(t), np.ones_like(t)
    for i in range(1, k + 1):
        c = 2 * i + b
        if i == 1:
            before, now = now, ((b + 2) * t - b) / 2
            continue
        rise = (c - 1) * (c * (c - 2) * t - b * b)
        fall = 2 * (i - 1) * (i + b - 1) * c
        before, now = now, (rise * now - fall * before) / (2 * i * (i + b) * (c - 2))
    return now


def coverage(
    y: NDArray[np.float64], x: NDArray[np.float64], side: float, radius: float = 1.0
) -> NDArray[np.float64]:
    """Return how much of each square is inside a disc around 0: its area, in squares.

    A pupil on a grid needs this at its edge. Taking squares whole or not at all makes a staircase
    of it, whose light goes far out.

    Parameters
    ----------
    y, x
        Middles of the squares.
    side
        Of the squares, in the same unit.
    radius
        Of the disc.
    """
    if radius <= 0:
        return np.zeros(np.broadcast(y, x).shape)
    y, x, half = y / radius, x / radius, side / (2 * radius)
    inside = (
        _corner(y + half, x + half)
        - _corner(y - half, x + half)
        - _corner(y + half, x - half)
        + _corner(y - half, x - half)
    )
    return np.clip(inside / (4 * half**2), 0.0, 1.0)


def _corner(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area that the unit disc shares with the rectangle from 0 to (y, x), signed."""
    a, b = np.minimum(abs(y), 1.0), np.minimum(abs(x), 1.0)
    start = np.minimum(np.sqrt(1 - a * a), b)  # where the circle comes below the side at a
    area = start * a + _under_circle(b) - _under_circle(start)
    signed: NDArray[np.float64] = np.sign(y) * np.sign(x) * area
    return signed


def _under_circle(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the integral of ``sqrt(1 - u**2)`` from 0 on."""
    area: NDArray[np.float64] = (u * np.sqrt(1 - u * u) + np.arcsin(u)) / 2
    return area
