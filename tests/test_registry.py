from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
import pytest

from napari_deconv import registry
from napari_deconv.errors import ParameterError
from napari_deconv.registry import (
    Advanced,
    Keys,
    Range,
    Unit,
    check_parameters,
    find,
    methods,
    modalities,
    parameters_of,
    psf_models,
)


def sample(
    data: "SomethingOnlyCheckersKnow",  # noqa: F821
    *,
    steps: Annotated[int, Range(1, 2000)] = 30,
    weight: Annotated[float | Literal["auto"], Range(1e-6, 1, logarithmic=True)] = "auto",
    depth: Annotated[float | None, Unit("um"), Advanced()] = None,
    start: Literal["flat", "data"] = "flat",
    voxel: tuple[float, ...] = (1.0,),
    pair: tuple[int, int] = (1, 2),
    flag: bool = False,
) -> Iterator[None]:
    """Say what it does
    in a sentence.

    More about it.

    Parameters
    ----------
    steps
        How many steps
        to take.
    depth
        How deep.
    """
    yield None


PARAMETERS = parameters_of(sample)


def test_the_signature_is_the_schema():
    steps, weight, depth = (PARAMETERS[n] for n in ("steps", "weight", "depth"))
    assert (steps.kind, steps.default, steps.range) == (int, 30, Range(1, 2000))
    assert steps.help == "How many steps to take."
    assert weight.allows_auto
    assert weight.range.logarithmic
    assert (depth.unit, depth.advanced, depth.allows_none) == ("um", True, True)
    assert PARAMETERS["start"].choices == ("flat", "data")
    assert PARAMETERS["voxel"].length == 0
    assert PARAMETERS["pair"].length == 2
    assert "data" not in PARAMETERS


def test_a_dataclass_is_a_schema_too():
    @dataclass(kw_only=True)
    class Lens:
        """A lens.

        Parameters
        ----------
        aperture
            How wide.
        """

        aperture: Annotated[float, Range(0.1, 1.7)]

    found = parameters_of(Lens)["aperture"]
    assert found.required
    assert found.help == "How wide."


def test_values_are_brought_to_their_type_and_defaults_filled_in():
    checked = check_parameters("it", PARAMETERS, {"steps": 5.0, "weight": 1, "voxel": 2})
    assert checked["steps"] == 5
    assert isinstance(checked["steps"], int)
    assert isinstance(checked["weight"], float)
    assert checked["voxel"] == (2.0,)
    assert checked["start"] == "flat"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("stpes", 3, "Did you mean 'steps'"),
        ("steps", 0, "between 1 and 2000"),
        ("steps", 2.5, "a whole number"),
        ("steps", "many", "a whole number"),
        ("steps", True, "a whole number"),
        ("steps", float("nan"), "a whole number"),
        ("weight", 2, 'between 1e-06 and 1, or "auto"'),
        ("weight", None, "a number"),
        ("start", "middle", "one of: flat, data"),
        ("start", 3, "one of: flat, data"),
        ("pair", (1, 2, 3), "needs 2 numbers"),
        ("voxel", "wide", "one for each axis"),
        ("flag", 1, "True or False"),
    ],
)
def test_what_does_not_fit_is_told_in_plain_words(name, value, message):
    with pytest.raises(ParameterError, match=message):
        check_parameters("it", PARAMETERS, {name: value})


@pytest.mark.parametrize("entries", [methods, psf_models, modalities])
def test_every_entry_explains_itself(entries):
    assert entries()
    for entry in entries().values():
        assert entry.summary.endswith((".", ";"))
        assert len(entry.summary) < 120
        assert entry.title
        for parameter in entry.parameters.values():
            assert parameter.help, f"{entry.id} does not explain {parameter.name}"
            if not parameter.required:
                value = parameter.default
                assert parameter.check(value) == value


@pytest.mark.parametrize("entry", methods().values(), ids=lambda e: e.id)
def test_every_method_cites_its_source(entry):
    assert entry.cites


def test_unknown_entries():
    with pytest.raises(ParameterError, match=r"Did you mean 'wiener'.*Known: .*richardson-lucy"):
        find(methods(), "weiner", "method")


def test_one_id_one_method():
    with pytest.raises(ValueError, match="registered twice"):
        registry.method("wiener", title="another", group="linear")(sample)


class TestNumbersByKey:
    NONE: Mapping[int, float] = MappingProxyType({})

    @pytest.fixture
    def parameter(self):
        def bend(
            *,
            terms: Annotated[
                Mapping[int, float], Range(-10, 10), Unit("waves"), Keys(1, 99, "Noll index")
            ] = TestNumbersByKey.NONE,
        ): ...

        return parameters_of(bend)["terms"]

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({}, {}),
            ("", {}),
            ({8: 1, 5: 0.5}, {5: 0.5, 8: 1.0}),
            ({np.int64(5): np.float32(0.5)}, {5: 0.5}),
            ({"5": 0.5}, {5: 0.5}),  # as JSON has it
            ("5=0.5, 8=-1", {5: 0.5, 8: -1.0}),
            ("5 = 0.5 8=-1e-1", {5: 0.5, 8: -0.1}),
        ],
    )
    def test_taken(self, parameter, value, expected):
        found = parameter.check(value)
        assert found == expected
        assert list(found) == list(expected)
        assert all(type(key) is int and type(number) is float for key, number in found.items())

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("5", "numbers by Noll index"),
            ("5=x", "numbers by Noll index"),
            ("5=1 5=2", "numbers by Noll index"),
            ({0: 1.0}, "Noll index 0, but has to have whole numbers between 1 and 99"),
            ({5.5: 1.0}, "Noll index 5.5"),
            ({5: "wide"}, r"terms\[5\] is 'wide', but has to be a number"),
            ({5: 11}, "between -10 and 10 waves"),
            (3.0, "numbers by Noll index"),
        ],
    )
    def test_refused(self, parameter, value, message):
        with pytest.raises(ParameterError, match=message):
            parameter.check(value)

    def test_nobody_shares_the_default(self, parameter):
        first = check_parameters("It", {"terms": parameter}, {})
        first["terms"][5] = 1.0
        assert check_parameters("It", {"terms": parameter}, {}) == {"terms": {}}
