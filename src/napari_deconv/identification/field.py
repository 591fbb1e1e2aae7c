"""Aberrations that change over the field: one smooth field behind the spectra of many windows.

Each aberration is a polynomial in the place, of the normal numbers of which ``fit`` speaks, and
every window has its own object. A field of higher degree explains more and is less probable
beforehand: the evidence decides how much the PSF changes, and whether it does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.identification import estimate, sign, spectrum
from napari_deconv.identification import fit as fitting
from napari_deconv.identification.optics import MODES, pupils

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.identification.fit import Fit, Model
    from napari_deconv.identification.prior import SpectrumPrior

# Windows are a third of the image, within these bounds, and overlap by half.
_SMALLEST, _LARGEST, _PARTS = 96, 256, 3
# Standard deviation of a term of each degree beside the constant's, and places along an axis at
# which the field is told.
_FALL, NODES = (1.0, 0.6, 0.35), 5
# Candidates that are followed from degree to degree.
_FOLLOWED = 6


@dataclass(frozen=True)
class Field:
    """Candidates of a field, the most probable first.

    Attributes
    ----------
    fit
        Coefficients (m, node, mode) and samples (m, s, node, mode) at ``NODES`` places along each
        axis, row by row.
    degree
        Of the polynomials: 0 where the PSF does not change.
    flips
        How probable it is that all PSFs of a candidate are turned by 180 degrees, (m,).
    noise
        White noise over the image's variance.
    """

    fit: Fit
    degree: int
    flips: Tensor
    noise: float


class FieldModel:
    """The least squares of many windows' spectra at once; as :class:`fit.Model` for one.

    Parameters
    ----------
    models
        Of the windows.
    places, nodes
        Polynomials' terms at the windows (k, term), and where the field is told (n, term).
    """

    def __init__(self, models: Sequence[Model], places: Tensor, nodes: Tensor) -> None:
        self._models, self._places, self._nodes = models, places, nodes
        self._terms = len(MODES) * places.shape[1]
        self._objects = models[0].unknowns - len(MODES)
        self.unknowns = self._terms + len(models) * self._objects

    def aberrations(self, numbers: Tensor) -> Tensor:
        """Return aberrations (..., node, mode), waves."""
        field = numbers[..., : self._terms].reshape(*numbers.shape[:-1], len(MODES), -1)
        return self._models[0].waves((field @ self._nodes.T).mT)

    def share(self, numbers: Tensor) -> Tensor:
        """Return the share of each window's frequencies that is no noise, (m, windows * n)."""
        import torch

        each = zip(self._models, self._own(numbers), strict=True)
        return torch.cat([model.share(own) for model, own in each], 1)

    def weights(self, share: Tensor) -> Tensor:
        """Return one over the standard deviation of each frequency."""
        import torch

        each = zip(self._models, self._split(share), strict=True)
        return torch.cat([model.weights(own) for model, own in each], 1)

    def linear(self, numbers: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return shares, normal matrix, gradient and sum of squares, as for one window."""
        import torch

        modes, start = len(MODES), self._terms
        normal = numbers.new_zeros(len(numbers), self.unknowns, self.unknowns)
        gradient, squares = numbers.clone(), numbers.square().sum(-1)
        shares = []
        each = zip(
            self._models, self._own(numbers), self._split(weights), self._places, strict=True
        )
        for model, own, weight, terms in each:
            share, curved, slope, square = model.linear(own, weight)
            shares.append(share)
            slope, square = slope - own, square - own.square().sum(-1)
            stop = start + self._objects
            blocks = curved[:, :modes, :modes]
            normal[:, : self._terms, : self._terms] += torch.kron(blocks, torch.outer(terms, terms))
            mixed = torch.kron(curved[:, :modes, modes:], terms[:, None])
            normal[:, : self._terms, start:stop] = mixed
            normal[:, start:stop, : self._terms] = mixed.mT
            normal[:, start:stop, start:stop] = curved[:, modes:, modes:]
            gradient[:, : self._terms] += torch.kron(slope[:, :modes], terms)
            gradient[:, start:stop] += slope[:, modes:]
            squares += square
            start = stop
        return torch.cat(shares, 1), normal, gradient, squares

    def solve(self, matrix: Tensor, right: Tensor) -> Tensor:
        """Return the solution of one linear system for each start, the objects eliminated.

        So all matrices are small: torch 2.13's LU of more than a hundred rows, on several threads
        of a CPU, was seen to be wrong without a word.
        """
        import torch

        terms, count, own = self._terms, len(self._models), self._objects
        objects = matrix[:, terms:, terms:].reshape(-1, count, own, count, own)
        blocks = objects.diagonal(dim1=1, dim2=3).movedim(-1, 1)
        mixed = matrix[:, terms:, :terms].reshape(-1, count, own, terms)
        known = torch.cat([mixed, right[:, terms:].reshape(-1, count, own, 1)], -1)
        solved = torch.linalg.solve(blocks, known)
        # Without the objects: what they leave of the field's own equations.
        left = torch.einsum("mkot,mkos->mts", mixed, solved)
        reduced = matrix[:, :terms, :terms] - left[..., :-1]
        field = torch.linalg.solve(reduced, right[:, :terms] - left[..., -1])
        rest = solved[..., -1] - torch.einsum("mkot,mt->mko", solved[..., :-1], field)
        return torch.cat([field, rest.flatten(1)], 1)

    def squares(self, numbers: Tensor, weights: Tensor) -> Tensor:
        """Return the sum of squares (m,)."""
        total = numbers.square().sum(-1)
        each = zip(self._models, self._own(numbers), self._split(weights), strict=True)
        for model, own, weight in each:
            total = total + model.squares(own, weight) - own.square().sum(-1)
        return total

    def _own(self, numbers: Tensor) -> list[Tensor]:
        """Return what each window's model knows: aberrations there, and its object."""
        import torch

        field = numbers[:, : self._terms].reshape(len(numbers), len(MODES), -1)
        objects = numbers[:, self._terms :].reshape(len(numbers), len(self._models), -1)
        there = field @ self._places.T
        return [torch.cat([there[..., k], objects[:, k]], 1) for k in range(len(self._models))]

    def _split(self, values: Tensor) -> list[Tensor]:
        return list(values.chunk(len(self._models), 1))


def find_field(
    plane: Tensor,
    known: SpectrumPrior,
    amplitude: float,
    *,
    noise: float | None = None,
    band: float = 0.5,
    seed: int = 0,
    say: Callable[[float, str], None] = lambda share, doing: None,
) -> Field:
    """Return the field behind a plane (y, x) at the trained cutoff.

    Parameters
    ----------
    plane
        Image (y, x), at the trained cutoff.
    known
        The prior of spectra.
    amplitude
        Largest coefficient to expect anywhere, waves.
    noise, band
        As for ``spectrum.spectrum_of``.
    seed
        Of the random starts.
    say
        Called with the share done and what is being done.
    """
    import torch

    whole = spectrum.spectrum_of(plane, noise, band)
    level = whole.noise * float(plane.double().var())
    cut = windows(tuple(plane.shape))
    parts = [plane[piece] for piece in cut]
    model = pupils(spectrum.CUTOFF, estimate.SHAPE)
    spectra = [spectrum.spectrum_of(part, level**0.5, band) for part in parts]
    # Windows that overlap tell part of it twice.
    temper = plane.numel() / sum(part.numel() for part in parts)
    models = [fitting.Model(each, known, model, amplitude, share=temper) for each in spectra]
    say(0.1, "fitting aberrations")
    alone = fitting.Model(whole, known, model, amplitude)
    # One PSF is no good model of a field: as with noise, more starts would find worse places.
    first = fitting.starts(fitting.KEPT, seed, len(known.components))
    begun = _numbers(fitting.fit(alone, first, seed=seed))[:_FOLLOWED, : len(MODES)]
    middles = [
        [(side.start + side.stop) / 2 / n for side, n in zip(piece, plane.shape, strict=True)]
        for piece in cut
    ]
    grid = np.linspace(0, 1, NODES)
    nodes = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    found: list[Fit] = []
    for degree in range(len(_FALL)):
        say(0.3 + 0.2 * degree, f"fitting a field of degree {degree}")
        at, told = (terms(np.array(where), degree) for where in (middles, nodes))
        field = FieldModel(models, at, told)
        numbers = torch.zeros(len(begun), field.unknowns)
        # What a lower degree found comes first among the terms of every mode.
        count, before = at.shape[1], begun.shape[1] // len(MODES)
        inside = numbers[:, : len(MODES) * count].view(len(begun), len(MODES), count)
        inside[..., :before] = begun.reshape(len(begun), len(MODES), before)
        found.append(fitting.fit(field, numbers, seed=seed))
        begun = _numbers(found[-1])[:, : len(MODES) * count]
    degree = int(np.argmax([float(each.evidence[0]) for each in found]))
    best = found[degree]
    say(0.9, "deciding which way round")
    at = terms(np.array(middles), degree)
    there = FieldModel(models, at, at).aberrations(_numbers(best))
    flips = torch.full((len(there),), 0.5)
    likely = torch.softmax(best.evidence, 0)
    for i in range(len(there)):
        if i == 0 or likely[i] > estimate.SLIGHT:
            each = zip(parts, model.psf(there[i]), spectra, strict=True)
            odds = sum(sign.odds(part.float(), psf, seen.noise) for part, psf, seen in each)
            flips[i] = torch.sigmoid(torch.tensor(-odds * temper))
    return Field(best, degree, flips, whole.noise)


def _numbers(found: Fit) -> Tensor:
    assert found.numbers is not None
    return found.numbers


def windows(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """Return the windows that an image is looked at through."""
    axes = []
    for n in shape:
        side = min(n, max(_SMALLEST, min(_LARGEST, math.ceil(n / _PARTS))))
        count = 1 + math.ceil(2 * (n - side) / side)
        starts = np.linspace(0, n - side, count).round().astype(int)
        axes.append([slice(int(s), int(s) + side) for s in starts])
    return [(y, x) for y in axes[0] for x in axes[1]]


def terms(places: NDArray[np.float64], degree: int) -> Tensor:
    """Return polynomials' terms (n, term) at places (n, 2) from 0 to 1, by rising degree.

    Legendre's polynomials, whose means over the field vanish, each as large as it is probable.
    """
    import torch

    y, x = (2 * places - 1).T
    one = np.ones_like(x)
    legendre = {
        0: [one],
        1: [y, x],
        2: [(3 * y**2 - 1) / 2, x * y, (3 * x**2 - 1) / 2],
    }
    columns = [_FALL[d] * column for d in range(degree + 1) for column in legendre[d]]
    return torch.from_numpy(np.stack(columns, 1)).float()
