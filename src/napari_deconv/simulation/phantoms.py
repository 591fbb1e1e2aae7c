"""Objects with a known truth: filaments, beads, nuclei, shells, haze.

All are drawn in 2D or 3D, anti-aliased, from a seed; lengths are in the unit of ``spacing``
(voxels where it is not given), so the same object can be drawn on an anisotropic grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Volume = NDArray[np.float32]


def filaments(
    shape: Sequence[int],
    *,
    count: int = 12,
    width: float = 1.5,
    persistence: float = 60.0,
    spacing: ArrayLike | None = None,
    seed: int = 0,
) -> Volume:
    """Draw long, gently bending filaments.

    Parameters
    ----------
    shape
        Shape of the grid, two or three axes.
    count
        Number of filaments.
    width
        Full width at half maximum of a filament's Gaussian cross-section.
    persistence
        Length along which a filament forgets its direction.
    spacing
        Voxel size per axis; ones where not given.
    seed
        Start of the random numbers.

    Returns
    -------
    ndarray of float32
        Values 0 to 1.
    """
    from scipy.ndimage import gaussian_filter

    voxel = _voxel(shape, spacing)
    random = np.random.default_rng(seed)
    extent = np.asarray(shape) * voxel
    step = voxel.min() / 2
    steps = int(2 * np.linalg.norm(extent) / step)
    position = random.random((count, len(shape))) * extent
    # Depth is the short axis of a stack: filaments rather lie than stand.
    flat = np.where(extent < extent.max() / 2, 0.3, 1.0)
    direction = random.normal(size=position.shape) * flat
    volume = np.zeros(tuple(shape))
    bend = np.sqrt(step / persistence)
    for _ in range(steps):
        direction += bend * random.normal(size=direction.shape) * flat
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        position += step * direction
        _deposit(volume, position / voxel)
    gaussian_filter(volume, width / 2.3548 / voxel, mode="constant", output=volume)
    # Where filaments cross or stand upright they add up; there they are cut to a common height.
    lit = volume > 0.05 * volume.max()
    ridge = np.percentile(volume[lit], 90) if lit.any() else 1.0
    return _scaled(np.minimum(volume, ridge))


def beads(
    shape: Sequence[int],
    *,
    positions: ArrayLike | None = None,
    count: int = 20,
    diameter: float = 1.0,
    separation: float = 12.0,
    spacing: ArrayLike | None = None,
    seed: int = 0,
) -> tuple[Volume, NDArray[np.float64]]:
    """Draw equal, solid beads at sub-voxel positions.

    Parameters
    ----------
    shape
        Shape of the grid, two or three axes.
    positions
        Centres of the beads as (n, axes) voxel coordinates; drawn at random where not given.
    count
        How many to draw at random.
    diameter
        Diameter of a bead.
    separation
        Least distance between the centres of two random beads, and half of it to the edges. Fewer
        than ``count`` beads are drawn where no more find room.
    spacing
        Voxel size per axis; ones where not given.
    seed
        Start of the random numbers.

    Returns
    -------
    volume : ndarray of float32
        The share of every voxel that lies in a bead, 0 to 1.
    positions : ndarray of float64
        Centres of the beads as (n, axes) voxel coordinates; the centre of a voxel is its index.
    """
    voxel = _voxel(shape, spacing)
    if positions is None:
        random = np.random.default_rng(seed)
        centres = _scatter(shape, voxel, count, separation, random)
    else:
        centres = np.asarray(positions, np.float64).reshape(-1, len(shape))
    volume = np.zeros(tuple(shape), np.float32)
    radii = np.full(len(shape), diameter / 2)
    for centre in centres:
        box, share = _ellipsoid(shape, voxel, centre, radii, np.eye(len(shape)), diameter / 2)
        np.maximum(volume[box], share, out=volume[box])
    return volume, centres


def nuclei(
    shape: Sequence[int],
    *,
    count: int = 12,
    diameter: float = 40.0,
    texture: float = 0.5,
    spacing: ArrayLike | None = None,
    seed: int = 0,
) -> Volume:
    """Draw ellipsoidal nuclei with clumped chromatin.

    Parameters
    ----------
    shape
        Shape of the grid, two or three axes.
    count
        Most nuclei to draw; fewer where no more find room.
    diameter
        Mean diameter; the half-axes vary by a quarter.
    texture
        Depth of the chromatin's variation, 0 (even) to 1.
    spacing
        Voxel size per axis; ones where not given.
    seed
        Start of the random numbers.

    Returns
    -------
    ndarray of float32
        Values 0 to 1.
    """
    voxel = _voxel(shape, spacing)
    random = np.random.default_rng(seed)
    volume = np.zeros(tuple(shape), np.float32)
    for centre in _scatter(shape, voxel, count, diameter, random):
        radii = diameter / 2 * random.uniform(0.75, 1.0, len(shape))
        rotation = _rotation(len(shape), random)
        box, share = _ellipsoid(shape, voxel, centre, radii, rotation, float(radii.max()))
        np.maximum(volume[box], share * random.uniform(0.5, 1.0), out=volume[box])
    clumps = haze(shape, scale=diameter / 12, spacing=voxel, seed=seed + 1)
    return _scaled(volume * (1 - texture * clumps))


def shells(
    shape: Sequence[int],
    *,
    count: int = 12,
    diameter: float = 24.0,
    thickness: float = 2.0,
    spacing: ArrayLike | None = None,
    seed: int = 0,
) -> Volume:
    """Draw hollow, ellipsoidal shells, as vesicles or membranes.

    Parameters
    ----------
    shape
        Shape of the grid, two or three axes.
    count
        Most shells to draw; fewer where no more find room.
    diameter
        Mean outer diameter; the half-axes vary by a quarter.
    thickness
        Thickness of the wall.
    spacing
        Voxel size per axis; ones where not given.
    seed
        Start of the random numbers.

    Returns
    -------
    ndarray of float32
        Values 0 to 1.
    """
    voxel = _voxel(shape, spacing)
    random = np.random.default_rng(seed)
    volume = np.zeros(tuple(shape), np.float32)
    for centre in _scatter(shape, voxel, count, diameter, random):
        radii = diameter / 2 * random.uniform(0.75, 1.0, len(shape))
        rotation = _rotation(len(shape), random)
        reach = float(radii.max())
        box, share = _ellipsoid(shape, voxel, centre, radii, rotation, reach)
        share -= _ellipsoid(shape, voxel, centre, radii - thickness, rotation, reach)[1]
        np.maximum(volume[box], share, out=volume[box])
    return volume


def haze(
    shape: Sequence[int],
    *,
    scale: float = 60.0,
    spacing: ArrayLike | None = None,
    seed: int = 0,
) -> Volume:
    """Draw a smooth, uneven haze.

    Parameters
    ----------
    shape
        Shape of the grid, two or three axes.
    scale
        Length over which it changes (standard deviation of the Gaussian that smooths it).
    spacing
        Voxel size per axis; ones where not given.
    seed
        Start of the random numbers.

    Returns
    -------
    ndarray of float32
        Values 0 to 1.
    """
    from scipy.fft import irfftn, rfftfreq, rfftn

    voxel = _voxel(shape, spacing)
    noise = np.random.default_rng(seed).normal(size=tuple(shape))
    spectrum = rfftn(noise)
    for axis, (n, size) in enumerate(zip(shape, voxel, strict=True)):
        last = axis == len(shape) - 1
        frequency = rfftfreq(n, size) if last else np.fft.fftfreq(n, size)
        along = [1] * len(shape)
        along[axis] = -1
        spectrum *= np.exp(-2 * (np.pi * frequency * scale) ** 2).reshape(along)
    field = irfftn(spectrum, tuple(shape))
    return _scaled(field - field.min())


def _voxel(shape: Sequence[int], spacing: ArrayLike | None) -> NDArray[np.float64]:
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ParameterError(f"shape is {tuple(shape)}, but has to be two or three sizes above 0.")
    voxel = np.ones(len(shape)) if spacing is None else np.asarray(spacing, np.float64)
    if voxel.shape != (len(shape),) or not (voxel > 0).all():
        raise ParameterError(
            f"spacing is {spacing!r}, but has to be {len(shape)} voxel sizes above 0, one per axis."
        )
    return voxel


def _scaled(volume: NDArray[np.floating]) -> Volume:
    """Scale the brightest voxel to 1; an empty volume stays empty."""
    brightest = volume.max()
    scaled: Volume = (volume / brightest if brightest > 0 else volume).astype(np.float32)
    return scaled


def _scatter(
    shape: Sequence[int],
    voxel: NDArray[np.float64],
    count: int,
    separation: float,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw up to ``count`` voxel coordinates that keep their distance."""
    size = np.asarray(shape)
    edge = np.minimum(separation / 2 / voxel, (size - 1) / 2)
    found = np.empty((0, len(size)))
    for _ in range(50 * count):
        if len(found) == count:
            break
        candidate = edge + random.random(len(size)) * (size - 1 - 2 * edge)
        if (np.linalg.norm((found - candidate) * voxel, axis=1) >= separation).all():
            found = np.vstack([found, candidate])
    return found


def _ellipsoid(
    shape: Sequence[int],
    voxel: NDArray[np.float64],
    centre: NDArray[np.float64],
    radii: NDArray[np.float64],
    rotation: NDArray[np.float64],
    reach: float,
) -> tuple[tuple[slice, ...], Volume]:
    """Return a box of ``reach`` around an ellipsoid and how much of each voxel lies inside."""
    margin = reach / voxel + 1
    low = np.clip(np.floor(centre - margin), 0, shape).astype(int)
    high = np.clip(np.ceil(centre + margin) + 1, low, shape).astype(int)
    fine = int(np.clip((4e5 / max(np.prod(high - low), 1)) ** (1 / len(low)), 2, 16))
    offsets = (np.arange(fine) + 0.5) / fine - 0.5
    axes = [
        ((np.arange(a, b)[:, None] + offsets).ravel() - c) * v
        for a, b, c, v in zip(low, high, centre, voxel, strict=True)
    ]
    grid = np.meshgrid(*axes, indexing="ij", sparse=True)
    distance = np.zeros([len(axis) for axis in axes])
    for row, radius in zip(rotation, np.maximum(radii, 1e-9), strict=True):
        distance += (sum(r * g for r, g in zip(row, grid, strict=True)) / radius) ** 2
    inside = (distance <= 1).reshape(np.stack([high - low, np.full(len(low), fine)], 1).ravel())
    share: Volume = inside.mean(axis=tuple(range(1, 2 * len(low), 2)), dtype=np.float32)
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True)), share


def _rotation(ndim: int, random: np.random.Generator) -> NDArray[np.float64]:
    rotation: NDArray[np.float64] = np.linalg.qr(random.normal(size=(ndim, ndim)))[0]
    return rotation


def _deposit(volume: NDArray[np.float64], points: NDArray[np.float64]) -> None:
    """Share every point's unit mass among the voxels around it, linearly."""
    shape = np.asarray(volume.shape)
    corner = np.floor(points).astype(int)
    part = points - corner
    for offset in np.ndindex(*(2,) * volume.ndim):
        index = corner + offset
        weight = np.where(offset, part, 1 - part).prod(axis=1)
        inside = ((index >= 0) & (index < shape)).all(axis=1)
        np.add.at(volume, tuple(index[inside].T), weight[inside])
