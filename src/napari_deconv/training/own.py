"""Recipes out of what a user has: a PSF and an image, or pairs of images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.assessment.noise import estimate_noise
from napari_deconv.errors import InputError
from napari_deconv.methods.lucyd import DEFAULTS, brightness, darkness
from napari_deconv.networks.weights import load_weights
from napari_deconv.operators.kernel import prepare_kernel
from napari_deconv.training.degradations import Optics
from napari_deconv.training.lucyd import Plan
from napari_deconv.training.recipes import Recipe
from napari_deconv.training.supply import Variation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from napari_deconv.training.degradations import Volume

# Noise is trained from a half to the double of what the image has.
_RANGE = 2.0
_VARIATION = Variation((0.6, 1.4), (-0.03, 0.15))
# A voxel shape within this share is one the weights know.
_SHAPE = 0.2
# Share of a single pair that is kept apart to judge by, along its longest axis.
_APART = 0.25
_LEAST_SIDE = 16


def from_psf(
    psf: ArrayLike,
    image: ArrayLike | None = None,
    *,
    spacing: Sequence[float] | None = None,
    psf_spacing: Sequence[float] | None = None,
) -> Recipe:
    """Return phantoms blurred with a PSF, as noisy as an image is.

    Parameters
    ----------
    psf
        Axes (Z,) Y, X.
    image
        Image of the same number of axes, whose noise is measured; without it, noise is that of 20
        to 2000 photons in the brightest voxel.
    spacing, psf_spacing
        Voxel sizes of image and PSF, um.

    Raises
    ------
    InputError
        When the PSF cannot be used.
    """
    kernel = prepare_kernel(psf, spacing=spacing, psf_spacing=psf_spacing, energy=0.995)
    ndim = kernel.array.ndim
    photons, read = (20.0, 2000.0), (0.5, 3.0)
    seen = "20 to 2000 photons in the brightest voxel, 0.5 to 3 of read noise"
    if image is not None:
        pixels = np.asarray(image, np.float32)
        noise = estimate_noise(pixels)
        brightest = max(brightness(pixels, darkness(pixels)) / noise.gain, 1.0)
        photons = (brightest / _RANGE, brightest * _RANGE)
        read = (0.0, _RANGE * noise.read_noise / noise.gain)
        seen = f"noise as in the image: about {brightest:.3g} photons in the brightest voxel"
    ratio = 1.0
    if ndim == 3 and spacing is not None and len(spacing) == 3:
        ratio = float(spacing[0] / np.sqrt(spacing[1] * spacing[2]))
    flat = max(1.0, min(ratio, 4.0))
    return Recipe(
        title="LUCYD, trained for one PSF",
        data=f"crowds after Li et al. 2022, blurred with a PSF of {kernel.array.shape} voxels; "
        f"{seen}; background -0.03 to 0.15, gain 0.6 to 1.4",
        limits="for that PSF, voxel size and noise",
        degradation=Optics((_centred(kernel.array, kernel.origin),), photons, read, flat),
        apart=(),
        shape=(round(128 / flat), 128, 128) if ndim == 3 else (384, 384),
        variation=_VARIATION,
        plan=Plan(side=32 if ndim == 3 else 128),
        settings={"ratio": [ratio * (1 - _SHAPE), ratio * (1 + _SHAPE)]},
    )


def from_pairs(pairs: Sequence[tuple[ArrayLike, ArrayLike]]) -> Recipe:
    """Return pairs of a blurred, noisy image and the same object seen well.

    Each is freed of its darkness, and the sharp one scaled until both have as much light. The last
    pair, or the end of a single one, is kept apart to judge by.

    Raises
    ------
    InputError
        When there is no pair, or the two of a pair are of different shapes.
    """
    made = [_pair(np.asarray(b, np.float32), np.asarray(s, np.float32)) for b, s in pairs]
    if not made:
        raise InputError("There are no pairs: give a blurred and a sharp image of the same name.")
    if len({truth.ndim for truth, _ in made}) > 1:
        raise InputError("Some pairs are planes and others are stacks: train them apart.")
    if len(made) == 1:
        axis = int(np.argmax(made[0][0].shape))
        cut = round((1 - _APART) * made[0][0].shape[axis])
        first, last = (tuple(np.split(each, [cut], axis)) for each in made[0])
        made = [(first[0], last[0]), (first[1], last[1])]
    least = [min(truth.shape[axis] for truth, _ in made) for axis in range(made[0][0].ndim)]
    if min(least) < _LEAST_SIDE:
        raise InputError(f"Pairs need at least {_LEAST_SIDE} voxels along each axis, not {least}.")
    ndim = len(least)
    side = min(32 if ndim == 3 else 128, *(2 * (n // 2) for n in least))
    return Recipe(
        title="LUCYD, trained on pairs",
        data=f"{len(made)} pairs of images, the last one kept apart",
        limits="for what is blurred and noisy as those pairs are",
        degradation=Given(tuple(made)),
        apart=(),
        shape=tuple(least),
        variation=_VARIATION,
        plan=Plan(side=side),
        settings={},
        pairs=len(made) - 1,
        renewed=0,
    )


def start_for(ndim: int) -> dict[str, Tensor]:
    """Return the package's weights for so many axes, which know already what bodies look like."""
    return load_weights(DEFAULTS[ndim], "lucyd").tensors


@dataclass(frozen=True)
class Given:
    """Pairs as they were taken, noise and all."""

    pairs: tuple[tuple[Volume, Volume], ...]
    turns: bool = field(default=False, init=False)

    def pair(self, shape: Sequence[int], seed: Sequence[int]) -> tuple[Volume, Volume]:
        """Return a pair to learn from by its number, or the one to judge by."""
        del shape
        _, kind, number = seed
        return self.pairs[-1 if kind else number % (len(self.pairs) - 1)]

    def noisy(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Return the images, which have their noise."""
        del random
        return images


def _pair(blurred: NDArray[Any], sharp: NDArray[Any]) -> tuple[Volume, Volume]:
    if blurred.shape != sharp.shape or blurred.ndim not in (2, 3):
        raise InputError(
            f"The images of a pair have the shapes {blurred.shape} and {sharp.shape}: they have to "
            "be planes or stacks of the same shape, and to lie on each other."
        )
    image = blurred - np.float32(darkness(blurred))
    truth = sharp - np.float32(darkness(sharp))
    scale = brightness(image, 0.0)
    light = float(truth.mean(dtype=np.float64))
    if light <= 0:
        raise InputError("The sharp image of a pair shows nothing above its darkness.")
    truth *= float(image.mean(dtype=np.float64)) / light
    return (truth / scale).astype(np.float32), (image / scale).astype(np.float32)


def _centred(array: NDArray[np.float64], origin: Sequence[int]) -> Volume:
    """Return a PSF with its origin at ``n // 2``, with zeros where it has to grow."""
    around = []
    for n, o in zip(array.shape, origin, strict=True):
        half = max(o, n - 1 - o)
        around.append((half - o, half - (n - 1 - o)))
    return np.pad(array, around).astype(np.float32)
