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

STEPS = 600
# Error, relative squared, below which a smaller one matters no more.
_NEGLIGIBLE = 0.01
_DECAY = 1e-2


def case(
    scenes: Scenes,
    random: np.random.Generator,
    known: SpectrumPrior | None = None,
    encoder: SpectrumEncoder | None = None,
    signs: SignNetwork | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the facts of a case (7,), and the products (4, 4) of its PSFs.

    They are those of the fit, the network, the mean PSF and the truth, of which the last has norm
    1: all that the error of any mean of the three needs.
    """
    seen = view(scenes, random)
    image = torch.from_numpy(seen.image).double()
    made = estimates(
        image[None], spectrum_of(image), seen.amplitude, known=known, encoder=encoder, signs=signs,
        seed=int(random.integers(2**31)),
    )  # fmt: skip
    model = pupils(CUTOFF, SHAPE)
    true = model.psf(torch.from_numpy(seen.coefficients))
    psfs = [part.psf(model) for part in (made.fit, made.network, made.before)]
    flat = torch.stack([*psfs, true]).flatten(1).double()
    return made.facts, (flat @ flat.T / flat[3].square().sum()).float()


def learn(facts: Tensor, products: Tensor, *, seed: int = 0) -> tuple[Weighing, dict[str, float]]:
    """Return the weighing of least error, and signals to noise in dB of all there is."""
    torch.manual_seed(seed)
    network = Weighing()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2, weight_decay=_DECAY)
    for _ in range(STEPS):
        loss = torch.log(error(network(facts), products) + _NEGLIGIBLE).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        kinds = {
            "fit": torch.tensor([1.0, 0, 0]),
            "network": torch.tensor([0, 1.0, 0]),
            "mean PSF": torch.tensor([0, 0, 1.0]),
            "together": network(facts),
        }
        reached = {
            name: float(decibels(error(shares.expand(len(facts), 3), products)).mean())
            for name, shares in kinds.items()
        }
    return network.eval(), reached


def error(shares: Tensor, products: Tensor) -> Tensor:
    """Return the squared errors (n,), over the squares of the true PSFs, of shares (n, 3)."""
    all_ = torch.cat([shares, -torch.ones_like(shares[:, :1])], 1)
    return torch.einsum("ni,nij,nj->n", all_, products, all_).clamp(min=0)
