"""What CiDeR is to restore, and towards what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_deconv.methods import _zero_shot as zero_shot
from napari_deconv.operators.classics import TV_TO_HESSIAN, classics

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution

# Noise over intensity below which an image counts as clean.
CLEAN = 0.03


@dataclass
class Task:
    """What is to be restored, and towards what; ``noise`` is that of the mean intensity."""

    data: Tensor
    blur: Convolution
    floor: Tensor
    level: float
    gain: float
    noise: float
    strength: float
    prior: str
    sparsity: float
    steps: int

    def part(self, largest: int) -> Task:
        """Return the part of the image where most is to be seen, its object no larger than that."""
        core = zero_shot.Pieces(self.blur, largest).core
        if core == self.blur.data_shape:
            return self

        def life(where: tuple[slice, ...]) -> float:
            seen = self.data[where]
            return float(seen.var()) - self.gain * float(seen.mean())

        where = max(zero_shot.places(core, self.blur.data_shape), key=life)
        start = [each.start for each in where]
        floor = self.floor[where] if self.floor.ndim else self.floor
        return replace(
            self, data=self.data[where], blur=self.blur.resized(core, start), floor=floor
        )

    @property
    def clean(self) -> bool:
        return self.noise < CLEAN * self.level

    @property
    def order(self) -> int:
        return 1 if self.prior == "tv" else 2

    @property
    def darkest(self) -> float:
        return 1e-4 * self.level

    def classics(self, data: Tensor) -> Generator[None, None, Tensor]:
        """Make the classic estimates; the strength was found for the prior that was chosen."""
        hessian = self.strength / (TV_TO_HESSIAN if self.prior == "tv" else 1.0)
        return (
            yield from classics(
                data,
                self.blur,
                self.floor,
                level=self.level,
                strength=hessian,
                noise=max(self.noise, 1e-4 * self.level),
            )
        )

    @property
    def classic(self) -> int:
        """Channel of the classic image."""
        return 3 if self.prior == "tv" else 1
