"""Fit aberrations to an image's spectrum: Gauss-Newton from many starts at once.

What is sought are the aberrations and the object's own spectrum, both with a known prior:

    log spectrum = log(|OTF(aberrations)|^2 exp(mean + z components) + noise) + rest

Aberrations even in a range are ``amplitude * erf(u / sqrt(2))`` of normal ``u``, so that all that
is sought is normal, and the most probable is a problem of least squares (``u``, ``z``) that
Levenberg's and Marquardt's steps solve. Each start that is followed ends in a candidate; its
curvature tells how far it may be off, and its evidence what it weighs beside the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_deconv.identification.optics import MODES, Pupils, evenly
from napari_deconv.identification.spectrum import Spectrum, transfer

if TYPE_CHECKING:
    from torch import Tensor

    from napari_deconv.identification.field import FieldModel
    from napari_deconv.identification.prior import SpectrumPrior

# So many starts, of which after a few steps the most promising go on. With as many as these from
# the beginning, an image now and then ends in the wrong place; all to their end take twice as long
# and find no more. Where noise is a larger share of the variance, many places are alike: more
# starts find those that explain the noise best, and are no better.
_STARTS, KEPT, _SIFTED, _NOISY = 48, 16, 6, 2.5e-2
STEPS = 30
# Neighbouring frequencies share windows and rests: the share of them that counts, with as many
# windows as the smallest images have, how it falls with the logarithm of more, and at least.
TEMPER = (1.0, 4.0, 0.2, 0.35)
# Variance of what a spectrum cannot be known better than, whatever the image's size.
RESIDUE = 0.01
# The first steps trust the data this much less: coarse features first, the finer ones after.
_ANNEALED = (0.03, 0.03, 0.06, 0.06, 0.12, 0.12, 0.25, 0.25, 0.5, 0.5)
# A sum of squares that falls by less than this in a step is at its end.
_DONE = 1e-3


@dataclass(frozen=True)
class Fit:
    """Candidates, the most probable first.

    Attributes
    ----------
    coefficients
        Aberrations (m, mode), waves.
    evidence
        Logarithm of how probable each is, (m,).
    samples
        Aberrations (m, s, mode) drawn around each as far as it may be off.
    numbers
        All that was sought, (m, unknown); None for candidates that no fit ended at.
    """

    coefficients: Tensor
    evidence: Tensor
    samples: Tensor
    numbers: Tensor | None = None


class Model:
    """The least squares of one image's spectrum, of which a ``share`` counts."""

    def __init__(
        self,
        spectrum: Spectrum,
        prior: SpectrumPrior,
        pupils: Pupils,
        amplitude: float,
        share: float = 1.0,
    ) -> None:
        self._pupils, self._amplitude = pupils, amplitude
        self._transfer = transfer(pupils.shape, spectrum.side)
        self._spectrum, self._prior = spectrum, prior
        self._noise = spectrum.noise
        # The mean of n exponentials has the relative variance 1 / n, of which rests have theirs.
        self._statistical = 1 / spectrum.windows
        self._rest = (prior.variance(spectrum.windows) - self._statistical).clamp(min=0) + RESIDUE
        self._temper = share * _temper(spectrum.windows)
        self.unknowns = len(MODES) + len(prior.components)

    def waves(self, u: Tensor) -> Tensor:
        """Return aberrations, waves, of normal numbers."""
        import torch

        return self._amplitude * torch.erf(u / math.sqrt(2))

    def aberrations(self, numbers: Tensor) -> Tensor:
        """Return aberrations (..., mode), waves, of all that is sought (..., mode + component)."""
        return self.waves(numbers[..., : len(MODES)])

    def share(self, numbers: Tensor) -> Tensor:
        """Return the share of each frequency (m, n) that is no noise."""
        power = self._transfer(self._pupils.psf(self.aberrations(numbers)))
        return self.predicted(power, numbers[:, len(MODES) :])[1]

    def predicted(self, power: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return log spectra (m, n) and the share of them that is no noise."""
        import torch

        object_ = torch.exp((self._prior.mean + z @ self._prior.components).clamp(-40, 40))
        light = power * object_
        total = light + self._noise
        return torch.log(total), light / total

    def weights(self, share: Tensor) -> Tensor:
        """Return one over the standard deviation of each frequency."""
        return (self._temper / (share**2 * self._rest + self._statistical)).sqrt()

    def linear(self, numbers: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return residuals (m, n), normal matrix, gradient and sum of squares (m,)."""
        import torch

        u, z = numbers[:, : len(MODES)], numbers[:, len(MODES) :]
        psf, change = self._pupils.derivatives(self.waves(u))
        power, slope = self._transfer.derivatives(psf, change)
        log, share = self.predicted(power, z)
        by_u = self._amplitude * math.sqrt(2 / math.pi) * torch.exp(-(u**2) / 2)
        scaled = share * weights
        jacobian = torch.cat(
            [
                (scaled / power.clamp(min=1e-20))[:, None] * slope * by_u[..., None],
                scaled[:, None] * self._prior.components,
            ],
            1,
        )
        residual = (log - self._spectrum.log) * weights
        normal = jacobian @ jacobian.mT
        gradient = (jacobian @ residual[..., None])[..., 0] + numbers
        squares = residual.square().sum(-1) + numbers.square().sum(-1)
        return share, normal, gradient, squares

    def solve(self, matrix: Tensor, right: Tensor) -> Tensor:
        """Return the solution (m, unknown) of one linear system for each start."""
        import torch

        solution: Tensor = torch.linalg.solve(matrix, right)
        return solution

    def squares(self, numbers: Tensor, weights: Tensor) -> Tensor:
        """Return the sum of squares (m,)."""
        u, z = numbers[:, : len(MODES)], numbers[:, len(MODES) :]
        power = self._transfer(self._pupils.psf(self.waves(u)))
        log, _ = self.predicted(power, z)
        residual = (log - self._spectrum.log) * weights
        squares: Tensor = residual.square().sum(-1) + numbers.square().sum(-1)
        return squares


def _temper(windows: float) -> float:
    most, few, fall, least = TEMPER
    return min(most, max(least, most - fall * math.log(windows / few)))


def starts_for(seen: Spectrum) -> int:
    """Return how many starts are worth to be tried for a spectrum."""
    return KEPT if seen.noise > _NOISY else _STARTS


def starts(count: int, seed: int, components: int) -> Tensor:
    """Return normal numbers (count, mode + component), evenly spread, to start from."""
    import torch

    even = evenly(count, seed)
    u = math.sqrt(2) * torch.erfinv(2 * even.clamp(0.02, 0.98) - 1)
    return torch.cat([u, torch.zeros(count, components)], 1)


def fit(
    model: Model | FieldModel,
    first: Tensor,
    *,
    kept: int = KEPT,
    steps: int = STEPS,
    samples: int = 16,
    seed: int = 0,
) -> Fit:
    """Go from starts to candidates.

    Parameters
    ----------
    model
        Of one spectrum, or of those of a field.
    first
        Starts (m, unknown).
    kept
        At most so many of them go on after the first steps.
    steps
        At most.
    samples
        How many to draw around each candidate.
    seed
        Of these draws.
    """
    import torch

    numbers = first.clone()
    damping = torch.full((len(first), 1, 1), 1.0)
    own = torch.eye(model.unknowns)
    # Weights follow the share of noise, but stay put within a step: then steps only go down.
    share = model.share(numbers)
    weights = model.weights(share)
    for step in range(steps):
        if step == _SIFTED and len(numbers) > kept:
            weights = model.weights(share)
            promise = torch.log(weights).sum(-1) - model.squares(numbers, weights) / 2
            best = torch.argsort(promise, descending=True)[:kept]
            numbers, damping, share = numbers[best], damping[best], share[best]
        if step < len(_ANNEALED):
            weights = model.weights(share) * math.sqrt(_ANNEALED[step])
        elif step == len(_ANNEALED):
            weights = model.weights(share)
        share, normal, gradient, squares = model.linear(numbers, weights)
        curvature = normal + own
        damped = curvature + damping * torch.diag_embed(curvature.diagonal(dim1=-2, dim2=-1))
        move = model.solve(damped, gradient)
        tried = numbers - move
        after = model.squares(tried, weights)
        better = after < squares
        numbers = torch.where(better[:, None], tried, numbers)
        damping = torch.where(better[:, None, None], damping / 3, damping * 4).clamp(1e-4, 1e4)
        if step >= len(_ANNEALED) and step % 4 == 3:
            share = model.share(numbers)
            weights = model.weights(share)
        if step > len(_ANNEALED) and bool(
            ((squares - after).abs() < _DONE * squares)[better].all()
        ):
            break
    share, normal, gradient, squares = model.linear(numbers, weights)
    factor = torch.linalg.cholesky(normal + own)
    # Laplace: squares, the volume around the minimum, and the weights' own normalisation.
    evidence = (
        -squares / 2
        - torch.log(factor.diagonal(dim1=-2, dim2=-1)).sum(-1)
        + torch.log(weights).sum(-1)
    )
    order = torch.argsort(evidence, descending=True)
    numbers, evidence, factor = numbers[order], evidence[order], factor[order]
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(len(numbers), factor.shape[-1], samples, generator=generator)
    around = torch.linalg.solve_triangular(factor.mT, drawn, upper=True).mT
    return Fit(
        model.aberrations(numbers),
        evidence,
        model.aberrations(numbers[:, None] + around),
        numbers,
    )
