"""Sums over the pupil of a lens that is the same all around: Hankel transforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.optics.polynomials import product

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RADII = 512  # worked on together, to bound memory


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


def intensity(field: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return ``|field|**2``."""
    squared: NDArray[np.float64] = field.real**2 + field.imag**2
    return squared
