"""The Gibson-Lanni integral by brute force: slow, written apart from the package's way of it.

No change of variable, no radial table, no symmetry: the integral over the pupil's ``s`` as it is
printed, at each pixel's own distance.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import mpmath
import numpy as np
from scipy.special import j0

if TYPE_CHECKING:
    from numpy.typing import NDArray


def layers(scope, z, to=float):
    """(signed thickness, index) of the path difference's layers at stage position ``z``."""
    ni = to(scope.immersion_index)
    design = ni if scope.immersion_index_design is None else to(scope.immersion_index_design)
    tg, ng = to(scope.coverslip_thickness), to(scope.coverslip_index)
    tg0, ng0 = to(scope.coverslip_thickness_design), to(scope.coverslip_index_design)
    ti0, depth = to(scope.immersion_thickness_design), to(scope.depth)
    ti = ni * (ti0 / design + tg0 / ng0 - tg / ng) - depth - z
    return [
        (depth, to(scope.sample_index)),
        (tg, ng),
        (-tg0, ng0),
        (ti, ni),
        (-ti0, design),
    ]


def field_mpmath(scope, z: float, r: float, wavelength: float, evanescent: bool = True) -> complex:
    """The field at one point, to 20 digits."""
    mp = mpmath.mp
    with mpmath.workdps(25):
        na, ns = mp.mpf(scope.numerical_aperture), mp.mpf(scope.sample_index)
        k = 2 * mp.pi / mp.mpf(wavelength)
        stack = layers(scope, mp.mpf(z), mp.mpf)

        def integrand(s):
            path = sum(t * mp.sqrt(n * n - s * s) for t, n in stack)
            return mp.besselj(0, k * s * mp.mpf(r)) * mp.exp(1j * k * path) * s

        end = na if evanescent else min(na, ns)
        pieces = max(8, int(2 * k * (abs(z) + r + scope.depth) / 30))
        edges = sorted(
            {end * i / pieces for i in range(pieces + 1)} | ({ns} if ns < end else set())
        )
        return complex(2 / na**2 * mp.quad(integrand, edges))


def nodes(scope, panels: int, evanescent: bool = True):
    """Composite Gauss-Legendre nodes in ``s``, panels shrinking towards the sample's index."""
    na, ns = scope.numerical_aperture, scope.sample_index
    end = na if evanescent else min(na, ns)
    edges = set(np.linspace(0, end, panels + 1))
    if ns < 1.1 * end:
        levels = ns * 2.0 ** -np.arange(1, 32)
        edges |= {edge for edge in (*(ns - levels), ns, *(ns + levels)) if 0 < edge < end}
    edges = np.array(sorted(edges))
    x, w = np.polynomial.legendre.leggauss(16)
    half = np.diff(edges)[:, None] / 2
    s = edges[:-1, None] + half * (1 + x)
    return s.ravel(), (half * w).ravel()


def intensity(
    scope, z: NDArray, r: NDArray, wavelength: float, evanescent: bool = True
) -> NDArray[np.float64]:
    """|U|^2 at every z (rows) and r (columns)."""
    k = 2 * math.pi / wavelength
    farthest = abs(z).max() * 3 + np.max(r) + scope.depth
    s, w = nodes(scope, 16 + int(k * scope.numerical_aperture * farthest / 8), evanescent)
    root = np.emath.sqrt
    path = np.array([sum(t * root(n * n - s * s) for t, n in layers(scope, at)) for at in z])
    field = np.zeros((len(z), len(r)), complex)
    for part in np.array_split(np.arange(len(s)), 8):
        pupil = np.exp(1j * k * path[:, part]) * (w[part] * s[part])
        field += pupil @ j0(k * np.outer(s[part], r))
    return np.abs(field * 2 / scope.numerical_aperture**2) ** 2


def axis(n: int, step: float) -> NDArray[np.float64]:
    return (np.arange(n) - n // 2) * step


def psf(scope, shape, spacing, shift=0.0, points: int = 1):
    """The PSF (z, y, x) with sum 1; ``points`` x ``points`` Gauss-Legendre points per pixel."""
    x, w = np.polynomial.legendre.leggauss(points)
    z = axis(shape[0], spacing[0]) + shift
    ys = axis(shape[1], spacing[1])[:, None] + x * (points > 1) * spacing[1] / 2
    xs = axis(shape[2], spacing[2])[:, None] + x * (points > 1) * spacing[2] / 2
    values = spread(scope, z, np.hypot(ys[:, :, None, None], xs), scope.emission_wavelength)
    total = np.einsum("zypxq,p,q->zyx", values, w, w)
    return total / total.sum()


def spread(scope, z, r, wavelength):
    """|U|^2 at every z and at radii of any shape, each distinct one computed once."""
    distinct, where = np.unique(r.round(12), return_inverse=True)
    return intensity(scope, z, distinct, wavelength)[:, where.reshape(r.shape)]


def relative_error(estimate, truth) -> float:
    """Relative L2 error."""
    return float(np.linalg.norm(np.asarray(estimate, np.float64) - truth) / np.linalg.norm(truth))
