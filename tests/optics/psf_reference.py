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
    farthest = abs(z).max() * 3 + np.max(r) + 2 * scope.depth
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


def fresnel(scope, s):
    """(t_s, t_p, cosine in the sample) from the immersion to the sample, as textbooks have it."""
    n = [scope.immersion_index, scope.sample_index]
    if scope.coverslip_thickness > 0:
        n.insert(1, scope.coverslip_index)
    cosines = [np.emath.sqrt(1 - (s / each) ** 2) for each in n]
    ts = tp = 1.0
    for n1, n2, c1, c2 in zip(n, n[1:], cosines, cosines[1:], strict=False):
        ts = ts * 2 * n1 * c1 / (n1 * c1 + n2 * c2)
        tp = tp * 2 * n1 * c1 / (n2 * c1 + n1 * c2)
    return ts, tp, cosines[-1]


def vector_intensity(scope, z, x, y, wavelength, polarisations, power=-0.5, evanescent=True):
    """|E|^2 at every z (rows) and (x, y) (columns): plane waves from all over the pupil, summed.

    No Bessel functions: each wave has its own direction and its own electric field.
    """
    k = 2 * math.pi / wavelength
    r = np.hypot(x, y).max()
    s, w = nodes(
        scope, 12 + int(k * scope.numerical_aperture * (abs(z).max() * 3 + r) / 10), evanescent
    )
    angles = 2 * int(k * scope.numerical_aperture * r / 2 + 16)
    beta = 2 * math.pi * np.arange(angles) / angles
    ts, tp, cosine = fresnel(scope, s)
    root = np.emath.sqrt
    path = np.array([sum(t * root(n * n - s * s) for t, n in layers(scope, at)) for at in z])
    cos_i = np.sqrt(1 - (s / scope.immersion_index) ** 2)
    wave = np.exp(1j * k * path) * (w * s * cos_i**power)
    cb, sb = np.cos(beta), np.sin(beta)
    components = []
    for px, py in polarisations:
        in_plane, across = px * cb + py * sb, -px * sb + py * cb
        components += [
            np.multiply.outer(tp * cosine, in_plane * cb) - np.multiply.outer(ts, across * sb),
            np.multiply.outer(tp * cosine, in_plane * sb) + np.multiply.outer(ts, across * cb),
            np.multiply.outer(-tp * s / scope.sample_index, in_plane),
        ]
    total = squares(wave, components, -k * s, cb, sb, x, y)
    # The sum over s in focus, without aberration, of an x polarised field's x component.
    s, w = np.polynomial.legendre.leggauss(400)
    s, w = (1 + s) / 2 * scope.numerical_aperture, w / 2 * scope.numerical_aperture
    cos_i = np.sqrt(1 - (s / scope.immersion_index) ** 2)
    peak = (w * s * cos_i**power * (1 + cos_i) / 2).sum()
    return total / len(polarisations) / peak**2


def dipole_image(scope, z, x, y, wavelength):
    """What a camera sees of molecules that turn freely: their far field, through the lens.

    The dipole's spherical wave as plane waves (Weyl), through the interfaces towards the
    objective, into its far field, and from there, conserving energy, onto the pupil and an image.
    """
    k = 2 * math.pi / wavelength
    s, w = nodes(scope, 40)
    s, w = s[s != scope.sample_index], w[s != scope.sample_index]
    angles = 2 * int(k * scope.numerical_aperture * np.hypot(x, y).max() / 2 + 16)
    beta = 2 * math.pi * np.arange(angles) / angles
    n = [scope.sample_index, scope.coverslip_index, scope.immersion_index]
    cosines = [np.emath.sqrt(1 - (s / each) ** 2) for each in n]
    ts = tp = 1.0
    for n1, n2, c1, c2 in zip(n, n[1:], cosines, cosines[1:], strict=False):
        ts = ts * 2 * n1 * c1 / (n1 * c1 + n2 * c2)
        tp = tp * 2 * n1 * c1 / (n2 * c1 + n1 * c2)
    root = np.emath.sqrt
    path = np.array([sum(t * root(m * m - s * s) for t, m in layers(scope, at)) for at in z])
    far = n[2] * cosines[2] / (n[0] * cosines[0])  # Weyl's 1 / kz, and the far field's kz
    wave = np.exp(1j * k * path) * (w * s * far / np.sqrt(cosines[2]))
    cb, sb = np.cos(beta), np.sin(beta)
    components = []
    for dipole in np.eye(3):
        along = dipole[0] * cb + dipole[1] * sb
        to_p = np.multiply.outer(tp * cosines[0], along) - (tp * s / n[0] * dipole[2])[:, None]
        to_s = np.multiply.outer(ts, -dipole[0] * sb + dipole[1] * cb)
        components += [to_p * cb - to_s * sb, to_p * sb + to_s * cb]
    return squares(wave, components, k * s, cb, sb, x, y)


def squares(wave, components, frequencies, cb, sb, x, y):
    """Sum |field|^2 of components (s, direction) at every z and place, plane wave by plane wave."""
    total = np.zeros((len(wave), len(x)))
    for place, (a, b) in enumerate(zip(x, y, strict=True)):
        waves = np.exp(-1j * np.outer(frequencies, a * cb + b * sb)) / len(cb)
        for component in components:
            # First the sum over directions, then that over s.
            total[:, place] += abs(wave @ np.einsum("sd,sd->s", component, waves)) ** 2
    return total
