"""Move images by fractions of a voxel, and find by how much one has to be moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def taper(shape: Sequence[int], width: int) -> NDArray[np.float64]:
    """Return a window that falls to zero, as a cosine, over its outermost ``width`` voxels."""
    window = np.ones(tuple(shape))
    for axis, length in enumerate(shape):
        reach = min(width, (length - 1) // 2)
        if reach < 1:
            continue
        ramp = np.ones(length)
        ramp[:reach] = 0.5 - 0.5 * np.cos(np.pi * (np.arange(reach) + 0.5) / reach)
        ramp[length - reach :] = ramp[:reach][::-1]
        window *= ramp.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return window


def frequencies(shape: Sequence[int], spacing: Sequence[float] | None = None) -> list[NDArray[Any]]:
    """Return the frequencies of a half spectrum along each axis, broadcastable, cycles."""
    steps = spacing if spacing is not None else (1.0,) * len(shape)
    axes: list[NDArray[Any]] = [
        np.fft.fftfreq(n, d) for n, d in zip(shape[:-1], steps[:-1], strict=True)
    ]
    axes.append(np.fft.rfftfreq(shape[-1], steps[-1]))
    return [
        f.reshape([-1 if a == axis else 1 for a in range(len(shape))])
        for axis, f in enumerate(axes)
    ]


def moved(image: NDArray[np.float64], shift: Sequence[float]) -> NDArray[np.float64]:
    """Return an image that vanishes at its borders, moved by so many voxels (Fourier shift)."""
    from scipy.fft import irfftn, rfftn

    spectrum = rfftn(image)
    for frequency, length, s in zip(frequencies(image.shape), image.shape, shift, strict=True):
        phase = np.exp(-2j * np.pi * frequency * s)
        # The highest frequency of an even number has no sign: half of each direction.
        if length % 2 == 0:
            phase = np.where(np.abs(frequency) == 0.5, np.cos(np.pi * s), phase)
        spectrum *= phase
    return np.asarray(irfftn(spectrum, image.shape))


def slopes(image: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the derivative along each axis, per voxel, of an image that vanishes at borders."""
    from scipy.fft import irfftn, rfftn

    spectrum = rfftn(image)
    return [
        np.asarray(irfftn(spectrum * (2j * np.pi * np.where(np.abs(f) == 0.5, 0, f)), image.shape))
        for f in frequencies(image.shape)
    ]


def fit(
    image: NDArray[np.float64],
    known: NDArray[np.bool_],
    template: NDArray[np.float64],
    gradient: Sequence[NDArray[np.float64]],
    weight: NDArray[np.float64] | float = 1.0,
) -> tuple[float, float, tuple[float, ...]]:
    """Return light, floor and shift with which a template explains an image, to first order.

    Weighted least squares of ``image = light * template(x - shift) + floor``.

    Raises
    ------
    numpy.linalg.LinAlgError
        When the image does not determine them.
    """
    columns = [template[known], np.ones(int(known.sum())), *(-g[known] for g in gradient)]
    matrix = np.stack(columns, axis=1)
    root = np.sqrt(np.broadcast_to(weight, image.shape)[known])
    solution, _, rank, _ = np.linalg.lstsq(matrix * root[:, None], image[known] * root, rcond=None)
    light = float(solution[0])
    if rank < matrix.shape[1] or light <= 0:
        raise np.linalg.LinAlgError("the template is not in the image")
    return light, float(solution[1]), tuple(float(s) / light for s in solution[2:])
