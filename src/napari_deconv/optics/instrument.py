"""A microscope with a PSF model and a modality: what can be asked of the three together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv import registry
from napari_deconv.optics.intensity import PERIOD, Intensity, Sampling
from napari_deconv.optics.optical_path import OpticalPath
from napari_deconv.optics.polynomials import from_chebyshev

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deconv.optics.microscope import Microscope


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

    def wavelengths(self) -> tuple[float, ...]:
        """Return the wavelengths, um, whose intensities the modality multiplies."""

        def listen(*wavelengths: float, margin: float = 0.0) -> Any:
            raise _Heard(wavelengths)

        try:
            self._compose(listen)
        except _Heard as heard:
            return heard.wavelengths
        raise TypeError(f"{self.modality.id} made an image without light")

    def intensity(self, z: NDArray[np.float64], reach: float) -> Intensity:
        """Return a point's image at stage positions ``z`` (um), out to the radius ``reach`` (um).

        Positions are relative to the depth of the point as if light were not refracted.
        """

        def light(*wavelengths: float, margin: float = 0.0) -> tuple[Intensity, ...]:
            sampling = Sampling(z, self.lateral_period() / PERIOD, reach + margin)
            own = self._own(self.model)
            return tuple(
                self.model.function(self.microscope, wavelength, sampling, **own)
                for wavelength in wavelengths
            )

        image: Intensity = self._compose(light)
        return image

    def focus(self) -> float:
        """Return the stage position, um, at which the point is brightest.

        Found on the exact intensity along the axis, not on planes of a stack.
        """
        path = OpticalPath(self.microscope)
        if path.is_ideal:
            return 0.0
        period = self.axial_period()
        low, high = path.focal_range()
        margin = period + (high - low) / 2
        # A model that knows nothing of the aberration is brightest at 0.
        z = np.append(np.arange(low - margin, high + margin, period / 16), 0.0)
        middle = z[np.argmax(self.intensity(z, 0.0).on_axis())]
        # The polynomial through nine points around the peak, and the largest of its maxima.
        x = np.linspace(-1, 1, 9)
        values = self.intensity(middle + x * period / 8, 0.0).on_axis()
        fit = np.polynomial.Chebyshev(from_chebyshev(9) @ values)
        roots = np.asarray(fit.deriv().roots(), np.complex128)
        places = roots.real[(abs(roots.imag) < 1e-9) & (abs(roots.real) <= 1)]
        return float(middle + period / 8 * places[np.argmax(fit(places))])

    def lateral_period(self) -> float:
        """Return the finest period across the axis, um.

        Frequencies add where intensities multiply.
        """
        inverse = sum(1 / wavelength for wavelength in self.wavelengths())
        return 1 / (2 * self.microscope.numerical_aperture * inverse)

    def axial_period(self) -> float:
        """Return the finest period along the axis, um."""
        inverse = sum(1 / wavelength for wavelength in self.wavelengths())
        return 1 / (self.microscope.axial_aperture * inverse)

    def _compose(self, light: Any) -> Any:
        return self.modality.function(self.microscope, light, **self._own(self.modality))

    def _own(self, entry: registry.Entry) -> dict[str, Any]:
        return {name: self.parameters[name] for name in entry.parameters}


class _Heard(Exception):
    def __init__(self, wavelengths: tuple[float, ...]) -> None:
        self.wavelengths = wavelengths
