"""The curves of a run: iterations, and each number that was chosen."""

from __future__ import annotations

import math

import pytest

from napari_deconv.engine import Statistics
from napari_deconv.registry import Chosen
from napari_deconv.widgets.curve import Decades
from napari_deconv.widgets.curves import Curves

pytestmark = pytest.mark.gui
HELD_OUT = [Statistics(i, 0.1 * i, explained=-((i - 5) ** 2)) for i in range(1, 9)]
STRENGTH = Chosen.among(0.02, (0.003, 0.01, 0.03, 0.1), (1, 3, 4, 2), "held-out likelihood")


@pytest.fixture
def curves(qtbot):
    made = Curves()
    qtbot.addWidget(made)
    return made


def test_one_curve_needs_no_tabs(curves):
    assert curves.isHidden()
    curves.show_figures(HELD_OUT, 5)
    assert curves.names == ["iterations"]
    assert curves.tabs.isHidden()
    assert not curves.isHidden()
    assert curves.points == [(i, -((i - 5) ** 2)) for i in range(1, 9)]
    assert curves.stop == 5


def test_a_choice_has_its_curve_and_the_chosen_point(curves):
    curves.show_figures(HELD_OUT, 5)
    curves.show_choices({"strength": STRENGTH, "time_continuity": STRENGTH})
    assert curves.names == ["iterations", "strength", "time_continuity"]
    assert [curves.tabs.tabText(i) for i in range(3)][2] == "time continuity"
    assert not curves.tabs.isHidden()
    assert curves.stop == 5  # the curve that was shown stays
    curves.choose("strength")
    assert curves.points == list(zip(STRENGTH.values, STRENGTH.scores, strict=True))
    assert curves.stop == pytest.approx(0.02)
    assert curves.curve._mark.value() == pytest.approx(math.log10(0.02))
    # More iterations do not take it away from who looks at it.
    curves.show_figures(HELD_OUT[:6], 5)
    assert curves.stop == pytest.approx(0.02)
    curves.clear()
    assert curves.isHidden()
    assert curves.names == []


def test_a_direct_filter_has_the_curve_of_its_choice_only(curves):
    curves.show_choices({"noise_to_signal": STRENGTH})
    assert curves.names == ["noise_to_signal"]
    assert curves.tabs.isHidden()
    assert curves.stop == pytest.approx(0.02)


def test_what_cannot_be_drawn_is_left_out(curves):
    bad = Chosen.among(0.1, (0.1, 1.0), (math.nan, 1.0), "score")
    curves.show_choices({"a": bad, "b": Chosen(3.0), "c": Chosen.among(1, (1,), (1,), "")})
    assert curves.names == []
    some = Chosen.among(0.1, (0.1, 1.0, 2.0), (-math.inf, 1.0, 0.5), "score")
    curves.show_choices({"a": some})
    assert curves.points == [(1.0, 1.0), (2.0, 0.5)]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-2.6, -0.4, ["0.003", "0.01", "0.03", "0.1", "0.3"]),
        (-4.1, -0.4, ["0.0001", "0.001", "0.01", "0.1"]),
        (-8, 2, ["1e-08", "1e-06", "0.0001", "0.01", "1", "1e+02"]),
    ],
)
def test_decades_are_said_as_people_type_them(qtbot, low, high, said):
    axis = Decades("bottom")
    axis.setLogMode(x=True)
    ((_, values),) = axis.tickValues(low, high, 300)
    assert axis.tickStrings(values, 1, 1) == said
