"""Background: out-of-focus haze by wavelets, and the camera's constant offset.

The haze is CiDeR's section 3.4.1; ``docs/theory/background.md`` tells where the paper leaves room
and what was chosen there.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_deconv.arrays import as_image, some_planes
from napari_deconv.registry import Advanced, Range, check_parameters, parameters_of

Planes: TypeAlias = NDArray[np.float32]
Matrices: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]

# Side of the blocks whose means show the dark level, and the share of blocks taken as dark.
_BLOCK = 8
_DARK_SHARE = 0.01
# Enough voxels for a dark level; a larger image is read plane by plane at regular steps.
_ENOUGH = 4_000_000
_AT_ONCE = 4_000_000
# Multiplications in one matrix product up to which OpenBLAS stays on the calling thread.
_ONE_THREAD = 262_144


def estimate_background(
    image: ArrayLike,
    *,
    method: Literal["wavelet", "constant"] = "wavelet",
    level: Annotated[int, Range(1, 12)] = 7,
    passes: Annotated[int, Range(1, 50)] = 1,
    iterations: Annotated[int, Range(1, 100), Advanced()] = 3,
    wavelet: Annotated[Literal["db2", "db4", "db6", "db8", "sym6", "sym8"], Advanced()] = "db6",
    over_mean: Annotated[Literal["mean", "zero"], Advanced()] = "mean",
) -> NDArray[np.float32]:
    """Estimate the background: ``image - estimate_background(image)`` is the image without it.

    Every plane is normalised to ``y = (image - dark) / (max - dark)``, with its first percentile
    for ``dark``, so that a camera offset counts as darkness. Its excess over the mean is set
    aside, ``r = min(y, mean(y))``, and then, ``iterations`` times,

    ``r = min(A r, sqrt(y) / 2)``,

    where ``A`` keeps only the approximation band of a wavelet transform. The background is ``A``
    of the last ``r``, nowhere below ``dark``, back in the image's own units.

    Parameters
    ----------
    image
        Grey values, axes ``..., Y, X``, of any real type and unit. Stacks and series are treated
        plane by plane. It is not written to.
    method
        ``wavelet`` follows slow changes across a plane; ``constant`` is one number for the whole
        image, the camera offset of :func:`estimate_offset`.
    level
        Levels of the wavelet transform: structures wider than about 2**level pixels count as
        background. Fewer are used, with a warning, where a plane is narrower than twice that.
    passes
        How often the whole is done, each time on what the one before left in the image. Haze that
        rises well above the plane's mean takes several (5 do); even haze takes one.
    iterations
        How often the estimate is lowered to half the square root of the image and smoothed again.
    wavelet
        The wavelet, by its short name.
    over_mean
        What takes the place of pixels brighter than their plane's mean: the ``mean``, or ``zero``
        as the paper's sentence can also be read. Zero leaves most of an uneven haze in the image.

    Returns
    -------
    ndarray of float32
        The background, in the image's shape and units. Of ``a * image + c`` with a > 0 it is
        ``a`` times the background of ``image``, plus ``c``.

    Raises
    ------
    InputError
        When the image is empty, RGB or holds values that are not finite.
    ParameterError
        When a parameter is out of bounds.

    Warns
    -----
    UserWarning
        When the planes are too small for ``level``; :func:`usable_level` tells beforehand.

    References
    ----------
    CiDeR, section 3.4.1, after Zhao et al., Nature Biotechnology 40 (2022) 606 and Galloway,
    Le Ru and Etchegoin, Applied Spectroscopy 63 (2009) 1370.
    """
    given = {
        "method": method,
        "level": level,
        "passes": passes,
        "iterations": iterations,
        "wavelet": wavelet,
        "over_mean": over_mean,
    }
    check_parameters("estimate_background", parameters_of(estimate_background), given)
    values = as_image(image)
    if method == "constant":
        return np.full(values.shape, estimate_offset(values), np.float32)
    used = usable_level(values.shape, level)
    if used < level:
        warnings.warn(
            f"Planes of {values.shape[-2]} x {values.shape[-1]} pixels are too small for "
            f"{level} wavelet levels; {used} are used, so structures wider than about "
            f"{2**used} pixels count as background.",
            stacklevel=2,
        )
    axes = [_approximation(size, used, wavelet) for size in values.shape[-2:]]
    planes = values.reshape(-1, *values.shape[-2:])
    background = np.empty_like(planes)
    # As many planes at a time as stay in tens of megabytes.
    step = max(1, _AT_ONCE // (planes.shape[1] * planes.shape[2]))
    for start in range(0, len(planes), step):
        some, result = planes[start : start + step], background[start : start + step]
        result[...] = _haze(some, axes, iterations, over_mean)
        for _ in range(passes - 1):
            result += _haze(some - result, axes, iterations, over_mean)
    return background.reshape(values.shape)


def usable_level(shape: tuple[int, ...], level: int = 7) -> int:
    """Return how many of ``level`` wavelet levels planes of ``shape`` allow.

    The coarsest coefficients, 2**level pixels apart, have to fit at least twice into a plane;
    with fewer they would say nothing about it.

    Parameters
    ----------
    shape
        The image's shape, of which the last two axes count.
    level
        The levels wished for.

    Returns
    -------
    int
        At least 1 and at most ``level``.
    """
    return max(1, min(level, min(shape[-2:]).bit_length() - 2))


def estimate_offset(image: ArrayLike) -> float:
    """Estimate the camera's constant offset: the grey value of no light.

    Blocks of 8 x 8 pixels are averaged, and the offset is read from the darkest hundredth of
    them: that quantile of the block means, raised by as much as a quantile of noise lies below
    its mean. It assumes that light is absent, or nearly so, in at least one block in a hundred;
    where haze covers everything the weakest haze is counted in, which no single image can tell
    from an offset. Blocks without any variation (the padding of a registered or deskewed image)
    are left out unless most are like that. Of a large stack planes at regular steps are read.

    Parameters
    ----------
    image
        Grey values, axes ``..., Y, X``, of any real type.

    Returns
    -------
    float
        In the image's units; of ``a * image + c`` with a > 0 it is ``a`` times that of ``image``,
        plus ``c``.

    Raises
    ------
    InputError
        When the image is empty, RGB or holds values that are not finite.
    """
    from scipy.special import ndtri

    values = as_image(some_planes(np.asarray(image), _ENOUGH))
    means, deviations = _blocks(values)
    varied = deviations > 0
    if 2 * varied.sum() > varied.size:
        means, deviations = means[varied], deviations[varied]
    dark = means <= np.quantile(means, 2 * _DARK_SHARE)
    below = -ndtri(max(_DARK_SHARE, 0.5 / means.size)) / min(_BLOCK, *values.shape[-2:])
    return float(np.quantile(means, _DARK_SHARE) + below * np.median(deviations[dark]))


def _haze(planes: Planes, axes: list[Matrices], iterations: int, over_mean: str) -> Planes:
    """Estimate the haze of each plane by itself, with the wavelet matrices of Y and X."""
    dark = np.percentile(planes, 1, axis=(1, 2), keepdims=True).astype(np.float32)
    span = planes.max(axis=(1, 2), keepdims=True) - dark
    image = planes - dark
    image /= np.where(span > 0, span, 1)
    mean = image.mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    ceiling = np.sqrt(np.maximum(image, 0)) / 2
    residual = np.minimum(image, mean) if over_mean == "mean" else np.where(image > mean, 0, image)
    for _ in range(iterations):
        residual = np.minimum(_smooth(residual, axes), ceiling)
    # A wavelet may swing below darkness beside a bright place; no background does.
    haze: Planes = np.maximum(_smooth(residual, axes), 0) * span + dark
    return haze


def _smooth(planes: Planes, axes: list[Matrices]) -> Planes:
    """Keep the approximation band of each plane: ``R_y (A_y plane A_x^T) R_x^T``."""
    (down, up), (across, back) = axes
    band = _times(_times(planes, across).swapaxes(1, 2), down)
    return _times(_times(band, up).swapaxes(1, 2), back)


def _times(rows: Planes, matrix: NDArray[np.float32]) -> Planes:
    """Return ``rows @ matrix.T`` in pieces too small for BLAS to start threads on.

    They would not pay for themselves, and on a busy machine they wait for each other ten times
    longer than the product takes.
    """
    flat = np.ascontiguousarray(rows).reshape(-1, rows.shape[-1])
    product = np.empty((len(flat), len(matrix)), np.float32)
    step = max(1, _ONE_THREAD // matrix.size)
    for start in range(0, len(flat), step):
        np.matmul(flat[start : start + step], matrix.T, out=product[start : start + step])
    return product.reshape(*rows.shape[:-1], len(matrix))


@lru_cache(maxsize=32)
def _approximation(size: int, level: int, wavelet: str) -> Matrices:
    """Return the analysis (m, size) and synthesis (size, m) of the coarsest band along an axis.

    The transform is linear and separable and only its coarsest band is kept, a few coefficients
    per axis. As two thin matrices per axis it gives what pywt.wavedec2 and pywt.waverec2 give
    with the detail bands set to zero, at a fraction of their time.
    """
    import pywt

    analysis: NDArray[Any] = np.eye(size, dtype=np.float32)
    lengths = []
    for _ in range(level):
        lengths.append(analysis.shape[0])
        analysis = pywt.dwt(analysis, wavelet, mode="symmetric", axis=0)[0]
    synthesis: NDArray[Any] = np.eye(analysis.shape[0], dtype=np.float32)
    for length in reversed(lengths):
        synthesis = pywt.idwt(synthesis, None, wavelet, mode="symmetric", axis=0)[:length]
    return np.ascontiguousarray(analysis), np.ascontiguousarray(synthesis)


def _blocks(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of every whole block of ``_BLOCK`` squared pixels."""
    height, width = (min(_BLOCK, size) for size in values.shape[-2:])
    rows, columns = values.shape[-2] // height, values.shape[-1] // width
    whole = values[..., : rows * height, : columns * width]
    blocks = whole.reshape(-1, rows, height, columns, width)
    means = blocks.mean(axis=(2, 4), dtype=np.float64)
    squares = np.square(blocks - means[:, :, None, :, None].astype(np.float32))
    return means.ravel(), np.sqrt(squares.mean(axis=(2, 4), dtype=np.float64)).ravel()
