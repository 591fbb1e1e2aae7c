"""The light of a point as models give it and as modalities combine it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Self_ = TypeVar("Self_", bound="Intensity")

PERIOD = 8  # samples in the finest period of an intensity, or of a product of several


@dataclass(frozen=True)
class Sampling:
    """Where a model has to know the intensity.

    Attributes
    ----------
    z
        Stage positions, um: larger is deeper in the sample, 0 the focus without aberration.
    step
        Lateral distance between samples, um: ``PERIOD`` of them in the finest period there will be.
    reach
        Radius to which it has to be known, um.
    """

    z: NDArray[np.float64]
    step: float
    reach: float


class Intensity(Protocol):
    """Intensity around a point at each stage position.

    ``Radial`` is the one for models that are the same in all directions. A model that is not
    brings its own; these four verbs are all that modalities and ``generate_psf`` ask of it.
    """

    def __mul__(self: Self_, other: Self_) -> Self_:
        """Return the product, for two events that have to happen at the same place."""
        ...

    def blur_disc(self: Self_, radius: float) -> Self_:
        """Return the mean over a lateral disc of ``radius`` um around each place."""
        ...

    def on_axis(self) -> NDArray[np.float64]:
        """Return the intensity in the middle, one value per stage position."""
        ...

    def voxels(
        self, shape: tuple[int, int], spacing: tuple[float, float], *, integrate: bool
    ) -> NDArray[np.float32]:
        """Return the intensity (z, y, x) in pixels of ``spacing`` um, with sum 1.

        ``integrate`` takes the mean over each pixel's square, else the value at its middle.
        The origin is at ``n // 2``.
        """
        ...


Light = Callable[..., tuple[Intensity, ...]]
"""What a modality is given: ``light(*wavelengths, margin=0.0)``.

Returns the intensity at each wavelength (um), sampled finely enough for the product of them all
and known to ``margin`` um beyond the PSF's edge.
"""
