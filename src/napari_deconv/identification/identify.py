"""Find the aberrations of the microscope in an image of anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.arrays import as_image
from napari_deconv.errors import InputError, ParameterError
from napari_deconv.identification import estimate, resample, spectrum
from napari_deconv.identification.optics import TURN, Pupils, pupils
from napari_deconv.identification.refine import refined
from napari_deconv.identification.result import (
    SYMMETRIC,
    Candidate,
    Identification,
    by_mode,
    conventional,
    phase_picture,
    strehl_of,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray
# Candidates that are told of.
_KEPT = 8
_LARGEST_AMPLITUDE = 0.2


def identify(
    image: ArrayLike,
    *,
    spacing: Sequence[float] | None = None,
    numerical_aperture: float | None = None,
    emission_wavelength: float | None = None,
    cutoff: float | None = None,
    noise: float | str | None = None,
    amplitude: float = 0.15,
    shape: tuple[int, int] = (31, 31),
    seed: int = 0,
    refine: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> Identification:
    """Find the PSF and the aberrations that an image was blurred with.

    Parameters
    ----------
    image
        Grey values (y, x), blurred by the same PSF everywhere; or (frames, y, x), all with the
        same PSF: then all frames are looked at together.
    spacing
        Pixel size, um, (y, x) or (z, y, x).
    numerical_aperture
        Of the objective.
    emission_wavelength
        In vacuum, um.
    cutoff
        NA * pixel / wavelength, cycles per pixel, in place of those three. Without any of them
        0.2 is assumed, and the verdict says so.
    noise
        Standard deviation of the image's noise, in its units. By default ("auto" or None) it is
        read from the frequencies that no light reaches.
    amplitude
        Largest coefficient to expect, waves rms: each is taken to be anything up to it.
    shape
        Pixels (y, x) of the PSF wanted.
    seed
        Of the random starts.
    refine
        Whether to look again, by restorations that have to foretell data held back: slower.
    progress
        Called with the share done, 0 to 1, and what is being done.

    Returns
    -------
    Identification
        PSF, aberrations and what they are worth.

    Raises
    ------
    InputError
        When the image is too small, empty of structure, or of the wrong shape.
    ParameterError
        When the optics cannot be, or pixels are too large to see the PSF.

    Notes
    -----
    After deep-blur (model 2.3: a plane in focus, Zernike modes 4 to 11), but found in the image's
    power spectrum; see the page on deep-blur for how, and for how well.
    """
    import torch

    say = progress or (lambda share, doing: None)
    frames = frames_of(image)
    check(amplitude, shape, noise)
    cutoff, assumed = resample.cutoff_of(cutoff, spacing, numerical_aperture, emission_wavelength)
    planes, pixels = resample.to_trained(frames, cutoff)
    scale = float(np.sqrt(np.var(planes, axis=(-2, -1)).mean()))
    if not scale > 1e-9 * max(float(np.abs(planes).max()), 1e-30):
        raise InputError("The image is the same everywhere: there is nothing to see a PSF by.")
    stack = torch.from_numpy(planes)
    say(0.05, "looking at the spectrum")
    level = None if noise is None or isinstance(noise, str) else float(noise) * pixels
    seen = spectrum.spectrum_of(stack, level, 0.5 / max(pixels, 1.0))
    made = estimate.estimates(stack, seen, amplitude, seed=seed, say=say)
    answer = estimate.answer(made)
    if refine:
        made, answer = refined(stack, seen, made, answer, amplitude, seed=seed, say=say)
    say(0.95, "making the PSF")
    return _report(
        made,
        answer,
        own=Pupils(cutoff, shape),
        assumed=assumed,
        wavelength=emission_wavelength,
        noise=math.sqrt(seen.noise) * scale / pixels,
        frames=len(frames),
    )


def frames_of(image: ArrayLike) -> NDArray[np.float64]:
    """Return an image as frames (n, y, x)."""
    array = as_image(image)
    if array.ndim not in (2, 3):
        raise InputError(
            f"The image has {array.ndim} axes; give a plane (y, x) or frames (n, y, x)."
        )
    return array.reshape(-1, *array.shape[-2:]).astype(np.float64)


def check(amplitude: float, shape: tuple[int, int], noise: Any) -> None:
    """Refuse what cannot be."""
    if not 0 < amplitude <= _LARGEST_AMPLITUDE:
        raise ParameterError(
            f"amplitude is {amplitude:g} waves, but has to be above 0 and at most "
            f"{_LARGEST_AMPLITUDE}: beyond that, images do not tell one PSF from another."
        )
    if len(shape) != 2 or min(shape) < 3:
        raise ParameterError(f"shape is {tuple(shape)}, but has to be (y, x) of at least 3 each.")
    if isinstance(noise, str) and noise != "auto":
        raise ParameterError(f'noise is {noise!r}, but has to be a number or "auto".')
    if noise is not None and not isinstance(noise, str) and not noise >= 0:
        raise ParameterError(f"noise is {noise!r}, but has to be at least 0.")


def _report(
    made: estimate.Estimates,
    answer: estimate.Answer,
    *,
    own: Pupils,
    assumed: bool,
    wavelength: float | None,
    noise: float,
    frames: int,
) -> Identification:
    model = pupils(spectrum.CUTOFF, estimate.SHAPE)
    chosen, expected, confidence = answer
    mean = chosen.psf(own).clamp(min=0).double()
    psf: NDArray[np.float32] = (mean / mean.sum()).float().numpy()
    upright = made.upright()
    best, _ = conventional(upright[0].double().numpy())
    around = _spread(made)
    first = model.psf(made.found.coefficients[:1])[0]
    symmetric = float((first - first.flip(0, 1)).square().sum() / first.square().sum()) < SYMMETRIC
    flip = 0.0 if symmetric else float(min(made.flips[0], 1 - made.flips[0]))
    coefficients = by_mode(best)
    return Identification(
        psf=psf,
        coefficients=coefficients,
        spread=by_mode(around),
        nanometres=None
        if wavelength is None
        else {j: 1000 * wavelength * value for j, value in coefficients.items()},
        sign_ambiguous=True,
        sign="The largest even mode is given as positive: from one image in focus, the even modes "
        "(defocus, astigmatism, spherical) are known but for their common sign.",
        flip_probability=flip,
        pupil_phase=phase_picture(coefficients),
        strehl=strehl_of(coefficients),
        confidence=confidence,
        expected_snr=expected,
        verdict=words(confidence, expected, flip, coefficients, assumed=assumed, cutoff=own.cutoff),
        candidates=tuple(
            Candidate(by_mode(conventional(c.double().numpy())[0]), float(w))
            for c, w in zip(upright[:_KEPT], made.weights[:_KEPT], strict=False)
        ),
        cutoff=own.cutoff,
        noise=noise,
        frames=frames,
    )


def _spread(made: estimate.Estimates) -> NDArray[np.float64]:
    """Return the standard deviation of each mode, samples taken as the twin nearest to the best."""
    import torch

    turn = made.found.samples.new_tensor(TURN)
    # Turned, with the even modes negated, and both: four vectors have PSFs of one spectrum.
    signs = torch.stack([torch.ones_like(turn), turn, -turn, -torch.ones_like(turn)])
    twins = made.found.samples[:, :, None] * signs
    nearest = (twins - made.found.coefficients[0]).square().sum(-1).argmin(-1)
    chosen = twins.gather(2, nearest[..., None, None].expand(-1, -1, 1, len(turn)))[:, :, 0]
    share = (made.weights / chosen.shape[1])[:, None, None]
    middle = (share * chosen).sum((0, 1))
    variance = (share * (chosen - middle).square()).sum((0, 1))
    spread: NDArray[np.float64] = variance.sqrt().double().numpy()
    return spread
