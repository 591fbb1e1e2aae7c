"""Powers of noise and object at each frequency, as an image shows them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.methods._shells import Shells, on_grid
from napari_deconv.operators.spectra import gather
from napari_deconv.operators.white_noise import seen, white_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution

# What cannot be told from nothing may be as much as that share of what noise leaves by chance.
_FLOOR = 0.3
# What is beyond noise so many times what it leaves by chance is there.
_SURE = 2.0


def object_power(data: Tensor, blur: Convolution) -> NDArray[np.float64]:
    """Return the object's power at the highest frequency and at each step below it.

    In a shell of frequencies it is the least-squares fit of ``|H|^2 S`` to what the image has
    beyond noise. From coarse to fine it may only fall: much of it where hardly anything is
    transmitted is no evidence.
    """
    power = seen(data, blur)
    shells, found, chance = _fitted(power, white_noise(power, blur), blur)
    level = np.maximum(found, _FLOOR * chance).clip(min=1e-300)
    return shells.profile(np.minimum.accumulate(level[::-1])[::-1])


def unexplained_power(data: Tensor, prediction: Tensor, blur: Convolution) -> NDArray[np.float64]:
    """Return the power of an object's waves that its image shows and a prediction lacks.

    As for :func:`object_power`; whatever that one gets wrong of both alike drops out. It is no more
    than all there is.
    """
    power = seen(data, blur)
    noise = white_noise(power, blur)
    shells, found, chance = _fitted(power.sub_(seen(prediction, blur)), noise, blur)
    level = shells.profile(np.where(found > _SURE * chance, found, 0.0).clip(min=1e-30))
    return np.minimum(level, object_power(data, blur))


def _fitted(
    power: Tensor, noise: float, blur: Convolution
) -> tuple[Shells, NDArray[np.float64], NDArray[np.float64]]:
    """Return what an image has beyond noise as powers of the object, and what chance makes of it.

    Both in each shell of frequencies that has any.
    """
    shells, transfer = Shells(blur), blur.otf.abs().square_()
    found = shells.sums(power.sub_(noise).mul_(transfer))
    fit = shells.sums(transfer.square_()).clip(min=1e-300)
    return shells, found / fit, noise / np.sqrt(fit)


def fitted_share(data: Tensor, blur: Convolution, noise: float) -> float:
    """Return the share of an image's white noise that a good fit follows, of that variance.

    That is what Wiener's filter passes, blurred again.
    """
    signal = on_grid(object_power(data, blur), blur).mul_(blur.otf.abs().square_())
    passed = signal / (signal + max(noise, 1e-30) * math.prod(blur.grid))
    # A mean over all frequencies, of which half are the others' mirrors.
    _, count, sums = gather(blur, passed.new_ones(()), passed.new_ones(()), passed)
    return float(sums.sum() / count.sum())
