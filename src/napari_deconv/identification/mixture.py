"""What an image leaves possible: aberrations with weights, and the mean of their PSFs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_deconv.identification.optics import Pupils, evenly, turned

if TYPE_CHECKING:
    from torch import Tensor

_PRIOR = 512


@dataclass(frozen=True)
class Mixture:
    """Aberrations (m, mode), waves, and their weights (m,), which add up to 1."""

    coefficients: Tensor
    weights: Tensor

    def psf(self, pupils: Pupils) -> Tensor:
        """Return the mean PSF (y, x)."""
        return (self.weights[:, None, None] * pupils.psf(self.coefficients)).sum(0)

    def error(self, pupils: Pupils) -> float:
        """Return the expected squared error of the mean PSF over the square of a PSF."""
        psfs = pupils.psf(self.coefficients)
        squares = psfs.square().sum((-2, -1))
        mean = (self.weights[:, None, None] * psfs).sum(0)
        rest = (self.weights[:, None, None] * (psfs - mean).square()).sum((-2, -1))
        return float((rest / squares).sum())

    def turned(self, probability: Tensor) -> Mixture:
        """Return it with every member also turned by 180 degrees, with these probabilities (m,)."""
        import torch

        return Mixture(
            torch.cat([self.coefficients, turned(self.coefficients)]),
            torch.cat([self.weights * (1 - probability), self.weights * probability]),
        )


def together(parts: list[tuple[float, Mixture]]) -> Mixture:
    """Return mixtures as one, each with its share."""
    import torch

    used = [(share, part) for share, part in parts if share > 0]
    return Mixture(
        torch.cat([part.coefficients for _, part in used]),
        torch.cat([share * part.weights for share, part in used]),
    )


def before_looking(amplitude: float) -> Mixture:
    """Return what is possible without an image: each mode evenly from -amplitude to amplitude."""
    import torch

    return Mixture(amplitude * (2 * evenly(_PRIOR, 0) - 1), torch.full((_PRIOR,), 1 / _PRIOR))
