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
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    dtype
        In which it is computed; float32 restores in bfloat16, which changes nothing that matters.
    """

    def __init__(
        self,
        planes: Tensor,
        noise: float,
        shape: tuple[int, int],
        *,
        seed: int = 0,
        dtype: Any = None,
    ) -> None:
        import numpy as np
        import torch

        from napari_deconv.operators.convolution import Convolution

        self._dtype = dtype or torch.float32
        planes = _middle(planes).to(self._dtype)
        planes = planes - planes.mean((-2, -1), keepdim=True)
        deviation = float(planes.var((-2, -1)).mean().sqrt())
        noise = max(noise, _LEAST * deviation)
        self._scale = max((deviation**2 - noise**2), (_LEAST * deviation) ** 2) ** 0.5
        blank = np.zeros(shape, np.float32)
        blank[shape[0] // 2, shape[1] // 2] = 1
        self._blank: Convolution = Convolution(blank, planes.shape[-2:], dtype=self._dtype)
        self._inside = tuple(slice(_BORDER, n - _BORDER) for n in planes.shape[-2:])
        random = torch.Generator().manual_seed(seed)
        # Of each halving: the noise of the first half, both halves, and what the second counts.
        self._parts: list[tuple[float, Tensor, Tensor, float]] = []
        last, quiet = noise, planes
        for factor in LADDER:
            loud = factor * noise
            added = torch.randn(planes.shape, generator=random).to(self._dtype)
            first = quiet + math.sqrt(loud**2 - last**2) * added
            second = (loud**2 * quiet - last**2 * first) / (loud**2 - last**2)
            self._parts.append((loud, first, second, (1 / last**2 - 1 / loud**2) / 2))
            last, quiet = loud, first

    def otf(self, psfs: Tensor) -> Tensor:
        """Return half spectra (..., rows, columns) of PSFs (..., y, x)."""
        import torch

        grid, (h, w) = self._blank.grid, psfs.shape[-2:]
        whole = torch.nn.functional.pad(psfs, (0, grid[1] - w, 0, grid[0] - h))
        spectra: Tensor = torch.fft.rfft2(torch.roll(whole, (-(h // 2), -(w // 2)), (-2, -1)))
        return spectra

    def restored(self, psf: Tensor) -> list[Tensor]:
        """Return spectra (frames, rows, columns) of objects, restored from each first half."""
        import torch

        from napari_deconv.operators.inverse import FourierInverse

        network, otf = _network(self._dtype), self.otf(psf)
        grid = self._blank.grid
        nothing = torch.zeros((1, 1, *grid), dtype=self._dtype)
        half = self._dtype == torch.float32
        objects = []
        for noise, first, _, _ in self._parts:
            told = torch.full_like(nothing, noise / self._scale)
            frames = []
            for plane in first:
                whole = self._blank.periodic(plane / self._scale)[None, None]
                inverse = FourierInverse(whole, otf, 2)
                with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
                    *_, made = network(inverse, nothing, told, nothing[..., :1, :1])
                frames.append(torch.fft.rfft2(made[0, 0].to(self._dtype) * self._scale))
            objects.append(torch.stack(frames))
        return objects

    def foretold(self, psf: Tensor) -> Tensor:
        """Return the surprise of a PSF (y, x) with the objects that are restored with it."""
        return self.surprise(psf, self.restored(psf))

    def surprise(self, psf: Tensor, objects: Sequence[Tensor]) -> Tensor:
        """Return the negative logarithm of how likely the second halves are, but for a constant."""
        otf = self.otf(psf)
        total = psf.new_zeros(())
        for (_, _, second, counts), each in zip(self._parts, objects, strict=True):
            total = total + counts * self._misfit(otf * each, second).square().sum()
        return total

    def _misfit(self, spectrum: Tensor, second: Tensor) -> Tensor:
        return self._seen(spectrum) - second[..., self._inside[0], self._inside[1]]

    def _seen(self, spectrum: Tensor) -> Tensor:
        import torch

        image: Tensor = torch.fft.irfft2(spectrum, s=self._blank.grid)
        return image[..., self._inside[0], self._inside[1]]


def _middle(planes: Tensor) -> Tensor:
    """Return at most ``_MOST`` pixels along each axis, from the middle."""
    for axis in (-2, -1):
        n = planes.shape[axis]
        kept = min(n, _MOST)
        planes = planes.narrow(axis, (n - kept) // 2, kept)
    return planes


@cache
def _network(dtype: Any) -> DouglasRachford:
    from napari_deconv.networks.douglas_rachford import DouglasRachford, Unrolled
    from napari_deconv.networks.weights import load_weights

    loaded = load_weights(NAME, "deep-blur")
    network = DouglasRachford(Unrolled.of(loaded.settings))
    network.load_state_dict(loaded.tensors)
    return network.to(dtype).eval().requires_grad_(False)
