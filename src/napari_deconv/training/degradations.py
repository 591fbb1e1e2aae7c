"""What a microscope makes of an object: blur of whole phantoms, and noise of what is cut from them.

Blur takes its time and is made once for a phantom; noise is drawn anew each time. All intensities
are in units of the brightest voxel of the blurred image.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from napari_deconv.training.crowds import crowd, gaussian

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    Volume = NDArray[np.float32]

# The 8-bit grey level, in which the paper tells noise.
_GREY = 1 / 255


class Degradation(Protocol):
    """Makes pairs of objects and their images."""

    @property
    def turns(self) -> bool:
        """Whether all axes are alike, so that a pair may be turned on its side."""
        ...

    def pair(self, shape: Sequence[int], seed: Sequence[int]) -> tuple[Volume, Volume]:
        """Return an object and its blurred image, as yet without noise."""
        ...

    def noisy(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Return images, stacked along the first axis, with noise."""
        ...


@dataclass(frozen=True)
class Gaussians:
    """Gaussian blur and Gaussian noise: the paper's mixed set, or wider ranges.

    Attributes
    ----------
    blur, noise
        Ranges of the blur's standard deviation in voxels and of the noise's in 8-bit grey levels;
        drawn evenly.
    blurs, noises
        Values to draw from in place of a range; empty for a range.
    faint
        Share of the images whose noise is from the lowest quarter of the range.
    truncated
        Share of the blurs that are cut to seven voxels, as the authors' are.
    same_unit
        Whether object and image have one unit; else each is scaled to its brightest voxel, as the
        authors do, and the network learns to brighten.
    """

    blur: tuple[float, float] = (0.4, 2.5)
    noise: tuple[float, float] = (0.0, 120.0)
    blurs: tuple[float, ...] = ()
    noises: tuple[float, ...] = ()
    faint: float = 0.3
    truncated: float = 0.7
    same_unit: bool = True
    turns: bool = True

    def pair(self, shape: Sequence[int], seed: Sequence[int]) -> tuple[Volume, Volume]:
        """Return an object and its blurred image."""
        random = np.random.default_rng([*seed, 1])
        sigma = float(random.choice(self.blurs)) if self.blurs else random.uniform(*self.blur)
        taps = 7 if random.random() < self.truncated else 15
        truth = crowd(shape, [*seed, 0])
        image = blurred(truth, sigma, taps)
        brightest = float(image.max())
        return truth / brightest if self.same_unit else truth, image / brightest

    def noisy(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Add Gaussian noise, of another strength to each image."""
        count = len(images)
        share = torch.rand(count, generator=random)
        if self.noises:
            index = (share * len(self.noises)).long().clamp(max=len(self.noises) - 1)
            sigma = torch.tensor(self.noises)[index]
        else:
            low, high = self.noise
            faint = torch.rand(count, generator=random) < self.faint
            sigma = low + (high - low) * torch.where(faint, 0.25 * share, share)
        sigma = (_GREY * sigma).reshape(-1, *(1,) * (images.ndim - 1))
        return images + sigma * torch.randn(images.shape, generator=random)


@dataclass(frozen=True)
class Optics:
    """Blur by PSFs, noise of photons and of the camera.

    Attributes
    ----------
    psfs
        PSFs to draw from, each of sum 1 with its origin at n // 2.
    photons
        Range of the photons in the brightest voxel, drawn evenly by decades.
    read_noise
        Range of the read noise in photons.
    ratio
        Distance of planes over the size of pixels.
    """

    psfs: tuple[Volume, ...]
    photons: tuple[float, float] = (20.0, 2000.0)
    read_noise: tuple[float, float] = (0.5, 3.0)
    ratio: float = 1.0
    turns: bool = field(default=False, init=False)

    def pair(self, shape: Sequence[int], seed: Sequence[int]) -> tuple[Volume, Volume]:
        """Return an object and its blurred image."""
        from scipy.signal import fftconvolve

        random = np.random.default_rng([*seed, 1])
        truth = crowd(shape, [*seed, 0], ratio=self.ratio)
        psf = self.psfs[int(random.integers(len(self.psfs)))]
        # Where a PSF is even in size, its origin is right of the middle.
        whole = fftconvolve(truth, psf, mode="full")
        inside = tuple(
            slice(n // 2, n // 2 + m) for n, m in zip(psf.shape, truth.shape, strict=True)
        )
        image = np.maximum(whole[inside], 0).astype(np.float32)
        brightest = float(image.max())
        return truth / brightest, image / brightest

    def noisy(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Count photons and read them out."""
        shape = (len(images), *(1,) * (images.ndim - 1))
        low, high = np.log(self.photons)
        photons = torch.exp(low + (high - low) * torch.rand(shape, generator=random))
        lowest, highest = self.read_noise
        read = lowest + (highest - lowest) * torch.rand(shape, generator=random)
        counts = torch.poisson(images.clamp(min=0) * photons, generator=random)
        return (counts + read * torch.randn(images.shape, generator=random)) / photons


def blurred(volume: Volume, sigma: float, taps: int) -> Volume:
    """Blur with a Gaussian of so many voxels along each axis, with darkness beyond the edges."""
    from scipy.ndimage import correlate1d

    kernel = gaussian(sigma, taps)
    for axis in range(volume.ndim):
        volume = correlate1d(volume, kernel, axis, mode="constant")
    return volume
