"""Find the aberrations of the microscope in an image of anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

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
from napari_deconv.identification.view import check, look_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

# Candidates that are told of.
_KEPT = 8


def identify(
    image: ArrayLike,
    *,
    spacing: Sequence[float] | None = None,
    numerical_aperture: float | None = None,
    emission_wavelength: float | None = None,
    cutoff: float | None = None,
    noise: float | Literal["auto"] = "auto",
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
        Standard deviation of the image's noise, in its units. By default ("auto") it is
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
    say = progress or (lambda share, doing: None)
    check(amplitude, shape, noise)
    optics = resample.cutoff_of(cutoff, spacing, numerical_aperture, emission_wavelength)
    view = look_at(image, *optics, noise)
    say(0.05, "looking at the spectrum")
    seen = spectrum.spectrum_of(view.planes, view.noise, view.band)
    made = estimate.estimates(view.planes, seen, amplitude, seed=seed, say=say)
    answer = estimate.answer(made)
    if refine:
        made, answer = refined(view.planes, seen, made, answer, amplitude, seed=seed, say=say)
    say(0.95, "making the PSF")
    return _report(
        made,
        answer,
        own=Pupils(view.cutoff, shape),
        assumed=view.assumed,
        wavelength=emission_wavelength,
        noise=math.sqrt(seen.noise) * view.unit,
        frames=len(view.planes),
    )


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
