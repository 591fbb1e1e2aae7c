"""How fine the details are that an image really holds, read from its power spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LARGEST = 512  # pixels of the region along an axis
_SMALLEST = 48
_PLANES = 9  # of a stack that are looked at
_BLOCK = 8
_RINGS = 96
_FEWEST = 24  # frequencies a ring has to hold
# Power over that of the noise from which it is structure; a ring's own scatter comes on top.
_STANDS_OUT, _SCATTER = 1.4, 5.0
# Fraction of all frequencies that have to hold nothing but noise.
_EVEN = 0.12
# What a window lets through of the strongest frequencies, at the least.
_LEAKS = 1e-11
_SATURATED = 1e-3  # fraction of pixels whose clipped tops would be details of their own


@dataclass(frozen=True)
class Detail:
    """What a region of an image holds across the axis.

    Attributes
    ----------
    finest
        The highest frequency, 1/um, at which structure stands out from the noise.
    highest
        The highest frequency, 1/um, at which the pixels could show any.
    contrast
        How far the coarsest structure stands out from the noise: a ratio of powers.
    noise_is_even
        Whether the noise is the same at all the higher frequencies, as a camera's is; without it
        nothing tells noise from structure, and ``finest`` is an upper bound.
    """

    finest: float
    highest: float
    contrast: float
    noise_is_even: bool


def measure_detail(image: Any, pixel: Sequence[float]) -> Detail | None:
    """Find the finest structure in the liveliest region of the sharpest plane of an image.

    The power spectrum is averaged over rings of equal frequency. The outermost rings hold the
    noise alone, which is the same at all frequencies in an image as the camera gave it; structure
    reaches as far out as the rings stand out from them.

    Parameters
    ----------
    image
        Intensities, axes ``(..., Z,) Y, X``; only parts of it are read.
    pixel
        Its size (y, x), um.

    Returns
    -------
    Detail or None
        None where nothing can be told: the image is too small, empty, saturated, or holds values
        that are not finite.
    """
    region = _lively_region(image)
    if region is None:
        return None
    power, radius = _spectrum(region, pixel)
    highest = math.hypot(0.5 / pixel[0], 0.5 / pixel[1])
    ring = np.minimum((radius / highest * _RINGS).astype(np.intp), _RINGS - 1)
    counts = np.bincount(ring, minlength=_RINGS)
    sums = np.bincount(ring, power, minlength=_RINGS)
    kept = np.flatnonzero(counts >= _FEWEST)
    if kept.size < _RINGS // 3:
        return None
    means, counts = sums[kept] / counts[kept], counts[kept]
    outermost = np.cumsum(counts[::-1]) <= max(0.06 * counts.sum(), counts[-1])
    inside = outermost[::-1]
    noise = float(np.average(means[inside], weights=counts[inside]))
    leaks = _LEAKS * float(means[0])
    noise = max(noise, leaks)
    if not noise > 0:
        return None
    quiet = means < noise * (_STANDS_OUT + _SCATTER / np.sqrt(counts))
    last = int(np.argmax(quiet)) if quiet.any() else quiet.size
    return Detail(
        finest=float(kept[last - 1] + 1) / _RINGS * highest if last else 0.0,
        highest=float(kept[-1] + 1) / _RINGS * highest,
        contrast=float(means[0]) / noise,
        noise_is_even=bool(noise > leaks and counts[last:].sum() > _EVEN * counts.sum()),
    )


def _lively_region(image: Any) -> Array | None:
    """Cut the part with the most structure out of the plane with the most structure."""
    shape = image.shape
    if len(shape) < 2 or min(shape[-2:]) < _SMALLEST:
        return None
    for _ in range(len(shape) - 3):
        image = image[0]
    planes = [image]
    if len(shape) > 2:
        count = min(_PLANES, shape[-3])
        places = np.linspace(0, shape[-3] - 1, count + 2)[1:-1] if count > 2 else range(count)
        planes = [image[round(place)] for place in places]
    best, chosen = -1.0, None
    for plane in planes:
        values = np.asarray(plane)
        lively, place = _liveliest(values)
        if lively > best:
            best, chosen = lively, values[place]
    if chosen is None or best <= 0:
        return None
    region = np.asarray(chosen, np.float64)
    if not np.isfinite(region).all():
        return None
    top = region.max()
    if region.min() < top and np.mean(region == top) > _SATURATED:
        return None
    return region


def _liveliest(plane: NDArray[Any]) -> tuple[float, tuple[slice, slice]]:
    """Return how much structure the best region of a plane has, and where it is."""
    rows, columns = (size // _BLOCK for size in plane.shape)
    whole = plane[: rows * _BLOCK, : columns * _BLOCK]
    # One line of each block is enough to choose by.
    lines = whole.reshape(rows, _BLOCK, columns, _BLOCK)[:, _BLOCK // 2]
    means = lines.mean(axis=-1, dtype=np.float64)
    steps = np.zeros_like(means)
    steps[1:] += np.diff(means, axis=0) ** 2
    steps[:, 1:] += np.diff(means, axis=1) ** 2
    side = LARGEST // _BLOCK
    height, width = min(side, rows), min(side, columns)
    table = np.zeros((rows + 1, columns + 1))
    table[1:, 1:] = steps.cumsum(axis=0).cumsum(axis=1)
    sums = table[height:, width:] - table[:-height, width:]
    sums = sums - table[height:, :-width] + table[:-height, :-width]
    row, column = np.unravel_index(np.argmax(sums), sums.shape)
    place = (
        slice(_BLOCK * int(row), _BLOCK * int(row + height)),
        slice(_BLOCK * int(column), _BLOCK * int(column + width)),
    )
    return float(sums[row, column]), place


def _spectrum(region: Array, pixel: Sequence[float]) -> tuple[Array, Array]:
    """Return power and frequency (1/um), without what stripes and borders make."""
    windows = [np.hanning(size + 2)[1:-1] ** 2 for size in region.shape]
    window = np.outer(*windows)
    level = float((region * window).sum() / window.sum())
    power = np.abs(np.fft.rfft2((region - level) * window)) ** 2
    fy = np.fft.fftfreq(region.shape[0], pixel[0])[:, None]
    fx = np.fft.rfftfreq(region.shape[1], pixel[1])
    away = (abs(fy) * region.shape[0] * pixel[0] > 2.5) & (fx * region.shape[1] * pixel[1] > 2.5)
    return power[away], np.hypot(fy, fx)[away]
