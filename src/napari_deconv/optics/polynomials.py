"""Polynomials that average and interpolate, and the product of matrices this takes."""

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
        Radii (points, ...), um, of which the first axis is averaged with ``weights``, (points,)
        or one for each radius.
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
    how = "i...,i->..." if weights.ndim == 1 else "i...,i...->..."
    for p in range(width):
        np.einsum(how, before, weights, out=moments[p])
        before, now = now, 2 * u * now - before
    taps = product(moments.reshape(width, -1).T, from_chebyshev(width))
    return start, taps.reshape(*start.shape, width)


@cache
def from_chebyshev(width: int) -> NDArray[np.float64]:
    """Return the matrix (polynomial, point) from values to coefficients of T_0, T_1, ...

    The points are ``width`` equidistant ones from -1 to 1.
    """
    points = np.linspace(-1, 1, width)
    vandermonde = np.polynomial.chebyshev.chebvander(points, width - 1)
    return np.asarray(np.linalg.inv(vandermonde), np.float64)


def product(
    a: NDArray[np.float64], b: NDArray[np.float64], *, columns: int = 32
) -> NDArray[np.float64]:
    """Return ``a @ b``, in tiles too small for BLAS to share out among threads.

    A product that takes a millisecond gains half of that from a second thread, but waits 20 ms
    for it when other programs, or other threads of this one, keep the processor busy.
    """
    rows = max(4, 2**18 // (columns * a.shape[1]))  # OpenBLAS stays on one thread up to 2**18
    out = np.empty((a.shape[0], b.shape[1]))
    for i in range(0, a.shape[0], rows):
        for j in range(0, b.shape[1], columns):
            tile = slice(i, i + rows), slice(j, j + columns)
            np.matmul(a[tile[0]], b[:, tile[1]], out=out[tile])
    return out
