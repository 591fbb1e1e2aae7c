"""What is known beforehand of the spectra of sharp images: a mean and principal components."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

NAME = "deep-blur-spectra"


@dataclass(frozen=True)
class SpectrumPrior:
    """Log spectra of sharp scenes at the frequencies of ``spectrum.disc()``.

    ``mean + z @ components``, with ``z`` standard normal, and independent rests.

    Attributes
    ----------
    mean
        (n,).
    components
        (k, n), the last one the unknown brightness.
    rest
        Variance of what the components leave, (sizes, n), for images of as many ``windows``.
    windows
        (sizes,), rising.
    """

    mean: Tensor
    components: Tensor
    rest: Tensor
    windows: Tensor

    def variance(self, windows: float) -> Tensor:
        """Return the rests' variance (n,) for an image of so many windows."""
        import torch

        grid = torch.log(self.windows)
        at = torch.log(torch.tensor(windows)).clamp(grid[0], grid[-1])
        after = int(torch.searchsorted(grid, at).clamp(1, len(grid) - 1))
        share = (at - grid[after - 1]) / (grid[after] - grid[after - 1])
        mixed: Tensor = torch.lerp(self.rest[after - 1], self.rest[after], share)
        return mixed


@cache
def load(source: str | Path = NAME) -> SpectrumPrior:
    """Return a prior; by default that of the package."""
    from napari_deconv.networks.weights import load_weights

    return SpectrumPrior(**load_weights(source, "spectrum prior").tensors)
