"""A pupil on a square grid of spatial frequencies, as precise as its cells allow.

A field computed from a grid of frequencies ``1 / width`` apart repeats after ``width``, and light
that goes farther comes back from the other side. Three things keep that small where it is looked
at, at a given width (relative L2 error of 33 planes to +-6.4 um at NA 1.4 in a width of 22 um:
0.4 % without them, 0.1 % with them; in 20 um, a point 2 um deep in water: 0.9 % and 0.1 %; 20 um
deep: 8 % and 0.5 %):

- the edge's cells count by the area that is inside;
- each cell holds the mean of the pupil over its area, not the value in its middle. Where the phase
  is straight across the cell this is a sinc of how far its ray goes, so that rays that go beyond
  the width fade; at the edge and at the critical angle, where it is not, it is a mean over points;
- means over cells multiply the field by ``sinc(y / width) sinc(x / width)``, which is divided out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_deconv.optics import zernike
from napari_deconv.optics.optical_path import OpticalPath

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from napari_deconv.optics.microscope import Microscope

Apodisation = Literal["sine", "uniform", "herschel"]
# Powers of cos(theta) in the pupil's amplitude, for integrals over its area.
APODISATION = {"sine": -0.5, "uniform": 0.0, "herschel": -1.0}

POINTS = 8  # along a side of a cell of which the mean is taken over points
BEND = 0.03  # radians by which the mean of the layers' phase may differ from the middle's
BEYOND = 0.15  # of the pupil's area whose rays may go beyond the width


class PupilGrid:
    """The points of a grid that are inside the pupil, and the light that passes there.

    Parameters
    ----------
    microscope
        Its NA and layers.
    wavelength
        In vacuum, um.
    width
        After which the field repeats, um; frequencies are ``1 / width`` apart.
    evanescent
        Whether light beyond the sample's index passes.
    apodisation
        The amplitude over the pupil: even ("uniform"), ``cos(theta)**-0.5``, as an objective that
        obeys the sine condition takes in light and focuses it ("sine"), or ``1 / cos(theta)``
        ("herschel").

    Attributes
    ----------
    half
        The grid has ``2 * half + 1`` frequencies along y and along x, 0 in the middle.
    rows, columns
        Where its points are on the grid, (points,).
    y, x
        The points, in units of the pupil's radius, none outside of it.
    weight
        How much of each cell is inside, times the apodisation.
    total
        What the weights add up to over the whole pupil: the field in focus without aberration.
    """

    def __init__(
        self,
        microscope: Microscope,
        wavelength: float,
        width: float,
        *,
        evanescent: bool = True,
        apodisation: Apodisation = "uniform",
    ) -> None:
        self.microscope, self.wavelength, self.width = microscope, wavelength, width
        self.path = OpticalPath(microscope)
        na, self._power = microscope.numerical_aperture, APODISATION[apodisation]
        side = wavelength / (na * width)  # of a cell, in units of the pupil's radius
        self._inner = 1.0 if evanescent else min(microscope.sample_index / na, 1.0)
        self.half = math.ceil(1 / side + 0.5)
        grid: NDArray[np.float64] = side * np.arange(-self.half, self.half + 1, dtype=np.float64)
        whole = zernike.coverage(grid[:, None], grid, side)
        area = zernike.coverage(grid[:, None], grid, side, self._inner)
        self.rows, self.columns = np.nonzero(area)
        area = area[self.rows, self.columns]
        y: NDArray[np.float64] = grid[self.rows]
        x: NDArray[np.float64] = grid[self.columns]
        self._side = side
        self.y, self.x = _inside(y, x)
        self.weight = area * self._apodisation(self.y, self.x)
        self.total = float((whole * self._apodisation(*_inside(grid[:, None], grid))).sum())
        bend = 2 * math.pi / wavelength * abs(self._curved(self.path.fixed_slope))
        self._rough = np.nonzero((area < 1) | (bend > BEND))[0]
        self._fine_y, self._fine_x, self._fine_weight = self._points(y, x)

    @property
    def s(self) -> NDArray[np.float64]:
        """Return ``n sin(theta)`` of the ray through each point."""
        s: NDArray[np.float64] = self.microscope.numerical_aperture * np.hypot(self.y, self.x)
        return s

    def light(self, z: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Return the pupil (z, points) at stage positions, means over the cells.

        Parameters
        ----------
        z
            Stage positions, um.
        """
        opd, axial = self._opd(self.y, self.x)
        opd, axial = (
            opd + self._curved(self.path.fixed_slope),
            axial + self._curved(self.path.axial_slope),
        )
        slopes = ray_slopes(self.path, self.y, self.x, {}, z)
        fade = np.sinc(slopes / self.width).prod(axis=1)
        k = 2j * math.pi / self.wavelength
        pupil: NDArray[np.complex128] = self.weight * fade * np.exp(k * (opd - z[:, None] * axial))
        opd, axial = self._opd(self._fine_y, self._fine_x)
        static = self._fine_weight * np.exp(k * opd)
        for plane, position in zip(pupil, z, strict=True):
            plane[self._rough] = (static * np.exp(-k * position * axial)).sum(axis=1)
        return pupil

    def _curved(self, slope: Callable[[NDArray[np.float64]], NDArray[Any]]) -> NDArray[Any]:
        """Return by how much the mean over each cell differs from the value in its middle.

        For a path of known slope by s: ``side**2 / 24`` of its second derivatives.
        """
        side = self._side * self.microscope.numerical_aperture
        s = np.maximum(self.s, side / 2)
        ends = s + np.array([[-side], [side]]) / 2
        low, high = slope(np.minimum(ends, self.microscope.numerical_aperture) + 1e-12)
        bent: NDArray[Any] = side**2 / 24 * ((high - low) / side + (high + low) / (2 * s))
        return bent

    def _points(
        self, y: NDArray[np.float64], x: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return points (cells, points) of the rough cells, and their weights."""
        offsets = self._side * ((np.arange(POINTS) + 0.5) / POINTS - 0.5)
        dy, dx = (each.ravel() for each in np.meshgrid(offsets, offsets, indexing="ij"))
        y, x = y[self._rough, None] + dy, x[self._rough, None] + dx
        area = zernike.coverage(y, x, self._side / POINTS, self._inner) / POINTS**2
        y, x = _inside(y, x)
        return y, x, area * self._apodisation(y, x)

    def _apodisation(
        self, y: NDArray[np.float64], x: NDArray[np.float64]
    ) -> NDArray[np.float64] | float:
        if self._power == 0:
            return 1.0
        m = self.microscope
        sine = m.numerical_aperture / m.immersion_index * np.hypot(y, x)
        cosine: NDArray[np.float64] = np.sqrt(1 - sine**2)
        return cosine**self._power

    def _opd(
        self, y: NDArray[np.float64], x: NDArray[np.float64]
    ) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
        """Return what is fixed of the optical path, and what each um of z takes; 0 on the axis."""
        s = self.microscope.numerical_aperture * np.hypot(y, x)
        # Without the axis's own path, of thousands of radians.
        fixed = self.path.fixed(s) - self.path.fixed(np.zeros(1)).real
        return fixed, self.path.axial(s) - self.microscope.immersion_index


def ray_slopes(
    path: OpticalPath,
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    aberrations: Mapping[int, float],
    z: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return where rays through points of the pupil meet the plane of focus, um.

    The gradient of the optical path by ``n sin(theta)``.

    Parameters
    ----------
    path
        Of the microscope.
    y, x
        Points (points,) in units of the pupil's radius.
    aberrations
        Noll indices and coefficients, um rms.
    z
        Stage positions, um.

    Returns
    -------
    float64 array (z, 2, points)
        Along y and x, relative to the axis.
    """
    na = path.microscope.numerical_aperture
    radius = np.maximum(np.hypot(y, x), 1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):  # at the critical angle itself
        fixed = np.nan_to_num(path.fixed_slope(na * radius).real, posinf=1e9, neginf=-1e9)
    radial = fixed - z[:, None] * path.axial_slope(na * radius)
    slopes = radial[:, None] * np.stack([y, x]) / radius
    for j, coefficient in aberrations.items():
        slopes = slopes + coefficient / na * zernike.gradients([j], y, x)[0]
    return slopes


def field_width(
    microscope: Microscope,
    z: NDArray[np.float64],
    reach: float,
) -> float:
    """Return after what width, um, a field may repeat that is looked at out to ``reach`` um.

    Light spreads as far as the rays of its pupil go. Those through all but ``BEYOND`` of its area
    have to stay clear of what is looked at, and rings around the focus of their own copies.

    Parameters
    ----------
    microscope, z
        As for ``ray_slopes``.
    reach
        Largest distance from the axis, um.
    """
    y, x = polar(np.sqrt((np.arange(32) + 0.5) / 32), 24)
    ends = np.array([z.min(), z.max()])
    slopes = ray_slopes(OpticalPath(microscope), y, x, {}, ends)
    spread = np.quantile(abs(slopes).max(axis=1), 1 - BEYOND, axis=1).max()
    rings = 16 * microscope.emission_wavelength / microscope.numerical_aperture
    return max(1.75 * (float(spread) + reach), 2.8 * reach, reach + rings)


def polar(
    radii: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return y and x (radii * count,) of points in ``count`` directions."""
    angles = 2 * math.pi * np.arange(count) / count
    return np.outer(radii, np.sin(angles)).ravel(), np.outer(radii, np.cos(angles)).ravel()


def _inside(
    y: NDArray[np.float64], x: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bring points outside the unit disc to its edge."""
    outside = np.maximum(np.hypot(y, x), 1.0)
    return y / outside, x / outside
