"""Options out of parameters, and back."""

import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_deconv.cli.arguments import Parser, describe, options_for
from napari_deconv.errors import ParameterError
from napari_deconv.registry import Range, Unit, parameters_of

NO_TERMS: Mapping[int, float] = MappingProxyType({})


def example(
    *,
    iterations: Annotated[int | Literal["auto"], Range(1, 2000)] = "auto",
    depth: Annotated[float, Range(0, 50), Unit("um")] = 0.0,
    borders: Literal["extended", "reflect"] = "extended",
    positive: bool = True,
    spacing: Annotated[tuple[float, ...] | None, Unit("um")] = None,
    tiles: Literal["auto"] | tuple[int, ...] | None = "auto",
    centre: Literal["index", "peak"] | tuple[int, ...] = "index",
    threads: Annotated[int | None, Range(1)] = None,
    terms: Annotated[Mapping[int, float], Range(-10, 10)] = NO_TERMS,
    aperture: float,
) -> None:
    """Do something.

    Parameters
    ----------
    iterations
        Number of steps, 100 % of them.
    depth
        How deep, see ``Microscope`` and :func:`~napari_deconv.restore`.
    """


PARAMETERS = parameters_of(example)


@pytest.fixture
def parser():
    parser = Parser("napari-deconv example", "IMAGE ...", "100 % an example.")
    parser.add_argument("image")
    parser.add_parameters("the example", PARAMETERS)
    return parser


def parse(parser, line):
    arguments, values = parser.parse(shlex.split(line))
    return arguments.image, values


class TestParsing:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("", {}),
            ("--iterations auto", {"iterations": "auto"}),
            ("--iterations 30", {"iterations": 30}),
            ("--iterations=30", {"iterations": 30}),
            ("--depth 1e1", {"depth": 10.0}),
            ("--depth -1", {"depth": -1.0}),  # refused where it is used, with the bounds
            ("--borders reflect", {"borders": "reflect"}),
            ("--no-positive", {"positive": False}),
            ("--positive", {"positive": True}),
            ("--spacing none", {"spacing": None}),
            ("--spacing 0.2 0.1 0.1", {"spacing": (0.2, 0.1, 0.1)}),
            ("--spacing 0.1 0.1", {"spacing": (0.1, 0.1)}),
            ("--spacing 0.2,0.1,0.1", {"spacing": (0.2, 0.1, 0.1)}),
            ("--tiles auto", {"tiles": "auto"}),
            ("--tiles none", {"tiles": None}),
            ("--tiles 16 256 256", {"tiles": (16, 256, 256)}),
            ("--centre peak", {"centre": "peak"}),
            ("--centre 3 4", {"centre": (3, 4)}),
            ("--terms 5=0.05 8=-0.1", {"terms": {5: 0.05, 8: -0.1}}),
            ("--terms=5=0.05,8=-0.1", {"terms": {5: 0.05, 8: -0.1}}),
            ("--terms 5=1e-2 --depth 3", {"terms": {5: 0.01}, "depth": 3.0}),
            ("--threads 2 --depth 3", {"threads": 2, "depth": 3.0}),
        ],
    )
    def test_values_wherever_the_file_stands(self, parser, line, expected):
        assert parse(parser, f"in.tif {line}") == ("in.tif", expected)
        assert parse(parser, f"{line} in.tif") == ("in.tif", expected)

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("in.tif --iteration 3", "no option --iteration. Did you mean --iterations?"),
            ("in.tif --nonsense=3", "no option --nonsense."),
            ("in.tif out.tif", "'out.tif' is one word too many"),
            ("in.tif --iterations", "expected one argument"),
            ("", "required: image"),
        ],
    )
    def test_errors_tell_what_to_do(self, parser, line, words):
        with pytest.raises(ParameterError) as caught:
            parser.parse(shlex.split(line))
        assert words in str(caught.value)
        assert "napari-deconv example --help" in str(caught.value)

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("--iterations x", "a whole number, or"),
            ("--iterations 2.5", "a whole number"),
            ("--iterations 0", "between 1 and 2000"),
            ("--depth 51", "between 0 and 50 um"),
            ("--borders sideways", "extended, reflect"),
            ("--spacing wide", "numbers, one for each axis"),
            ("--centre middle", "index, peak"),
            ("--terms=5", "numbers by key"),
            ("--terms 5=11", "between -10 and 10"),
        ],
    )
    def test_the_registry_refuses_what_does_not_fit(self, parser, line, words):
        _, values = parser.parse(["in.tif", *line.split()])
        ((name, value),) = values.items()
        with pytest.raises(ParameterError, match=words):
            PARAMETERS[name].check(value)


class TestHelp:
    def test_tells_bounds_units_defaults_and_text(self, parser, capsys):
        with pytest.raises(SystemExit) as caught:
            parser.parse(["--help"])
        assert caught.value.code == 0
        text = " ".join(capsys.readouterr().out.split())
        assert (
            "--iterations auto|N Number of steps, 100 % of them. [1 to 2000; default: auto]" in text
        )
        assert "[0 to 50 um; default: 0]" in text
        assert "--borders extended|reflect" in text
        assert "100 % an example." in text

    def test_has_no_markup(self):
        assert describe(PARAMETERS["depth"]).startswith("How deep, see Microscope and restore. [")
        assert "required" in describe(PARAMETERS["aperture"])


class TestCommandLine:
    VALUES = st.fixed_dictionaries(
        {},
        optional={
            "iterations": st.just("auto") | st.integers(1, 2000),
            "depth": st.floats(0, 50),
            "borders": st.sampled_from(["extended", "reflect"]),
            "positive": st.booleans(),
            "spacing": st.none() | st.tuples(*[st.floats(1e-3, 100)] * 3),
            "tiles": st.none() | st.just("auto") | st.tuples(st.integers(1), st.integers(1)),
            "centre": st.sampled_from(["index", "peak"]) | st.tuples(*[st.integers(0)] * 3),
            "threads": st.none() | st.integers(1, 64),
            "terms": st.dictionaries(st.integers(1, 99), st.floats(-10, 10)),
        },
    )

    @given(VALUES)
    def test_comes_back_the_same(self, values):
        parser = Parser("p", "", "")
        parser.add_argument("image")
        parser.add_parameters("all", PARAMETERS)
        words = options_for(PARAMETERS, values)
        _, parsed = parser.parse([*words, "in.tif"])
        kept = {name: value for name, value in values.items() if value != PARAMETERS[name].default}
        assert parsed == kept
