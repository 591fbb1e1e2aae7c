"""Denoisers that a restoration can be built around, all behind one door.

A denoiser takes an image of two or three axes and the standard deviation of the noise in it, and
returns what it takes for the image without: ``denoise(image, sigma) -> Tensor`` of the same shape,
type and device. It works in any unit: denoising c times the image, with c times the noise, gives c
times the same. To add one, write such a function here under ``@denoiser(name)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Denoiser = Callable[["Tensor", float], "Tensor"]
F = TypeVar("F", bound=Denoiser)

_denoisers: dict[str, Denoiser] = {}


def denoiser(name: str) -> Callable[[F], F]:
    """Register a denoiser under a name that people type."""

    def register(function: F) -> F:
        _denoisers[name] = function
        return function

    return register


def denoisers() -> dict[str, Denoiser]:
    """Return every denoiser by its name."""
    return dict(_denoisers)


@denoiser("tv")
def total_variation(image: Tensor, sigma: float) -> Tensor:
    """Keep edges and make what is between them even (Chambolle 2004).

    The weight of the total variation is the noise's standard deviation.
    """
    from skimage import restoration

    denoise: Any = restoration.denoise_tv_chambolle
    return _like(image, denoise(_plain(image), weight=sigma))


@denoiser("wavelet")
def wavelet(image: Tensor, sigma: float) -> Tensor:
    """Shrink wavelet coefficients, band by band (Chang, Yu and Vetterli 2000, BayesShrink).

    The mean over shifts by none to three voxels along all axes at once: the grid of the wavelets
    shows in a single one.
    """
    import numpy as np
    import pywt
    from skimage.restoration import denoise_wavelet

    # In units of the noise: skimage has a threshold that is in none.
    plain = _plain(image).squeeze() / np.float32(sigma)
    levels = min(5, pywt.dwtn_max_level(plain.shape, "sym4"))
    kind = "sym4" if levels > 0 else "haar"
    levels = max(1, levels)
    total = np.zeros_like(plain)
    axes = tuple(range(plain.ndim))
    for shift in range(_SHIFTS):
        moved = np.roll(plain, (shift,) * plain.ndim, axes)
        found = denoise_wavelet(
            moved, sigma=1.0, wavelet=kind, wavelet_levels=levels, rescale_sigma=False
        )
        total += np.roll(found, (-shift,) * plain.ndim, axes)
    return _like(image, total * np.float32(sigma / _SHIFTS))


_SHIFTS = 4


@denoiser("non-local-means")
def non_local_means(image: Tensor, sigma: float) -> Tensor:
    """Average patches that look alike, near and far (Buades, Coll and Morel 2005)."""
    from skimage.restoration import denoise_nl_means

    plain = _plain(image)
    reach = 6 if plain.ndim == 2 else 3
    found = denoise_nl_means(
        plain, patch_size=5, patch_distance=reach, h=0.8 * sigma, sigma=sigma, fast_mode=True
    )
    return _like(image, found)


def _plain(image: Tensor) -> NDArray[Any]:
    """Return a tensor as an array of two axes at least, and else without axes of one voxel."""
    plain: NDArray[Any] = image.detach().cpu().numpy()
    while plain.ndim > 2 and 1 in plain.shape:
        plain = plain.squeeze(plain.shape.index(1))
    return plain


def _like(image: Tensor, found: NDArray[Any]) -> Tensor:
    """Return an array as a tensor like the one it was made of."""
    import torch

    return torch.from_numpy(found).to(image).reshape(image.shape)
