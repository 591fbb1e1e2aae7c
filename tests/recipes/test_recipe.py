"""Recipes: what is read is what was written, and what is wrong is told with its line."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.engine.options import parameters_for
from napari_deconv.errors import FileError, InputError
from napari_deconv.io import Channel, read_image, write_image
from napari_deconv.optics import Microscope, generate_psf
from napari_deconv.recipes import PsfSource, Recipe, Treatment
from napari_deconv.recipes.shares import shares
from napari_deconv.registry import methods

SPACING = (0.3, 0.1, 0.1)
TEXT = """\
napari-deconv recipe: 1
method: richardson-lucy
parameters:
  iterations: 10
  offset: 1e2
psf:
  microscope: {numerical_aperture: 1.2, immersion_index: 1.33}
  model: gaussian
channels:
  - channel: 0
    psf:
      microscope: {emission_wavelength: 0.5}
  - channel: GFP
    method: wiener
    psf:
      microscope:
        emission_wavelength: 0.6
      model: born-wolf
"""


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(TEXT)
    return path


def test_channels_take_over_what_they_do_not_tell(recipe_file):
    first, second = Recipe.load(recipe_file).treatments
    assert (first.channel, first.method) == (0, "richardson-lucy")
    assert first.parameters == {"iterations": 10, "offset": 100.0}
    scope = {"numerical_aperture": 1.2, "immersion_index": 1.33}
    assert first.psf.microscope == {**scope, "emission_wavelength": 0.5}
    assert first.psf.settings == {"model": "gaussian"}
    assert (second.channel, second.method) == ("GFP", "wiener")
    assert second.parameters == {"offset": 100.0}  # it takes no steps
    assert second.psf.microscope == {**scope, "emission_wavelength": 0.6}
    assert second.psf.settings == {"model": "born-wolf"}


def test_what_is_saved_is_what_is_read(recipe_file, tmp_path):
    recipe = Recipe.load(recipe_file)
    other = tmp_path / "elsewhere" / "again.yaml"
    other.parent.mkdir()
    recipe.save(other)
    assert Recipe.load(other) == recipe


def test_files_lie_in_the_recipes_folder(tmp_path):
    treatment = Treatment("wiener", {}, PsfSource(tmp_path / "psf.tif"), tmp_path / "haze.tif")
    Recipe((treatment,)).save(tmp_path / "recipe.yaml")
    assert "file: psf.tif" in (tmp_path / "recipe.yaml").read_text()
    assert Recipe.load(tmp_path / "recipe.yaml").treatments == (treatment,)


def value_of(parameter):
    """Return a strategy for values that a parameter takes."""
    if parameter.choices:
        return st.sampled_from(parameter.choices)
    low, high = parameter.range.lower, parameter.range.upper
    if parameter.kind is bool:
        return st.booleans()
    if parameter.kind is int:
        number = st.integers(int(low or 0), int(min(high or 99, 10**6)))
    elif parameter.kind is float:
        number = st.floats(low if low is not None else -1e3, high if high is not None else 1e9)
    else:
        return st.sampled_from(["cpu", "1e-3", "no", "0.1", "ö: - #"])
    if parameter.length is not None:
        return st.tuples(*[number] * (parameter.length or 3))
    return number


@pytest.mark.parametrize("id_", methods())
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_every_parameter_of_every_method_survives(id_, data, tmp_path_factory):
    known = parameters_for(methods()[id_])
    names = data.draw(st.sets(st.sampled_from(sorted(known)), max_size=4))
    values = {name: data.draw(value_of(known[name]), name) for name in names}
    recipe = Recipe((Treatment(id_, values, PsfSource(Path("/somewhere/psf.tif"))),))
    path = tmp_path_factory.mktemp("recipes") / "recipe.yaml"
    recipe.save(path)
    assert Recipe.load(path) == recipe


WRONG = [
    ("iterations: 10", "iteration: 10", 4, "Did you mean 'iterations'"),
    ("iterations: 10", "iterations: 0", 4, "between 1 and 10000"),
    ("iterations: 10", "iterations: many", 4, "whole number"),
    ("offset: 1e2", "iterations: 3", 5, "given in line 4 already"),
    ("wiener", "wienr", 14, "Did you mean 'wiener'"),
    ("emission_wavelength: 0.6", "emission_wavelenth: 0.6", 17, "'emission_wavelength'"),
    ("{emission_wavelength: 0.5}", "{emission_wavelength: -1}", 12, "between 0.2 and 3"),
    ("1.2", "1.5", 12, "below immersion_index"),
    ("born-wolf", "born-wulf", 18, "'born-wolf'"),
    ("method: richardson-lucy", "mehod: richardson-lucy", 2, "'method'"),
    ("method: richardson-lucy\n", "", 9, 'needs "method'),
    ("channel: GFP", "channel: 0", 13, "in line 10 already"),
    ("- channel: GFP\n    method", "- method", 13, 'needs "channel'),
    ("recipe: 1", "recipe: 2", 1, "later napari-deconv"),
    ("recipe: 1", "recipe: one", 1, "format"),
    ("0.5}", "0.5", 13, "not YAML"),
    ("channels:", "output: result.tif\nchannels:", 9, "{name}"),
    ("channels:", "output: '{nme}.tif'\nchannels:", 9, "{name}"),
    ("channels:", "output: '{name}.jpg'\nchannels:", 9, "written as .tif"),
    ("channels:", "axes: ZZY\nchannels:", 9, "each once"),
]


@pytest.mark.parametrize(("good", "bad", "line", "words"), WRONG)
def test_mistakes_are_told_with_their_line(recipe_file, good, bad, line, words):
    assert good in TEXT
    recipe_file.write_text(TEXT.replace(good, bad, 1))
    with pytest.raises(FileError) as caught:
        Recipe.load(recipe_file)
    assert words in str(caught.value)
    number = int(str(caught.value).split(", line ")[1].split(":")[0])
    assert number == line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\xff\xfe\x00", "not text"),
        (b"method: wiener\n", "no line"),
        (b"- one\n- two\n", "names with values"),
        (b"napari-deconv recipe: 1\nmethod: wiener\n", "needs a PSF"),
        (b"a: &a [*a, *a]", "not YAML"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path, content, words):
    (tmp_path / "recipe.yaml").write_bytes(content)
    with pytest.raises(FileError, match=words):
        Recipe.load(tmp_path / "recipe.yaml")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FileError, match="cannot be read"):
        Recipe.load(tmp_path / "none.yaml")


@pytest.fixture
def two_channels(tmp_path):
    image = np.random.default_rng(0).poisson(50, (2, 3, 8, 24, 28)).astype(np.uint16)
    path = write_image(
        tmp_path / "two.ome.tif",
        image,
        axes="TCZYX",
        spacing=SPACING,
        channels=[Channel("DAPI", 0.46), Channel("GFP", 0.51), Channel("Cy5", 0.67)],
    )
    return read_image(path)


SCOPE = {"numerical_aperture": 1.2, "immersion_index": 1.33}


def test_the_file_tells_each_channels_wavelength(two_channels):
    source = PsfSource(None, SCOPE, {"model": "gaussian"}, (5, 9, 9))
    (share,) = shares(Recipe((Treatment("wiener", {}, source),)), two_channels)
    assert share.channels == (0, 1, 2)
    assert share.region is None
    for psf, wavelength in zip(share.psf, (0.46, 0.51, 0.67), strict=True):
        scope = Microscope(**SCOPE, emission_wavelength=wavelength)
        expected = generate_psf(scope, (5, 9, 9), SPACING, model="gaussian")
        np.testing.assert_array_equal(psf, expected)
    assert share.options == {"spacing": SPACING, "psf_spacing": SPACING}


def test_channels_that_are_treated_differently_are_shares_of_their_own(two_channels):
    source = PsfSource(None, SCOPE, {"model": "gaussian"}, (5, 9, 9))
    recipe = Recipe(
        (
            Treatment("wiener", {}, source, channel="DAPI"),
            Treatment("tikhonov", {}, source, channel=1),
            Treatment("wiener", {"offset": 3.0}, source, channel="Cy5"),
        )
    )
    parts = shares(recipe, two_channels, {"device": "cpu"})
    assert [(s.method, s.channels) for s in parts] == [
        ("wiener", (0,)),
        ("tikhonov", (1,)),
        ("wiener", (2,)),
    ]
    assert parts[2].options["offset"] == 3.0
    assert parts[2].options["device"] == "cpu"
    assert np.asarray(two_channels.data)[(slice(None), *parts[1].region)].shape == (2, 1, 8, 24, 28)


@pytest.mark.parametrize(
    ("channels", "words"),
    [(("DAPI",), "no entry for channel 1"), (("DAPI", "GFP", "RFP"), "'RFP'")],
)
def test_recipe_and_image_have_to_agree_on_channels(two_channels, channels, words):
    source = PsfSource(None, SCOPE, {"model": "gaussian"}, (5, 9, 9))
    recipe = Recipe(tuple(Treatment("wiener", {}, source, channel=c) for c in channels))
    with pytest.raises(InputError, match=words):
        shares(recipe, two_channels)


def test_what_neither_recipe_nor_file_tells_is_asked_for(tmp_path):
    image = write_image(tmp_path / "in.tif", np.eye(24, dtype=np.float32), axes="YX")
    for scope, words in (
        (SCOPE, "emission wavelength"),
        (SCOPE | {"emission_wavelength": 0.5}, "voxel size"),
    ):
        recipe = Recipe((Treatment("wiener", {}, PsfSource(None, scope)),))
        with pytest.raises(InputError, match=words):
            shares(recipe, read_image(image))


def test_another_voxel_size_than_the_files_is_noted(two_channels):
    source = PsfSource(None, SCOPE, {"model": "gaussian"}, (5, 9, 9))
    recipe = Recipe((Treatment("wiener", {"spacing": (0.3, 0.2, 0.2)}, source),))
    (share,) = shares(recipe, two_channels)
    assert share.options["spacing"] == (0.3, 0.2, 0.2)
    assert "0.3 x 0.1 x 0.1" in share.notes[0]


def test_a_psf_file_with_channels_gives_each_its_own(two_channels, tmp_path):
    psfs = np.random.default_rng(0).random((3, 3, 5, 5)).astype(np.float32)
    write_image(tmp_path / "psf.tif", psfs, axes="CZYX", spacing=SPACING)
    recipe = Recipe((Treatment("wiener", {}, PsfSource(tmp_path / "psf.tif")),))
    (share,) = shares(recipe, two_channels)
    np.testing.assert_array_equal(np.stack(share.psf), psfs)
    write_image(tmp_path / "psf.tif", psfs[:2], axes="CZYX", spacing=SPACING, overwrite=True)
    with pytest.raises(InputError, match="2 channels"):
        shares(recipe, two_channels)
