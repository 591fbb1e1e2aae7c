"""How wide a small bead appears."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.arrays import as_image
from napari_deconv.errors import InputError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

# Samples per voxel along the interpolated profile.
_FINE = 50


def fwhm(
    image: ArrayLike,
    position: Sequence[float] | None = None,
    *,
    spacing: Sequence[float] | None = None,
    reach: int = 16,
    background: float | None = None,
) -> tuple[float, ...]:
    """Measure the full width at half maximum of a bright spot along every axis.

    The brightest voxel within two voxels of ``position`` is refined to a fraction of a voxel on a
    quintic spline through the image, and the spline is followed from there along each axis, both
    ways, until it first falls to half of the spot's height over its background.

    Parameters
    ----------
    image
        Axes ``(Z,) Y, X``.
    position
        Where the spot is, in voxels; the brightest voxel of the image where not given.
    spacing
        Voxel size per axis; ones where not given, so that the widths are in voxels.
    reach
        How far from the spot to look, in voxels.
    background
        Intensity that does not belong to the spot; the tenth percentile of its neighbourhood
        where not given.

    Returns
    -------
    tuple of float
        A width per axis, in the unit of ``spacing``; not a number where the spot does not fall to
        half of its height within ``reach`` or the image.

    Raises
    ------
    InputError
        When the image has more than three axes or is not usable.
    ParameterError
        When ``position`` lies outside the image, or ``spacing`` does not fit it.
    """
    from scipy.ndimage import map_coordinates, spline_filter

    values = as_image(image).astype(np.float64)
    if values.ndim > 3:
        raise InputError(f"The image has {values.ndim} axes; give one stack or plane of it.")
    voxel = np.ones(values.ndim) if spacing is None else np.asarray(spacing, np.float64)
    if voxel.shape != (values.ndim,) or not (voxel > 0).all():
        raise ParameterError(f"spacing is {spacing!r}, but needs {values.ndim} sizes above 0.")
    peak = _peak(values, position)
    low = np.maximum(peak - reach, 0)
    high = np.minimum(peak + reach + 1, values.shape)
    box = values[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    base = float(np.percentile(box, 10)) if background is None else background
    coefficients = spline_filter(box, order=5, mode="mirror")

    def sample(centre: Array, axis: int, along: Array) -> Array:
        points = np.repeat(centre[:, None], len(along), axis=1)
        points[axis] = along
        sampled: Array = map_coordinates(
            coefficients, points, order=5, mode="mirror", prefilter=False
        )
        return sampled

    centre = (peak - low).astype(np.float64)
    for _ in range(3):
        for axis, size in enumerate(box.shape):
            near = centre[axis] + np.arange(-_FINE, _FINE + 1) / _FINE
            near = near[(near >= 0) & (near <= size - 1)]
            centre[axis] = near[np.argmax(sample(centre, axis, near))]
    widths = []
    for axis, size in enumerate(box.shape):
        before = np.arange(0, centre[axis] * _FINE + 1) / _FINE
        after = np.arange(0, (size - 1 - centre[axis]) * _FINE + 1) / _FINE
        width = _half_width(before, sample(centre, axis, centre[axis] - before), base)
        width += _half_width(after, sample(centre, axis, centre[axis] + after), base)
        widths.append(float(width * voxel[axis]))
    return tuple(widths)


def _peak(values: Array, position: Sequence[float] | None) -> NDArray[np.intp]:
    """Return the index of the brightest voxel, at all or within two voxels of ``position``."""
    if position is None:
        return np.array(np.unravel_index(np.argmax(values), values.shape))
    near = np.rint(np.asarray(position, np.float64)).astype(np.intp)
    if near.shape != (values.ndim,) or (near < 0).any() or (near >= values.shape).any():
        raise ParameterError(
            f"position is {position!r}, but has to be {values.ndim} voxel coordinates within the "
            f"image (shape {values.shape})."
        )
    low = np.maximum(near - 2, 0)
    box = values[tuple(slice(a, b + 3) for a, b in zip(low, near, strict=True))]
    return low + np.array(np.unravel_index(np.argmax(box), box.shape))


def _half_width(distance: Array, profile: Array, base: float) -> float:
    """Return the distance at which a profile first falls to half of its start over ``base``."""
    if profile[0] - base <= 1e-6 * abs(profile[0]):
        return float("nan")
    half = (profile[0] + base) / 2
    below = np.flatnonzero(profile < half)
    if below.size == 0 or below[0] == 0:
        return float("nan")
    last = below[0] - 1
    part = (profile[last] - half) / (profile[last] - profile[last + 1])
    return float(distance[last] + part * (distance[last + 1] - distance[last]))
