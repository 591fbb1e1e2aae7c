"""Which way round: a PSF and the same turned by 180 degrees have one power spectrum.

They differ in phase, and so do the images restored with them. Sharp images have few strong edges
and much that is even; restored with the PSF the wrong way round, edges get echoes. So the better
of the two restorations has the smaller sum of ``|gradient|**0.7`` (the two have the same sum of
squares), the prior of Levin et al. 2007; a small network looks at them, too.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from napari_deconv.networks.sign_network import SignNetwork

NAME = "deep-blur-sign"
_POWER = 0.7
# Pixels at the border that a restoration may have spoilt, and over which the image fades before.
_BORDER, _FADE = 12, 10
# The object's power spectrum is taken to fall as that of natural images, from this frequency on.
_FALL, _FLAT = 2.0, 1 / 64
_QUIETEST = 1e-6


def odds(plane: Tensor, psf: Tensor, noise: float, judge: SignNetwork | None = None) -> float:
    """Return the logarithm of the odds that a PSF is the right way round.

    Parameters
    ----------
    plane
        Image (y, x).
    psf
        (y, x).
    noise
        The noise's variance over the image's.
    judge
        The network; that of the package by default.
    """
    import torch

    judge = judge or network()
    with torch.no_grad():
        return float(judge(*(each[None] for each in inputs(plane, psf, noise))))


def inputs(plane: Tensor, psf: Tensor, noise: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what a ``SignNetwork`` wants to know of one image and one PSF."""
    import torch

    from napari_deconv.networks.sign_network import facts

    turned = psf.flip(-2, -1)
    images = restorations(plane, torch.stack([psf, turned]), noise)
    inside = images[:, _BORDER:-_BORDER, _BORDER:-_BORDER]
    sparse = torch.log(sparsity(inside))
    difference = (psf - turned).square().sum() / psf.square().sum()
    known = facts(plane.numel(), psf.new_tensor([noise]), difference[None])[0]
    scaled = inside / inside.std().clamp(min=1e-9)
    return scaled[0], scaled[1], sparse[1] - sparse[0], known


def restorations(plane: Tensor, psfs: Tensor, noise: float) -> Tensor:
    """Return Wiener restorations (m, y, x) of a plane (y, x) with PSFs (m, y, x).

    ``noise`` is the noise's variance over the image's.
    """
    import torch

    image = (plane - plane.mean()) / plane.std().clamp(min=1e-12)
    image = image * _fading(plane.shape, image)
    spectrum = torch.fft.rfft2(image)
    shape = int(plane.shape[0]), int(plane.shape[1])
    otf = torch.fft.rfft2(_centred(psfs, shape))
    fy = torch.fft.fftfreq(shape[0])[:, None]
    fx = torch.fft.rfftfreq(shape[1])
    fall = 1 / (fy**2 + fx**2 + _FLAT**2) ** (_FALL / 2)
    fall = fall / fall.mean()
    power = otf.real.square() + otf.imag.square()
    wiener = otf.conj() / (power + max(noise, _QUIETEST) / fall)
    restored: Tensor = torch.fft.irfft2(spectrum * wiener, shape)
    return restored


def sparsity(images: Tensor) -> Tensor:
    """Return the mean of ``|gradient|**0.7`` (m,) of images (m, y, x)."""
    down = (images[:, 1:, 1:] - images[:, :-1, 1:]).square()
    right = (images[:, 1:, 1:] - images[:, 1:, :-1]).square()
    steps = (down + right).clamp(min=1e-16) ** (_POWER / 2)
    total: Tensor = steps.mean((-2, -1))
    return total


@cache
def network(source: str | Path = NAME) -> SignNetwork:
    """Return a network; by default that of the package."""
    from napari_deconv.networks.sign_network import SignNetwork
    from napari_deconv.networks.weights import load_weights

    loaded = load_weights(source, "sign network")
    made = SignNetwork(**loaded.settings)
    made.load_state_dict(loaded.tensors)
    return made.eval().requires_grad_(False)


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
