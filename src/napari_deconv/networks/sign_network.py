"""Which of two restorations is the right way round.

A PSF and the same turned by 180 degrees have one spectrum; restorations with the two differ in
phase alone. A small convolutional network gives each a score, pixel by pixel; the difference of
the mean scores and that of their sparsity, both times a factor that knows how large and how noisy
the image is, make the logarithm of the odds. Exchanging the two restorations changes its sign and
nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

# What the odds know besides: logarithms of the pixels' number, the noise, and by how much the PSF
# differs from itself turned.
FACTS = 3


class SignNetwork(nn.Module):
    """The network.

    Parameters
    ----------
    width
        Features at full resolution.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.Conv2d(1, width, 5, padding=2),
            nn.SiLU(),
            nn.Conv2d(width, 2 * width, 3, 2, padding=1),
            nn.SiLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(2 * width, 3 * width, 3, 2, padding=1),
            nn.SiLU(),
            nn.Conv2d(3 * width, 3 * width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(3 * width, 1, 1),
        )
        self.sure = nn.Sequential(nn.Linear(FACTS, 16), nn.SiLU(), nn.Linear(16, 2))

    def forward(self, kept: Tensor, turned: Tensor, preference: Tensor, facts: Tensor) -> Tensor:
        """Return the logarithm of the odds (n,) that ``kept`` is the right way round.

        Parameters
        ----------
        kept, turned
            Restorations (n, y, x) of one image, of standard deviation 1 about.
        preference
            Logarithm of how much sparser ``kept`` is, (n,).
        facts
            (n, 3), see ``facts``.
        """
        scores = self.score(torch.cat([kept, turned])[:, None]).mean((1, 2, 3))
        better = scores[: len(kept)] - scores[len(kept) :]
        sure = functional.softplus(self.sure(facts))
        odds: Tensor = sure[:, 0] * better + 100 * sure[:, 1] * preference
        return odds


def facts(pixels: float, noise: Tensor, difference: Tensor) -> Tensor:
    """Return what the odds know besides, (n, 3).

    Parameters
    ----------
    pixels
        Number of them.
    noise
        The noise's variance over the image's, (n,).
    difference
        Squared difference of the PSF and itself turned, over its square, (n,).
    """
    size = torch.full_like(noise, pixels).log() / 2 - 5
    return torch.stack(
        [size, noise.clamp(1e-6, 1).log() / 4 + 1.5, difference.clamp(1e-3, 4).log() / 2], 1
    )
