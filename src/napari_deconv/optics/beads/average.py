"""The PSF that many beads agree on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from napari_deconv.errors import InputError, ParameterError
from napari_deconv.optics.beads.clean import on_no_floor, symmetric, undo
from napari_deconv.optics.beads.combine import combine
from napari_deconv.optics.beads.crops import ROOM, cut_out
from napari_deconv.optics.beads.measure import (
    axial_asymmetry,
    floor_and_noise,
    lateral_asymmetry,
    widths,
)
from napari_deconv.optics.beads.report import BeadReport
from napari_deconv.registry import Advanced, Range, Unit, check_parameters, parameters_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_deconv.optics.beads.crops import Crop
    from napari_deconv.optics.beads.find import Bead
    from napari_deconv.optics.microscope import Microscope

# Half of a PSF along z, y, x, in FWHM, unless told otherwise.
_HALF = (3.5, 5.0, 5.0)


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
    crops = cut_out(images, lists, size, window)
    mean, spread, crops, failed = combine(crops, window, settings.rejection, size)
    result = _finished(mean, spread, crops, steps, settings, microscope, modality, size)
    cut = tuple(slice(ROOM, -ROOM) for _ in window)
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


def _finished(
    mean: NDArray[np.float64],
    spread: NDArray[np.float64],
    crops: Sequence[Crop],
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
    every: Sequence[Bead], crops: Sequence[Crop], failed: dict[int, str]
) -> tuple[Bead, ...]:
    result = list(every)
    for crop in crops:
        whole = [round(p) for p in crop.bead.position]
        place = tuple(w - s for w, s in zip(whole, crop.shift, strict=True))
        result[crop.number] = replace(crop.bead, position=place)
    for number, reason in failed.items():
        result[number] = every[number].rejected(reason)
    return tuple(result)
