"""The mean of many beads, each where the mean of all explains it best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.optics.beads.align import fit, moved, slopes, taper
from napari_deconv.optics.beads.crops import ROOM
from napari_deconv.optics.beads.measure import half_max_centroid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_deconv.optics.beads.crops import Crop

# How unlike the mean a bead may be: residual over signal, beyond what noise explains.
_UNLIKE = 0.35
# Means taken; after each but the last, beads are fitted to it anew, and after one of them those
# that are unlike it are left out.
_TURNS, _SORTED_OUT = 5, 2


def combine(
    crops: list[Crop], window: Sequence[int], rejection: float, size: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[Crop], dict[int, str]]:
    """Align beads and average them; return mean, variance between beads, and who took part."""
    edge = taper([n + 2 * ROOM for n in window], ROOM)
    middle = [n // 2 + ROOM for n in window]
    failed: dict[int, str] = {}
    for crop in crops:
        crop.light = crop.bead.peak
    core = _near(edge.shape, middle, [2.5 * s for s in size])
    mean, spread = np.zeros(0), np.zeros(0)
    for turn in range(_TURNS):
        for crop in crops:
            _align(crop, edge)
        mean, spread = _mean(crops, rejection)
        mean *= edge
        # All follow the mean: its own middle has to be where the origin is.
        off = [m - p for m, p in zip(middle, half_max_centroid(mean), strict=True)]
        for crop in crops:
            crop.shift = tuple(s + o for s, o in zip(crop.shift, off, strict=True))
        mean = moved(mean, off)
        if turn == _TURNS - 1:
            spread = np.clip(moved(spread * edge, off), 0, None)
            break
        gradient = slopes(mean)
        for crop in list(crops):
            reason = _refit(crop, mean, gradient, core, edge)
            if reason and len(crops) > 1:
                failed[crop.number] = reason
                crops.remove(crop)
        if turn == _SORTED_OUT:
            failed |= _unlike(crops, mean, core)
        level = float(np.mean([c.light for c in crops]))
        for crop in crops:
            crop.light /= level
        mean *= level
    return mean, spread, crops, failed


def _near(
    shape: Sequence[int], middle: Sequence[float], reach: Sequence[float]
) -> NDArray[np.bool_]:
    square = np.zeros(tuple(shape))
    for axis, (length, place, r) in enumerate(zip(shape, middle, reach, strict=True)):
        offset = (np.arange(length) - place) / r
        square = square + (offset**2).reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return np.asarray(square <= 1)


def _align(crop: Crop, edge: NDArray[np.float64]) -> None:
    """Move a bead to the middle, scaled to unit light, and tell which voxels that is known of."""
    values = np.where(crop.known, crop.values - crop.floor, 0.0) * edge
    crop.aligned = moved(values, crop.shift) / crop.light
    if crop.known.all():
        crop.seen = crop.known
        return
    from scipy.ndimage import binary_erosion

    whole = [round(s) for s in crop.shift]
    seen = binary_erosion(crop.known, np.ones((3,) * crop.known.ndim, dtype=bool), border_value=1)
    crop.seen = np.asarray(np.roll(seen, whole, range(seen.ndim)))


def _mean(
    crops: Sequence[Crop], rejection: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weighted mean and variance between beads, voxel by voxel, without what is far off."""
    stack = np.stack([c.aligned for c in crops])
    noise = np.array([max(c.noise, 1e-3 * c.bead.peak) for c in crops])
    light = np.array([c.light for c in crops])
    weight = (light / noise) ** 2
    weights = np.stack([w * c.seen for w, c in zip(weight / weight.max(), crops, strict=True)])
    for attempt in range(3):
        total = weights.sum(axis=0)
        mean = (weights * stack).sum(axis=0) / np.maximum(total, 1e-12)
        square = (weights * (stack - mean) ** 2).sum(axis=0)
        taking = (weights > 0).sum(axis=0)
        variance = square / np.maximum(total, 1e-12) * taking / np.maximum(taking - 1, 1)
        if len(crops) < 5 or attempt == 2:
            break
        # With few beads a voxel's own scatter is little known: neighbours help.
        from scipy.ndimage import uniform_filter

        allowed = rejection**2 * np.maximum(variance, uniform_filter(variance, 3))
        weights = weights * ((stack - mean) ** 2 <= allowed * len(crops) / (len(crops) - 1))
    return mean, variance if len(crops) > 1 else np.full(mean.shape, np.nan)


def _refit(
    crop: Crop,
    mean: NDArray[np.float64],
    gradient: Sequence[NDArray[np.float64]],
    core: NDArray[np.bool_],
    edge: NDArray[np.float64],
) -> str:
    """Find light, floor and place of a bead anew; return why that failed, or nothing."""
    try:
        for _ in range(2):
            _align(crop, edge)
            # Photons scatter most where there are most of them.
            weight = 1 / (np.clip(mean, 0, None) + 0.05 * float(mean.max()))
            light, floor, shift = fit(
                crop.aligned * crop.light, crop.seen & core, mean, gradient, weight
            )
            crop.light = light
            crop.floor += floor
            bounded = [float(np.clip(s, -1, 1)) for s in shift]
            crop.shift = tuple(s - d for s, d in zip(crop.shift, bounded, strict=True))
    except np.linalg.LinAlgError:
        return "Not like the others: the mean bead is not found in it."
    if max(map(abs, crop.shift)) > ROOM:
        return "Not like the others: it fits the mean bead only elsewhere."
    return ""


def _unlike(
    crops: list[Crop], mean: NDArray[np.float64], core: NDArray[np.bool_]
) -> dict[int, str]:
    """Take beads that do not look like the mean out of the list; return which, and why."""
    shares = []
    for crop in crops:
        here = crop.seen & core
        signal = float((mean[here] ** 2).sum()) * crop.light**2
        rest = float((((crop.aligned - mean)[here] * crop.light) ** 2).sum())
        own = crop.noise**2 * int(here.sum())
        # Photon noise of unknown gain counts with the difference; so the limit is the others'.
        shares.append(float(np.sqrt(max(rest - own, 0.0) / max(signal, 1e-30))))
    typical = float(np.median(shares))
    failed: dict[int, str] = {}
    for crop, share in list(zip(crops, shares, strict=True)):
        if share > max(_UNLIKE, 2.5 * typical) and len(crops) > 3:
            failed[crop.number] = (
                f"Not like the others: {share:.0%} of it differs from the mean bead, of which "
                f"{typical:.0%} is usual."
            )
            crops.remove(crop)
    return failed
