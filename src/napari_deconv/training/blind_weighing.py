"""Learn how much to believe fit, network and mean PSF, from cases where the truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_deconv.identification.estimate import estimates
from napari_deconv.identification.optics import pupils
from napari_deconv.identification.spectrum import CUTOFF, spectrum_of
from napari_deconv.networks.weighing import Weighing
from napari_deconv.training.blind_views import SHAPE, decibels, view

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from napari_deconv.identification.prior import SpectrumPrior
    from napari_deconv.networks.sign_network import SignNetwork
    from napari_deconv.networks.spectrum_encoder import SpectrumEncoder
    from napari_deconv.training.blind_scenes import Scenes

NAMES = ("fit", "network", "before")
STEPS = 800
_RATE, _DECAY = 1e-2, 3e-2
# Relative squared error below which a smaller one matters little: 30 dB.
_LEAST = 0.001
# What a PSF is worse than the mean of all counts by so much more: who knew nothing would do better.
_HARM = 0.5


def case(
    scenes: Scenes,
    random: np.random.Generator,
    known: SpectrumPrior | None = None,
    encoder: SpectrumEncoder | None = None,
    signs: SignNetwork | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the facts of a case (7,), and PSFs (4, y, x): of three sources, and the true one.

    Sources are the fit, the network and what was known before.
    """
    seen = view(scenes, random)
    image = torch.from_numpy(seen.image).double()
    made = estimates(
        image[None],
        spectrum_of(image),
        seen.amplitude,
        known=known,
        encoder=encoder,
        signs=signs,
        seed=int(random.integers(2**31)),
    )
    model = pupils(CUTOFF, SHAPE)
    true = model.psf(torch.from_numpy(seen.coefficients))
    return made.facts, torch.stack([*(part.psf(model) for part in made.sources(model)), true])


def learn(facts: Tensor, psfs: Tensor, *, seed: int = 0) -> tuple[Weighing, dict[str, float]]:
    """Return the weighing whose mean PSFs are nearest to the true ones, and what it reached, dB.

    Parameters
    ----------
    facts
        (n, 7).
    psfs
        (n, 4, y, x), see ``case``.
    seed
        Of the weighing's first weights.
    """
    torch.manual_seed(seed)
    network = Weighing()
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    products = _products(psfs)
    sources = {
        name: _signal(each.expand(len(facts), -1), products)
        for name, each in zip(NAMES, torch.eye(len(NAMES)), strict=True)
    }
    for _ in range(STEPS):
        shares, expected = network(facts)
        reached = _signal(shares, products)
        harm = torch.relu(sources["before"] - reached)
        surprise = (expected - reached.detach()) / 10
        loss = (_HARM * harm - reached).mean() / 10 + surprise.square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
    with torch.no_grad():
        shares, expected = network(facts)
        together = _signal(shares, products)
    mean = {f"mean share, {n}": float(v) for n, v in zip(NAMES, shares.mean(0), strict=True)}
    alone = {f"{name} alone": float(value.mean()) for name, value in sources.items()}
    scores = {
        "together": float(together.mean()),
        "error of what is expected, rms": float((expected - together).square().mean().sqrt()),
    }
    return network.eval(), alone | scores | mean


def _products(psfs: Tensor) -> Tensor:
    """Return the products (n, 4, 4) of all PSFs with each other, over the true one's square."""
    flat = psfs.flatten(2)
    products = flat @ flat.mT
    return products / products[:, -1:, -1:]


def _signal(shares: Tensor, products: Tensor) -> Tensor:
    """Return the signal to noise (n,), dB, of PSFs with shares (n, 3)."""
    parts = torch.cat([shares, -torch.ones_like(shares[:, :1])], 1)
    error = torch.einsum("ni,nij,nj->n", parts, products, parts)
    return decibels(error.clamp(min=0) + _LEAST)
