"""White noise in an image, told from its object by what the blur passes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_deconv.operators.fading import fades
from napari_deconv.operators.slabs import total

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution

# Share of an image's length that fades where its power is measured.
_FADING = 0.5
# Power of rounding to float32, of an image and of each of its transform's steps, for its own.
_ROUNDING = 2.0**-48 / 3


def seen(image: Tensor, blur: Convolution) -> Tensor:
    """Return the power of an image's waves, but for its mean, as if all of the grid were so.

    It fades towards its borders: a continuation has neither its noise nor its structures.
    """
    import torch

    window = _window(image, blur)
    mean = float((image * window).sum() / window.sum())
    power: Tensor = torch.fft.rfftn((image - mean) * window, s=blur.grid).abs().square_()
    return power.mul_(math.prod(blur.grid) / float(window.square().sum()))


def as_seen(variance: Tensor, blur: Convolution) -> float:
    """Return the mean of the noise's variance, each voxel weighing as much as in :func:`seen`."""
    weight = _window(variance, blur).square_()
    return total(variance * weight) / total(weight)


def _window(image: Tensor, blur: Convolution) -> Tensor:
    import torch

    window = torch.ones_like(image)
    for fade in fades(blur, image.shape, _FADING):
        window.mul_(fade)
    return window


def quietest(power: Tensor, grid: Sequence[int]) -> float:
    """Return the mean power of that eighth of a half spectrum, by frequency, that has the least."""
    import torch

    cycles = [torch.fft.fftfreq(n, device=power.device) for n in grid[:-1]]
    cycles.append(torch.fft.rfftfreq(grid[-1], device=power.device))
    radius = sum((f.square() for f in torch.meshgrid(*cycles, indexing="ij")), power.new_zeros(()))
    # Of exponentially distributed numbers, the median is the mean times log(2).
    parts = power.flatten()[radius.flatten().argsort()].chunk(8)
    return min(float(part.median()) for part in parts) / math.log(2)


def white_noise(power: Tensor, blur: Convolution) -> float:
    """Return the power of an image's white noise, as its waves' powers show it.

    It shows where they are quietest; but of a sharp object, waves of all lengths may be above it.
    Then it shows among those that the blur passes least, by how much they depend on what it passes.
    It is no less than that of rounding.

    Parameters
    ----------
    power
        Of each wave, as :func:`seen` returns it.
    blur
        The forward model, whose grid it is.
    """
    transfer = blur.otf.abs().square_().flatten()
    least = transfer.argsort()[: -(-transfer.numel() // 8)]
    passed, shown = (each[least].cpu().double().numpy() for each in (transfer, power.flatten()))
    rounding = _ROUNDING * math.log2(math.prod(blur.grid)) * total(power) / power.numel()
    return max(min(quietest(power, blur.grid), _constant_part(shown, passed)), rounding)


def _constant_part(power: NDArray[np.float64], passed: NDArray[np.float64]) -> float:
    """Return the likeliest n if powers are exponentially distributed about ``n + s passed``.

    By weighted least squares, again and again, since the variance is the square of what is fitted.
    """
    if not passed.any():
        # Nothing of the object is there: all is noise.
        return float(power.mean())
    scale = max(float(power.mean()), 1e-300)
    power, passed = power / scale, passed / max(float(passed.mean()), 1e-300)
    noise = signal = 0.5
    for _ in range(40):
        weight = (noise + signal * passed).clip(min=1e-100) ** -2
        one, two, three = (float((weight * passed**i).sum()) for i in range(3))
        right, left = float((weight * power).sum()), float((weight * passed * power).sum())
        size = one * three - two * two
        found = (right * three - left * two) / size if size > 0 else -1.0
        slope = (left * one - right * two) / size if size > 0 else left / three
        # Neither may be negative; where one would be, the other stands alone.
        if found <= 0:
            noise, signal = noise / 4, left / three
        elif slope <= 0:
            noise, signal = right / one, signal / 4
        else:
            noise, signal = found, slope
    return noise * scale
