"""The PSF that many beads agree on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from napari_deconv.errors import InputError, ParameterError
from napari_deconv.optics.beads.align import fit, moved, slopes, taper
from napari_deconv.optics.beads.clean import on_no_floor, symmetric, undo
from napari_deconv.optics.beads.measure import (
    axial_asymmetry,
    floor_and_noise,
    half_max_centroid,
    lateral_asymmetry,
    widths,
)
from napari_deconv.optics.beads.report import BeadReport
from napari_deconv.registry import Advanced, Range, Unit, check_parameters, parameters_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_deconv.optics.beads.find import Bead
    from napari_deconv.optics.microscope import Microscope

# Voxels around the window that leave room for moving it.
_ROOM = 4
# What another bead lights up is left out within so many FWHM of it.
_SHADOW = 2.0
# Half of a PSF along z, y, x, in FWHM, unless told otherwise.
_HALF = (3.5, 5.0, 5.0)
# The floor is taken from so many FWHM away, laterally.
_FAR = 8.0
# How unlike the mean a bead may be: residual over signal, beyond what noise explains.
_UNLIKE = 0.35


@dataclass(frozen=True)
class BeadAverage:
    """The averaged PSF, and what it came from.

    Attributes
    ----------
    psf
        float32, sum 1, origin at ``n // 2``.
    deviation
        Standard deviation between beads in every voxel, in the PSF's unit; NaN of one bead.
    mean
        Mean bead before its diameter and the noise were taken away, in the PSF's unit.
    count
        Number of beads averaged.
    spacing
        Voxel size, um.
    background
        Mean intensity under the beads.
    beads
        All beads given, of each image one after the other: positions refined, and with a reason
        where the average left one out that had been accepted.
    report
        Widths, asymmetry and SNR.
    """

    psf: NDArray[np.float32]
    deviation: NDArray[np.float32]
    mean: NDArray[np.float32]
    count: int
    spacing: tuple[float, ...]
    background: float
    beads: tuple[Bead, ...]
    report: BeadReport


@dataclass(frozen=True, kw_only=True)
class Averaging:
    """How beads are averaged.

    Parameters
    ----------
    bead_diameter
        Diameter of the beads, which is undone; 0 leaves it in the PSF.
    symmetrise
        Average over mirror images, or over all angles around z: less noise, no coma nor
        astigmatism.
    denoise
        Take out what the beads do not agree on, frequency by frequency.
    rejection
        Values farther from the mean than so many standard deviations are left out, voxel by voxel.
    """

    bead_diameter: Annotated[float, Range(0.0, 5.0), Unit("um")] = 0.0
    symmetrise: Literal["none", "mirror", "radial"] = "none"
    denoise: bool = True
    rejection: Annotated[float, Range(1.5, 10.0), Advanced()] = 3.0


@dataclass
class _Crop:
    """One bead's surroundings, and what has been found about it."""

    number: int
    bead: Bead
    start: tuple[int, ...]
    values: NDArray[np.float64]
    known: NDArray[np.bool_]
    noise: float
    shift: tuple[float, ...]
    floor: float
    light: float = 1.0
    aligned: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    seen: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))


def average_beads(
    image: ArrayLike | Sequence[ArrayLike],
    beads: Sequence[Bead] | Sequence[Sequence[Bead]],
    spacing: Sequence[float],
    microscope: Microscope | None = None,
    *,
    modality: str = "widefield",
    shape: Sequence[int] | None = None,
    bead_diameter: float = 0.0,
    symmetrise: Literal["none", "mirror", "radial"] = "none",
    denoise: bool = True,
    rejection: float = 3.0,
) -> BeadAverage:
    """Average the accepted beads to one PSF.

    Each bead is scaled to equal light and moved (in Fourier space) to where the mean of all
    explains it best, by least squares; the mean weighs beads by their signal over noise and leaves
    out, in every voxel, values that are far off. Its floor is removed, the beads' diameter and the
    noise by one Wiener filter (see :func:`napari_deconv.optics.beads.clean.undo`).

    Parameters
    ----------
    image
        Intensities (z, y, x) or (y, x), or several such images.
    beads
        What :func:`find_beads` found in it; a list for each image, if several.
    spacing
        Voxel size on the image's axes, um.
    microscope, modality
        What made the image: frequencies that it cannot transmit are noise; and the report
        compares with theory.
    shape
        Of the PSF, voxels; automatic takes seven of the beads' widths along z and ten across, as
        far as the image has them.
    bead_diameter, symmetrise, denoise, rejection
        See :class:`Averaging`.

    Returns
    -------
    BeadAverage

    Raises
    ------
    InputError
        When no bead can be used; it says how many were rejected for what.
    ParameterError
        When a parameter is out of bounds.
    """
    given = check_parameters(
        "Averaging beads",
        parameters_of(Averaging),
        {
            "bead_diameter": bead_diameter,
            "symmetrise": symmetrise,
            "denoise": denoise,
            "rejection": rejection,
        },
    )
    settings = Averaging(**given)
    images, lists = _pairs(image, beads)
    steps = tuple(float(s) for s in spacing)
    if len(steps) != images[0].ndim:
        raise ParameterError(
            f"spacing is {steps}, but the image has {images[0].ndim} axes: one length for each."
        )
    every = [bead for each in lists for bead in each]
    usable = [bead for bead in every if bead.accepted]
    if not usable:
        raise InputError(_none_left(every))
    size = tuple(
        float(w / s) for w, s in zip(np.nanmedian([b.fwhm for b in usable], 0), steps, strict=True)
    )
    window = _window(shape, size, images[0].shape)
    crops = _crops(images, lists, size, window)
    mean, spread, crops, failed = _combine(crops, window, settings.rejection, size)
    result = _finished(mean, spread, crops, steps, settings, microscope, modality, size)
    cut = tuple(slice(_ROOM, -_ROOM) for _ in window)
    total = float(result[cut].sum())
    psf = (result[cut] / total).astype(np.float32)
    scale = float(np.clip(mean[cut], 0, None).sum())
    refined = _refined(every, crops, failed)
    _, noise = floor_and_noise(mean[cut])
    middle = tuple(n // 2 for n in window)
    found = widths(psf.astype(np.float64), middle, steps)
    report = BeadReport(
        beads=refined,
        spacing=steps,
        bead_diameter=settings.bead_diameter,
        fwhm=found,
        fwhm_of_mean=widths(mean[cut], middle, steps),
        theory=microscope.expected_fwhm(modality)[-len(steps) :] if microscope else None,
        lateral_asymmetry=lateral_asymmetry(psf.astype(np.float64), middle, steps),
        axial_asymmetry=(
            axial_asymmetry(psf.astype(np.float64), middle, found[0] / steps[0])
            if len(steps) == 3
            else 0.0
        ),
        snr=float(mean[cut].max()) / noise if noise > 0 else float("inf"),
    )
    return BeadAverage(
        psf=psf,
        deviation=(np.sqrt(spread[cut]) / scale).astype(np.float32),
        mean=(mean[cut] / scale).astype(np.float32),
        count=len(crops),
        spacing=steps,
        background=float(np.mean([c.floor for c in crops])),
        beads=refined,
        report=report,
    )


def _pairs(image: Any, beads: Any) -> tuple[list[NDArray[np.float32]], list[list[Bead]]]:
    several = isinstance(image, list | tuple) and bool(image) and np.ndim(image[0]) >= 2
    given = [np.asarray(i, np.float32) for i in (image if several else [image])]
    lists = [list(each) for each in (beads if several else [beads])]
    if len(given) != len(lists):
        raise InputError(f"There are {len(given)} images, but beads for {len(lists)}.")
    if len({i.ndim for i in given}) > 1 or given[0].ndim not in (2, 3):
        raise InputError("Images of beads have to be planes (Y, X) or stacks (Z, Y, X), all alike.")
    return given, lists


def _none_left(beads: Sequence[Bead]) -> str:
    reasons: dict[str, int] = {}
    for bead in beads:
        kind = bead.reason.split(":")[0].lower()
        reasons[kind] = reasons.get(kind, 0) + 1
    told = ", ".join(f"{count} {kind}" for kind, count in reasons.items())
    return f"No bead is left to average ({told or 'none was found'})."


def _window(
    shape: Sequence[int] | None, size: Sequence[float], image: Sequence[int]
) -> tuple[int, ...]:
    if shape is None:
        odd = [n - (n + 1) % 2 for n in image]
        halves = [round(_HALF[a] * s) for a, s in zip(range(-len(size), 0), size, strict=True)]
        return tuple(min(2 * h + 1, n) for h, n in zip(halves, odd, strict=True))
    window = tuple(int(n) for n in shape)
    if len(window) != len(size) or min(window) < 3:
        raise ParameterError(
            f"shape is {tuple(shape)}, but has to be {len(size)} numbers of voxels from 3 on."
        )
    return window


def _crops(
    images: Sequence[NDArray[np.float32]],
    lists: Sequence[Sequence[Bead]],
    size: Sequence[float],
    window: Sequence[int],
) -> list[_Crop]:
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
) -> _Crop:
    whole = [round(p) for p in bead.position]
    start = tuple(w - n // 2 - _ROOM for w, n in zip(whole, window, strict=True))
    shape = tuple(n + 2 * _ROOM for n in window)
    places = [np.arange(s, s + n) for s, n in zip(start, shape, strict=True)]
    inside = [(p >= 0) & (p < n) for p, n in zip(places, image.shape, strict=True)]
    held = [np.clip(p, 0, n - 1) for p, n in zip(places, image.shape, strict=True)]
    values = image[np.ix_(*held)].astype(np.float64)
    known = np.ones(shape, dtype=bool)
    for axis, row in enumerate(inside):
        known &= row.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    known &= _own(places, bead, others, size)
    floor, noise = _surroundings(image, bead, others, size, window)
    shift = tuple(w - p for w, p in zip(whole, bead.position, strict=True))
    return _Crop(number, bead, start, values, known, noise, shift, floor)


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
) -> tuple[float, float]:
    """Return floor and noise around a bead, from farther away than the PSF's light in focus."""
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
    return floor_and_noise(known, bead.position[0] - places[0][0], size[0] / 2)


def _combine(
    crops: list[_Crop], window: Sequence[int], rejection: float, size: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[_Crop], dict[int, str]]:
    """Align beads and average them; return mean, variance between beads, and who took part."""
    edge = taper([n + 2 * _ROOM for n in window], _ROOM)
    middle = [n // 2 + _ROOM for n in window]
    failed: dict[int, str] = {}
    for crop in crops:
        crop.light = crop.bead.peak
    core = _near(edge.shape, middle, [2.5 * s for s in size])
    mean, spread = np.zeros(0), np.zeros(0)
    for turn in range(5):
        for crop in crops:
            _align(crop, edge)
        mean, spread = _mean(crops, rejection)
        mean *= edge
        # All follow the mean: its own middle has to be where the origin is.
        off = [m - p for m, p in zip(middle, half_max_centroid(mean), strict=True)]
        for crop in crops:
            crop.shift = tuple(s + o for s, o in zip(crop.shift, off, strict=True))
        mean = moved(mean, off)
        if turn == 4:
            spread = np.clip(moved(spread * edge, off), 0, None)
            break
        gradient = slopes(mean)
        for crop in list(crops):
            reason = _refit(crop, mean, gradient, core, edge)
            if reason and len(crops) > 1:
                failed[crop.number] = reason
                crops.remove(crop)
        if turn == 2:
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


def _align(crop: _Crop, edge: NDArray[np.float64]) -> None:
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
    crops: Sequence[_Crop], rejection: float
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
    crop: _Crop,
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
    if max(map(abs, crop.shift)) > _ROOM:
        return "Not like the others: it fits the mean bead only elsewhere."
    return ""


def _unlike(
    crops: list[_Crop], mean: NDArray[np.float64], core: NDArray[np.bool_]
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


def _finished(
    mean: NDArray[np.float64],
    spread: NDArray[np.float64],
    crops: Sequence[_Crop],
    spacing: tuple[float, ...],
    settings: Averaging,
    microscope: Microscope | None,
    modality: str,
    size: Sequence[float],
) -> NDArray[np.float64]:
    if len(crops) > 1:
        light = np.array([c.light / max(c.noise, 1e-3 * c.bead.peak) for c in crops]) ** 2
        effective = light.sum() ** 2 / (light**2).sum()
        variance = float(np.mean(spread)) / effective
    else:
        variance = floor_and_noise(mean)[1] ** 2
    finest = None
    if microscope is not None:
        from napari_deconv.optics.instrument import Instrument

        instrument = Instrument(microscope, modality=modality)
        lateral = instrument.lateral_period()
        finest = (instrument.axial_period(), lateral, lateral)[-mean.ndim :]
    result: NDArray[np.float64] | None = None
    for _ in range(2):
        result = undo(
            mean,
            variance,
            spacing,
            diameter=settings.bead_diameter,
            finest=finest,
            denoise=settings.denoise,
            pilot=result,
        )
        if settings.symmetrise != "none":
            result = symmetric(result, settings.symmetrise, spacing)
        result = on_no_floor(result, size)
    assert result is not None
    return result


def _refined(
    every: Sequence[Bead], crops: Sequence[_Crop], failed: dict[int, str]
) -> tuple[Bead, ...]:
    result = list(every)
    for crop in crops:
        whole = [round(p) for p in crop.bead.position]
        place = tuple(w - s for w, s in zip(whole, crop.shift, strict=True))
        result[crop.number] = replace(crop.bead, position=place)
    for number, reason in failed.items():
        result[number] = every[number].rejected(reason)
    return tuple(result)
