"""From expected photons to the counts of a camera."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.errors import InputError, ParameterError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def record(
    photons: ArrayLike,
    *,
    gain: float = 1.0,
    offset: float = 100.0,
    read_noise: float = 2.0,
    bits: int | None = 16,
    seed: int = 0,
) -> NDArray[Any]:
    """Record an image of expected photons as a camera would.

    Photons arrive at random (Poisson), each adds ``gain`` to the reading, the electronics add
    Gaussian noise and an offset, and the converter rounds and clips. Where nothing is clipped,
    ``variance = gain * (mean - offset) + read_noise**2``, plus 1/12 by the rounding.

    Parameters
    ----------
    photons
        Expected photons per voxel, of any shape; not negative.
    gain
        Intensity units per photon.
    offset
        Reading without light, in intensity units.
    read_noise
        Standard deviation of the electronics' noise, in intensity units.
    bits
        Depth of the converter: readings are rounded and clipped to 0 ... 2**bits - 1. None leaves
        them as float32, unrounded and unclipped.
    seed
        Start of the random numbers.

    Returns
    -------
    ndarray of uint8, uint16, uint32 or float32
        The smallest unsigned type that holds ``bits``, or float32.

    Raises
    ------
    InputError
        When an expected photon number is negative or not finite.
    ParameterError
        When ``gain`` is not positive, ``read_noise`` negative or ``bits`` not within 1 ... 32.
    """
    expected = np.asarray(photons, np.float64)
    if not np.isfinite(expected).all() or (expected < 0).any():
        raise InputError("Expected photons have to be finite and not negative.")
    if not gain > 0 or not read_noise >= 0:
        raise ParameterError(
            f"gain ({gain}) has to be above 0 and read_noise ({read_noise}) at least 0."
        )
    if bits is not None and not 1 <= bits <= 32:
        raise ParameterError(f"bits is {bits}, but has to be between 1 and 32, or None.")
    random = np.random.default_rng(seed)
    reading = random.poisson(expected) * float(gain)
    reading = reading + random.normal(offset, read_noise, expected.shape)
    if bits is None:
        return reading.astype(np.float32)
    kind = np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32
    return np.clip(np.rint(reading), 0, 2**bits - 1).astype(kind)
