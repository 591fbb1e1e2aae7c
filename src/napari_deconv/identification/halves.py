r"""An image parted in two halves of independent noise: restored from one, judged by the other.

A restoration explains the image that it was made of, whatever the PSF. So noise is added to the
image y, of standard deviation s, until it has t; what was taken away,

.. math:: y_1 = y + \sqrt{t^2 - s^2} e, \qquad y_2 = \frac{t^2 y - s^2 y_1}{t^2 - s^2},

is a second image, whose noise is independent of the first one's. With the true PSF and the mean x
over all objects that explain the first, ``|y_2 - H x|^2`` is the least that anyone can expect who
knows the first image alone. ``(1 / s^2 - 1 / t^2) / 2`` of it is, but for a constant, the negative
logarithm of how likely the second half is. Noise is added again to the first half, and so on: one
halving sees only frequencies that are about as strong as its noise.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

from napari_deconv.identification.optics import origin_first

if TYPE_CHECKING:
    from torch import Tensor

    from napari_deconv.networks.douglas_rachford import DouglasRachford
    from napari_deconv.operators.convolution import Convolution

NAME = "small"
# Noise of the halves that are restored, in units of the image's.
LADDER = (2**0.5, 2.0)
# Least noise, in units of the image's standard deviation: below it the network has learned less.
_LEAST = 0.1
# Pixels along each border that are not judged, and along each axis that are looked at.
_BORDER, _MOST = 16, 512


class Halves:
    """Halves of an image.

    Parameters
    ----------
    planes
        Grey values (frames, y, x).
    noise
        The noise's standard deviation.
    shape
        Pixels (y, x) of the PSFs.
    seed
        Of the noise that parts the image.
    """

    def __init__(
        self,
        planes: Tensor,
        noise: float,
        shape: tuple[int, int],
        *,
        seed: int = 0,
    ) -> None:
        import numpy as np
        import torch

        from napari_deconv.operators.convolution import Convolution

        planes = _middle(planes).float()
        planes = planes - planes.mean((-2, -1), keepdim=True)
        deviation = float(planes.var((-2, -1)).mean().sqrt())
        noise = max(noise, _LEAST * deviation)
        self._scale = max((deviation**2 - noise**2), (_LEAST * deviation) ** 2) ** 0.5
        blank = np.zeros(shape, np.float32)
        blank[shape[0] // 2, shape[1] // 2] = 1
        self._blank: Convolution = Convolution(blank, planes.shape[-2:])
        self._inside = (..., *(slice(_BORDER, n - _BORDER) for n in planes.shape[-2:]))
        random = torch.Generator().manual_seed(seed)
        # Of each halving: the noise of the first half, both halves, and what the second counts.
        self._parts: list[tuple[float, Tensor, Tensor, float]] = []
        last, quiet = noise, planes
        for factor in LADDER:
            loud = factor * noise
            added = torch.randn(planes.shape, generator=random)
            first = quiet + math.sqrt(loud**2 - last**2) * added
            second = (loud**2 * quiet - last**2 * first) / (loud**2 - last**2)
            self._parts.append((loud, first, second, (1 / last**2 - 1 / loud**2) / 2))
            last, quiet = loud, first

    def otf(self, psfs: Tensor) -> Tensor:
        """Return half spectra (..., rows, columns) of PSFs (..., y, x)."""
        import torch

        spectra: Tensor = torch.fft.rfft2(origin_first(psfs, self._blank.grid))
        return spectra

    def restored(self, psf: Tensor) -> list[Tensor]:
        """Return spectra (frames, rows, columns) of objects, restored from each first half."""
        import torch

        from napari_deconv.networks.precision import autocast
        from napari_deconv.operators.inverse import FourierInverse

        network, otf = _network(), self.otf(psf)
        grid = self._blank.grid
        nothing = torch.zeros((1, 1, *grid))
        objects = []
        for noise, first, _, _ in self._parts:
            told = torch.full_like(nothing, noise / self._scale)
            frames = []
            for plane in first:
                whole = self._blank.periodic(plane / self._scale)[None, None]
                inverse = FourierInverse(whole, otf, 2)
                # What bfloat16 changes is far below what one PSF has over another.
                with torch.no_grad(), autocast(nothing.device):
                    *_, made = network(inverse, nothing, told, nothing[..., :1, :1])
                frames.append(torch.fft.rfft2(made[0, 0].float() * self._scale))
            objects.append(torch.stack(frames))
        return objects

    def foretold(self, psf: Tensor) -> Tensor:
        """Return the surprise of a PSF (y, x) with the objects that are restored with it.

        It is the negative logarithm of how likely the second halves are, but for a constant.
        """
        import torch

        otf, total = self.otf(psf), psf.new_zeros(())
        for (_, _, second, counts), each in zip(self._parts, self.restored(psf), strict=True):
            image = torch.fft.irfft2(otf * each, s=self._blank.grid)
            rest = (image[..., : second.shape[-2], : second.shape[-1]] - second)[self._inside]
            total = total + counts * rest.square().sum()
        return total


def _middle(planes: Tensor) -> Tensor:
    """Return at most ``_MOST`` pixels along each axis, from the middle."""
    for axis in (-2, -1):
        n = planes.shape[axis]
        kept = min(n, _MOST)
        planes = planes.narrow(axis, (n - kept) // 2, kept)
    return planes


@cache
def _network() -> DouglasRachford:
    from napari_deconv.networks.douglas_rachford import DouglasRachford
    from napari_deconv.networks.weights import load_weights

    return DouglasRachford.of(load_weights(NAME, "deep-blur"))
