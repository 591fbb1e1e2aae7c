"""Shells of waves of about the same frequency."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.operators.slabs import slabs
from napari_deconv.operators.spectra import squared_frequency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution

# How far a direct filter sees, in sizes of the PSF.
HALO = 1.5
# Shells of frequencies in an octave, and most of them in all. Within a shell the object's power is
# measured where the blur passes most, and there it is above the mean: of two in an octave that is
# twice too much for filaments.
PER_OCTAVE, _MOST = 8, 160
# Fewest frequencies of which a mean power is taken.
_FEW = 8


class Shells:
    """The shells of a grid's frequencies.

    Waves longer than a direct filter's reach share one: what differs among them would not fit a
    tile. Too few of them do not tell a power either.

    Parameters
    ----------
    blur
        The forward model whose grid it is.
    """

    def __init__(self, blur: Convolution) -> None:
        place = _steps_below(blur).flatten()[1:].round_().clamp_(max=_MOST)
        shell = place.cpu().numpy().astype(np.int64)
        psf_size = max(n * spacing for n, spacing in zip(blur.psf_shape, blur.spacing, strict=True))
        longest = 2 * HALO * psf_size / min(blur.spacing)
        last = round(PER_OCTAVE * math.log2(_highest(blur) * longest / (2 * math.pi)))
        coarser = np.bincount(shell)[::-1].cumsum()[::-1]
        enough = np.flatnonzero(coarser >= min(_FEW, shell.size))[-1]
        self._shell = np.minimum(shell, min(last, enough))
        self._filled = np.unique(self._shell)

    def sums(self, values: Tensor) -> NDArray[np.float64]:
        """Sum values on the half spectrum, but for the mean's, over each shell that has any."""
        each = np.bincount(self._shell, values.flatten()[1:].cpu().double().numpy())
        return np.asarray(each[self._filled])

    def profile(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return such values at the highest frequency and at every step below it."""
        logarithm = np.interp(np.arange(self._filled[-1] + 1), self._filled, np.log(values))
        return np.asarray(np.exp(logarithm))


def on_grid(profile: Sequence[float] | NDArray[np.float64], blur: Convolution) -> Tensor:
    """Return the values between those of a profile at each frequency of the half spectrum."""
    import torch

    steps = _steps_below(blur).clamp_(max=len(profile) - 1)
    values = torch.tensor(profile, dtype=torch.float64).clamp_(1e-300).log_()
    logarithm = values.to(blur.dtype).to(blur.device)
    # Slab by slab, since places are whole numbers of eight bytes.
    for (part,) in slabs(steps):
        below = part.long().clamp_(max=max(len(profile) - 2, 0))
        above = (below + 1).clamp_(max=len(profile) - 1)
        part.copy_(torch.lerp(logarithm[below], logarithm[above], part - below).exp_())
    return steps


def _steps_below(blur: Convolution) -> Tensor:
    """Return how far below the highest frequency each one is; infinitely far for the mean."""
    octaves = (_highest(blur) ** 2 / squared_frequency(blur)).log2_().mul_(0.5)
    return octaves.mul_(PER_OCTAVE)


def _highest(blur: Convolution) -> float:
    """Return the highest frequency, in radians per finest voxel."""
    finest = min(blur.spacing)
    return math.pi * math.hypot(*(finest / spacing for spacing in blur.spacing))
