"""Find the beads of an image, and say of each whether its picture can be used and why not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_deconv.errors import InputError, ParameterError
from napari_deconv.optics.beads.measure import (
    axial_asymmetry,
    floor_and_noise,
    half_max_centroid,
    lateral_asymmetry,
    widths,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_deconv.optics.microscope import Microscope

# What is less bright than this share of a brighter neighbour is a ring of its PSF, not a bead.
_RING = 0.2
# What is less bright than this share of the brightest bead is not worth a row in a table.
_FAINTEST = 0.03
# A voxel that exceeds all of its neighbours so many times is the camera's, not the sample's.
_HOT = 6.0
# Brightest values of cameras: as many voxels at one of them are a sign of saturation.
_FULL = frozenset(2**bits - 1 for bits in (8, 10, 11, 12, 14, 15, 16))


@dataclass(frozen=True, kw_only=True)
class Bead:
    """One bead of an image.

    Attributes
    ----------
    position
        Middle, in voxels (z, y, x) or (y, x), fractions included.
    accepted
        Whether its image can be used.
    reason
        Why not, in plain words; empty for a bead that can.
    peak, floor, noise
        Intensity at its middle above the floor, the floor, and the noise around it.
    fwhm
        Full widths at half maximum along the axes, um; NaN where they cannot be read.
    lateral_asymmetry
        Larger over smaller lateral width, whatever their direction.
    axial_asymmetry
        Light deeper than the focus less light above it, as a share of both; 0 for a plane.
    """

    position: tuple[float, ...]
    accepted: bool = True
    reason: str = ""
    peak: float = 0.0
    floor: float = 0.0
    noise: float = 0.0
    fwhm: tuple[float, ...] = ()
    lateral_asymmetry: float = 1.0
    axial_asymmetry: float = 0.0

    @property
    def snr(self) -> float:
        """Height over the noise of the background."""
        return self.peak / self.noise if self.noise > 0 else float("inf")

    def rejected(self, reason: str) -> Bead:
        """Return the same bead, not accepted."""
        return replace(self, accepted=False, reason=reason)


def find_beads(
    image: ArrayLike,
    spacing: Sequence[float],
    microscope: Microscope | None = None,
    *,
    modality: str = "widefield",
    fwhm: Sequence[float] | None = None,
    minimum_snr: float = 10.0,
    separation: float = 3.0,
    margin: float = 1.5,
    widest: float = 1.4,
    saturation: float | Literal["auto"] = "auto",
) -> list[Bead]:
    """Find beads and decide which of them can be used.

    They are the maxima of the image smoothed to their own size less its surroundings; their middle
    is the centroid of what exceeds half of their height.

    Parameters
    ----------
    image
        Intensities (z, y, x) or (y, x).
    spacing
        Voxel size on the same axes, um.
    microscope, modality
        What made the image, to know how large beads are; without, it is read from the image.
    fwhm
        Their full widths at half maximum (um) on the image's axes, to use instead.
    minimum_snr
        Least height over the noise of the background.
    separation
        Least distance from another bead, in FWHM.
    margin
        Least distance of the middle from the image's borders, in FWHM.
    widest
        Largest width over the median of all beads' (the lateral ones along any direction).
    saturation
        Intensity from which on the camera was full; automatic finds several voxels of a bead at
        the image's largest value.

    Returns
    -------
    list of Bead
        From bright to dark, accepted or not.

    Raises
    ------
    InputError
        When the image has no two or three axes, is not finite, or holds nothing that stands out.
    ParameterError
        When spacing or fwhm do not fit.
    """
    array = _without_hot_pixels(_checked(image))
    steps = _lengths("spacing", spacing, array.ndim)
    size = _expected(array, steps, microscope, modality, fwhm)
    response, noise = _stand_out(array, size)
    places = _maxima(response, noise, size)
    if not places:
        raise InputError(
            "Nothing in the image stands out as a bead. Check the voxel size, or give the beads' "
            "expected width (fwhm)."
        )
    beads = [_measured(array, place, size, steps) for place in places]
    heights = [float(response[place]) for place in places]
    full = _full(array, saturation)
    for i, bead in enumerate(beads):
        reason = (
            _cut(bead, array.shape, size, margin, steps)
            or _crowded(i, beads, heights, size, separation, steps)
            or _filled(array, bead, size, full)
            or _weak(bead, minimum_snr)
        )
        if reason:
            beads[i] = bead.rejected(reason)
    return _same_size(beads, widest)


def _checked(image: ArrayLike) -> NDArray[np.float32]:
    array = np.asarray(image)
    if array.ndim not in (2, 3):
        raise InputError(
            f"The image has {array.ndim} axes; beads are looked for in a plane (Y, X) or a stack "
            "(Z, Y, X). Choose one channel and time point."
        )
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise InputError("The image holds no grey values.")
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError("The image holds NaN or infinity. Replace these values first.")
    return array


def _without_hot_pixels(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring single voxels that no optics can make so bright down to their neighbours."""
    median = np.median(array[(slice(None, None, 2),) * array.ndim])
    around = np.full(array.shape, -np.inf, np.float32)
    for axis in range(array.ndim):
        for side in (1, -1):
            beside = np.roll(array, side, axis)
            edge = [slice(None)] * array.ndim
            edge[axis] = slice(0, 1) if side == 1 else slice(-1, None)
            beside[tuple(edge)] = -np.inf
            np.maximum(around, beside, out=around)
    hot = array - median > _HOT * np.maximum(around - median, np.float32(1e-6) + abs(median))
    return np.where(hot & np.isfinite(around), around, array)


def _lengths(name: str, given: Sequence[float], ndim: int) -> tuple[float, ...]:
    values = tuple(float(each) for each in given)
    if len(values) != ndim or not all(np.isfinite(v) and v > 0 for v in values):
        raise ParameterError(
            f"{name} is {tuple(given)}, but has to be {ndim} positive lengths, um."
        )
    return values


def _expected(
    array: NDArray[np.float32],
    spacing: tuple[float, ...],
    microscope: Microscope | None,
    modality: str,
    fwhm: Sequence[float] | None,
) -> tuple[float, ...]:
    """Return the width of a bead along each axis, voxels."""
    if fwhm is not None:
        lengths = _lengths("fwhm", fwhm, array.ndim)
    elif microscope is not None:
        lengths = microscope.expected_fwhm(modality)[-array.ndim :]
    else:
        return _typical(array)
    return tuple(max(f / s, 1.0) for f, s in zip(lengths, spacing, strict=True))


def _typical(array: NDArray[np.float32]) -> tuple[float, ...]:
    """Return the median width (voxels) of the brightest spots."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    smooth = gaussian_filter(array, 1.0)
    floor = float(np.median(array))
    tops = np.argwhere((smooth == maximum_filter(smooth, 5)) & (smooth > floor))
    tops = tops[np.argsort(-smooth[tuple(tops.T)])][:40]
    found: list[tuple[float, ...]] = []
    for top in tops:
        # Its peak stands on little else, and the line through it is long.
        reach = [min(24, n - 1) for n in array.shape]
        cut = tuple(
            slice(max(0, t - r), t + r + 1) for t, r in zip(top.tolist(), reach, strict=True)
        )
        place = [float(t - c.start) for t, c in zip(top, cut, strict=True)]
        found.append(widths(smooth[cut].astype(np.float64) - floor, place, (1.0,) * array.ndim))
        if smooth[tuple(top)] - floor < 0.3 * (smooth[tuple(tops[0])] - floor) and len(found) > 3:
            break
    values = np.array(found) if found else np.full((1, array.ndim), np.nan)
    with np.errstate(all="ignore"):
        typical = np.nanmedian(values, axis=0) if np.isfinite(values).any(axis=0).all() else None
    if typical is None:
        raise InputError(
            "How large the beads are cannot be read from the image: give the microscope or fwhm."
        )
    # The smoothing's own width is taken away again.
    return tuple(float(np.sqrt(max(w * w - 2.3548**2, 2.25))) for w in typical)


def _stand_out(
    array: NDArray[np.float32], size: tuple[float, ...]
) -> tuple[NDArray[np.float32], float]:
    """Return the image smoothed to a bead's size less its surroundings, and the noise in it."""
    from scipy.ndimage import gaussian_filter

    sigma = [s / 2.3548 for s in size]
    small = gaussian_filter(array, [0.6 * s for s in sigma])
    response = small - gaussian_filter(array, [2.0 * s for s in sigma])
    thin = response[(slice(None, None, 2),) * response.ndim]
    noise = 1.4826 * float(np.median(np.abs(thin - np.median(thin))))
    return response, noise


def _maxima(
    response: NDArray[np.float32], noise: float, size: tuple[float, ...]
) -> list[tuple[int, ...]]:
    """Return the voxels of maxima that are no rings of brighter ones, from bright to dark."""
    from scipy.ndimage import maximum_filter

    footprint = [2 * max(1, round(s / 2)) + 1 for s in size]
    limit = max(5 * noise, _FAINTEST * float(response.max()), 1e-30)
    tops = np.argwhere((response == maximum_filter(response, footprint)) & (response > limit))
    tops = tops[np.argsort(-response[tuple(tops.T)], kind="stable")]
    kept: list[tuple[int, ...]] = []
    scale = np.array(size)
    for top in tops:
        height = float(response[tuple(top)])
        for other in kept:
            apart = (top - np.array(other)) / scale
            # Along z a PSF reaches farther than across.
            apart[: len(apart) - 2] /= 2
            share = height / float(response[other])
            if np.linalg.norm(apart) < 4 and (share < _RING or np.linalg.norm(apart) < 0.5):
                break
        else:
            kept.append(tuple(int(i) for i in top))
    return kept


def _measured(
    array: NDArray[np.float32],
    place: tuple[int, ...],
    size: tuple[float, ...],
    spacing: tuple[float, ...],
) -> Bead:
    halves = [max(3, round(2.5 * s)) for s in size]
    cut = tuple(
        slice(max(0, p - h), min(n, p + h + 1))
        for p, h, n in zip(place, halves, array.shape, strict=True)
    )
    window = array[cut].astype(np.float64)
    depth = size[0] / 2 if array.ndim == 3 else 0.0
    floor, noise = floor_and_noise(window, place[0] - cut[0].start, depth)
    # The middle is sought near the maximum, lest a neighbour draw it away.
    core = tuple(
        slice(max(0, p - c.start - max(2, round(s))), p - c.start + max(2, round(s)) + 1)
        for p, c, s in zip(place, cut, size, strict=True)
    )
    inner = half_max_centroid(window[core], floor)
    local = [i + c.start for i, c in zip(inner, core, strict=True)]
    found = widths(window - floor, local, spacing)
    planes = found[0] / spacing[0] if array.ndim == 3 else 0.0
    near = tuple(slice(max(0, round(p) - 1), round(p) + 2) for p in local)
    return Bead(
        position=tuple(p + c.start for p, c in zip(local, cut, strict=True)),
        peak=float(np.median(np.sort(window[near].ravel())[-5:])) - floor,
        floor=floor,
        noise=noise,
        fwhm=found,
        lateral_asymmetry=lateral_asymmetry(window - floor, local, spacing),
        axial_asymmetry=axial_asymmetry(window - floor, local, planes) if planes > 0 else 0.0,
    )


def _cut(
    bead: Bead,
    shape: Sequence[int],
    size: Sequence[float],
    margin: float,
    spacing: Sequence[float],
) -> str:
    names = "zyx"[-len(shape) :]
    for name, place, length, width, step in zip(
        names, bead.position, shape, size, spacing, strict=True
    ):
        room = min(place, length - 1 - place)
        if room < margin * width:
            return (
                f"At the edge: {room * step:.2f} um from the image's border along {name}, but "
                f"{margin * width * step:.2f} um are needed."
            )
    return ""


def _crowded(
    own: int,
    beads: Sequence[Bead],
    heights: Sequence[float],
    size: Sequence[float],
    separation: float,
    spacing: Sequence[float],
) -> str:
    mine = np.array(beads[own].position)
    for other, bead in enumerate(beads):
        share = heights[other] / heights[own]
        if other == own or share < _RING:
            continue
        apart = np.array(bead.position) - mine
        distance = float(np.linalg.norm(apart / np.array(size)))
        if distance < separation:
            return (
                f"Too near to another: {np.linalg.norm(apart * np.array(spacing)):.2f} um from a "
                f"bead with {share:.0%} of its brightness, which is {distance:.1f} times their "
                f"width; {separation:g} times are needed."
            )
    return ""


def _full(array: NDArray[np.float32], saturation: float | str) -> float:
    """Return the intensity from which on voxels may be saturated."""
    return float(array.max()) if isinstance(saturation, str) else float(saturation)


def _filled(array: NDArray[np.float32], bead: Bead, size: Sequence[float], full: float) -> str:
    core = tuple(
        slice(max(0, round(p - s / 2)), round(p + s / 2) + 1)
        for p, s in zip(bead.position, size, strict=True)
    )
    count = int((array[core] >= full).sum())
    given = full != float(array.max())
    limit = 1 if given else 2 if full in _FULL else 4
    if count < limit:
        return ""
    kind = "Saturated" if given or full in _FULL else "Clipped"
    return f"{kind}: {count} of its voxels are at {full:g}, " + (
        "from which on the camera was full." if given else "the image's largest value."
    )


def _weak(bead: Bead, minimum: float) -> str:
    if bead.snr >= minimum:
        return ""
    return (
        f"Weak: {bead.snr:.1f} times the noise of the background, but {minimum:g} times are needed."
    )


def _same_size(beads: list[Bead], widest: float) -> list[Bead]:
    """Reject what is wider than the other beads: two in one, or dirt."""
    good = [b for b in beads if b.accepted]
    # With few beads there is no saying which of them is odd.
    if not good:
        return beads
    typical = np.nanmedian([b.fwhm for b in good], axis=0)
    form = float(np.nanmedian([b.lateral_asymmetry for b in good]))
    checked = []
    for bead in beads:
        if not bead.accepted:
            checked.append(bead)
            continue
        ratio = np.array(bead.fwhm) / typical
        axis = int(np.argmax(np.where(np.isfinite(ratio), ratio, np.inf)))
        name = "zyx"[-len(ratio) :][axis]
        reason = ""
        if not np.isfinite(bead.fwhm).all():
            reason = (
                f"Not a single bead: its profile along {name} does not fall to half its height."
            )
        elif ratio[axis] > widest:
            reason = (
                f"Double or not a bead: {bead.fwhm[axis]:.2f} um wide along {name}, "
                f"{ratio[axis]:.1f} times the median of the beads."
            )
        elif bead.lateral_asymmetry > widest * form:
            reason = (
                f"Elongated, perhaps two beads: {bead.lateral_asymmetry:.1f} times as long as wide "
                f"(the beads' median is {form:.1f})."
            )
        checked.append(bead.rejected(reason) if reason else bead)
    return checked
