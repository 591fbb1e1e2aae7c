"""What is read from the image of one bead: floor, noise, place, widths, asymmetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Of a sphere of diameter d, the variance along an axis is d^2 / 20; a Gaussian's FWHM is 2.3548
# standard deviations.
_SPHERE = 8 * np.log(2) / 20


def frame_of(shape: Sequence[int]) -> NDArray[np.bool_]:
    """Return which voxels lie in the outermost eighth of Y and X (one voxel at least)."""
    frame = np.ones(tuple(shape), dtype=bool)
    rows, columns = (slice(max(1, n // 8), n - max(1, n // 8)) for n in shape[-2:])
    frame[..., rows, columns] = False
    return frame


def floor_and_noise(
    window: NDArray[np.float64], focus: float | None = None, depth: float = 0.0
) -> tuple[float, float]:
    """Return the intensity without the bead, and its standard deviation from voxel to voxel.

    See :func:`background`.
    """
    level, noise, _, _ = background(window, focus, depth)
    return level, noise


def background(
    window: NDArray[np.float64], focus: float | None = None, depth: float = 0.0
) -> tuple[float, float, NDArray[np.float64], NDArray[np.float64]]:
    """Return what lies under a bead: its level, its noise, its slope, and where the level holds.

    They are those of the frame around the plane in focus: out of focus the bead's own light
    reaches the edges of a window.

    Parameters
    ----------
    window
        Intensities; NaN where they are not known.
    focus
        Index of the plane in focus; the middle one when not given.
    depth
        Planes to either side that are as good as in focus.

    Returns
    -------
    level, noise
        Mean, and standard deviation from voxel to voxel.
    slope
        Change from voxel to voxel along Y and X.
    middle
        Index (y, x) at which the intensity is the level.
    """
    planes = window.reshape(-1, *window.shape[-2:])
    focused = len(planes) // 2 if focus is None or window.ndim == 2 else focus
    first = max(0, round(focused - max(depth, 1)))
    near = planes[first : round(focused + max(depth, 1)) + 1]
    frame = frame_of(planes.shape[1:])
    values = near[:, frame]
    known = np.isfinite(values)
    places = np.broadcast_to(np.stack(np.nonzero(frame), axis=1), (*values.shape, 2))[known]
    values = values[known]
    slope, middle = np.zeros(2), np.array([n // 2 for n in window.shape[-2:]], dtype=float)
    if values.size < 8:
        values = window[np.isfinite(window)]
        values = values[values <= np.percentile(values, 25)]
        return float(values.mean()), float(values.std()), slope, middle
    # What stands out (another bead, a hot pixel) is left out, on both sides alike.
    for _ in range(2):
        middle = places.mean(axis=0)
        matrix = np.column_stack([np.ones(len(places)), places - middle])
        level, *slope_found = np.linalg.lstsq(matrix, values, rcond=None)[0]
        slope = np.array(slope_found)
        rest = values - matrix @ np.array([level, *slope])
        low, median, high = np.percentile(rest, (25, 50, 75))
        spread = 1.4826 * float(np.median(np.abs(rest - median)))
        usual = np.abs(rest - median) <= 3 * max(spread, high - low, float(rest.std()) / 2)
        values, places = values[usual], places[usual]
    # Few grey levels: most voxels are equal, and only the others tell how far they scatter.
    scatter = float(rest[usual].std())
    return float(level), spread if spread > scatter / 2 else scatter, slope, middle


def half_max_centroid(window: NDArray[np.float64], floor: float = 0.0) -> tuple[float, ...]:
    """Return the centroid of what exceeds half of the maximum, in one piece with it, in voxels.

    A threshold that high is far less drawn to the window's middle than a centroid of all.
    """
    from scipy.ndimage import gaussian_filter, label

    values = np.nan_to_num(window - floor)
    smooth = gaussian_filter(values, 0.6)
    peak = np.unravel_index(int(np.argmax(smooth)), smooth.shape)
    core = smooth - 0.5 * smooth[peak]
    pieces, _ = label(core > 0)
    weight = np.where(pieces == pieces[peak], core, 0.0)
    total = weight.sum()
    if total <= 0:
        return tuple(float(i) for i in peak)
    grids = np.ogrid[tuple(slice(n) for n in weight.shape)]
    return tuple(float((grid * weight).sum() / total) for grid in grids)


def widths(
    window: NDArray[np.float64], place: Sequence[float], spacing: Sequence[float]
) -> tuple[float, ...]:
    """Return the full widths at half maximum along lines through a place, um.

    Parameters
    ----------
    window
        Intensities above the floor.
    place
        Middle of the bead, in fractions of a voxel.
    spacing
        Voxel size, um.

    Returns
    -------
    tuple of float
        One for each axis; NaN where the line does not come down to half.
    """
    from scipy.ndimage import map_coordinates

    fine = 16
    found = []
    for axis, length in enumerate(window.shape):
        along = np.arange(fine * (length - 1) + 1) / fine
        points = [along if a == axis else np.full(along.size, p) for a, p in enumerate(place)]
        line = map_coordinates(window, points, order=3, mode="nearest")
        near = np.abs(along - place[axis]) <= max(1.0, 0.15 * length)
        top = int(np.argmax(np.where(near, line, -np.inf)))
        below = line <= line[top] / 2
        before, after = np.flatnonzero(below[:top]), np.flatnonzero(below[top:])
        if line[top] <= 0 or not before.size or not after.size:
            found.append(float("nan"))
            continue
        half = line[top] / 2
        left, right = int(before[-1]), int(after[0]) + top
        left_part = (half - line[left]) / (line[left + 1] - line[left])
        right_part = (line[right - 1] - half) / (line[right - 1] - line[right])
        width = right - 1 + right_part - left - left_part
        found.append(float(width / fine * spacing[axis]))
    return tuple(found)


def without_diameter(widths: Sequence[float], diameter: float) -> tuple[float, ...]:
    """Return what widths would be without a bead's own diameter (all um), as of Gaussians.

    ``FWHM_psf^2 = FWHM_bead^2 - (8 ln 2 / 20) d^2``; NaN where nothing would be left.
    """
    squares = [w * w - _SPHERE * diameter * diameter for w in widths]
    return tuple(float(np.sqrt(s)) if s > 0 else float("nan") for s in squares)


def lateral_asymmetry(
    window: NDArray[np.float64], place: Sequence[float], spacing: Sequence[float]
) -> float:
    """Return the larger lateral width over the smaller, along the bead's own principal axes.

    From the second moments of what exceeds half of the maximum, in the bead's brightest plane.
    """
    from scipy.ndimage import gaussian_filter, label

    plane = window if window.ndim == 2 else window[round(place[0])]
    smooth = gaussian_filter(plane, 0.6)
    middle = [min(max(round(p), 0), n - 1) for p, n in zip(place[-2:], plane.shape, strict=True)]
    near = tuple(slice(max(0, m - 1), m + 2) for m in middle)
    core = smooth - 0.5 * smooth[near].max()
    pieces, _ = label(core > 0)
    piece = pieces[near][np.unravel_index(int(np.argmax(smooth[near])), smooth[near].shape)]
    if piece == 0:
        return float("nan")
    rows, columns = np.nonzero(pieces == piece)
    weight = core[rows, columns]
    if weight.size < 3:
        return float("nan")
    points = np.stack([rows * spacing[-2], columns * spacing[-1]])
    # A pixel's own extent keeps a bead of few pixels from being a line.
    pixel = np.diag(np.square(spacing[-2:])) / 12
    low, high = np.linalg.eigvalsh(np.cov(points, aweights=weight, ddof=0) + pixel)
    return float(np.sqrt(high / low))


def axial_asymmetry(window: NDArray[np.float64], place: Sequence[float], width: float) -> float:
    """Return (deeper - shallower) / both, of the light farther from focus than half a width.

    Of the light on the axis, within one lateral neighbourhood; 0 without spherical aberration,
    positive where more lies at higher z. ``width`` is the axial FWHM in planes.
    """
    z = np.arange(window.shape[0]) - place[0]
    reach = min(place[0], window.shape[0] - 1 - place[0], 3 * width)
    near = tuple(slice(max(0, round(p) - 2), round(p) + 3) for p in place[1:])
    line = np.clip(window[(slice(None), *near)].mean(axis=(1, 2)), 0, None)
    aside = (np.abs(z) > width / 2) & (np.abs(z) <= reach)
    total = line[aside].sum()
    return float((line * np.sign(z))[aside].sum() / total) if total > 0 else 0.0
