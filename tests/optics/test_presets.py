from __future__ import annotations

import math

import pytest

from napari_deconv.optics import Microscope, generate_psf
from napari_deconv.optics.optical_path import OpticalPath
from napari_deconv.optics.presets import IMMERSION_INDEX, dyes, objectives, samples
from napari_deconv.registry import parameters_of


@pytest.mark.parametrize("preset", objectives().values(), ids=objectives())
def test_every_objective_makes_a_microscope_without_aberration_of_its_own(preset):
    scope = Microscope(emission_wavelength=0.52, **preset.fields)
    assert scope.immersion_index == IMMERSION_INDEX[preset.immersion]
    assert OpticalPath(scope).is_ideal
    assert f"{preset.magnification:g}x / {preset.numerical_aperture:g}" in preset.name
    # The sine of the half angle is what an objective can be built for.
    assert scope.numerical_aperture / scope.immersion_index <= 0.9905


@pytest.mark.parametrize("dye", dyes().values(), ids=dyes())
def test_dyes_emit_longer_light_than_they_take_in(dye):
    assert 0.005 < dye.emission - dye.excitation < 0.08
    scope = Microscope(numerical_aperture=1.2, **dye.fields)
    assert scope.emission_wavelength == dye.emission
    assert scope.excitation_wavelength == dye.excitation


@pytest.mark.parametrize("sample", samples().values(), ids=samples())
def test_every_sample_fits_between_water_and_resin(sample):
    scope = Microscope(numerical_aperture=0.8, emission_wavelength=0.52, **sample.fields)
    assert 1.33 <= scope.sample_index <= 1.6


@pytest.mark.parametrize("presets", [objectives(), dyes(), samples()])
def test_presets_go_by_their_names_and_fill_no_unknown_field(presets):
    known = parameters_of(Microscope)
    for name, preset in presets.items():
        assert preset.name == name
        assert set(preset.fields) <= set(known)


def test_the_order_helps_to_find_them():
    emissions = [dye.emission for dye in dyes().values()]
    indices = [sample.sample_index for sample in samples().values()]
    assert emissions == sorted(emissions)
    assert indices == sorted(indices)


def test_what_the_issue_names_is_there():
    assert {"63x / 1.4 oil", "20x / 0.8 air", "63x / 1.3 glycerol", "60x / 1.3 silicone"} <= set(
        objectives()
    )
    assert {"DAPI", "Alexa Fluor 488", "mCherry", "Cy5", "SiR"} <= set(dyes())


def test_a_dipping_objective_has_no_coverslip_and_is_as_sharp_at_any_depth():
    dipping = next(each for name, each in objectives().items() if "dipping" in name)
    fields = {**dipping.fields, "emission_wavelength": 0.52, "sample_index": 1.333}
    peaks = [
        generate_psf(Microscope(**fields, depth=depth), (1, 33, 33), (0.3, 0.1, 0.1)).max()
        for depth in (0.0, 300.0)
    ]
    assert math.isclose(*peaks, rel_tol=1e-6)
