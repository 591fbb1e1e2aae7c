"""The methods in groups, what each is for, its papers, and what is recommended."""

from __future__ import annotations

from html import escape

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_deconv.engine.settings import main_strength
from napari_deconv.registry import methods
from napari_deconv.widgets.deconvolution import DeconvolutionWidget
from napari_deconv.widgets.method_choice import GROUPS, MethodChoice, papers_text
from napari_deconv.widgets.recommendation import Recommendation

pytestmark = pytest.mark.gui


@pytest.fixture
def choice(viewer, qtbot):
    made = MethodChoice()
    viewer.window.add_dock_widget(made)
    return made


@pytest.fixture
def dock(filled, settle):
    made = DeconvolutionWidget(filled)
    filled.window.add_dock_widget(made)
    settle(made)
    return made


def test_methods_stand_below_their_group(choice):
    group, seen = None, {}
    titles = {title: name for name, title in GROUPS.items()}
    box = choice.box
    for row in range(box.count()):
        enabled = bool(box.model().item(row).flags() & Qt.ItemFlag.ItemIsEnabled)
        if box.itemData(row) is None:
            group = titles[box.itemText(row)]
            assert not enabled
            continue
        entry = methods()[box.itemData(row)]
        assert enabled
        assert box.itemText(row) == entry.title
        assert entry.group == group
        assert entry.summary in box.itemData(row, Qt.ItemDataRole.ToolTipRole)
        seen[entry.id] = entry
    learned = {id_ for id_, entry in methods().items() if entry.group == "learned"}
    assert set(seen) == set(methods()) - learned
    order = [seen[id_].group for id_ in seen]
    assert order == sorted(order, key=list(GROUPS).index)


def test_the_keys_pass_over_headings(choice, qtbot):
    box = choice.box
    walked = []
    box.choose(box.values[0])
    for _ in box.values:
        walked.append(box.value)
        qtbot.keyClick(box, Qt.Key.Key_Down)
    assert walked == box.values


def test_what_a_method_is_for_and_its_papers(choice):
    for id_ in choice.box.values:
        choice.choose(id_)
        entry = methods()[id_]
        assert choice.summary.text() == entry.summary != ""
        if entry.cites:
            assert entry.cites[0].split(",")[0] in choice.papers.text()
        assert all(escape(cite) in choice.papers.toolTip() for cite in entry.cites)


def test_papers_are_links():
    text = papers_text(["Dey et al. 2006, doi:10.1002/jemt.20294", "Wiener 1949"])
    assert 'href="https://doi.org/10.1002/jemt.20294">Dey et al. 2006</a>' in text
    assert text.endswith("; Wiener 1949")
    assert papers_text([]) == ""


def test_a_recommendation_is_shown_unless_it_is_chosen(choice):
    taken = []
    choice.recommended.connect(taken.append)
    advice = Recommendation("wiener", {"noise_to_signal": 0.1}, "It is quick.")
    choice.recommend(advice)
    assert not choice.advised.isHidden()
    assert choice.advice.text() == "It is quick."
    choice.use_it.click()
    assert taken == [advice]
    choice.choose("wiener")
    assert choice.advised.isHidden()
    choice.choose("richardson-lucy")
    assert not choice.advised.isHidden()
    choice.recommend(None)
    assert choice.advised.isHidden()


def test_a_recommendation_is_taken_with_its_settings(dock):
    dock.form.set_values({"offset": 95.0})
    dock.method.recommend(Recommendation("wiener", {"noise_to_signal": 0.125}, "It is quick."))
    dock.method.use_it.click()
    assert dock.chosen_method.id == "wiener"
    assert dock.form.values["noise_to_signal"] == 0.125
    assert dock.form.values["offset"] == 95  # the camera's stays


@pytest.mark.parametrize("photons", [60, 40_000])
def test_the_dock_counts_the_photons(viewer, settle, stack, photons):
    """One and the same scene, with little and with much light."""
    from napari_deconv.simulation import simulate

    obj = np.random.default_rng(1).random((12, 96, 96)).astype(np.float32) ** 8
    image = simulate(obj, stack[1], photons=photons, offset=100, read_noise=1, seed=0)
    viewer.add_image(np.asarray(image), name="beads")
    viewer.add_image(stack[1], name="PSF")
    dock = DeconvolutionWidget(viewer)
    viewer.window.add_dock_widget(dock)
    dock.method.choose("wiener")
    settle(dock)
    assert not dock.method.advised.isHidden()
    few = photons < 1000 and "variational" in methods()
    dock.method.use_it.click()
    settle(dock)
    assert dock.chosen_method.id == ("variational" if few else "richardson-lucy")
    assert dock.method.advised.isHidden()


def test_a_strength_belongs_to_its_method(dock, filled):
    """The engine's settings go along to another method, a method's own do not."""
    other = main_strength(methods()["regularized-inverse"]).name
    dock.method.choose("wiener")
    dock.form.set_values({"noise_to_signal": 0.25, other: 0.25, "borders": "reflect"})
    dock.method.choose("regularized-inverse")
    assert dock.form.values[other] == "auto"
    assert dock.form.values["borders"] == "reflect"
    dock.method.choose("wiener")
    assert dock.form.values["noise_to_signal"] == 0.25
    again = DeconvolutionWidget(filled)
    assert again.chosen_method.id == "wiener"
    assert again.form.values["noise_to_signal"] == 0.25
    again.deleteLater()


def test_what_automatic_found_is_shown_beside_it(dock, filled, settle):
    dock.method.choose("wiener")
    dock.strip.run.click()
    settle(dock)
    used = filled.layers[-1].metadata["napari-deconv"]["parameters"]["noise_to_signal"]
    field = dock.form.fields["noise_to_signal"]
    assert field.value == "auto"
    assert float(field.found.text().removeprefix("found ")) == pytest.approx(used, rel=0.01)
    field.manual.click()
    assert field.value == pytest.approx(used, rel=0.01)


def test_a_search_shows_its_curve(dock, filled, settle):
    searched = next(
        (id_, name)
        for id_, entry in methods().items()
        for name, parameter in entry.parameters.items()
        if parameter.search is not None and id_ in dock.method.box.values
    )
    dock.method.choose(searched[0])
    dock.form.set_values({"max_iterations": 4})
    dock.strip.run.click()
    settle(dock)
    curves = dock.strip.curves
    assert searched[1] in curves.names
    curves.choose(searched[1])
    used = filled.layers[-1].metadata["napari-deconv"]["parameters"][searched[1]]
    assert curves.stop == pytest.approx(used)
    assert len(curves.points) >= 3
