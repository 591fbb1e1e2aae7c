"""What the weights that come with the package were trained on; each by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from napari_deconv.training.degradations import Gaussians, Optics
from napari_deconv.training.lucyd import Plan
from napari_deconv.training.supply import AS_IT_IS, Supply, Variation, apart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from napari_deconv.training.degradations import Degradation

# Table 2 of the paper: blur in voxels and noise in 8-bit grey levels, its corners to judge by.
CORNERS = ((0.5, 20.0), (0.5, 100.0), (2.0, 20.0), (2.0, 100.0))
_STACK, _PLANE = (128, 128, 128), (384, 384)


@dataclass(frozen=True)
class Recipe:
    """Data and plan of a training.

    Attributes
    ----------
    title, data, limits
        For the card: what the weights are, what they were trained on, what they are not for.
    degradation
        Makes the pairs.
    apart
        Makes what is judged by; the degradations themselves where empty.
    shape
        Of a whole pair.
    variation
        Of intensities.
    plan
        How to train.
    settings
        What has to be known to use the weights: ``ratio``, the least and the largest distance of
        planes over the size of pixels that they know; ``noise``, the most that they know, in
        units of the brightest voxel.
    pairs, renewed
        How many pairs are in memory, and after how many batches one of them is drawn anew.
    """

    title: str
    data: str
    limits: str
    degradation: Degradation
    apart: tuple[Degradation, ...]
    shape: tuple[int, ...]
    variation: Variation
    plan: Plan
    settings: dict[str, Any]
    pairs: int = 16
    renewed: int = 25

    def supply(self, seed: int) -> Supply:
        """Return pairs to learn from."""
        return Supply(
            self.degradation,
            self.shape,
            seed,
            pairs=self.pairs,
            renewed=self.renewed,
            variation=self.variation,
        )

    def judged(self, seed: int) -> tuple[Tensor, Tensor]:
        """Return images and objects to judge by."""
        side = 64 if len(self.shape) == 3 else 192
        each = self.apart or (self.degradation,)
        count = max(1, 4 // len(each))
        pairs = [apart(d, self.shape, seed + i, count, side) for i, d in enumerate(each)]
        images, truths = zip(*pairs, strict=True)
        return torch.cat(images), torch.cat(truths)


def _cell(blur: float, noise: float) -> Gaussians:
    return Gaussians(blurs=(blur,), noises=(noise,), truncated=1.0)


def _mixture(shape: Sequence[int], title: str) -> Recipe:
    return Recipe(
        title=title,
        data="crowds after Li et al. 2022; Gaussian blur of 0.4 to 2.5 voxels, seven of ten cut to "
        "7 voxels; Gaussian noise of 0 to 120 grey levels of 255, three of ten below 30; "
        "background -0.03 to 0.15, gain 0.6 to 1.4",
        limits="isotropic Gaussian blur of at most 2.5 voxels, white noise; what is finer than the "
        "noise lets through is guessed from the bodies that it was trained on",
        degradation=Gaussians(),
        apart=tuple(_cell(*corner) for corner in CORNERS),
        shape=tuple(shape),
        variation=Variation((0.6, 1.4), (-0.03, 0.15)),
        plan=Plan(side=32 if len(shape) == 3 else 128),
        settings={"ratio": [1.0, 1.0]},
    )


def mixture() -> Recipe:
    """Return wide ranges of Gaussian blur and noise, in stacks: the default."""
    return _mixture(_STACK, "LUCYD, mixture: wide ranges of Gaussian blur and noise")


def plane() -> Recipe:
    """Return the same for planes."""
    return _mixture(_PLANE, "LUCYD in planes: wide ranges of Gaussian blur and noise")


def mixture_paper() -> Recipe:
    """Return the paper's network, for the paper's mixed set and equation 8 alone."""
    paper: dict[str, Any] = {"truncated": 1.0, "same_unit": False}
    return Recipe(
        title="LUCYD, mixture-paper: the paper's network on the paper's ranges",
        data="crowds after Li et al. 2022; Gaussian blur of 1.0, 1.2 and 1.5 voxels cut to 7 "
        "voxels, noise of 0, 15 and 30 grey levels of 255; object and blurred image each scaled to "
        "its brightest voxel",
        limits="as the paper's: narrow ranges of blur and noise, no background; brightens what it "
        "restores",
        degradation=Gaussians(blurs=(1.0, 1.2, 1.5), noises=(0.0, 15.0, 30.0), **paper),
        # Noise beyond these ranges is made less before the network sees it.
        apart=tuple(
            Gaussians(blurs=(b,), noises=(n,), **paper) for b in (1.0, 1.5) for n in (15.0, 30.0)
        ),
        shape=_STACK,
        variation=AS_IT_IS,
        plan=Plan(variant="paper", loss="paper"),
        settings={"ratio": [1.0, 1.0], "noise": 30 / 255},
    )


def _optics(modality: str, title: str, **scope: Any) -> Recipe:
    from napari_deconv.optics.generate import generate_psf
    from napari_deconv.optics.microscope import Microscope

    spacing = (0.2, 0.1, 0.1)
    psfs = tuple(
        generate_psf(Microscope(**scope, depth=depth), (31, 41, 41), spacing, modality=modality)
        for depth in (0.0, 5.0, 20.0)
    )
    numbers = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in scope.items())
    return Recipe(
        title=title,
        data=f"crowds after Li et al. 2022, as flat as voxels of {spacing} um want them; {modality}"
        f" PSFs in depths of 0, 5 and 20 um ({numbers}); 20 to 2000 photons in the brightest "
        "voxel, 0.5 to 3 of read noise; background -0.03 to 0.15, gain 0.6 to 1.4",
        limits="for that objective, give or take a third in numerical aperture or voxel size",
        degradation=Optics(psfs, ratio=spacing[0] / spacing[1]),
        apart=(),
        shape=(64, 160, 160),
        variation=Variation((0.6, 1.4), (-0.03, 0.15)),
        plan=Plan(),
        settings={"ratio": [1.5, 2.7]},
    )


def widefield() -> Recipe:
    """Return widefield, water immersion of NA 1.1."""
    return _optics(
        "widefield",
        "LUCYD, widefield",
        numerical_aperture=1.1,
        emission_wavelength=0.52,
        immersion_index=1.333,
        sample_index=1.36,
    )


def light_sheet() -> Recipe:
    """Return a light sheet, seen by a dipping objective of NA 0.8."""
    return _optics(
        "light-sheet",
        "LUCYD, light sheet",
        numerical_aperture=0.8,
        emission_wavelength=0.52,
        excitation_wavelength=0.488,
        immersion_index=1.333,
        sample_index=1.34,
        coverslip_thickness=0.0,
        coverslip_thickness_design=0.0,
    )


def confocal() -> Recipe:
    """Return a confocal microscope, water immersion of NA 1.2, pinhole of one Airy unit."""
    return _optics(
        "confocal",
        "LUCYD, confocal",
        numerical_aperture=1.2,
        emission_wavelength=0.52,
        excitation_wavelength=0.488,
        immersion_index=1.333,
        sample_index=1.36,
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "mixture": mixture,
    "mixture-paper": mixture_paper,
    "widefield": widefield,
    "light-sheet": light_sheet,
    "confocal": confocal,
    "2d": plane,
}
