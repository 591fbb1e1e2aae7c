"""The camera's noise, from one image: photon transfer without a calibration series."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.arrays import as_image, some_planes
from napari_deconv.background import estimate_offset
from napari_deconv.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Planes = NDArray[np.float32]

# Fourth differences along Y and X: at the frequencies that remain a microscope's image, sampled
# at the Nyquist distance, holds nothing but noise.
_ORDER = 4
_BLOCK = 6
_BINS = 24
_FEWEST = 24
# Voxels beyond which a stack is read in part.
_ENOUGH = 2_000_000


@dataclass(frozen=True, slots=True)
class Noise:
    """What a camera adds: ``variance = gain * (mean - offset) + read_noise**2``.

    Attributes
    ----------
    gain
        Intensity units per photon; always above 0.
    offset
        Intensity without light.
    read_noise
        Standard deviation without light, in intensity units.
    """

    gain: float
    offset: float
    read_noise: float

    def variance(self, mean: ArrayLike) -> NDArray[np.float64]:
        """Return the noise variance at a mean intensity, at least that of the read noise."""
        light = np.maximum(np.asarray(mean, np.float64) - self.offset, 0)
        return self.gain * light + self.read_noise**2


def estimate_noise(image: ArrayLike) -> Noise:
    """Estimate gain, offset and read noise from a single image.

    Fourth differences along Y and X, normalised so that white noise keeps its variance, remove
    what is smooth; the mean of their squares in a block of pixels is its noise variance, and the
    mean intensity under the same weights goes with it exactly. The blocks are grouped by
    intensity, outliers within a group are cut down, and a line through the groups gives the gain
    (its slope). Groups above the line count less than those below: fine structure can only add to
    the variance. The offset is that of :func:`~napari_deconv.background.estimate_offset`; the read
    noise is that of the darkest group.

    It assumes that the noise is independent from pixel to pixel (not denoised, resampled or
    compressed) and the image sampled well (a PSF no narrower than a standard deviation of 1
    pixel). Saturated blocks are left out. Where a photograph of nothing but an even field leaves
    the slope open, all noise is taken to be that of photons above zero.

    Parameters
    ----------
    image
        Intensities, axes ``..., Y, X``, planes of at least 6 x 6 pixels. Of a large stack planes
        at regular steps are read.

    Returns
    -------
    Noise
        Gain, offset and read noise. The gain is never 0, even for an image without noise.

    Raises
    ------
    InputError
        When the image is empty, RGB, smaller than 6 x 6 or holds values that are not finite.

    References
    ----------
    The photon transfer method (Janesick, Photon Transfer, SPIE Press 2007, chapter 5), with
    differences in place of repeated exposures as in Immerkaer, Computer Vision and Image
    Understanding 64 (1996) 300.
    """
    if min(np.shape(image)[-2:], default=0) < _ORDER + 2:
        raise InputError(
            f"The image (shape {np.shape(image)}) is too small to tell its noise; planes of at "
            f"least {_ORDER + 2} x {_ORDER + 2} pixels are needed."
        )
    values = as_image(some_planes(np.asarray(image), _ENOUGH))
    offset = estimate_offset(values)
    # Differences are taken in float32; without the offset they lose nothing by it.
    planes = values.reshape(-1, *values.shape[-2:]) - np.float32(offset)
    least = max(1e-9 * float(np.abs(values).max()), float(np.finfo(np.float32).tiny))
    means, variances = _blocks(planes)
    groups = _groups(means, variances)
    slope, error = _slope(*groups)
    if not slope > 4 * error:
        variance = float(groups[1].mean())
        varied = float(means.max() - np.median(means)) > 6 * variance**0.5 / _BLOCK
        if not varied and values.min() >= 0 < values.max():
            return Noise(max(variance / float(values.mean()), least), 0.0, 0.0)
        light = float(means.sum())
        # No more than if photons made all of the noise.
        most = float(variances.sum()) / light if light > 0 else np.inf
        slope = max(slope, min(error if np.isfinite(error) else variance**0.5, most))
    # The darkest blocks show the read noise, once what light they hold is taken off.
    dark = max(float(groups[1][0] - slope * groups[0][0]), 0.0)
    return Noise(max(slope, least), offset, dark**0.5)


def _blocks(planes: Planes) -> tuple[Array, Array]:
    """Return mean intensity and noise variance of each unsaturated block."""
    kernel = np.array([(-1) ** i * comb(_ORDER, i) for i in range(_ORDER + 1)], np.float32)
    energy = np.sum(kernel**2)
    weights = kernel**2 / energy
    residual = np.diff(np.diff(planes, _ORDER, axis=-1), _ORDER, axis=-2) / energy
    means = _block_means(_weighted(planes, weights))
    variances = _block_means(residual**2)
    top = _saturation(planes)
    if top is not None:
        clear = _block_means(_weighted((planes >= top).astype(np.float32), weights)) == 0
        # With everything saturated there is no noise to be seen, and none is reported.
        if clear.any():
            return means[clear], variances[clear]
    return means, variances


def _weighted(planes: Planes, weights: Planes) -> Planes:
    """Average along Y and X with the squares of the difference's coefficients."""
    for axis in (1, 2):
        along = np.moveaxis(planes, axis, 0)
        length = len(along) - _ORDER
        average = weights[0] * along[:length]
        for i, weight in enumerate(weights[1:], start=1):
            average += weight * along[i : i + length]
        planes = np.moveaxis(average, 0, axis)
    return planes


def _block_means(planes: Planes) -> Array:
    count, height, width = planes.shape
    down, across = min(_BLOCK, height), min(_BLOCK, width)
    rows, columns = height // down, width // across
    whole = planes[:, : rows * down, : columns * across]
    blocks = whole.reshape(count, rows, down, columns, across)
    means: Array = blocks.mean(axis=(2, 4), dtype=np.float64).ravel()
    return means


def _saturation(planes: Planes) -> float | None:
    """Return the intensity at which readings pile up, or None."""
    top = float(planes.max())
    at_top = int(np.count_nonzero(planes == top))
    below = planes[planes < top]
    if at_top < 10 or below.size == 0:
        return None
    next_level = int(np.count_nonzero(below == below.max()))
    return top if at_top > 3 * next_level + 10 else None


def _groups(means: Array, variances: Array) -> tuple[Array, Array, Array]:
    """Group the blocks by the square root of intensity; mean, variance and its error of each."""
    order = np.argsort(means, kind="stable")
    means, variances = means[order], variances[order]
    # The tenth brightest block closes the scale: a few hot pixels do not stretch it.
    span = means[-min(10, len(means))] - means[0]
    scale = np.sqrt(np.clip((means - means[0]) / span, 0, 1)) if span > 0 else np.zeros(len(means))
    edges = [0]
    for start in np.searchsorted(scale, np.arange(1, _BINS) / _BINS):
        if start - edges[-1] >= _FEWEST and len(means) - start >= _FEWEST:
            edges.append(int(start))
    groups = []
    for low, high in zip(edges, [*edges[1:], len(means)], strict=True):
        inside = variances[low:high]
        middle = np.median(inside)
        if middle > 0:
            inside = np.minimum(inside, 8 * middle)
        groups.append((means[low:high].mean(), inside.mean(), inside.std() / np.sqrt(high - low)))
    columns = np.array(groups).T
    return columns[0], columns[1], columns[2]


def _slope(means: Array, variances: Array, errors: Array) -> tuple[float, float]:
    """Fit a line that is pulled less by groups above it; its slope and that one's error."""
    positive = variances[variances > 0]
    # The least error a group is credited with, so that none without a photon outweighs all.
    floor = 0.02 * float(np.median(positive)) if positive.size else 1.0
    trust = np.ones_like(means)
    line = variances
    for _ in range(30):
        spread = errors**2 + (0.05 * np.maximum(line, 0)) ** 2 + floor**2
        weight = trust / spread
        middle = np.average(means, weights=weight)
        height = np.average(variances, weights=weight)
        leverage = np.sum(weight * (means - middle) ** 2)
        if not leverage > 0:
            return 0.0, np.inf
        slope = np.sum(weight * (means - middle) * (variances - height)) / leverage
        line = height + slope * (means - middle)
        above = (variances - line) / np.sqrt(spread)
        trust = np.where(above > 1.5, 1.5 / np.maximum(above, 1.5), 1.0)
    return float(slope), float(leverage**-0.5)
