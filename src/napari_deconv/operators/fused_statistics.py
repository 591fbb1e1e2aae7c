"""What the figures of a step are sums of, each in one pass through memory, by numba.

The same as :mod:`napari_deconv.engine.statistics` does with torch, where
:func:`napari_deconv.operators.fused.usable` says that the compiled loops can. Loaded only then.

In all of them ``zero`` is the intensity without light, ``gain`` that of a photon, and ``least`` the
fewest photons that a prediction may promise.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.compiling import compiled
from napari_deconv.operators.fused import everywhere, rows
from napari_deconv.operators.loops_logarithm import log_one_plus, logarithm
from napari_deconv.sharing import shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

ZERO, ONE, TINY = np.float32(0), np.float32(1), np.float32(1e-30)


def misfit(
    data: Tensor, prediction: Tensor, floor: Tensor, *, zero: float, gain: float, least: float
) -> tuple[float, float]:
    """Return the sums of ``y log(y / p) - y + p`` and of ``(y - p)^2 / p``, in photons."""
    deviance, squares = _sums(misfit_rows, data, prediction, floor, (zero, gain, least))
    return deviance, squares


def held_out(
    photons: Tensor,
    prediction: Tensor,
    floor: Tensor,
    *,
    zero: float,
    gain: float,
    least: float,
    least_share: float,
) -> float:
    """Return the sum of ``n log(1 + e / n) - e``, with ``e`` what is promised more than n."""
    numbers = (zero, gain, least, least_share)
    (likelihood,) = _sums(held_out_rows, photons, prediction, floor, numbers)
    return likelihood


def uncertain(
    data: Tensor,
    prediction: Tensor,
    floor: Tensor,
    *,
    zero: float,
    gain: float,
    least: float,
    kept: float,
    psf_error: float,
) -> tuple[float, ...]:
    """Return sums of variances v, of the PSF's share of them, and of 1, r and r^2 over v.

    The residual r is that of the share of photons that was ``kept``, scaled up to all of them.
    """
    numbers = (zero, gain, least, 1 / kept, psf_error)
    return _sums(uncertain_rows, data, prediction, floor, numbers)


def _sums(
    loop: Callable[..., Any],
    data: Tensor,
    prediction: Tensor,
    floor: Tensor,
    numbers: tuple[float, ...],
) -> tuple[float, ...]:
    y, p = rows(data)[0], rows(prediction)[0]
    b = everywhere(floor, data.shape[-1])
    fixed = tuple(np.float32(number) for number in numbers)
    parts = shared(lambda *place: loop(y, p, b, fixed, *place), y.shape[0], y.shape[1])
    return tuple(float(sum(each)) for each in zip(*parts, strict=True))


@compiled
def misfit_row(y: Any, p: Any, b: Any, numbers: Any, line: Any, bits: Any, power: Any) -> Any:
    """Return both sums over a row; ``bits`` are those of ``line``."""
    zero, gain, least = numbers
    deviance, squares = ZERO, ZERO
    for i in range(y.size):
        model, counts = max((p[i] + (b[i] - zero)) / gain, least), max((y[i] - zero) / gain, ZERO)
        squares += (counts - model) * (counts - model) / model
        deviance += model - counts
        line[i] = max(counts / model, TINY)
    logarithm(line, bits, power)
    for i in range(y.size):
        deviance += max((y[i] - zero) / gain, ZERO) * line[i]
    return deviance, squares


@compiled
def misfit_rows(
    y: Any, p: Any, b: Any, numbers: Any, z0: int, z1: int, y0: int, y1: int
) -> tuple[float, float]:
    """Return both sums over all rows."""
    n, deviance, squares = y.shape[2], 0.0, 0.0
    line, power = np.empty(n, np.float32), np.empty(n, np.float32)
    bits = line.view(np.int32)
    for z in range(z0, z1):
        for k in range(y0, y1):
            floor = b[z % b.shape[0], k % b.shape[1]]
            one, other = misfit_row(y[z, k], p[z, k], floor, numbers, line, bits, power)
            deviance += one
            squares += other
    return deviance, squares


@compiled
def held_out_row(
    n: Any, p: Any, b: Any, numbers: Any, told: Any, line: Any, bits: Any, power: Any
) -> Any:
    """Return the likelihood of a row's photons."""
    zero, gain, least, least_share = numbers
    likelihood = ZERO
    for i in range(n.size):
        exact = max(n[i], least)
        excess = max((p[i] + (b[i] - zero)) / gain, least) - exact
        # Beside photons told exactly: of many, the differences would drown in rounding.
        likelihood -= excess
        told[i] = max(excess / exact, least_share - ONE)
    log_one_plus(told, line, bits, power)
    for i in range(n.size):
        likelihood += n[i] * told[i]
    return likelihood


@compiled
def held_out_rows(
    n: Any, p: Any, b: Any, numbers: Any, z0: int, z1: int, y0: int, y1: int
) -> tuple[float]:
    """Return the likelihood of all photons."""
    likelihood, length = 0.0, n.shape[2]
    told, line = np.empty(length, np.float32), np.empty(length, np.float32)
    bits, power = line.view(np.int32), np.empty(length, np.float32)
    for z in range(z0, z1):
        for k in range(y0, y1):
            floor = b[z % b.shape[0], k % b.shape[1]]
            likelihood += held_out_row(n[z, k], p[z, k], floor, numbers, told, line, bits, power)
    return (likelihood,)


@compiled
def uncertain_row(y: Any, p: Any, b: Any, numbers: Any) -> Any:
    """Return the sums over a row."""
    zero, gain, least, scale, psf_error = numbers
    variances, errors, weights, residuals, squares = ZERO, ZERO, ZERO, ZERO, ZERO
    for i in range(y.size):
        light = max(p[i] / gain, ZERO)
        model = max(light + (b[i] - zero) / gain, least)
        error = psf_error * light * psf_error * light
        variance = model * scale + error
        residual = max((y[i] - zero) / gain, ZERO) - model
        variances += variance
        errors += error
        weights += ONE / variance
        residuals += residual / variance
        squares += residual * residual / variance
    return variances, errors, weights, residuals, squares


@compiled
def uncertain_rows(
    y: Any, p: Any, b: Any, numbers: Any, z0: int, z1: int, y0: int, y1: int
) -> tuple[float, float, float, float, float]:
    """Return the sums over all rows."""
    variances, errors, weights, residuals, squares = 0.0, 0.0, 0.0, 0.0, 0.0
    for z in range(z0, z1):
        for k in range(y0, y1):
            floor = b[z % b.shape[0], k % b.shape[1]]
            found = uncertain_row(y[z, k], p[z, k], floor, numbers)
            variances += found[0]
            errors += found[1]
            weights += found[2]
            residuals += found[3]
            squares += found[4]
    return variances, errors, weights, residuals, squares
