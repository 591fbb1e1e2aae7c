"""A strength is automatic, or a number by decades: slider and box agree."""

from __future__ import annotations

import math

import pytest

from napari_deconv.registry import Auto, Parameter, Range, Search, methods
from napari_deconv.widgets.fields import field_for
from napari_deconv.widgets.form_parameters import form_parameters
from napari_deconv.widgets.strength_field import StrengthField, is_strength, slider_decades

pytestmark = pytest.mark.gui


def strength(**more):
    return Parameter(
        "strength",
        float,
        "auto",
        help="Larger is smoother.",
        range=Range(1e-8, 1e2, logarithmic=True),
        allows_auto=True,
        **more,
    )


@pytest.fixture
def field(qtbot):
    made = field_for(strength(search=Search(1e-4, 1.0)))
    qtbot.addWidget(made)
    assert isinstance(made, StrengthField)
    made.told = []
    made.changed.connect(lambda: made.told.append(made.value))
    made.show()
    return made


def test_automatic_first_then_by_hand(field):
    assert field.value == "auto"
    assert not field.slider.isEnabled()
    field.manual.click()
    assert field.slider.isEnabled()
    assert field.box.isEnabled()
    assert len(field.told) == 1
    field.automatic.click()
    assert field.told[1:] == ["auto"]


def test_slider_and_box_are_one_number(field):
    field.manual.click()
    field.told.clear()
    field.slider.setValue(field.slider.minimum())
    assert field.value == pytest.approx(1e-5)
    field.slider.setValue(field.slider.maximum())
    assert field.value == pytest.approx(10)
    assert len(field.told) == 2
    field.box.setValue(0.02)
    assert len(field.told) == 3
    low, _ = slider_decades(field.parameter)
    assert field.slider.value() == pytest.approx(100 * (math.log10(0.02) - low), abs=0.5)
    # What lies beyond the slider can still be typed.
    field.box.setValue(1e-8)
    assert field.value == 1e-8
    assert field.slider.value() == 0


def test_what_was_found_is_shown_and_is_where_one_begins(field):
    field.show_found(0.0032154)
    assert field.found.text() == "found 0.00322"
    assert field.value == "auto"
    assert field.told == []
    field.manual.click()
    assert field.value == pytest.approx(0.00322)
    field.show_found(5.0)  # nobody's number is taken away
    assert field.value == pytest.approx(0.00322)


def test_values_go_in_and_out(field):
    field.set_value(0.7)
    assert field.value == 0.7
    field.set_value("auto")
    assert field.value == "auto"


def test_the_slider_shows_what_is_tried_or_all_there_is():
    assert slider_decades(strength()) == (-8, 2)
    assert slider_decades(strength(search=Search(1e-4, 1.0))) == (-5, 1)
    assert slider_decades(strength(search=Search(1e-8, 100))) == (-8, 2)


@pytest.mark.parametrize("method", methods())
def test_every_strength_of_a_method_has_a_slider(method):
    for name, parameter in form_parameters(methods()[method]).items():
        if parameter.search is not None:
            assert is_strength(parameter), name
            assert parameter.range.lower <= parameter.search.lower < parameter.search.upper
            assert parameter.search.upper <= parameter.range.upper
    level = Parameter("level", float, "auto", range=Range(1e-30), allows_auto=True, auto=Auto(max))
    assert not is_strength(level)
