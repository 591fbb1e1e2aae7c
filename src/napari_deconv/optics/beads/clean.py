"""From a mean of beads to a PSF: without their diameter, without noise, without a floor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.optics.beads.align import frequencies, taper
from napari_deconv.optics.beads.measure import floor_and_noise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


# Turns of a rotational mean.
_ANGLES = 24


def sphere_transform(
    shape: Sequence[int], spacing: Sequence[float], diameter: float
) -> NDArray[np.float64]:
    """Return the half spectrum of a sphere that shines evenly, 1 at frequency 0.

    ``3 (sin q - q cos q) / q^3`` with ``q = pi d f``: exact, however small beside a voxel. In a
    plane, of the sphere's projection.
    """
    square = np.zeros((1,) * len(shape))
    for frequency in frequencies(shape, spacing):
        square = square + frequency**2
    q = np.pi * diameter * np.sqrt(square)
    small = q < 0.05
    safe = np.where(small, 1.0, q)
    exact = 3 * (np.sin(safe) - safe * np.cos(safe)) / safe**3
    return np.where(small, 1 - q * q / 10, exact)


def undo(
    mean: NDArray[np.float64],
    variance: float,
    spacing: Sequence[float],
    *,
    diameter: float = 0.0,
    finest: Sequence[float] | None = None,
    denoise: bool = True,
    pilot: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Undo a bead's diameter and take noise out, in one Wiener filter.

    ``H = B F / (B^2 + N / S)``: F the mean's spectrum, B the sphere's, N the noise that the beads'
    scatter shows, S what |F|^2, smoothed over neighbouring frequencies, has above it.

    Parameters
    ----------
    mean
        Mean of beads, its floor at 0.
    variance
        Of the mean, in one voxel.
    spacing
        Voxel size, um.
    diameter
        Of the beads, um.
    finest
        Finest period of the microscope's images along each axis, um: what is finer is noise.
    denoise
        Whether noise is taken out; without, the filter only keeps what it undoes from exploding.
    pilot
        An earlier estimate of the PSF, whose spectrum tells S better than the smoothed one.
    """
    from scipy.fft import irfftn, rfftn

    sphere = sphere_transform(mean.shape, spacing, diameter)
    spectrum = rfftn(mean * taper(mean.shape, 3))
    noise = variance * mean.size + 1e-12 * float(np.abs(spectrum).max()) ** 2
    if pilot is None:
        signal = np.maximum(_smooth(np.abs(spectrum) ** 2, mean.shape[-1]) - noise, 0)
        # Where the sphere's spectrum vanishes nothing is known; up to there S is the PSF's own.
        signal /= np.maximum(sphere**2, 1e-2)
    else:
        signal = np.abs(rfftn(pilot)) ** 2
    if denoise:
        filtered = spectrum * sphere * signal / (sphere**2 * signal + noise)
    else:
        filtered = spectrum * sphere / np.maximum(sphere**2, 1e-2)
    if finest is not None:
        square = np.zeros((1,) * mean.ndim)
        for frequency, period in zip(frequencies(mean.shape, spacing), finest, strict=True):
            filtered = filtered * (np.abs(frequency) * period <= 1.05)
            if period == finest[-1]:
                square = square + (frequency * period) ** 2
        filtered = filtered * (square <= 1.05**2)
    return np.asarray(irfftn(filtered, mean.shape))


def _smooth(power: NDArray[np.float64], last: int) -> NDArray[np.float64]:
    """Return the mean over neighbouring frequencies of a half spectrum."""
    from scipy.ndimage import uniform_filter1d

    for axis in range(power.ndim - 1):
        power = uniform_filter1d(power, 5, axis=axis, mode="wrap")
    # Below frequency 0 lies the mirror image of what is above; so beyond the highest one.
    before = np.flip(power[..., 1:3], axis=-1)
    behind = np.flip(power[..., -3:-1] if last % 2 == 0 else power[..., -2:], axis=-1)
    for axis in range(power.ndim - 1):
        before, behind = (np.roll(np.flip(p, axis), 1, axis) for p in (before, behind))
    whole = np.concatenate([before, power, behind], axis=-1)
    return np.asarray(uniform_filter1d(whole, 5, axis=-1)[..., 2:-2])


def on_no_floor(psf: NDArray[np.float64], width: Sequence[float]) -> NDArray[np.float64]:
    """Set to zero what cannot be told from the floor: noise that clipping would turn into light.

    Parameters
    ----------
    psf
        PSF, its floor at 0 but for noise.
    width
        Its FWHM along each axis, voxels.
    """
    from scipy.ndimage import binary_dilation, gaussian_filter, label

    sigma = [max(0.5, w / 2.3548) for w in width]
    smooth = gaussian_filter(psf, sigma)
    _, noise = floor_and_noise(smooth)
    pieces, _ = label(smooth > max(3 * noise, 1e-4 * float(smooth.max())))
    middle = pieces[tuple(n // 2 for n in psf.shape)]
    if middle == 0:
        return _not_negative(psf)
    reach = [2 * round(w / 2) + 1 for w in width]
    support = binary_dilation(pieces == middle, np.ones(reach, dtype=bool))
    soft = gaussian_filter(support.astype(np.float64), [s / 2 for s in sigma])
    return _not_negative(psf * soft)


def _not_negative(psf: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest PSF without negative values that has the same sum.

    Clipping alone would add the positive half of the noise to the light.
    """
    total = float(psf.sum())
    if total <= 0:
        return np.clip(psf, 0, None)
    # Of the values in falling order, as many are kept as stay above what must be taken off each.
    falling = np.sort(psf, axis=None)[::-1]
    excess = (np.cumsum(falling) - total) / np.arange(1, falling.size + 1)
    last = int(np.flatnonzero(falling > excess)[-1])
    return np.clip(psf - max(float(excess[last]), 0.0), 0, None)


def symmetric(psf: NDArray[np.float64], kind: str, spacing: Sequence[float]) -> NDArray[np.float64]:
    """Return the PSF averaged over mirror images in Y and X, or over all angles around z.

    The origin is at ``n // 2``.
    """
    if kind == "mirror":
        for axis in (-2, -1):
            psf = (psf + _mirrored(psf, axis)) / 2
        return psf
    from scipy.ndimage import affine_transform

    middle = np.array([n // 2 for n in psf.shape[-2:]], dtype=np.float64)
    scale = np.diag(spacing[-2:])
    planes = psf.reshape(-1, *psf.shape[-2:])
    result, seen = np.zeros_like(planes), np.zeros(psf.shape[-2:])
    for angle in np.arange(_ANGLES) * (2 * np.pi / _ANGLES):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.linalg.inv(scale) @ turn @ scale
        offset = middle - matrix @ middle
        # A corner that is turned out of the image is not known at that angle.
        seen += affine_transform(np.ones(seen.shape), matrix, offset, order=0)
        for plane, total in zip(planes, result, strict=True):
            total += affine_transform(plane, matrix, offset, order=5, mode="nearest") * (
                affine_transform(np.ones(seen.shape), matrix, offset, order=0)
            )
    return result.reshape(psf.shape) / np.maximum(seen, 1)


def _mirrored(psf: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the mirror image about index ``n // 2``."""
    mirrored = np.flip(psf, axis)
    # An even number's first index has no partner; it stays where it is.
    return np.roll(mirrored, 1, axis) if psf.shape[axis] % 2 == 0 else mirrored
