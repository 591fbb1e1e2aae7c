"""Learn how much to believe fit, network and mean PSF, from cases where the truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_deconv.identification.estimate import estimates
from napari_deconv.identification.mixture import NEGLIGIBLE
from napari_deconv.identification.optics import MODES, pupils
from napari_deconv.identification.spectrum import CUTOFF, spectrum_of
from napari_deconv.networks.weighing import Weighing
from napari_deconv.training.blind_views import SHAPE, relative_error, view

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from napari_deconv.identification.mixture import Mixture
    from napari_deconv.identification.prior import SpectrumPrior
    from napari_deconv.networks.sign_network import SignNetwork
    from napari_deconv.networks.spectrum_encoder import SpectrumEncoder
    from napari_deconv.training.blind_scenes import Scenes

STEPS = 600
_DECAY = 1e-2
# Probability falls from a member by this power of its squared error, as a density of as many
# numbers does.
_POWER = len(MODES) / 2


def case(
    scenes: Scenes,
    random: np.random.Generator,
    known: SpectrumPrior | None = None,
    encoder: SpectrumEncoder | None = None,
    signs: SignNetwork | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the facts of a case (7,), and how likely each source makes the truth, (3,), as logs.

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
    true = pupils(CUTOFF, SHAPE).psf(torch.from_numpy(seen.coefficients))
    parts = (made.fit, made.network, made.before)
    return made.facts, torch.stack([likelihood(part, true) for part in parts])


def likelihood(mixture: Mixture, truth: Tensor) -> Tensor:
    """Return the logarithm of the density of a PSF in a mixture, but for a constant."""
    error = relative_error(pupils(CUTOFF, SHAPE).psf(mixture.coefficients), truth)
    logs = torch.log(mixture.weights) - _POWER * torch.log(error + NEGLIGIBLE)
    return torch.logsumexp(logs, 0)


def learn(
    facts: Tensor, likelihoods: Tensor, *, seed: int = 0
) -> tuple[Weighing, dict[str, float]]:
    """Return the weighing that makes the truths likeliest, and what it reached.

    Parameters
    ----------
    facts
        (n, 7).
    likelihoods
        Logarithms (n, 3).
    seed
        Of the weighing's first weights.
    """
    torch.manual_seed(seed)
    network = Weighing()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=_DECAY)
    for _ in range(STEPS):
        # A share may come to nothing, whose logarithm has no derivative.
        logs = torch.log_softmax(network.layers(facts), -1)
        loss = -torch.logsumexp(logs + likelihoods, 1).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        shares = network(facts)
        together = torch.logsumexp(torch.log(shares) + likelihoods, 1).mean()
    names = ("fit", "network", "before")
    alone = {
        f"log likelihood, {name}": float(value)
        for name, value in zip(names, likelihoods.mean(0), strict=True)
    }
    mean = {f"mean share, {name}": float(v) for name, v in zip(names, shares.mean(0), strict=True)}
    return network.eval(), alone | {"log likelihood, together": float(together)} | mean
