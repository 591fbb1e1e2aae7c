"""Which weights there are: the package's and one's own, by name."""

from __future__ import annotations

import pytest
import torch

from napari_deconv.networks.shelf import PRETRAINED, named, own_folder
from napari_deconv.networks.weights import load_weights, save_weights

TENSORS = {"a": torch.arange(3.0)}


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_DECONV_WEIGHTS", str(tmp_path))
    return tmp_path


def test_names_of_the_package_are_without_the_network(own):
    assert named("lucyd")["mixture"] == PRETRAINED / "lucyd-mixture.safetensors"
    assert "cider-refiner" not in named("lucyd")


def test_one_s_own_stand_beside_them_and_are_found_by_name(own):
    assert own_folder() == own
    save_weights(own / "mine.safetensors", TENSORS, "lucyd", {"ndim": 3})
    save_weights(own / "other.safetensors", TENSORS, "refiner", {})
    (own / "broken.safetensors").write_bytes(b"\xff" * 20)
    found = named("lucyd")
    assert found["mine"] == own / "mine.safetensors"
    assert not {"other", "broken"} & set(found)
    assert load_weights("mine", "lucyd").settings == {"ndim": 3}


def test_one_s_own_does_not_take_the_place_of_one_of_ours(own):
    save_weights(own / "mixture.safetensors", TENSORS, "lucyd", {})
    assert named("lucyd")["mixture"].parent == PRETRAINED
    path = own / "mixture.safetensors"
    assert set(load_weights(str(path), "lucyd").tensors) == {"a"}


def test_a_folder_that_is_not_there_has_none(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_DECONV_WEIGHTS", str(tmp_path / "nowhere"))
    assert all(path.parent == PRETRAINED for path in named("lucyd").values())
