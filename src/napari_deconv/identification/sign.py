"""Which way round: a PSF and the same turned by 180 degrees have one power spectrum.

They differ in phase, and so do the images restored with them. Sharp images have few strong edges
and much that is even; restored with the PSF the wrong way round, edges get echoes. So the better
of the two restorations has the smaller sum of ``|gradient|**p`` for small p (the two have the same
sum of squares), the prior of Levin et al. 2007. And light that is nowhere negative explains more of
the image with the right one. What counts how much, a small network has learned.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from napari_deconv.identification import positivity
from napari_deconv.identification.optics import origin_first

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from napari_deconv.networks.sign_network import SignNetwork

NAME = "deep-blur-sign"
# Powers of the gradients, scales at which they are taken, and factors on the noise restored for.
_POWERS, _SCALES, _STRENGTHS = (0.5, 1.0, 4.0), 3, (1.0, 8.0)
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


def inputs(plane: Tensor, psf: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Return what a ``SignNetwork`` wants to know of one image and one PSF."""
    import torch

    from napari_deconv.networks.sign_network import facts

    pair = torch.stack([psf, psf.flip(-2, -1)])
    measured = torch.cat([measures(each) for each in restorations(plane, pair, noise)], 1)
    rest, looked_at = positivity.unexplained(plane, pair)
    differences = [
        (measured[1] - measured[0]) * plane.numel() ** 0.5,
        (rest[1:] - rest[:1]) * looked_at**0.5,
    ]
    difference = (pair[0] - pair[1]).square().sum() / psf.square().sum()
    known = facts(plane.numel(), psf.new_tensor([noise]), difference[None])[0]
    return torch.cat(differences), known


def restorations(plane: Tensor, psfs: Tensor, noise: float) -> list[Tensor]:
    """Return Wiener restorations (m, y, x) of a plane (y, x) with PSFs (m, y, x).

    One set for each strength; ``noise`` is the noise's variance over the image's.
    """
    import torch

    image = (plane - plane.mean()) / plane.std().clamp(min=1e-12)
    image = image * _fading(plane.shape, image)
    spectrum = torch.fft.rfft2(image)
    shape = int(plane.shape[0]), int(plane.shape[1])
    otf = torch.fft.rfft2(origin_first(psfs, shape))
    fy = torch.fft.fftfreq(shape[0])[:, None]
    fx = torch.fft.rfftfreq(shape[1])
    fall = 1 / (fy**2 + fx**2 + _FLAT**2) ** (_FALL / 2)
    fall = fall / fall.mean()
    power = otf.real.square() + otf.imag.square()
    made = []
    for strength in _STRENGTHS:
        wiener = otf.conj() / (power + strength * max(noise, _QUIETEST) / fall)
        restored = torch.fft.irfft2(spectrum * wiener, shape)
        made.append(restored[:, _BORDER:-_BORDER, _BORDER:-_BORDER])
    return made


def measures(images: Tensor) -> Tensor:
    """Return logarithms of sparsity (m, measures) of images (m, y, x)."""
    import torch

    found = []
    for scale in range(_SCALES):
        if scale:
            images = torch.nn.functional.avg_pool2d(images[:, None], 2)[:, 0]
        down = images[:, 1:, 1:] - images[:, :-1, 1:]
        right = images[:, 1:, 1:] - images[:, 1:, :-1]
        size = (down.square() + right.square()).clamp(min=1e-12)
        found += [torch.log((size ** (power / 2)).mean((-2, -1))) for power in _POWERS]
        bend = images[:, 1:-1, 1:-1] * 4 - images[:, :-2, 1:-1] - images[:, 2:, 1:-1]
        bend = bend - images[:, 1:-1, :-2] - images[:, 1:-1, 2:]
        found.append(torch.log((bend.square() + 1e-12).pow(_POWERS[0] / 2).mean((-2, -1))))
        # How far the darkest go below the mean: restorations the wrong way round undershoot.
        found.append((images.flatten(1) - images.mean((1, 2))[:, None]).clamp(max=0).pow(4)
                     .mean(1).add(1e-12).log() / 4)  # fmt: skip
    return torch.stack(found, 1)


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
