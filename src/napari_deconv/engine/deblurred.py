"""An image's errors as errors of the object: deblurred as far as the blur lets light through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.operators.fading import fades
from napari_deconv.operators.slabs import slabs
from napari_deconv.operators.spectra import spectral_inner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution

# Share of an image's length that fades. Without, on actin, Landweber's iteration was stopped at the
# double of its best step.
_FADING = 0.2


class Deblurred:
    r"""Measures an image's errors as errors of the object.

    .. math:: \langle W a, W b \rangle, \qquad |W| = \frac{|H|}{|H|^2 + \epsilon}

    where the image fades towards its borders, unless it goes on there at its other side.

    Parameters
    ----------
    blur
        The forward model H; of one that varies the mean OTF is taken.
    shape
        Of the image, or of the part of it that is looked at.
    width
        :math:`\epsilon`, as a share of the largest :math:`|H|^2`: where the blur passes less of a
        wave's power, its errors do not count.
    """

    def __init__(self, blur: Convolution, shape: Sequence[int], width: float) -> None:
        power = blur.otf.abs().square_()
        self._grid = blur.grid
        self._window = power.sqrt().div_(power.add_(width * float(power.max())))
        self._fades = fades(blur, shape, _FADING)

    def __call__(self, values: Tensor) -> Tensor:
        """Return the half spectrum of an image's errors, deblurred."""
        import torch

        faded = values.clone()
        for fade in self._fades:
            faded.mul_(fade)
        spectrum: Tensor = torch.fft.rfftn(faded, s=self._grid)
        return spectrum.mul_(self._window)

    def inner(self, first: Tensor, second: Tensor) -> float:
        """Return the inner product of two such spectra."""
        length, size = self._grid[-1], float(np.prod(self._grid))
        return sum(spectral_inner(a, b, length) for a, b in slabs(first, second)) / size
