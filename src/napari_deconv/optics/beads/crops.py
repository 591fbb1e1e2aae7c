"""Beads cut out of their images, with what is known of their surroundings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.optics.beads.measure import background

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_deconv.optics.beads.find import Bead

# Voxels around the window that leave room for moving it.
ROOM = 4
# What another bead lights up is left out within so many FWHM of it.
_SHADOW = 2.0
# The floor is taken from so many FWHM away, laterally.
_FAR = 8.0


@dataclass
class Crop:
    """One bead's surroundings, and what has been found about it.

    Attributes
    ----------
    number, bead
        Which bead it is.
    values, known
        Intensities in the window with ``ROOM`` around, and where they are its own.
    noise, floor, light
        Of the background; and the height by which it is scaled.
    shift
        By how much it has to be moved for its middle to be at the origin, voxels.
    aligned, seen
        The bead moved and scaled, and where it is known then.
    """

    number: int
    bead: Bead
    values: NDArray[np.float64]
    known: NDArray[np.bool_]
    noise: float
    shift: tuple[float, ...]
    floor: float
    light: float = 1.0
    aligned: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    seen: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))


def cut_out(
    images: Sequence[NDArray[np.float32]],
    lists: Sequence[Sequence[Bead]],
    size: Sequence[float],
    window: Sequence[int],
) -> list[Crop]:
    """Cut out the accepted beads; what lies outside, or in another's light, is unknown."""
    crops, number = [], 0
    for image, beads in zip(images, lists, strict=True):
        for bead in beads:
            if bead.accepted:
                crops.append(_crop(image, bead, beads, number, size, window))
            number += 1
    return crops


def _crop(
    image: NDArray[np.float32],
    bead: Bead,
    others: Sequence[Bead],
    number: int,
    size: Sequence[float],
    window: Sequence[int],
) -> Crop:
    whole = [round(p) for p in bead.position]
    start = tuple(w - n // 2 - ROOM for w, n in zip(whole, window, strict=True))
    shape = tuple(n + 2 * ROOM for n in window)
    places = [np.arange(s, s + n) for s, n in zip(start, shape, strict=True)]
    inside = [(p >= 0) & (p < n) for p, n in zip(places, image.shape, strict=True)]
    held = [np.clip(p, 0, n - 1) for p, n in zip(places, image.shape, strict=True)]
    values = image[np.ix_(*held)].astype(np.float64)
    known = np.ones(shape, dtype=bool)
    for axis, row in enumerate(inside):
        known &= row.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    known &= _own(places, bead, others, size)
    floor, noise, slope = _surroundings(image, bead, others, size, window)
    for axis, change in zip((-2, -1), slope, strict=True):
        ramp = change * (places[axis] - bead.position[axis])
        values -= ramp[:, None] if axis == -2 else ramp
    shift = tuple(w - p for w, p in zip(whole, bead.position, strict=True))
    return Crop(number, bead, values, known, noise, shift, floor)


def _own(
    places: Sequence[NDArray[np.intp]], bead: Bead, others: Sequence[Bead], size: Sequence[float]
) -> NDArray[np.bool_]:
    """Return where a bead is not outshone by others: which are near, and nearer than itself."""

    def squared(position: Sequence[float]) -> NDArray[np.float64]:
        total = np.zeros((1,) * len(places))
        for axis, (place, middle, width) in enumerate(zip(places, position, size, strict=True)):
            form = [-1 if a == axis else 1 for a in range(len(places))]
            total = total + (((place - middle) / width) ** 2).reshape(form)
        return total

    own, free = squared(bead.position), np.ones([len(p) for p in places], dtype=bool)
    reach = [np.ptp(p) / w + 2 * _SHADOW for p, w in zip(places, size, strict=True)]
    for other in others:
        apart = [
            abs(a - b) / w for a, b, w in zip(other.position, bead.position, size, strict=True)
        ]
        if other is bead or any(a > r for a, r in zip(apart, reach, strict=True)):
            continue
        theirs = squared(other.position)
        free &= ~((theirs < _SHADOW**2) & (own > theirs))
    return free


def _surroundings(
    image: NDArray[np.float32],
    bead: Bead,
    others: Sequence[Bead],
    size: Sequence[float],
    window: Sequence[int],
) -> tuple[float, float, NDArray[np.float64]]:
    """Return floor, noise and slope around a bead, from beyond the PSF's light in focus."""
    places = []
    for axis, (middle, width, n, length) in enumerate(
        zip(bead.position, size, window, image.shape, strict=True)
    ):
        lateral = axis >= len(window) - 2
        half = max(n // 2, round(_FAR * width) if lateral else 0)
        places.append(
            np.arange(max(0, round(middle) - half), min(length, round(middle) + half + 1))
        )
    values = image[np.ix_(*places)].astype(np.float64)
    known = np.where(_own(places, bead, others, size), values, np.nan)
    focus = bead.position[0] - places[0][0]
    level, noise, tilt, centre = background(known, focus, size[0] / 2)
    # Where the image ends on one side, the frame's middle is not the bead's.
    start = np.array([places[-2][0], places[-1][0]])
    return level + float(tilt @ (np.array(bead.position[-2:]) - start - centre)), noise, tilt
