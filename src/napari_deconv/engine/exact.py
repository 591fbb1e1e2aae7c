"""How much noise there is where the PSF is known exactly: what it does not pass is no object."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.assessment.noise import Noise
from napari_deconv.operators.white_noise import as_seen, seen, white_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deconv.operators.convolution import Convolution

# Share of the noise, as differences of neighbours tell it, below which it is something else. Of the
# noise of photons 0.76 to 1.0 is seen (benchmarks/exact.py).
_CLEAR = 0.3


def no_more_than_seen(noise: Noise, data: NDArray[np.float32], blur: Convolution) -> Noise:
    """Return the noise, reduced to what is seen of it where it was fine structures in truth.

    Parameters
    ----------
    noise
        As neighbouring voxels tell it: of spots, too much.
    data, blur
        Image or a part of it, and its forward model.
    """
    share = share_seen(noise, data, blur)
    if share > _CLEAR:
        return noise
    return Noise(noise.gain * share, noise.offset, noise.read_noise * share**0.5)


def share_seen(noise: Noise, data: NDArray[np.float32], blur: Convolution) -> float:
    """Return the power of white noise over that of the noise that is believed in."""
    import torch

    scale = float(np.abs(data).max())
    image = torch.from_numpy(data / np.float32(scale)).to(blur.device)
    variance = white_noise(seen(image, blur), blur) / math.prod(blur.grid)
    believed = torch.from_numpy((noise.variance(data) / scale**2).astype(np.float32))
    return variance / max(as_seen(believed.to(blur.device), blur), 1e-300)
