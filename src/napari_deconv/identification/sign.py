"""Which way round: a PSF and the same turned by 180 degrees have one power spectrum.

They differ in phase, and so do the images restored with them. Sharp images have few strong edges
and much that is even; restored with the PSF the wrong way round, edges get echoes. So the better
of the two restorations has the smaller sum of ``|gradient|**0.7`` (the two have the same sum of
squares), the prior of Levin et al. 2007.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_POWER = 0.7
# Pixels at the border that a restoration may have spoilt, and over which the image fades before.
_BORDER, _FADE = 12, 10
# The object's power spectrum is taken to fall as that of natural images.
_FALL = 2.0


def restorations(plane: Tensor, psfs: Tensor, noise: float) -> Tensor:
    """Return Wiener restorations (m, y, x) of a plane (y, x) with PSFs (m, y, x).

    ``noise`` is the noise's variance over the image's.
    """
    import torch

    image = (plane - plane.mean()) / plane.std().clamp(min=1e-12)
    image = image * _fading(plane.shape, image)
    spectrum = torch.fft.rfft2(image)
    shape = plane.shape
    otf = torch.fft.rfft2(_centred(psfs, (int(shape[0]), int(shape[1]))))
    fy = torch.fft.fftfreq(shape[0])[:, None]
    fx = torch.fft.rfftfreq(shape[1])
    fall = 1 / (fy**2 + fx**2 + (1 / 64) ** 2) ** (_FALL / 2)
    fall = fall / fall.mean()
    power = otf.real.square() + otf.imag.square()
    wiener = otf.conj() / (power + max(noise, 1e-6) / fall)
    restored: Tensor = torch.fft.irfft2(spectrum * wiener, shape)
    return restored


def sparsity(images: Tensor) -> Tensor:
    """Return the mean of ``|gradient|**0.7`` (m,) of images (m, y, x), without their borders."""
    inside = images[:, _BORDER:-_BORDER, _BORDER:-_BORDER]
    down = (inside[:, 1:, 1:] - inside[:, :-1, 1:]).square()
    right = (inside[:, 1:, 1:] - inside[:, 1:, :-1]).square()
    steps = (down + right).clamp(min=1e-16) ** (_POWER / 2)
    total: Tensor = steps.mean((-2, -1))
    return total


def preference(plane: Tensor, psfs: Tensor, noise: float) -> Tensor:
    """Return by how much PSFs (m, y, x) restore sparser than turned ones: logarithms, (m,)."""
    import torch

    found = []
    for psf in psfs:
        pair = torch.stack([psf, psf.flip(-2, -1)])
        kept, flipped = sparsity(restorations(plane, pair, noise))
        found.append(torch.log(flipped / kept))
    return torch.stack(found)


def probability(preferred: float, shape: tuple[int, ...], noise: float) -> float:
    """Return how probable it is that a PSF is turned, of the sum of its preferences.

    Parameters
    ----------
    preferred
        As of ``preference``, summed over planes.
    shape
        Of the planes (frames, y, x).
    noise
        The noise's variance over the image's.
    """
    del noise
    pixels = shape[-2] * shape[-1]
    sure = 60 * math.sqrt(pixels / 128**2) * preferred
    return 1 / (1 + math.exp(min(max(sure, -30), 30)))


def _fading(shape: tuple[int, ...], like: Tensor) -> Tensor:
    import torch

    sides = []
    for n in shape:
        distance = torch.minimum(torch.arange(n), torch.arange(n).flip(0)) + 0.5
        ramp = (distance / _FADE).clamp(max=1)
        sides.append((0.5 - 0.5 * torch.cos(torch.pi * ramp)).to(like))
    return sides[0][:, None] * sides[1]


def _centred(psfs: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return PSFs in arrays of this shape, with their origin at index 0."""
    import torch

    h, w = psfs.shape[-2:]
    whole = psfs.new_zeros(*psfs.shape[:-2], max(shape[0], h), max(shape[1], w))
    whole[..., :h, :w] = psfs
    whole = torch.roll(whole, (-(h // 2), -(w // 2)), (-2, -1))
    return whole[..., : shape[0], : shape[1]]
