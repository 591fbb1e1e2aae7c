from __future__ import annotations

import dataclasses
import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.errors import FileError, ParameterError
from napari_deconv.optics import Microscope, generate_psf
from napari_deconv.optics.presets import dyes, objectives, samples
from napari_deconv.optics.setup import Setup
from napari_deconv.registry import modalities

CONFOCAL = Setup(
    Microscope(
        numerical_aperture=1.4,
        emission_wavelength=0.519,
        excitation_wavelength=0.488,
        depth=5.0,
        pinhole=0.8,
    ),
    modality="confocal",
    name="Spinning in the cellar, µ",
    spacing=(0.2, 0.08, 0.08),
)

microscopes = st.builds(
    lambda objective, dye, sample, rest: Microscope(
        **{**objective.fields, **dye.fields, **sample.fields, **rest}
    ),
    st.sampled_from(list(objectives().values())),
    st.sampled_from(list(dyes().values())),
    st.sampled_from(list(samples().values())),
    st.fixed_dictionaries(
        {},
        optional={
            "depth": st.floats(0, 5000),
            "pinhole": st.floats(0, 20),
            "immersion_thickness_design": st.floats(0, 20000),
            "excitation_wavelength": st.none() | st.floats(0.2, 3.0),
            "coverslip_thickness": st.floats(0, 2000),
        },
    ),
)
sizes = st.floats(1e-3, 10)
setups = st.builds(
    Setup,
    microscopes,
    model=st.just("gaussian"),
    modality=st.sampled_from(sorted(modalities())),
    parameters=st.fixed_dictionaries(
        {}, optional={"approximation": st.sampled_from(["auto", "paraxial", "nonparaxial"])}
    ),
    name=st.text(st.characters(exclude_categories=["Cs"])),
    spacing=st.none() | st.tuples(sizes, sizes) | st.tuples(sizes, sizes, sizes),
)


@pytest.fixture
def folder(tmp_path):
    CONFOCAL.save(tmp_path / "scope.json")
    return tmp_path


def change(folder, **changes):
    """Change entries of the file; those of the microscope by their own names."""
    record = json.loads((folder / "scope.json").read_text("utf-8"))
    for name, value in changes.items():
        inner = record["microscope"] if name in record["microscope"] else record
        inner[name] = value
    (folder / "scope.json").write_text(json.dumps(record), "utf-8")
    return folder / "scope.json"


@settings(deadline=None)
@given(setup=setups)
def test_what_was_saved_is_what_is_loaded(setup, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.json"
    setup.save(path)
    assert Setup.load(path) == setup


def test_whole_numbered_keys_come_back():
    """A pupil's aberrations go by Noll's index, which JSON makes a word."""
    from napari_deconv.optics.setup import _keyed, _plain

    value = {5: 0.05, 11: -0.1}
    assert _keyed(json.loads(json.dumps(_plain(value)))) == value
    assert _plain((1.5, 2)) == [1.5, 2]
    assert _plain(np.float64(0.5)) == 0.5


def test_the_file_is_small_and_tells_its_units(folder):
    text = (folder / "scope.json").read_text("utf-8")
    record = json.loads(text)
    assert len(text) < 2000
    assert record["version"] == 1
    assert record["units"] == {"lengths": "um", "pinhole": "Airy units"}
    assert record["microscope"]["emission_wavelength"] == 0.519
    assert "µ" in text  # as people read it


def test_the_psf_is_that_of_the_microscope(folder):
    shape = (9, 17, 17)
    psf = Setup.load(folder / "scope.json").psf(shape)
    expected = generate_psf(CONFOCAL.microscope, shape, (0.2, 0.08, 0.08), modality="confocal")
    np.testing.assert_array_equal(psf, expected)
    other = CONFOCAL.psf(shape, (0.1, 0.05, 0.05))
    assert abs(other - psf).max() > 0.01 * psf.max()
    bare = dataclasses.replace(CONFOCAL, spacing=None)
    with pytest.raises(ParameterError, match="voxel size is needed"):
        bare.psf(shape)


def test_what_is_left_out_takes_its_default(tmp_path):
    path = tmp_path / "short.json"
    scope = {"numerical_aperture": 0.8, "immersion_index": 1, "emission_wavelength": 0.5}
    record = {"file": "napari-deconv microscope", "version": 1, "microscope": scope}
    path.write_text(json.dumps(record))
    assert Setup.load(path) == Setup(Microscope(**scope))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"numerical_apperture": 1.4}, "unknown field 'numerical_apperture'"),
        ({"version": 2}, r"later napari-deconv \(format 2"),
        ({"version": None}, "version None"),
        ({"file": "recipe"}, "holds no microscope"),
        ({"microscope": []}, "holds no microscope"),
        ({"numerical_aperture": 1.6}, "below immersion_index"),
        ({"emission_wavelength": 519}, r"did you mean 0\.519"),
        ({"emission_wavelength": None}, "has to be a number"),
        ({"model": "gibson-lany"}, "Did you mean 'gibson-lanni'"),
        ({"modality": 3}, "modality is 3"),
        ({"parameters": {"evanescent": "perhaps"}}, "True or False"),
        ({"parameters": {"power": 1}}, "no parameter 'power'"),
        ({"parameters": [1]}, "parameters is"),
        ({"spacing": [0.1]}, "spacing is"),
        ({"spacing": "0.1"}, "spacing is"),
        ({"units": {"lengths": "nm"}}, "Convert its numbers"),
        ({"name": 7}, "name is 7"),
    ],
)
def test_what_cannot_be_is_said_with_the_files_name(folder, changes, words):
    path = change(folder, **changes)
    with pytest.raises(FileError, match=words) as caught:
        Setup.load(path)
    assert "scope.json" in str(caught.value)


def test_a_field_that_is_misspelt_is_put_right(folder):
    record = json.loads((folder / "scope.json").read_text("utf-8"))
    record["microscope"]["pinhol"] = record["microscope"].pop("pinhole")
    (folder / "scope.json").write_text(json.dumps(record))
    with pytest.raises(FileError, match=r"'pinhol'\. Did you mean 'pinhole'"):
        Setup.load(folder / "scope.json")


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"\xff\xfe\x00", b"NaN", b"[" * 100_000])
def test_other_files_are_refused(tmp_path, raw):
    (tmp_path / "x.json").write_bytes(raw)
    with pytest.raises(FileError, match="not a microscope's file"):
        Setup.load(tmp_path / "x.json")


def test_a_file_that_is_not_there_and_one_that_cannot_be(tmp_path):
    with pytest.raises(FileError, match=r"none\.json cannot be read"):
        Setup.load(tmp_path / "none.json")
    with pytest.raises(FileError, match="could not be written"):
        CONFOCAL.save(tmp_path / "nowhere" / "scope.json")


def test_saving_leaves_nothing_else_behind(folder):
    CONFOCAL.save(folder / "scope.json")
    assert os.listdir(folder) == ["scope.json"]


def test_an_unknown_parameter_is_refused_at_once():
    with pytest.raises(ParameterError, match="no parameter 'evanescence'"):
        Setup(CONFOCAL.microscope, parameters={"evanescence": True})
