"""A microscope with a PSF model and a modality: what can be asked of the three together."""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv import registry
from napari_deconv.optics.intensity import SINGLE, SKETCH, Sampling
from napari_deconv.optics.optical_path import OpticalPath
from napari_deconv.optics.polynomials import from_chebyshev

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_deconv.optics.intensity import Accuracy, Intensity, Light
    from napari_deconv.optics.microscope import Microscope

SCAN = 6  # planes per finest period among which the brightest is looked for
FINER = 8  # places of the spline through them, for each
BRIGHT = 48  # planes, the brightest on the axis, among which that behind a pinhole is


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
        self, z: NDArray[np.float64], reach: float, accuracy: Accuracy = SINGLE
    ) -> Intensity:
        """Return a point's image at stage positions ``z`` (um), out to the radius ``reach`` (um).

        Positions are relative to the depth of the point as if light were not refracted.
        """
        image: Intensity = self._compose(_Shining(self, z, reach, accuracy))
        return image

    def on_axis(self, z: NDArray[np.float64], accuracy: Accuracy = SINGLE) -> NDArray[np.float64]:
        """Return the intensity on the axis at stage positions ``z`` (um)."""
        return self.intensity(z, 0.0, accuracy).on_axis()

    def focus(self, accuracy: Accuracy = SINGLE) -> float:
        """Return the stage position, um, at which the point is brightest.

        Found on the intensity along the axis, not on planes of a stack.
        """
        low, high = self.foci()
        if low == high == 0:
            return 0.0
        period = self.axial_period()
        margin = period + (high - low) / 2
        scan = np.arange(low - margin, high + margin, period / SCAN)
        glance = _Glancing(self, scan, 0.0, SKETCH)
        values = self._compose(glance).on_axis()
        middle = _highest(scan, values)
        if glance.widened:
            # Means over holes take long: only where it is bright without them.
            bright = scan[np.argsort(values)[-BRIGHT:]]
            middle = float(bright[np.argmax(self.on_axis(bright, SKETCH))])
        # A model that knows nothing of the aberration is brightest at 0.
        found, ideal = self._compose(
            _Glancing(self, np.array([middle, 0.0]), 0.0, SKETCH)
        ).on_axis()
        if ideal > found:
            middle = 0.0
        # The polynomial through nine points around the peak, and where it is largest; where that
        # is at their end, the peak of another line than was scanned, from there on.
        x = np.linspace(-1, 1, 9)
        for _ in range(8):
            values = self.on_axis(middle + x * period / 8, accuracy)
            fit = np.polynomial.Chebyshev(from_chebyshev(9) @ values)
            roots = np.asarray(fit.deriv().roots(), np.complex128)
            inside = roots.real[(abs(roots.imag) < 1e-9) & (abs(roots.real) <= 1)]
            places = np.array([-1.0, 1.0, *inside])
            place = float(places[np.argmax(fit(places))])
            middle += period / 8 * place
            if abs(place) < 1:
                break
        return float(middle)

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

    @cached_property
    def focus_of_light(self) -> float:
        """The stage position, um, at which the detected light alone is brightest."""
        return Instrument(self.microscope, self.model.id, **self.own(self.model)).focus()

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
        self, instrument: Instrument, z: NDArray[np.float64], reach: float, accuracy: Accuracy
    ) -> None:
        self.z = z
        self._instrument, self._reach, self._accuracy = instrument, reach, accuracy

    @property
    def focus(self) -> float:
        return self._instrument.focus_of_light

    def __call__(
        self,
        *detected: float,
        lasers: Sequence[float] = (),
        margin: float = 0.0,
        axial_frequency: float = 0.0,
    ) -> tuple[Intensity, ...]:
        instrument = self._instrument
        step, reach = instrument.lateral_period() / self._accuracy.period, self._reach + margin
        own = instrument.own(instrument.model)

        @cache
        def beam(wavelength: float, polarised: bool) -> Any:
            sampling = Sampling(self.z, step, reach, polarised, self._accuracy.faint)
            return instrument.model.function(instrument.microscope, wavelength, sampling, **own)

        return (
            *(beam(wavelength, True) for wavelength in lasers),
            *(beam(wavelength, not lasers) for wavelength in detected),
        )


class _Glancing(_Shining):
    """Light on the axis alone, of which a mean over holes sees as much as the axis itself."""

    widened = False

    def __call__(
        self,
        *detected: float,
        lasers: Sequence[float] = (),
        margin: float = 0.0,
        axial_frequency: float = 0.0,
    ) -> tuple[Any, ...]:
        beams = super().__call__(*detected, lasers=lasers)
        return tuple(_Line(self, beam.on_axis()) for beam in beams)


class _Line:
    """Intensity on the axis: the verbs of ``Intensity`` that a modality needs."""

    def __init__(self, light: _Glancing, values: NDArray[np.float64]) -> None:
        self._light, self._values = light, values

    def __mul__(self, other: _Line) -> _Line:
        return _Line(self._light, self._values * other._values)

    def weighted(self, weights: NDArray[np.float64]) -> _Line:
        return _Line(self._light, self._values * weights)

    def blur_disc(self, radius: float) -> _Line:
        self._light.widened |= radius > 0
        return self

    def repeated(self, *_: Any) -> _Line:
        self._light.widened = True
        return self

    def on_axis(self) -> NDArray[np.float64]:
        return self._values


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
