"""The combobox of a network's weights."""

import pytest
import torch

from napari_deconv.networks.weights import save_weights
from napari_deconv.registry import methods
from napari_deconv.widgets import weights_field
from napari_deconv.widgets.weights_field import WeightsField


@pytest.fixture
def field(qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_DECONV_WEIGHTS", str(tmp_path))
    made = WeightsField(methods()["lucyd"].parameters["weights"])
    qtbot.addWidget(made)
    return made


def listed(field):
    return [field.box.itemText(place) for place in range(field.box.count())]


def choose(field, words):
    place = listed(field).index(words)
    field.box.setCurrentIndex(place)
    field.box.activated.emit(place)


def test_offers_what_comes_with_the_package(field):
    assert listed(field)[0] == "automatic"
    assert {"mixture", "2d"} <= set(listed(field))
    assert field.value == "auto"


def test_a_choice_is_told(field, qtbot):
    with qtbot.waitSignal(field.changed):
        choose(field, "2d")
    assert field.value == "2d"


def test_new_weights_of_one_s_own_appear_and_the_choice_stays(field, tmp_path):
    choose(field, "mixture")
    save_weights(tmp_path / "mine.safetensors", {"a": torch.zeros(1)}, "lucyd", {})
    field.refresh()
    assert "mine" in listed(field)
    assert field.value == "mixture"


def test_any_file_may_be_chosen(field, monkeypatch, tmp_path):
    path = str(tmp_path / "other" / "theirs.safetensors")
    monkeypatch.setattr(weights_field.QFileDialog, "getOpenFileName", lambda *_: (path, ""))
    choose(field, "Choose a file…")
    assert field.value == path
    assert field.box.currentText() == "theirs.safetensors"


def test_who_chooses_no_file_keeps_what_there_was(field, monkeypatch):
    choose(field, "2d")
    monkeypatch.setattr(weights_field.QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    choose(field, "Choose a file…")
    assert field.value == "2d"
    assert field.box.currentText() == "2d"
