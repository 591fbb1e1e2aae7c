"""The microscope: the numbers from which its point spread function follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Annotated

from napari_deconv.errors import ParameterError
from napari_deconv.registry import Advanced, Range, Unit, check_parameters, parameters_of

Index = Annotated[float, Range(1.0, 2.6)]
Wavelength = Annotated[float, Range(0.2, 3.0), Unit("um")]


@dataclass(frozen=True, kw_only=True)
class Microscope:
    """An objective, the light, and what lies between the lens and the point that shines.

    Lengths are micrometres, wavelengths are those in vacuum.

    Parameters
    ----------
    numerical_aperture
        Numerical aperture (NA), engraved on the objective behind the magnification: 0.8 for a
        20x air, 1.2 for a water, 1.4 for an oil objective.
    emission_wavelength
        Wavelength of the light that is detected. GFP 0.51, mCherry 0.61, DAPI 0.46.
    immersion_index
        Refractive index between objective and coverslip: air 1.0, water 1.33, glycerol 1.45,
        oil 1.515.
    sample_index
        Refractive index of the mounted sample: water or live cells 1.33 to 1.38, glycerol 1.45,
        hardened mounting medium 1.47 to 1.52.
    depth
        How deep below the coverslip the structure of interest lies. Matters only when the sample
        index differs from the immersion index: the deeper, the more spherical aberration.
    excitation_wavelength
        Wavelength of the laser or lamp, for instance 0.488. Needed where the illumination shapes
        the image, as in a confocal microscope; a widefield image does not depend on it.
    pinhole
        Diameter of the confocal pinhole in Airy units (1 is the usual setting, 0 an infinitely
        small one). A widefield image does not depend on it.
    coverslip_thickness
        Thickness of the coverslip that was used: No. 1.5 has 170, No. 1 has 150.
    coverslip_thickness_design
        Thickness of coverslip that the objective is made for (0.17 mm is engraved as 0.17), or
        that its correction collar is set to.
    coverslip_index
        Refractive index of the coverslip that was used.
    coverslip_index_design
        Refractive index of coverslip that the objective is made for.
    immersion_index_design
        Refractive index of immersion that the objective is made for. Empty: the same as the
        immersion index, which is right unless the wrong oil was used or the temperature is far
        from the oil's.
    immersion_thickness_design
        Thickness of the immersion layer when the objective is focused on the coverslip, about
        its working distance. Matters only when the immersion differs from its design value.

    Raises
    ------
    ParameterError
        When a value is out of bounds or the values contradict each other.
    """

    numerical_aperture: Annotated[float, Range(0.02, 2.0)]
    emission_wavelength: Wavelength
    immersion_index: Index = 1.515
    sample_index: Index = 1.33
    depth: Annotated[float, Range(0.0, 5000.0), Unit("um")] = 0.0
    excitation_wavelength: Wavelength | None = None
    pinhole: Annotated[float, Range(0.0, 20.0), Unit("AU")] = 1.0
    coverslip_thickness: Annotated[float, Range(0.0, 2000.0), Unit("um"), Advanced()] = 170.0
    coverslip_thickness_design: Annotated[float, Range(0.0, 2000.0), Unit("um"), Advanced()] = 170.0
    coverslip_index: Annotated[Index, Advanced()] = 1.515
    coverslip_index_design: Annotated[Index, Advanced()] = 1.515
    immersion_index_design: Annotated[Index, Advanced()] | None = None
    immersion_thickness_design: Annotated[float, Range(0.0, 20000.0), Unit("um"), Advanced()] = (
        150.0
    )

    def __post_init__(self) -> None:
        parameters = parameters_of(type(self))
        for name in ("emission_wavelength", "excitation_wavelength"):
            _refuse_nanometres(name, getattr(self, name))
        values = {name: getattr(self, name) for name in parameters}
        for name, value in check_parameters("A microscope", parameters, values).items():
            object.__setattr__(self, name, value)  # 1 becomes 1.0, np.float32 a float
        self._check_aperture()

    def _check_aperture(self) -> None:
        layers = {
            "immersion_index": (self.immersion_index, "check the immersion medium (oil is 1.515)"),
            "immersion_index_design": (self.designed_immersion_index, "check the objective's data"),
        }
        if self.coverslip_thickness > 0:
            layers["coverslip_index"] = (self.coverslip_index, "check the coverslip's data")
        if self.coverslip_thickness_design > 0:
            layers["coverslip_index_design"] = (
                self.coverslip_index_design,
                "check the objective's data",
            )
        for name, (index, advice) in layers.items():
            if self.numerical_aperture >= index:
                raise ParameterError(
                    f"numerical_aperture is {self.numerical_aperture:g}, but has to be below "
                    f"{name}, which is {index:g}: {advice}."
                )

    @property
    def designed_immersion_index(self) -> float:
        """The immersion index the objective is made for, whether given or left to follow."""
        given = self.immersion_index_design
        return self.immersion_index if given is None else given

    @property
    def half_angle(self) -> float:
        """Half the angle of the cone of light that the objective takes in, radians."""
        return math.asin(self.numerical_aperture / self.immersion_index)

    @property
    def axial_aperture(self) -> float:
        """``n - sqrt(n**2 - NA**2)``: what NA is across the axis, this is along it."""
        n, na = self.immersion_index, self.numerical_aperture
        return n - math.sqrt(n * n - na * na)

    @property
    def airy_unit(self) -> float:
        """Diameter of the Airy disc in the sample, ``1.22 * emission_wavelength / NA``, um."""
        return 1.2196698912665045 * self.emission_wavelength / self.numerical_aperture

    def nyquist_spacing(self, modality: str = "widefield") -> tuple[float, float, float]:
        """Return the largest voxel (z, y, x), um, that records all the microscope transmits."""
        from napari_deconv.optics.resolution import nyquist_spacing

        return nyquist_spacing(self, modality)

    def expected_fwhm(self, modality: str = "widefield") -> tuple[float, float, float]:
        """Return the full widths at half maximum (z, y, x), um, of a point's image."""
        from napari_deconv.optics.resolution import expected_fwhm

        return expected_fwhm(self, modality=modality)


def _refuse_nanometres(name: str, value: object) -> None:
    if isinstance(value, Real) and 100 <= float(value) <= 5000:
        number = float(value)
        raise ParameterError(
            f"{name} is {number:g} um, longer than any light: did you mean {number / 1000:g}? "
            "Lengths are in micrometres."
        )
