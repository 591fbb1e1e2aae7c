"""From a PSF as people have it to the kernel of a convolution.

Checked, freed of a camera's offset, brought to the image's voxel size, centred, cropped to where
its energy is, and normalised to sum 1, all in float64 and in that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_deconv.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

Centre = Literal["index", "peak", "centroid"]

# Voxel sizes that agree to this share are the same size, stored with other digits.
_SAME_SPACING = 5e-3


@dataclass(frozen=True)
class Kernel:
    """A PSF ready for use.

    Attributes
    ----------
    array
        float64, not negative, sum 1.
    origin
        Index of its origin on every axis.
    notes
        What was done on the way, in plain words.
    warnings
        What looks wrong.
    """

    array: NDArray[np.float64]
    origin: tuple[int, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def prepare_kernel(
    psf: ArrayLike,
    *,
    centre: Centre | Sequence[int] = "index",
    background: float | Literal["auto"] = "auto",
    spacing: Sequence[float] | None = None,
    psf_spacing: Sequence[float] | None = None,
    energy: float = 1.0,
    reach: Sequence[int] | None = None,
) -> Kernel:
    """Turn a PSF into a kernel.

    Parameters
    ----------
    psf
        Intensities on 2 or 3 axes (Z, Y, X).
    centre
        Where the origin is: at index ``n // 2``, at the brightest voxel, at the centroid of what
        exceeds half of the maximum (to a fraction of a voxel), or at the indices given.
    background
        Offset to subtract. ``"auto"`` subtracts the median of the outer faces from whole-number
        data without any zero (a camera's counts), and nothing otherwise.
    spacing, psf_spacing
        Voxel sizes (um) of the image and of the PSF; the PSF is resampled when they differ.
    energy
        Share of the energy to keep when cropping; 1 crops nothing.
    reach
        Largest distance from the origin, on every axis, that can matter to the image.

    Raises
    ------
    InputError
        When there is no PSF in it: empty, not finite, all zero, of a wrong dimension.
    """
    array, notes, warnings = _checked(psf, background)
    place = _origin(array, centre)
    if psf_spacing is not None and spacing is not None:
        array, place, words = _resampled(array, place, spacing, psf_spacing)
        notes += words
    array, origin = _centred(array, place)
    before = array.shape
    if reach is not None:
        array, origin = _within(array, origin, reach)
    if array.shape != before:
        warnings.append(
            f"The PSF ({_times(before)}) is larger than the image; the part that can connect two "
            f"of its voxels ({_times(array.shape)}) is used."
        )
    array, origin = _cropped(array, origin, energy)
    total = array.sum()
    if total <= 0:
        raise InputError(
            "Nothing of the PSF is left near its centre. Check where its origin lies, or choose "
            "psf_centre='peak'."
        )
    return Kernel(array / total, origin, tuple(notes), tuple(warnings))


def _checked(
    psf: ArrayLike, background: float | str
) -> tuple[NDArray[np.float64], list[str], list[str]]:
    raw = np.asarray(psf)
    if raw.ndim not in (2, 3):
        raise InputError(
            f"The PSF has {raw.ndim} axes; it has to be a plane (Y, X) or a stack (Z, Y, X)."
        )
    if raw.size == 0:
        raise InputError("The PSF is empty.")
    if raw.dtype.kind not in "biuf":
        raise InputError(f"The PSF holds {raw.dtype}; it has to hold real numbers.")
    array = raw.astype(np.float64)
    if not np.isfinite(array).all():
        raise InputError("The PSF holds NaN or infinity. Replace these values, by zero if unknown.")
    notes: list[str] = []
    warnings: list[str] = []
    level = float(np.median(_faces(array)))
    spread = float(np.ptp(_faces(array)))
    counts = bool(np.all(array == np.rint(array))) and array.min() > 0 and array.max() > 1
    if background == "auto":
        # A kernel that is flat on purpose, such as a box, has nothing above its faces.
        background = level if counts and level < array.max() else 0.0
        if background:
            notes.append(f"An offset of {background:g} was subtracted from the PSF.")
        elif 0.01 * array.max() < level < array.max() and spread < 0.5 * level:
            warnings.append(
                f"The PSF's faces are at {level / array.max():.1%} of its maximum: if that is a "
                "camera's offset, subtract it (psf_background)."
            )
    array -= float(background)
    negative = -array[array < 0].sum()
    if negative > 0.02 * np.abs(array).sum() and not notes:
        warnings.append("Negative values of the PSF were set to zero.")
    np.clip(array, 0, None, out=array)
    if array.max() <= 0:
        raise InputError(
            "The PSF is zero everywhere. Choose the layer or file that holds the PSF, or generate "
            "one from your objective's data."
        )
    return array, notes, warnings


def _faces(array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values on the outer faces (edges of a plane)."""
    inner = np.zeros(array.shape, dtype=bool)
    inner[(slice(1, -1),) * array.ndim] = True
    return array[~inner]


def _origin(array: NDArray[np.float64], centre: Centre | Sequence[int]) -> tuple[float, ...]:
    """Return the origin, in fractions of a voxel where it is a centroid."""
    if not isinstance(centre, str):
        origin = tuple(int(i) for i in centre)
        fits = len(origin) == array.ndim
        if not fits or not all(0 <= i < n for i, n in zip(origin, array.shape, strict=True)):
            raise InputError(f"psf_centre {origin} is not a voxel of the PSF {array.shape}.")
        return origin
    if centre == "index":
        return tuple(n // 2 for n in array.shape)
    peak = np.unravel_index(int(np.argmax(array)), array.shape)
    if centre == "peak":
        return tuple(int(i) for i in peak)
    core = np.clip(array - 0.5 * array.max(), 0, None)
    indices = np.indices(array.shape)
    return tuple(float((axis * core).sum() / core.sum()) for axis in indices)


def _centred(
    array: NDArray[np.float64], origin: tuple[float, ...]
) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Move the array by a fraction of a voxel, in Fourier space, so that the origin is whole."""
    whole = tuple(round(o) for o in origin)
    if max(abs(o - w) for o, w in zip(origin, whole, strict=True)) < 1e-3:
        return array, whole
    from scipy.fft import irfftn, rfftn
    from scipy.ndimage import fourier_shift

    # Room at both ends keeps what leaves at one side from coming back at the other.
    room = [(4, 4)] * array.ndim
    padded = np.pad(array, room)
    shift = [w - o for o, w in zip(origin, whole, strict=True)]
    spectrum = fourier_shift(rfftn(padded), shift, n=padded.shape[-1])
    moved = irfftn(spectrum, padded.shape)[tuple(slice(4, -4) for _ in room)]
    return np.clip(moved, 0, None), whole


def _resampled(
    array: NDArray[np.float64],
    origin: tuple[float, ...],
    spacing: Sequence[float],
    psf_spacing: Sequence[float],
) -> tuple[NDArray[np.float64], tuple[float, ...], list[str]]:
    """Bring the PSF to the image's voxel size, its origin at index ``n // 2``.

    A voxel coarser than the PSF's is an average over the finer ones, not a sample.
    """
    target, source = tuple(spacing)[-array.ndim :], tuple(psf_spacing)[-array.ndim :]
    if len(target) != array.ndim or len(source) != array.ndim:
        raise InputError(
            f"spacing and psf_spacing need one number for each of the PSF's {array.ndim} axes, "
            f"not {len(target)} and {len(source)}."
        )
    ratios = [t / s for t, s in zip(target, source, strict=True)]
    if all(abs(r - 1) < _SAME_SPACING for r in ratios):
        return array, origin, []
    from scipy.ndimage import map_coordinates

    axes, samples = [], []
    for n, o, ratio in zip(array.shape, origin, ratios, strict=True):
        half = max(1, int(np.ceil(max(o + 0.5, n - 0.5 - o) / ratio - 0.5)))
        fine = max(1, int(np.ceil(2 * ratio))) if ratio > 1 else 1
        parts = (np.arange(fine) + 0.5) / fine - 0.5
        positions = (np.arange(-half, half + 1)[:, None] + parts) * ratio + o
        axes.append(positions.ravel())
        samples.append((2 * half + 1, fine))
    if np.prod([len(a) for a in axes]) > 4e8:
        raise InputError(
            f"Resampled from {_um(source)} to {_um(target)} um the PSF would become too large. "
            "Check both voxel sizes."
        )
    values = map_coordinates(array, np.meshgrid(*axes, indexing="ij"), order=3, mode="constant")
    for axis, (count, fine) in enumerate(samples):
        shape = (*values.shape[:axis], count, fine, *values.shape[axis + 1 :])
        values = values.reshape(shape).mean(axis=axis + 1)
    middle = tuple(n // 2 for n in values.shape)
    words = [f"The PSF was resampled from {_um(source)} to the image's {_um(target)} um."]
    return np.clip(values, 0, None), middle, words


def _within(
    array: NDArray[np.float64], origin: tuple[int, ...], reach: Sequence[int]
) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Cut what lies farther from the origin than ``reach``."""
    starts = [max(0, o - r) for o, r in zip(origin, reach, strict=True)]
    stops = [o + r + 1 for o, r in zip(origin, reach, strict=True)]
    cut = array[tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))]
    return cut, tuple(o - a for o, a in zip(origin, starts, strict=True))


def _cropped(
    array: NDArray[np.float64], origin: tuple[int, ...], energy: float
) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Cut outer planes whose energy together is at most ``1 - energy``."""
    budget = (1 - energy) * array.sum() / (2 * array.ndim)
    slices = []
    for axis in range(array.ndim):
        planes = array.sum(axis=tuple(i for i in range(array.ndim) if i != axis))
        # Planes with nothing in them always go.
        before = int(np.searchsorted(np.cumsum(planes), budget, side="right"))
        after = int(np.searchsorted(np.cumsum(planes[::-1]), budget, side="right"))
        start = min(before, origin[axis])
        slices.append(slice(start, max(len(planes) - after, origin[axis] + 1)))
    return array[tuple(slices)], tuple(o - s.start for o, s in zip(origin, slices, strict=True))


def _times(shape: Sequence[int]) -> str:
    return " x ".join(str(n) for n in shape)


def _um(spacing: Sequence[float]) -> str:
    return " x ".join(f"{s:g}" for s in spacing)
