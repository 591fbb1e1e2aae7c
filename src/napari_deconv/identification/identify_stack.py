"""Find the aberrations of the microscope in a z-stack of anything, sign and all."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_deconv.arrays import as_image
from napari_deconv.errors import InputError, ParameterError
from napari_deconv.identification import resample, stack
from napari_deconv.identification.identify import identify
from napari_deconv.identification.optics import MODES, even_twin
from napari_deconv.identification.result import Candidate, by_mode, phase_picture
from napari_deconv.identification.view import look_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_deconv.identification.result import Identification

# From which probability on the sign counts as known.
_KNOWN = 0.9


def identify_stack(
    image: ArrayLike,
    *,
    spacing: Sequence[float],
    numerical_aperture: float,
    emission_wavelength: float,
    plane: int | None = None,
    noise: float | Literal["auto"] = "auto",
    amplitude: float = 0.15,
    shape: tuple[int, int] = (31, 31),
    seed: int = 0,
    refine: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> Identification:
    """Find the PSF and the aberrations in one plane of a z-stack, and their sign in the others.

    Parameters
    ----------
    image
        Grey values (z, y, x); larger z is deeper in the sample.
    spacing
        Voxel size, um, (z, y, x).
    numerical_aperture
        Of the objective.
    emission_wavelength
        In vacuum, um.
    plane
        In which to look for the PSF; by default the one that varies most.
    noise, amplitude, shape, seed, refine, progress
        As for :func:`identify`.

    Returns
    -------
    Identification
        As of :func:`identify` for that plane; where its neighbours tell the common sign of the
        even modes, with that sign and its probability.

    Raises
    ------
    InputError
        When the image is too small, empty of structure, or no stack.
    ParameterError
        When the optics cannot be, or pixels are too large to see the PSF.

    Notes
    -----
    With the other sign a stack would be seen the other way up: the spectra of the planes within
    1.5 depths of field are held against the defocused PSFs of both, the object's own spectrum
    eliminated. An object as deep as the stack and alike all through tells nothing.
    """
    values = as_image(image)
    if values.ndim != 3 or len(spacing) != 3:
        raise InputError(
            f"A z-stack (z, y, x) and a spacing of three numbers are needed, not {values.shape} "
            f"and {tuple(spacing)}."
        )
    if not spacing[0] > 0:
        raise ParameterError(f"Planes are {spacing[0]:g} um apart, but have to be above 0.")
    if plane is None:
        plane = int(np.argmax([each.std() for each in values]))
    if not 0 <= plane < len(values):
        raise ParameterError(f"plane is {plane}, but the stack has {len(values)}.")
    optics: dict[str, Any] = {
        "numerical_aperture": numerical_aperture,
        "emission_wavelength": emission_wavelength,
    }
    found = identify(
        values[plane],
        spacing=spacing,
        noise=noise,
        amplitude=amplitude,
        shape=shape,
        seed=seed,
        refine=refine,
        progress=progress,
        **optics,
    )
    depth = stack.depth_of_field(numerical_aperture, emission_wavelength)
    chosen = stack.neighbours(len(values), plane, spacing[0], depth)
    if len(chosen) < 2:
        why = f"planes {spacing[0]:g} um apart are too far from each other to tell"
        return replace(found, sign=_unknown(why), verdict=f"{found.verdict} {_unknown(why)}")
    cutoff = resample.cutoff_of(None, spacing, **optics)
    view = look_at(values[chosen], *cutoff, noise)
    odds = stack.sign_odds(
        view.planes,
        [(each - plane) * spacing[0] for each in chosen],
        np.array(list(found.coefficients.values())),
        noise=view.noise,
        band=view.band,
        **optics,
    )
    return _signed(found, odds)


def _signed(found: Identification, odds: float) -> Identification:
    """Return what was found with the likelier sign, as far as that is known."""
    sure = 1 / (1 + math.exp(-min(abs(odds), 50.0)))
    # Aberrations that are not known have no sign that could be.
    sure = 0.5 + (sure - 0.5) * min(1.0, max(0.0, found.confidence))
    if sure < _KNOWN:
        text = _unknown("the planes above and below do not tell")
        return replace(found, sign=text, sign_probability=0.5, verdict=f"{found.verdict} {text}")
    text = (
        f"The planes above and below show the sign of the even modes (defocus, astigmatism, "
        f"spherical): {sure:.0%} sure, if larger z is deeper in the sample."
    )
    verdict = f"{found.verdict} {text}"
    found = replace(found, sign=text, sign_probability=sure, verdict=verdict)
    return found if odds > 0 else _other_way(found)


def _other_way(found: Identification) -> Identification:
    """Return it with all even modes negated; the PSF stays as it is."""

    def twin(coefficients: dict[int, float]) -> dict[int, float]:
        return by_mode(even_twin(_values(coefficients)))

    coefficients = twin(found.coefficients)
    nanometres = found.nanometres
    return replace(
        found,
        coefficients=coefficients,
        nanometres=None if nanometres is None else twin(nanometres),
        pupil_phase=phase_picture(coefficients),
        candidates=tuple(Candidate(twin(c.coefficients), c.weight) for c in found.candidates),
    )


def _values(coefficients: dict[int, float]) -> NDArray[np.float64]:
    return np.array([coefficients[j] for j in MODES])


def _unknown(why: str) -> str:
    return (
        f"The sign of the even modes (defocus, astigmatism, spherical) is not known: {why}. The "
        "largest of them is given as positive."
    )
