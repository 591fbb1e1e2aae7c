"""Polynomials that average and interpolate."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@cache
def gauss_legendre(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights of Gauss-Legendre quadrature over -1 to 1."""
    x, w = np.polynomial.legendre.leggauss(n)
    return x, w


def lagrange(
    r: NDArray[np.float64], weights: NDArray[np.float64], step: float, count: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return weights on ``width`` neighbouring points of a table for a mean over radii.

    Parameters
    ----------
    r
        Radii (points, ...), um, of which the first axis is averaged with ``weights`` (points,).
    step, count
        Of the table.

    Returns
    -------
    start, weights
        First point (...,), negative where the table continues beyond the axis, and the weights
        (..., width).
    """
    middle = (r.min(axis=0) + r.max(axis=0)) / (2 * step)
    start = np.minimum(np.floor(middle).astype(np.int64) - width // 2 + 1, count - width)
    # Chebyshev polynomials T_0, T_1, ... averaged over the points, then turned into weights.
    u = (r / step - start) * (2 / (width - 1)) - 1
    moments = np.empty((width, *start.shape))
    before, now = np.ones_like(u), u
    for p in range(width):
        np.einsum("i...,i->...", before, weights, out=moments[p])
        before, now = now, 2 * u * now - before
    return start, np.moveaxis(moments, 0, -1) @ from_chebyshev(width)


@cache
def from_chebyshev(width: int) -> NDArray[np.float64]:
    """Return the matrix (polynomial, point) from values to coefficients of T_0, T_1, ...

    The points are ``width`` equidistant ones from -1 to 1.
    """
    points = np.linspace(-1, 1, width)
    vandermonde = np.polynomial.chebyshev.chebvander(points, width - 1)
    return np.asarray(np.linalg.inv(vandermonde), np.float64)
