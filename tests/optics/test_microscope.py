from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from napari_deconv.errors import ParameterError
from napari_deconv.optics import Microscope
from napari_deconv.registry import parameters_of

OIL = Microscope(numerical_aperture=1.4, emission_wavelength=0.61)


def test_every_field_explains_itself():
    parameters = parameters_of(Microscope)
    assert all(len(parameter.help) > 30 for parameter in parameters.values())
    assert [name for name, parameter in parameters.items() if parameter.required] == [
        "numerical_aperture",
        "emission_wavelength",
    ]
    assert parameters["depth"].unit == "um"
    assert parameters["coverslip_index"].advanced
    assert not parameters["sample_index"].advanced


@pytest.mark.parametrize("name", ["emission_wavelength", "excitation_wavelength"])
@pytest.mark.parametrize("value", [610, 610.0, np.int64(610), np.float32(610)])
def test_a_wavelength_in_nanometres_is_recognised(name, value):
    with pytest.raises(ParameterError, match=r"did you mean 0\.61\?"):
        dataclasses.replace(OIL, **{name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"numerical_aperture": 1.515}, "below immersion_index, which is 1.515"),
        ({"immersion_index": 1.33}, "numerical_aperture is 1.4.* below immersion_index"),
        ({"immersion_index_design": 1.33}, "below immersion_index_design"),
        ({"coverslip_index": 1.38}, "below coverslip_index, which is 1.38"),
        ({"coverslip_index_design": 1.38}, "below coverslip_index_design"),
        ({"numerical_aperture": 0}, "between"),
        ({"emission_wavelength": "red"}, "has to be a number"),
        ({"emission_wavelength": math.nan}, "has to be a number"),
        ({"depth": -1}, "between 0 and"),
        ({"pinhole": -0.5}, "between 0 and 20 AU"),
        ({"sample_index": 0.9}, "between 1 and"),
    ],
)
def test_what_cannot_be_is_refused(change, message):
    with pytest.raises(ParameterError, match=message):
        dataclasses.replace(OIL, **change)


def test_a_lens_without_coverslip_does_not_ask_for_its_index():
    bare = {"coverslip_thickness": 0, "coverslip_thickness_design": 0, "coverslip_index": 1.3}
    assert dataclasses.replace(OIL, **bare).coverslip_thickness == 0


def test_the_design_follows_the_immersion_unless_given():
    assert OIL.designed_immersion_index == 1.515
    assert dataclasses.replace(OIL, immersion_index=1.52).designed_immersion_index == 1.52
    wrong_oil = dataclasses.replace(OIL, immersion_index=1.52, immersion_index_design=1.515)
    assert wrong_oil.designed_immersion_index == 1.515


def test_numbers_of_any_kind_become_floats():
    scope = Microscope(numerical_aperture=np.float32(0.5), emission_wavelength=1, depth=np.int64(3))
    assert [
        type(v) for v in (scope.numerical_aperture, scope.emission_wavelength, scope.depth)
    ] == [float] * 3


def test_angles_and_airy_unit():
    assert math.tan(OIL.half_angle) == pytest.approx(1.4 / math.sqrt(1.515**2 - 1.4**2))
    assert OIL.axial_aperture == pytest.approx(1.515 * (1 - math.cos(OIL.half_angle)))
    # The first dark ring is at 0.60983 wavelength / NA; its diameter is the Airy unit.
    assert OIL.airy_unit == pytest.approx(2 * 0.60983 * 0.61 / 1.4, rel=1e-5)
