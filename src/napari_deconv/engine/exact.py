"""How much noise there is where the PSF is known exactly: what it does not pass is no object."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.assessment.noise import Noise
from napari_deconv.operators.white_noise import seen, white_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deconv.operators.convolution import Convolution

# Share of the noise, as differences of neighbours tell it, below which it is something else. The
# two weigh places otherwise: in images of photons, 0.7 to 1.3 of it was seen.
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
    import torch

    scale = float(np.abs(data).max())
    waves = seen(torch.from_numpy(data / np.float32(scale)).to(blur.device), blur)
    variance = white_noise(waves, blur) * scale**2 / math.prod(blur.grid)
    share = variance / max(float(noise.variance(data).mean()), 1e-300)
    if share > _CLEAR:
        return noise
    return Noise(noise.gain * share, noise.offset, noise.read_noise * share**0.5)
