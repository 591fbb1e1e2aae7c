"""Find the aberrations of the microscope in an image of anything."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.arrays import as_image
from napari_deconv.errors import InputError, ParameterError
from napari_deconv.identification import fit as fitting
from napari_deconv.identification import mixture, prior, resample, sign, spectrum
from napari_deconv.identification.optics import MODES, Pupils, pupils, turned
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
    from torch import Tensor

# Pixels of the PSFs that are fitted, at the trained cutoff.
_SHAPE = (31, 31)
# Candidates that are looked at further.
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
    frames = _frames(image)
    _check(amplitude, shape, noise)
    cutoff, assumed = resample.cutoff_of(cutoff, spacing, numerical_aperture, emission_wavelength)
    planes, band = resample.to_trained(frames, cutoff)
    scale = float(np.sqrt(np.var(planes, axis=(-2, -1)).mean()))
    if not scale > 1e-9 * max(float(np.abs(planes).max()), 1e-30):
        raise InputError("The image is the same everywhere: there is nothing to see a PSF by.")
    stack = torch.from_numpy(planes)
    say(0.05, "looking at the spectrum")
    seen = spectrum.spectrum_of(stack, None if noise in (None, "auto") else float(noise), band)
    model_pupils = pupils(spectrum.CUTOFF, _SHAPE)
    say(0.15, "fitting aberrations")
    model = fitting.Model(seen, prior.shipped(), model_pupils, amplitude)
    first = fitting.starts(fitting.STARTS, seed, len(prior.shipped().components))
    found = fitting.fit(model, first, seed=seed)
    say(0.7, "deciding which way round")
    weights = torch.softmax(found.evidence, 0)
    flips = _flips(stack, found.coefficients, weights, model_pupils, seen.noise)
    members = mixture.Mixture(
        found.samples.flatten(0, 1),
        (weights[:, None] / found.samples.shape[1]).expand(found.samples.shape[:2]).flatten(),
    ).turned(flips[:, None].expand(found.samples.shape[:2]).flatten())
    before = mixture.before_looking(amplitude)
    share = 1.0
    possible = mixture.together([(share, members), (1 - share, before)])
    say(0.9, "making the PSF")
    return _report(
        possible, before, found, weights, flips, model_pupils,
        own=Pupils(cutoff, shape), assumed=assumed, wavelength=emission_wavelength,
        noise=math.sqrt(seen.noise) * scale, frames=len(frames),
    )  # fmt: skip


def _frames(image: ArrayLike) -> NDArray[np.float64]:
    array = as_image(image)
    if array.ndim not in (2, 3):
        raise InputError(
            f"The image has {array.ndim} axes; give a plane (y, x) or frames (n, y, x)."
        )
    return array.reshape(-1, *array.shape[-2:]).astype(np.float64)


def _check(amplitude: float, shape: tuple[int, int], noise: Any) -> None:
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


def _flips(
    planes: Tensor, coefficients: Tensor, weights: Tensor, model: Pupils, noise: float
) -> Tensor:
    """Return how probable it is that each candidate (m, mode) is turned by 180 degrees, (m,)."""
    import torch

    flips = torch.full_like(weights, 0.5)
    psfs = model.psf(coefficients)
    judged: list[int] = []
    for i in torch.argsort(weights, descending=True).tolist():
        if len(judged) < _KEPT and weights[i] > 0.01:
            # What is the same as, or the mirror of, a candidate already judged needs no more.
            known = _same_as(psfs[i], psfs[judged]) if judged else None
            if known is not None:
                at, mirrored = known
                flips[i] = 1 - flips[judged[at]] if mirrored else flips[judged[at]]
                continue
            better = sum(
                float(sign.preference(plane.float(), psfs[i : i + 1], noise)[0]) for plane in planes
            )
            flips[i] = sign.probability(better, planes.shape, noise)
            judged.append(i)
    return flips


def _same_as(psf: Tensor, others: Tensor) -> tuple[int, bool] | None:
    """Return which of the others a PSF is the same as, and whether it is so only when turned."""
    import torch

    pairs = torch.stack([others, others.flip(-2, -1)])
    errors = (pairs - psf).square().sum((-2, -1)) / psf.square().sum()
    least = int(errors.argmin())
    if float(errors.flatten()[least]) > SYMMETRIC / 5:
        return None
    return least % len(others), least >= len(others)


def _report(
    possible: mixture.Mixture,
    before: mixture.Mixture,
    found: fitting.Fit,
    weights: Tensor,
    flips: Tensor,
    model: Pupils,
    *,
    own: Pupils,
    assumed: bool,
    wavelength: float | None,
    noise: float,
    frames: int,
) -> Identification:
    made = possible.psf(own).clamp(min=0).double()
    psf: NDArray[np.float32] = (made / made.sum()).float().numpy()
    upright = [
        (turned(c) if float(p) > 0.5 else c) for c, p in zip(found.coefficients, flips, strict=True)
    ]
    best, _ = conventional(upright[0].double().numpy())
    around = _aligned(found, weights, model)
    error, error_before = possible.error(model), before.error(model)
    confidence = float(np.clip(1 - error / error_before, 0, 1))
    expected = -10 * math.log10(max(error, 1e-4))
    first = model.psf(found.coefficients[:1])[0]
    symmetric = float((first - first.flip(0, 1)).square().sum() / first.square().sum()) < SYMMETRIC
    flip = 0.0 if symmetric else float(min(flips[0], 1 - flips[0]))
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
            for c, w in zip(upright[:_KEPT], weights[:_KEPT], strict=False)
        ),
        cutoff=own.cutoff,
        noise=noise,
        frames=frames,
    )


def _aligned(found: fitting.Fit, weights: Tensor, model: Pupils) -> NDArray[np.float64]:
    """Return the standard deviation of each mode, samples taken as the twin nearest to the best."""
    import torch

    even = torch.tensor([1.0 if j in (4, 5, 6, 11) else 0.0 for j in MODES])
    signs = torch.stack([torch.ones(8), 1 - 2 * even, 2 * even - 1, -torch.ones(8)])
    best = found.coefficients[0]
    samples = found.samples[:, :, None] * signs
    nearest = (samples - best).square().sum(-1).argmin(-1)
    chosen = torch.gather(
        samples, 2, nearest[..., None, None].expand(*nearest.shape, 1, len(MODES))
    )[:, :, 0]
    share = (weights / found.samples.shape[1])[:, None, None]
    middle = (share * chosen).sum((0, 1))
    spread: NDArray[np.float64] = (
        (share * (chosen - middle).square()).sum((0, 1)).sqrt().double().numpy()
    )
    return spread
