"""Train the network that reads aberrations from spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_deconv.identification.optics import MODES, pupils
from napari_deconv.identification.spectrum import CUTOFF, half_plane, spectrum_of
from napari_deconv.networks.precision import autocast
from napari_deconv.networks.spectrum_encoder import SpectrumEncoder
from napari_deconv.optics import zernike
from napari_deconv.training.blind_views import SHAPE, decibels, relative_error, view
from napari_deconv.training.schooling import School

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from napari_deconv.training.blind_scenes import Scenes

BATCH = 64
# Spectra in memory, and how many of them each step renews.
_POOL, _RENEWED = 4096, 8
# Error, relative squared, below which a smaller one matters no more.
_NEGLIGIBLE = 0.02


class Spectra:
    """A pool of spectra with what they are of, always growing new."""

    def __init__(self, scenes: Scenes, seed: int, count: int) -> None:
        self._scenes, self._seed, self._drawn, self._count = scenes, seed, 0, count
        self._rows: list[tuple[Tensor, ...]] = []

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._rows)

    def grow(self, count: int) -> None:
        """Draw new ones, in the place of the oldest where it is full."""
        for _ in range(count):
            random = np.random.default_rng([self._seed, self._drawn])
            seen = view(self._scenes, random)
            spectrum = spectrum_of(torch.from_numpy(seen.image))
            row = (
                half_plane(spectrum.log),
                torch.tensor(spectrum.noise),
                torch.tensor(spectrum.windows),
                torch.tensor(seen.amplitude),
                torch.from_numpy(seen.coefficients),
            )
            if len(self._rows) < self._count:
                self._rows.append(tuple(each.float() for each in row))
            else:
                self._rows[self._drawn % self._count] = tuple(each.float() for each in row)
            self._drawn += 1

    def batch(self, chosen: Any, random: np.random.Generator | None = None) -> list[Tensor]:
        """Return spectra, noise, windows, amplitudes and aberrations; mirrored at random."""
        rows = [self._rows[int(i)] for i in chosen]
        made = [torch.stack(each) for each in zip(*rows, strict=True)]
        if random is not None and random.random() < 0.5:
            # The half plane upside down is the spectrum of the image upside down.
            made[0] = made[0].flip(1)
            made[4] = made[4] * torch.tensor(upside_down())
        return made


def upside_down() -> list[float]:
    """Return the sign that each mode takes when the pupil is turned upside down."""
    point = np.array([0.3]), np.array([0.4])
    now = zernike.basis(MODES, *point)
    then = zernike.basis(MODES, -point[0], point[1])
    return [float(sign) for sign in np.sign(now * then)[:, 0]]


def train(
    scenes: Scenes,
    apart: Scenes,
    folder: Path,
    minutes: float,
    *,
    rate: float = 1e-3,
    seed: int = 0,
    first: int = 512,
    scored: int = 192,
) -> tuple[SpectrumEncoder, Mapping[str, float], int]:
    """Train for a while; return the network, its scores on other scenes and its steps.

    ``first`` spectra are there when it begins; it is judged by ``scored`` others.
    """
    torch.manual_seed(seed)
    network = SpectrumEncoder()
    judged = Spectra(apart, seed + 1, scored)
    judged.grow(scored)
    network.usual.copy_(judged.batch(range(scored))[0].mean(0))
    school = School(network, folder / "spectra.pt", rate)
    pool = Spectra(scenes, seed + 1000 + school.steps, _POOL)
    pool.grow(first)
    random = np.random.default_rng([seed, school.steps])

    def loss() -> Tensor:
        pool.grow(_RENEWED)
        chosen = random.choice(len(pool), min(BATCH, len(pool)), replace=False)
        error = _error(network, pool.batch(chosen, random))
        return torch.log(error + _NEGLIGIBLE).mean()

    def score() -> dict[str, float]:
        made = judged.batch(range(scored))
        reached = decibels(_error(network, made))
        quiet, full = made[1] < 1e-4, made[3] > 0.149
        kinds = {"quiet": quiet & full, "noisy": ~quiet & full, "small aberrations": ~full}
        return {name: float(reached[kind].mean()) for name, kind in kinds.items() if kind.any()}

    scores = school.teach(minutes, loss, score)
    network.load_state_dict(school.mean)
    return network.eval(), scores, school.steps


def _error(network: SpectrumEncoder, batch: list[Tensor]) -> Tensor:
    """Return relative squared errors of the mean PSFs, either way round, whichever is the less."""
    *seen, truth = batch
    with autocast(truth.device):
        coefficients, weights = network(*seen)
    coefficients, weights = coefficients.float(), weights.float()
    model = pupils(CUTOFF, SHAPE)
    share = torch.softmax(weights, 1)[..., None, None]
    psf = (share * model.psf(coefficients)).sum(1)
    with torch.no_grad():
        true = model.psf(truth)
    errors = torch.stack([relative_error(psf, true), relative_error(psf.flip(-2, -1), true)])
    least: Tensor = errors.min(0).values
    return least
