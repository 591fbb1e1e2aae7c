"""What blind identification is trained on: scenes behind aberrations, noise and all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_deconv.identification.optics import MODES, pupils
from napari_deconv.identification.spectrum import CUTOFF
from napari_deconv.training.blind_scenes import blurred, noisy

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.training.blind_scenes import Image, Scenes

SHAPE = (31, 31)
AMPLITUDE = 0.15
# Range of the noise's standard deviation, of images from 0 to 1; a fifth of them have none, and of
# the others one in ten has several times as much.
NOISE = (1e-3, 0.06)
_WITHOUT, _DROWNED, _TIMES = 0.2, 0.1, 8.0
# Sides of what is seen, and how often each range is drawn.
SIDES = ((66, 130, 0.45), (130, 260, 0.35), (260, 483, 0.2))


@dataclass(frozen=True)
class View:
    """An image and how it came about.

    Attributes
    ----------
    image
        Intensities (y, x).
    coefficients
        Aberrations (mode,), waves.
    amplitude
        They were drawn evenly from minus this to this.
    sigma
        Standard deviation of the noise.
    """

    image: Image
    coefficients: NDArray[np.float32]
    amplitude: float
    sigma: float


def view(
    scenes: Scenes,
    random: np.random.Generator,
    side: int | None = None,
    sigma: float | None = None,
    amplitude: float | None = None,
) -> View:
    """Draw a scene, blur it, and add noise; side, noise and amplitude at random by default."""
    if side is None:
        kind = random.choice(len(SIDES), p=[share for _, _, share in SIDES])
        low, high, _ = SIDES[kind]
        side = int(random.integers(low, high))
    if sigma is None:
        drawn = float(np.exp(random.uniform(*np.log(NOISE))))
        drawn *= _TIMES if random.random() < _DROWNED else 1.0
        sigma = 0.0 if random.random() < _WITHOUT else drawn
    if amplitude is None:
        smaller = random.random() < 0.35
        amplitude = AMPLITUDE * (float(np.exp(random.uniform(np.log(0.3), 0))) if smaller else 1)
    coefficients = random.uniform(-amplitude, amplitude, len(MODES)).astype(np.float32)
    psf = pupils(CUTOFF, SHAPE).psf(torch.from_numpy(coefficients)).numpy()
    scene = scenes.draw(random, side + SHAPE[0] - 1)
    photons = float(random.choice([0.0, random.random()]))
    image = noisy(blurred(scene, psf), sigma, random, photons=photons)
    return View(image, coefficients, amplitude, sigma)


def relative_error(estimate: Tensor, truth: Tensor) -> Tensor:
    """Return the squared error over the square of the true PSF (...,), of PSFs (..., y, x)."""
    return (estimate - truth).square().sum((-2, -1)) / truth.square().sum((-2, -1))


def decibels(error: Tensor) -> Tensor:
    """Return the signal to noise of a relative squared error: equation 6 of the paper."""
    return -10 * torch.log10(error.clamp(min=1e-12))
