"""One PSF out of an image of one bead, as microscopes and other programs leave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.errors import InputError
from napari_deconv.optics.beads.align import moved, taper
from napari_deconv.optics.beads.clean import on_no_floor, undo
from napari_deconv.optics.beads.measure import floor_and_noise, half_max_centroid, widths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


# Voxels around the image that keep what leaves at one side from coming back at the other.
_ROOM = 8
# Height over the noise below which there is no bead.
_FAINTEST = 6.0


@dataclass(frozen=True)
class Distilled:
    """A PSF, and what was done to get it.

    Attributes
    ----------
    psf
        float32, sum 1, origin at ``n // 2``, of the image's shape.
    background
        Offset that was removed.
    position
        Where the bead was, voxels.
    shift
        By how much it was moved, voxels.
    fwhm
        Full widths at half maximum, um (voxels without a spacing).
    snr
        Height over the noise of the background.
    """

    psf: NDArray[np.float32]
    background: float
    position: tuple[float, ...]
    shift: tuple[float, ...]
    fwhm: tuple[float, ...]
    snr: float


def distil_psf(
    image: ArrayLike,
    spacing: Sequence[float] | None = None,
    *,
    bead_diameter: float = 0.0,
    denoise: bool = True,
) -> Distilled:
    """Centre the image of one point or bead, remove its offset and its noise.

    Parameters
    ----------
    image
        Intensities (z, y, x) or (y, x), with one bead in it.
    spacing
        Voxel size, um; needed to undo a bead's diameter.
    bead_diameter
        Diameter of the bead, um; 0 leaves it in the PSF.
    denoise
        Take noise out; without, only what cannot be told from the floor is set to zero.

    Raises
    ------
    InputError
        When there is nothing in the image, or the diameter is given but no voxel size.
    """
    array = np.asarray(image)
    if array.ndim not in (2, 3) or array.dtype.kind not in "biuf" or min(array.shape) < 3:
        raise InputError("A PSF has to be a plane (Y, X) or a stack (Z, Y, X) of grey values.")
    values = array.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError("The PSF holds NaN or infinity. Replace these values first.")
    if bead_diameter > 0 and spacing is None:
        raise InputError("To undo the bead's diameter, the voxel size (spacing) is needed.")
    steps = tuple(spacing) if spacing is not None else (1.0,) * array.ndim
    focus = half_max_centroid(values, float(np.median(values)))[0]
    floor, noise = floor_and_noise(values, focus)
    values -= floor
    if values.max() <= _FAINTEST * noise:
        raise InputError("Nothing in the image stands out of its background and noise.")
    room = [(_ROOM, _ROOM)] * array.ndim
    place = half_max_centroid(values)
    shift = tuple(n // 2 - p for n, p in zip(array.shape, place, strict=True))
    whole = tuple(round(s) for s in shift)
    padded = _rolled(np.pad(values * taper(array.shape, 4), room), whole)
    padded = moved(padded, [s - w for s, w in zip(shift, whole, strict=True)])
    size = widths(padded, [n // 2 + _ROOM for n in array.shape], (1.0,) * array.ndim)
    if not np.isfinite(size).all():
        raise InputError(
            "The PSF does not fall to half of its height within the image: choose a larger part."
        )
    whole_psf: NDArray[np.float64] | None = None
    for _ in range(2):
        whole_psf = undo(
            padded, noise**2, steps, diameter=bead_diameter, denoise=denoise, pilot=whole_psf
        )
        whole_psf = on_no_floor(whole_psf, size)
    assert whole_psf is not None
    psf = whole_psf[tuple(slice(_ROOM, -_ROOM) for _ in room)]
    middle = tuple(n // 2 for n in psf.shape)
    return Distilled(
        psf=(psf / psf.sum()).astype(np.float32),
        background=floor,
        position=place,
        shift=shift,
        fwhm=widths(psf, middle, steps),
        snr=float(values.max()) / noise if noise > 0 else float("inf"),
    )


def _rolled(image: NDArray[np.float64], shift: Sequence[int]) -> NDArray[np.float64]:
    """Move by whole voxels; what leaves at one side does not come back at the other."""
    result = np.zeros_like(image)
    source = tuple(
        slice(max(0, -s), min(n, n - s)) for s, n in zip(shift, image.shape, strict=True)
    )
    target = tuple(slice(max(0, s), min(n, n + s)) for s, n in zip(shift, image.shape, strict=True))
    result[target] = image[source]
    return result
