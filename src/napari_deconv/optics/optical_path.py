"""What the layers between point and lens do to the phase (Gibson and Lanni 1992).

Everything is a function of ``s = n sin(theta)``, which a ray keeps through all layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.optics.polynomials import gauss_legendre

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deconv.optics.microscope import Microscope

NODES = 32  # of a Gauss-Legendre panel
PHASE_PER_PANEL = 75.0  # radians the integrand may turn through: costs 1e-13, at 85 1e-11


def layers(
    m: Microscope, depth: Any, sample_index: Any, immersion_index: Any
) -> list[tuple[Any, Any]]:
    """Return (thickness, index) of the layers a ray passes; those of the design subtract.

    Depth and indices are the microscope's own, or tensors by which the path is to be derived.
    """
    glass = (m.coverslip_thickness, m.coverslip_index)
    design_glass = (m.coverslip_thickness_design, m.coverslip_index_design)
    # Immersion left when focused (paraxially) on the far side of the coverslip.
    focused = immersion_index * (
        m.immersion_thickness_design / m.designed_immersion_index
        + design_glass[0] / design_glass[1]
        - glass[0] / glass[1]
    )
    return [
        (depth, sample_index),
        glass,
        (-design_glass[0], design_glass[1]),
        (focused - depth, immersion_index),
        (-m.immersion_thickness_design, m.designed_immersion_index),
    ]


@dataclass(frozen=True)
class OpticalPath:
    """The optical path difference between a real and the ideal ray, um.

    ``OPD(s, z) = fixed(s) - z * sqrt(ni**2 - s**2)``: Gibson and Lanni 1992, with the stage
    position ``z``, which tells how far the objective has come nearer to the sample since it was
    focused (paraxially) on the sample's side of the coverslip, beyond the depth of the point.
    Without aberration the focus is at ``z = 0``.
    """

    microscope: Microscope

    @property
    def is_ideal(self) -> bool:
        """Whether every ray arrives in phase at ``z = 0``."""
        return not self._layers()

    def _layers(self) -> list[tuple[float, float]]:
        """(thickness, index) of each layer that adds to the path; design layers subtract."""
        m = self.microscope
        merged: dict[float, float] = {}
        for thickness, index in layers(m, m.depth, m.sample_index, m.immersion_index):
            merged[index] = merged.get(index, 0.0) + thickness
        return [(thickness, index) for index, thickness in merged.items() if abs(thickness) > 1e-9]

    def fixed(self, s: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Return the part that does not depend on focus; its imaginary part is a loss."""
        path = np.zeros(s.shape, np.complex128)
        for thickness, index in self._layers():
            path += thickness * np.sqrt((index**2 - s**2).astype(np.complex128))
        return path

    def fixed_slope(self, s: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Return the derivative of ``fixed`` by ``s``."""
        slope = np.zeros(s.shape, np.complex128)
        for thickness, index in self._layers():
            slope -= thickness * s / np.sqrt((index**2 - s**2).astype(np.complex128))
        return slope

    def axial(self, s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what a micrometre of stage travel takes from the path."""
        return np.sqrt(self.microscope.immersion_index**2 - s**2)

    def axial_slope(self, s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the derivative of ``axial`` by ``s``."""
        return -s / self.axial(s)

    def focal_range(self) -> tuple[float, float]:
        """Return the shortest range of stage positions, um, in which half the rays have a focus.

        A ray's own focus is where the path is stationary. Rays near total reflection have theirs
        far away; the light is brightest where most come together.
        """
        if self.is_ideal:
            return 0.0, 0.0
        edge = min(self.microscope.numerical_aperture, self.microscope.sample_index)
        s = edge * np.sqrt((np.arange(128) + 0.5) / 128)  # equal areas of the pupil
        return shortest_range(self.fixed_slope(s).real / self.axial_slope(s))

    def pupil_nodes(
        self, wavelength: float, z: NDArray[np.float64], reach: float, *, evanescent: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return nodes ``s`` and weights for integrals over the pupil ``s ds``.

        Up to the sample's index ``s = ns sin t``, beyond it ``s = ns cosh u``: that takes the
        square root's singularity out of the integrand. Each part is cut into panels through which
        phase (defocus, aberration and the Bessel function at ``reach``) turns equally far.

        Parameters
        ----------
        wavelength
            In vacuum, um.
        z
            Stage positions the integral is wanted at, um.
        reach
            Largest radius the integral is wanted at, um.
        evanescent
            Whether to go on beyond the sample's index, where light leaves the point's near field
            only (supercritical angles).
        """
        ns, na = self.microscope.sample_index, self.microscope.numerical_aperture
        parts = [_panels(self, wavelength, z, reach, _below(ns), math.asin(min(na / ns, 1.0)))]
        if evanescent and na > ns:
            parts.append(_panels(self, wavelength, z, reach, _above(ns), math.acosh(na / ns)))
        s, weights = np.concatenate(parts, axis=1)
        return s, weights


def shortest_range(foci: NDArray[np.float64]) -> tuple[float, float]:
    """Return the shortest range that half of the values are in."""
    half, foci = foci.size // 2, np.sort(foci)
    first = np.argmin(foci[half:] - foci[: foci.size - half])
    return float(foci[first]), float(foci[first + half])


def _below(ns: float) -> Any:
    return lambda t: (ns * np.sin(t), ns * np.cos(t))


def _above(ns: float) -> Any:
    return lambda u: (ns * np.cosh(u), ns * np.sinh(u))


def _panels(
    path: OpticalPath,
    wavelength: float,
    z: NDArray[np.float64],
    reach: float,
    substitute: Any,
    end: float,
) -> NDArray[np.float64]:
    """Return nodes and weights (2, n) of one part of the pupil."""
    t = np.linspace(0, end, 257)[1:-1]
    s, ds = substitute(t)
    fixed, axial = path.fixed_slope(s), path.axial_slope(s)
    rate = np.maximum(abs(fixed - z.min() * axial), abs(fixed - z.max() * axial)) + reach
    turned = 2 * math.pi / wavelength * end * float((rate * ds).max())
    edges = np.linspace(0, end, 2 + int(turned / PHASE_PER_PANEL))
    x, w = gauss_legendre(NODES)
    half = np.diff(edges)[:, None] / 2
    s, ds = substitute(((edges[:-1, None] + half) + half * x).ravel())
    return np.stack([s, s * ds * (half * w).ravel()])
