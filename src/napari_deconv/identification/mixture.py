"""What an image leaves possible: aberrations with weights, and the mean of their PSFs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_deconv.identification.optics import Pupils, evenly, turned

if TYPE_CHECKING:
    from torch import Tensor

_PRIOR = 512
# Error, relative squared, below which a smaller one matters no more: models are no better.
NEGLIGIBLE = 0.02
# From how many members the best weights are looked for, beside from all, and in how many steps.
_BEGINNINGS, _STEPS = 4, 12


@dataclass(frozen=True)
class Mixture:
    """Aberrations (m, mode), waves, and their weights (m,), which add up to 1.

    Aberrations may also be those of a field, (m, node, mode): then PSFs have an axis more, and
    errors are those of all nodes together.
    """

    coefficients: Tensor
    weights: Tensor

    def psf(self, pupils: Pupils) -> Tensor:
        """Return the mean PSF (y, x), or PSFs (node, y, x)."""
        import torch

        mean: Tensor = torch.tensordot(self.weights, pupils.psf(self.coefficients), 1)
        return mean

    def best(self, pupils: Pupils) -> Mixture:
        """Return other weights, whose mean PSF has the highest expected signal to noise in dB.

        The mean over all that is possible has the least squared error on average. Of two PSFs that
        exclude each other, one and the same turned, say, it is neither: in decibels, as for who
        restores with it, the likelier one alone is better. So the mean of the logarithm of the
        error is made least, by weights over the error, again and again.
        """
        import torch

        psfs = pupils.psf(self.coefficients).flatten(1)
        squares = psfs.square().sum(1)
        ends = []
        order = torch.argsort(self.weights, descending=True)[:_BEGINNINGS]
        for first in [self.weights, *torch.eye(len(psfs))[order]]:
            weights = first
            for _ in range(_STEPS):
                error = (weights @ psfs - psfs).square().sum(1) / squares
                weights = self.weights / (error + NEGLIGIBLE) / squares
                weights = weights / weights.sum()
            ends.append((self._decibels(weights @ psfs, psfs), weights))
        _, weights = max(ends, key=lambda end: end[0])
        return Mixture(self.coefficients, weights)

    def expected(self, psf: Tensor, pupils: Pupils) -> float:
        """Return the expected signal to noise, dB, of a PSF (y, x)."""
        return self._decibels(psf.flatten(), pupils.psf(self.coefficients).flatten(1))

    def _decibels(self, psf: Tensor, psfs: Tensor) -> float:
        import torch

        error = (psf - psfs).square().sum(1) / psfs.square().sum(1)
        return float(-10 * (self.weights * torch.log10(error + NEGLIGIBLE)).sum())

    def error(self, pupils: Pupils) -> float:
        """Return the expected squared error of the mean PSF over the square of a PSF."""
        psfs = pupils.psf(self.coefficients).flatten(1)
        rest = (psfs - self.weights @ psfs).square().sum(1)
        return float((self.weights * rest / psfs.square().sum(1)).sum())

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
