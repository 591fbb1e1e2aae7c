"""Find aberrations that change over the field in one image of anything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_deconv.errors import InputError
from napari_deconv.identification import estimate, field, mixture, prior, resample, spectrum
from napari_deconv.identification.mixture import Mixture
from napari_deconv.identification.optics import MODES, Pupils, even_twin, pupils, turned
from napari_deconv.identification.result import UNKNOWN, assumption, conventional, strehl_of
from napari_deconv.identification.view import check, look_at
from napari_deconv.optics import zernike
from napari_deconv.optics.variant import VariantPsf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

# Fields seem surer than they are: by so many dB on average, on photographs and microscope images
# at noise 0.003 and 0.02 (benchmarks/deep_blur.py).
_TOO_SURE = 3.5
# Expected signals to noise, dB, between which care takes over; chosen on photographs 15 and 16.
_UNSURE, _SURE = 5.0, 9.0


@dataclass(frozen=True, kw_only=True)
class FieldIdentification:
    """The PSFs over the field of an image, as far as the image tells.

    Attributes
    ----------
    psf
        What methods restore with: eigen-PSFs and their maps.
    coefficients
        Noll indices, and waves rms (y, x) at ``places``.
    places
        Rows and columns, pixels, at which the field is told.
    strehl
        Brightness of the PSF's middle over that without aberration, 0 to 1, at ``places``.
    degree
        Of the polynomials that the coefficients follow: 0 where the PSF was found not to change.
    flip_probability
        How probable it is that all PSFs are turned by 180 degrees, 0 to 0.5.
    confidence, expected_snr
        As for an :class:`Identification`, over the whole field.
    verdict
        What all this means, in plain words.
    cutoff
        NA * pixel / wavelength that was used, cycles per pixel.
    noise
        Standard deviation of the image's noise that was found or given, in its units.
    """

    psf: VariantPsf
    coefficients: dict[int, NDArray[np.float32]]
    places: tuple[NDArray[np.float64], NDArray[np.float64]]
    strehl: NDArray[np.float32]
    degree: int
    flip_probability: float
    confidence: float
    expected_snr: float
    verdict: str
    cutoff: float
    noise: float

    def record(self) -> dict[str, Any]:
        """Return all but the PSF, as plain values."""
        told: dict[str, Any] = {name: each for name, each in vars(self).items() if name != "psf"}
        maps = {j: values.tolist() for j, values in self.coefficients.items()}
        places = [nodes.tolist() for nodes in self.places]
        return told | {"coefficients": maps, "places": places, "strehl": self.strehl.tolist()}


def identify_field(
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
    progress: Callable[[float, str], None] | None = None,
) -> FieldIdentification:
    """Find PSFs that change smoothly over the field an image was taken of.

    Parameters
    ----------
    image
        Grey values (y, x).
    spacing, numerical_aperture, emission_wavelength, cutoff, noise, amplitude, shape
        As for :func:`identify`; no coefficient is expected above ``amplitude`` anywhere.
    seed
        Of the random starts.
    progress
        Called with the share done, 0 to 1, and what is being done.

    Returns
    -------
    FieldIdentification
        Eigen-PSFs with their maps, aberrations over the field, and what they are worth.

    Raises
    ------
    InputError
        When the image is too small, empty of structure, or of the wrong shape.
    ParameterError
        When the optics cannot be, or pixels are too large to see the PSF.

    Notes
    -----
    deep-blur's models 2.1 and 2.2 (a linear family of operators), with a field of Zernike
    coefficients in place of a trained family: every coefficient is a polynomial of at most the
    second degree, fitted to the spectra of all parts of the image at once.
    """
    say = progress or (lambda share, doing: None)
    check(amplitude, shape, noise)
    optics = resample.cutoff_of(cutoff, spacing, numerical_aperture, emission_wavelength)
    view = look_at(image, *optics, noise)
    if len(view.planes) != 1:
        raise InputError("A field is found in one plane (y, x): choose one.")
    found = field.find_field(
        view.planes[0],
        prior.load(),
        amplitude,
        noise=view.noise,
        band=view.band,
        seed=seed,
        say=say,
    )
    say(0.95, "making the PSFs")
    psfs, expected, confidence = _answer(found, amplitude, Pupils(view.cutoff, shape))
    places = tuple(np.linspace(0, n - 1, field.NODES) for n in view.shape)
    where = np.stack(np.meshgrid(*places, indexing="ij"), -1).reshape(-1, 2)
    best = found.fit.coefficients[0]
    maps = _conventional((turned(best) if found.flips[0] > 0.5 else best).double().numpy())
    grid = (field.NODES, field.NODES)
    coefficients = {j: maps[:, i].reshape(grid).astype(np.float32) for i, j in enumerate(MODES)}
    strehl = [strehl_of(dict(zip(MODES, row.tolist(), strict=True))) for row in maps]
    flip = float(min(found.flips[0], 1 - found.flips[0]))
    return FieldIdentification(
        psf=VariantPsf.from_psfs(
            psfs,
            where,
            view.shape,
            spacing=None if spacing is None else tuple(spacing)[-2:],
            align=False,
        ),
        coefficients=coefficients,
        places=(places[0], places[1]),
        strehl=np.array(strehl, np.float32).reshape(grid),
        degree=found.degree,
        flip_probability=flip,
        confidence=confidence,
        expected_snr=expected,
        verdict=_words(found.degree, coefficients, expected, confidence, flip, view.assumed),
        cutoff=view.cutoff,
        noise=math.sqrt(found.noise) * view.unit,
    )


def _answer(
    found: field.Field, amplitude: float, own: Pupils
) -> tuple[NDArray[np.float32], float, float]:
    """Return the PSFs (node, y, x) to give, their expected signal to noise, dB, and confidence.

    From ``_SURE`` dB expected down to ``_UNSURE``, the best PSFs give way to a careful mean, half
    of which is that of all PSFs, and so does what is expected of it.
    """
    import torch

    model = pupils(spectrum.CUTOFF, estimate.SHAPE)
    samples = found.fit.samples
    count = samples.shape[1]
    weights = torch.softmax(found.fit.evidence, 0).repeat_interleave(count) / count
    fitted = Mixture(samples.flatten(0, 1), weights).turned(found.flips.repeat_interleave(count))
    best = fitted.best(model)
    expected = fitted.expected(best.psf(model), model) - _TOO_SURE
    before = mixture.before_looking(amplitude)
    care, expected = _care(expected, estimate.unknown(before))
    psfs = (1 - care) * best.psf(own) + care / 2 * (fitted.psf(own) + before.psf(own))
    psfs = psfs.clamp(min=0).double()
    told: NDArray[np.float32] = (psfs / psfs.sum((-2, -1), keepdim=True)).float().numpy()
    return told, expected, estimate.confidence_of(expected, before)


def _care(expected: float, unknown: float) -> tuple[float, float]:
    """Return the share of care, 0 to 1, and what is expected with it, dB."""
    sure = max(_UNSURE, unknown) + _SURE - _UNSURE
    care = min(1.0, max(0.0, (sure - expected) / (_SURE - _UNSURE)))
    return care, unknown + max(0.0, expected - unknown) * (1 - care)


def _conventional(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a field (node, mode) with the even mode that is largest on average positive."""
    _, other = conventional(maps.mean(0))
    return even_twin(maps) if other else maps


def _words(
    degree: int,
    coefficients: dict[int, NDArray[np.float32]],
    expected: float,
    confidence: float,
    flip: float,
    assumed: bool,
) -> str:
    if confidence < UNKNOWN:
        return (
            "Too small or too noisy to tell how the PSF changes over the field. A larger image, or "
            "more light, would help; or look for one PSF for the whole image."
        )
    if degree == 0:
        text = "The image does not show that the PSF changes over the field."
    else:
        changes = {j: float(values.max() - values.min()) for j, values in coefficients.items()}
        most = max(changes, key=lambda j: changes[j])
        text = (
            f"The PSF changes over the field, {zernike.name(most)} the most, by "
            f"{changes[most]:.2f} waves rms."
        )
    text += f" The PSFs are expected to be right to about {expected:.0f} dB."
    if flip > 0.2:
        text += f" Which way round they are, is not certain: {flip:.0%} that all are turned."
    return text + assumption(spectrum.CUTOFF) * assumed
