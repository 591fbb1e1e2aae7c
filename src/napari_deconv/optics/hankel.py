"""Sums over the pupil of a lens that is the same all around: Hankel transforms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.optics.polynomials import product

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

RADII = 512  # worked on together, to bound memory
WAVES = 2**20  # on the axis
PUPILS = 2**22  # values of pupils held at once, in all planes


def hankel(
    pupils: Sequence[NDArray[np.complex128]],
    frequencies: NDArray[np.float64],
    r: NDArray[np.float64],
) -> list[NDArray[np.complex128]]:
    """Return ``sum over q of pupils[n](z, q) J_n(frequencies(q) r)`` for each order n.

    Parameters
    ----------
    pupils
        Up to three tables (z, q), for the orders 0, 1 and 2, weights of a quadrature included.
    frequencies
        Radians per um, (q,).
    r
        Radii, um, (r,).

    Returns
    -------
    list of arrays
        (z, r), one for each pupil.
    """
    from scipy.special import j0, j1

    planes = len(pupils[0])
    parts = [np.concatenate([pupil.real, pupil.imag]) for pupil in pupils]  # J_n is real
    sums = [np.empty((planes, r.size), np.complex128) for _ in pupils]
    for first in range(0, r.size, RADII):
        some = slice(first, first + RADII)
        x = np.outer(frequencies, r[some])
        bessel = [j0(x)]
        if len(pupils) > 1:
            bessel.append(j1(x))
        if len(pupils) > 2:
            # The recurrence; at 0 it would be 0 / 0.
            bessel.append(2 * bessel[1] / np.where(x == 0, 1.0, x) - bessel[0])
            bessel[2][x == 0] = 0
        for table, kernel, out in zip(parts, bessel, sums, strict=True):
            both = product(table, kernel)
            out[:, some].real, out[:, some].imag = both[:planes], both[planes:]
    return sums


def field(
    waves: Callable[[NDArray[np.float64]], Sequence[NDArray[np.complex128]]],
    z: NDArray[np.float64],
    frequencies: NDArray[np.float64],
    r: NDArray[np.float64],
) -> list[NDArray[np.complex128]]:
    """Return ``hankel(waves(z), ...)``, of as many planes at once as memory should hold."""
    planes = max(1, PUPILS // frequencies.size)
    parts = [
        hankel(waves(z[first : first + planes]), frequencies, r)
        for first in range(0, z.size, planes)
    ]
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def along_axis(
    pupil: NDArray[np.complex128], frequencies: NDArray[np.float64], z: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Return ``sum over q of pupil(q) exp(-i frequencies(q) z)``: the field on the axis, (z,).

    At evenly spaced positions as a product of two matrices, of coarse and of fine steps: a
    thousand planes take the waves of sixty.

    Parameters
    ----------
    pupil
        At ``z = 0``, weights of a quadrature included, (q,).
    frequencies
        Radians per um, (q,).
    z
        Stage positions, um.
    """
    steps = np.diff(z)
    even = z.size > 2 and np.ptp(steps) < 1e-9 * abs(steps).max()
    block = math.ceil(math.sqrt(z.size)) if even else 1
    coarse, fine = z[::block], z[:block] - z[0]
    field = np.zeros((coarse.size, block), np.complex128)
    some = max(1, WAVES // (coarse.size + block))
    for first in range(0, pupil.size, some):
        f, light = frequencies[first : first + some], pupil[first : first + some]
        field += np.exp(-1j * np.outer(coarse, f)) @ (light * np.exp(-1j * np.outer(fine, f))).T
    return field.ravel()[: z.size]


def intensity(field: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return ``|field|**2``."""
    squared: NDArray[np.float64] = field.real**2 + field.imag**2
    return squared
