"""What an identification says: the PSF, the aberrations, and how far to trust them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.identification.optics import EVEN, MODES, even_twin
from napari_deconv.optics import zernike

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# Sides of the picture of the pupil, pixels.
_PUPIL = 65
# Confidence below which there is nothing to tell, and from which on the PSF may be relied on.
UNKNOWN, RELIABLE = 0.12, 0.6
# A turned PSF as near as this to the PSF makes no difference, relative squared error.
SYMMETRIC = 0.05


@dataclass(frozen=True)
class Candidate:
    """Aberrations that would explain the image.

    Attributes
    ----------
    coefficients
        Noll indices and waves rms.
    weight
        Share of the candidates' probability, 0 to 1.
    """

    coefficients: dict[int, float]
    weight: float


@dataclass(frozen=True, kw_only=True)
class Identification:
    """The PSF that an image was blurred with, as far as the image tells.

    Attributes
    ----------
    psf
        float32 (y, x), sum 1, origin at ``n // 2``, in the image's own pixels. It is a mean over
        what the image leaves possible, which has the least error on average: where little is known
        it is smoother than any single PSF of the coefficients.
    coefficients
        Noll indices and waves rms of the best candidate.
    spread
        Their standard deviations, waves, as far as they are known.
    nanometres
        The coefficients in nm rms; None without a wavelength.
    sign
        How the common sign of the even modes (defocus, astigmatism, spherical) was chosen, in
        words: one image in focus cannot tell it, planes above and below may.
    sign_probability
        How probable it is that this sign is the right one; 0.5 where nothing tells.
    flip_probability
        How probable it is that the PSF is turned by 180 degrees, 0 to 0.5; 0 where it makes no
        difference.
    pupil_phase
        The pupil's phase, waves, (65, 65), nan outside.
    strehl
        Brightness of the PSF's middle over that without aberration, 0 to 1, of the coefficients.
    confidence
        How much less the error is expected to be than that of the mean PSF: 0 for nothing learned,
        1 for the PSF itself.
    expected_snr
        Expected signal to noise of the PSF, dB: -10 log10 of its relative squared error.
    verdict
        What all this means, in plain words.
    candidates
        Aberrations that explain the image, the best one first.
    cutoff
        NA * pixel / wavelength that was used, cycles per pixel.
    noise
        Standard deviation of the image's noise that was found or given, in its units.
    frames
        How many planes voted.
    """

    psf: NDArray[np.float32]
    coefficients: dict[int, float]
    spread: dict[int, float]
    nanometres: dict[int, float] | None
    sign: str
    flip_probability: float
    pupil_phase: NDArray[np.float32]
    strehl: float
    confidence: float
    expected_snr: float
    verdict: str
    candidates: tuple[Candidate, ...] = field(repr=False)
    cutoff: float
    noise: float
    frames: int = 1
    sign_probability: float = 0.5

    def record(self) -> dict[str, Any]:
        """Return all but the pictures and the candidates, as plain values."""
        told = asdict(self)
        for name in ("psf", "pupil_phase", "candidates"):
            del told[name]
        return told

    @property
    def names(self) -> dict[int, str]:
        """Return what people call the aberrations, by Noll index."""
        return {j: zernike.name(j) for j in self.coefficients}

    @property
    def rms(self) -> float:
        """Return the wavefront's rms error, waves."""
        return float(np.sqrt(sum(value**2 for value in self.coefficients.values())))


def phase_picture(coefficients: Mapping[int, float]) -> NDArray[np.float32]:
    """Return the pupil's phase, waves, on a square grid; nan outside the pupil."""
    grid = np.linspace(-1, 1, _PUPIL)
    y, x = np.meshgrid(grid, grid, indexing="ij")
    phase = np.tensordot(list(coefficients.values()), zernike.basis(coefficients, y, x), 1)
    return np.where(np.hypot(y, x) <= 1, phase, np.nan).astype(np.float32)


def strehl_of(coefficients: Mapping[int, float]) -> float:
    """Return the brightness of a PSF's middle over that without aberration."""
    phase = phase_picture(coefficients).astype(np.float64)
    inside = phase[np.isfinite(phase)]
    return float(np.abs(np.exp(2j * np.pi * inside).mean()) ** 2)


def words(
    confidence: float,
    expected: float,
    flip: float,
    coefficients: Mapping[int, float],
    *,
    assumed: bool,
    cutoff: float,
) -> str:
    """Return the verdict."""
    if confidence < UNKNOWN:
        text = (
            "Too small or too noisy to tell: the PSF is about the mean of all PSFs, and the "
            "aberrations are not to be relied on. A larger image, or more light, would help."
        )
    else:
        largest = max(coefficients, key=lambda j: abs(coefficients[j]))
        sure = "Found" if confidence >= RELIABLE else "Found in part (it is uncertain)"
        text = (
            f"{sure}: the PSF is expected to be right to about {expected:.0f} dB; the largest "
            f"aberration is {zernike.name(largest)}, {abs(coefficients[largest]):.2f} waves rms."
        )
        if flip > 0.2:
            text += (
                f" Which way round it is, is not certain: {flip:.0%} that it is turned by 180 "
                "degrees; the PSF is the mean of both, by their probability."
            )
    return text + assumption(cutoff) * assumed


def assumption(cutoff: float) -> str:
    """Return what to say where nobody told the optics."""
    return (
        f" No pixel size, NA and wavelength were given: NA * pixel / wavelength = {cutoff:g} was "
        "assumed."
    )


def by_mode(values: NDArray[np.float64]) -> dict[int, float]:
    """Return numbers (mode,) by Noll index."""
    return {j: float(value) for j, value in zip(MODES, values, strict=True)}


def conventional(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """Return aberrations with their largest even mode positive, and whether they were changed.

    The PSF of the two in focus is the same.
    """
    even = np.array([j in EVEN for j in MODES])
    largest = np.argmax(np.abs(values) * even)
    if values[largest] < 0:
        return even_twin(values), True
    return values, False
