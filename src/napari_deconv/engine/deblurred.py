"""An image's errors as errors of the object: deblurred as far as the blur lets light through."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_deconv.operators import fft
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

    Attributes
    ----------
    errors
        Where errors may be put for :meth:`energy`, of the shape given.
    """

    def __init__(self, blur: Convolution, shape: Sequence[int], width: float) -> None:
        power = blur.otf.abs().square_()
        self._window = power.sqrt().div_(power.add_(width * float(power.max())))
        self._fades = fades(blur, shape, _FADING)
        self._transform = fft.transform(blur.grid, dtype=blur.dtype, device=blur.device)
        self.errors = self._transform.work[tuple(map(slice, shape))]

    def __call__(self, values: Tensor) -> Tensor:
        """Return the half spectrum of an image's errors, deblurred."""
        self.errors.copy_(values)
        return self._spectrum() * self._window

    def energy(self) -> float:
        """Return the inner product of ``errors`` with themselves; they are gone afterwards."""
        import torch

        squares, length = 0.0, self._transform.shape[-1]
        for spectrum, window in slabs(self._spectrum(), self._window):
            torch.view_as_real(spectrum).mul_(window.unsqueeze(-1))
            squares += spectral_inner(spectrum, spectrum, length)
        return squares / math.prod(self._transform.shape)

    def inner(self, first: Tensor, second: Tensor) -> float:
        """Return the inner product of two such spectra."""
        length, size = self._transform.shape[-1], math.prod(self._transform.shape)
        return sum(spectral_inner(a, b, length) for a, b in slabs(first, second)) / size

    def _spectrum(self) -> Tensor:
        """Return the half spectrum of errors that fade, in memory that the next call overwrites."""
        for fade in self._fades:
            self.errors.mul_(fade)
        work = self._transform.work
        for axis, length in enumerate(self.errors.shape):
            work.narrow(axis, length, work.shape[axis] - length).zero_()
        return self._transform.forward()
