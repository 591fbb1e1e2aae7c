"""A microscope with a PSF model and a modality: what can be asked of the three together."""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv import registry
from napari_deconv.optics.intensity import Sampling, accuracy
from napari_deconv.optics.optical_path import OpticalPath
from napari_deconv.optics.polynomials import from_chebyshev

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

    from napari_deconv.optics.intensity import Intensity, Light
    from napari_deconv.optics.microscope import Microscope

SCAN = 6  # planes per finest period among which the brightest is looked for
FINER = 8  # places of the spline through them, for each


class Instrument:
    """A microscope seen through a PSF model and a modality.

    Parameters
    ----------
    microscope
        The microscope.
    model, modality
        Their ids.
    **parameters
        Of the model and of the modality.

    Raises
    ------
    ParameterError
        For an unknown model, modality or parameter, or one out of bounds.
    """

    def __init__(
        self,
        microscope: Microscope,
        model: str = "gibson-lanni",
        modality: str = "widefield",
        **parameters: Any,
    ) -> None:
        self.microscope = microscope
        self.model = registry.find(registry.psf_models(), model, "PSF model")
        self.modality = registry.find(registry.modalities(), modality, "modality")
        self.parameters = registry.check_parameters(
            f"The PSF ({self.model.title}, {self.modality.title})",
            {**self.model.parameters, **self.modality.parameters},
            parameters,
        )

    def intensity(
        self, z: NDArray[np.float64], reach: float, dtype: DTypeLike = np.float32
    ) -> Intensity:
        """Return a point's image at stage positions ``z`` (um), out to the radius ``reach`` (um).

        Positions are relative to the depth of the point as if light were not refracted. It is
        sampled finely enough for the digits of ``dtype``.
        """
        image: Intensity = self._compose(_Shining(self, z, reach, accuracy(dtype).period))
        return image

    def focus(self) -> float:
        """Return the stage position, um, at which the point is brightest.

        Found on the exact intensity along the axis, not on planes of a stack.
        """
        low, high = self.foci()
        if low == high == 0:
            return 0.0
        period = self.axial_period()
        margin = period + (high - low) / 2
        scan = np.arange(low - margin, high + margin, period / SCAN)
        middle = _highest(scan, self.intensity(scan, 0.0).on_axis())
        # A model that knows nothing of the aberration is brightest at 0.
        found, ideal = self.intensity(np.array([middle, 0.0]), 0.0).on_axis()
        if ideal > found:
            middle = 0.0
        # The polynomial through nine points around the peak, and the largest of its maxima.
        x = np.linspace(-1, 1, 9)
        values = self.intensity(middle + x * period / 8, 0.0).on_axis()
        fit = np.polynomial.Chebyshev(from_chebyshev(9) @ values)
        roots = np.asarray(fit.deriv().roots(), np.complex128)
        places = roots.real[(abs(roots.imag) < 1e-9) & (abs(roots.real) <= 1)]
        return float(middle + period / 8 * places[np.argmax(fit(places))])

    def foci(self) -> tuple[float, float]:
        """Return the range of stage positions, um, in which half the rays have a focus."""
        if self.model.foci is None:
            return OpticalPath(self.microscope).focal_range()
        return self.model.foci(self.microscope, **self.own(self.model))

    @cached_property
    def bands(self) -> tuple[float, float]:
        """The highest frequencies of the image across and along the axis, 1/um.

        Frequencies add where intensities multiply.
        """
        try:
            self._compose(_Listening())
        except _Heard as heard:
            inverse, axial = heard.frequencies
        else:
            raise TypeError(f"{self.modality.id} made an image without light")
        scope = self.microscope
        return 2 * scope.numerical_aperture * inverse, scope.axial_aperture * inverse + axial

    def lateral_period(self) -> float:
        """Return the finest period across the axis, um."""
        return 1 / self.bands[0]

    def axial_period(self) -> float:
        """Return the finest period along the axis, um."""
        return 1 / self.bands[1]

    def _compose(self, light: Light) -> Any:
        return self.modality.function(self.microscope, light, **self.own(self.modality))

    def own(self, entry: registry.Entry) -> dict[str, Any]:
        """Return the parameters of the model or of the modality."""
        return {name: self.parameters[name] for name in entry.parameters}


def _highest(places: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Return where the spline through ``values`` is highest."""
    from scipy.interpolate import CubicSpline

    fine = np.linspace(places[0], places[-1], FINER * places.size)
    return float(fine[np.argmax(CubicSpline(places, values)(fine))])


class _Shining:
    """Light as a modality is given it."""

    def __init__(
        self, instrument: Instrument, z: NDArray[np.float64], reach: float, fineness: int
    ) -> None:
        self.z = z
        self._instrument, self._reach, self._fineness = instrument, reach, fineness

    @cached_property
    def focus(self) -> float:
        instrument = self._instrument
        own = instrument.own(instrument.model)
        return Instrument(instrument.microscope, instrument.model.id, "widefield", **own).focus()

    def __call__(
        self,
        *detected: float,
        lasers: Sequence[float] = (),
        margin: float = 0.0,
        axial_frequency: float = 0.0,
    ) -> tuple[Intensity, ...]:
        instrument = self._instrument
        step, reach = instrument.lateral_period() / self._fineness, self._reach + margin
        own = instrument.own(instrument.model)

        @cache
        def beam(wavelength: float, polarised: bool) -> Any:
            sampling = Sampling(self.z, step, reach, polarised)
            return instrument.model.function(instrument.microscope, wavelength, sampling, **own)

        return (
            *(beam(wavelength, True) for wavelength in lasers),
            *(beam(wavelength, not lasers) for wavelength in detected),
        )


class _Listening:
    """Light that never shines, but tells what it was asked for."""

    z = np.zeros(1)
    focus = 0.0

    def __call__(
        self,
        *detected: float,
        lasers: Sequence[float] = (),
        margin: float = 0.0,
        axial_frequency: float = 0.0,
    ) -> tuple[Intensity, ...]:
        raise _Heard(sum(1 / wavelength for wavelength in (*lasers, *detected)), axial_frequency)


class _Heard(Exception):
    def __init__(self, *frequencies: float) -> None:
        self.frequencies = frequencies
