"""The light of a point as models give it and as modalities combine it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

Self_ = TypeVar("Self_", bound="Intensity")


@dataclass(frozen=True)
class Accuracy:
    """How finely intensities are sampled, and how they are interpolated.

    Attributes
    ----------
    period
        Samples in the finest period of an intensity, or of a product of several.
    width
        Points an interpolation takes, at least.
    spread
        Points to either side over which one polynomial may serve for a whole pixel.
    extra
        Gauss-Legendre points per axis, beyond those that average the finest wave to 1e-5.
    faint
        Harmonics around the axis that are weaker, relative to the whole, are left out.
    """

    period: int
    width: int
    spread: int
    extra: int
    faint: float


SINGLE = Accuracy(period=8, width=10, spread=8, extra=0, faint=1e-6)
DOUBLE = Accuracy(period=16, width=18, spread=3, extra=5, faint=1e-8)
SKETCH = Accuracy(period=4, width=8, spread=4, extra=0, faint=1e-3)  # good to 0.3 %, for the eye
PERIOD = SINGLE.period


def accuracy(dtype: DTypeLike) -> Accuracy:
    """Return what it takes for the digits of ``dtype`` to be worth having."""
    return DOUBLE if np.dtype(dtype) == np.float64 else SINGLE


@dataclass(frozen=True)
class Sampling:
    """Where a model has to know the intensity.

    Attributes
    ----------
    z
        Stage positions, um: larger is deeper in the sample, 0 the focus without aberration.
    step
        Lateral distance between samples, um: ``PERIOD`` of them in the finest period there will
        be, or more.
    reach
        Radius to which it has to be known, um.
    polarised
        Whether this is the light whose polarisation a model is asked for: the laser's where a
        focus lights the sample, else the detected light's.
    faint
        Harmonics around the axis that are weaker, relative to the whole, may be left out.
    """

    z: NDArray[np.float64]
    step: float
    reach: float
    polarised: bool = True
    faint: float = 1e-6


class Intensity(Protocol):
    """Intensity around a point at each stage position.

    ``Radial`` is the one for models that are the same in all directions, ``Angular`` for those
    that look the same after half a turn, ``Polar`` for those without symmetry. These verbs are all
    that modalities and ``generate_psf`` ask of it.
    """

    def __mul__(self: Self_, other: Self_) -> Self_:
        """Return the product, for two events that have to happen at the same place."""
        ...

    def weighted(self: Self_, weights: NDArray[np.float64]) -> Self_:
        """Return the intensity times ``weights``, one for each stage position."""
        ...

    def blur_disc(self: Self_, radius: float) -> Self_:
        """Return the mean over a lateral disc of ``radius`` um around each place."""
        ...

    def repeated(
        self: Self_, rings: Sequence[tuple[float, float]], density: float, beyond: float
    ) -> Self_:
        """Return the sum of the intensity and its copies all around.

        ``rings`` are pairs of a number of copies and the distance, um, at which they are spread
        evenly over all directions; farther away than ``beyond`` um there are ``density`` copies
        per square um, everywhere.
        """
        ...

    def on_axis(self) -> NDArray[np.float64]:
        """Return the intensity in the middle, one value per stage position."""
        ...

    def voxels(
        self,
        shape: tuple[int, int],
        spacing: tuple[float, float],
        *,
        integrate: bool,
        dtype: DTypeLike = np.float32,
    ) -> NDArray[Any]:
        """Return the intensity (z, y, x) in pixels of ``spacing`` um, with sum 1.

        ``integrate`` takes the mean over each pixel's square, else the value at its middle.
        The origin is at ``n // 2``.
        """
        ...


class Light(Protocol):
    """What a modality is given: the point's light, to be had at any wavelength."""

    @property
    def z(self) -> NDArray[np.float64]:
        """Stage positions, um, that are asked for."""
        ...

    @property
    def focus(self) -> float:
        """Stage position, um, at which the detected light alone is brightest."""
        ...

    def __call__(
        self,
        *detected: float,
        lasers: Sequence[float] = (),
        margin: float = 0.0,
        axial_frequency: float = 0.0,
    ) -> tuple[Any, ...]:
        """Return the intensity at each wavelength (um), lasers first, as they meet the sample.

        To be called once, with every wavelength as often as its intensity is multiplied in:
        they are sampled finely enough for the product of them all. ``margin`` is how far, um,
        they have to be known beyond the PSF's edge, and ``axial_frequency`` (1/um) how fine is
        what the modality multiplies in along the axis by itself.
        """
        ...
