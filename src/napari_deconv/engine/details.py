"""What a job tells: where it is while it runs, and what came out besides the image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_deconv.engine.statistics import Statistics
    from napari_deconv.optics.variant import VariantPsf
    from napari_deconv.registry import Chosen


@dataclass(frozen=True)
class Step:
    """Where a job is.

    Attributes
    ----------
    stage
        What is being done, in plain words.
    iteration, total
        Steps taken in this stage, and how many there will be at most.
    fraction
        Share of this stage that is done, 0 to 1.
    statistics
        The newest figures.
    """

    stage: str
    iteration: int
    total: int | None
    fraction: float
    statistics: Statistics | None = None


@dataclass
class Details:
    """What came out besides the image.

    Attributes
    ----------
    method, parameters
        What ran, with every parameter as it was used.
    iterations, stopped_because
        Steps taken, and why no more.
    statistics
        Figures of the steps (of the last block, where there are several).
    trial
        Figures of the steps on which the number of iterations was found.
    choices
        Numbers that were automatic, by parameter, with all that were tried and how good they were.
    psf, psf_origin
        The kernel as it was used (sum 1), the mean one where it changes over the field, and the
        index of its origin.
    psf_field
        The PSF over the field, where it was found in the image to change.
    found
        Where the PSF was found in the image: what was found besides, and what it is worth.
    gain, offset, read_noise
        Camera model behind the figures and the stopping rule, in counts.
    background
        Intensity taken as background (its mean where it is an image).
    seconds, device, tiles, blocks
        How long, where, and in which pieces.
    notes, warnings
        What was done on the way, and what the user should look at, in plain words.
    provenance
        All of this as plain values that can be stored.
    """

    method: str
    parameters: dict[str, Any] = field(default_factory=dict)
    iterations: int = 0
    stopped_because: str = ""
    statistics: list[Statistics] = field(default_factory=list)
    trial: list[Statistics] = field(default_factory=list)
    choices: dict[str, Chosen] = field(default_factory=dict)
    psf: NDArray[np.float64] | None = None
    psf_origin: tuple[int, ...] | None = None
    psf_field: VariantPsf | None = None
    found: dict[str, Any] | None = None
    gain: float = 1.0
    offset: float = 0.0
    read_noise: float = 0.0
    background: float = 0.0
    seconds: float = 0.0
    device: str = ""
    tiles: tuple[int, ...] = ()
    blocks: int = 0
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
