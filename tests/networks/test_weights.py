"""Weights: what is written comes back, and what is wrong is refused."""

from __future__ import annotations

import json

import pytest
import torch

from napari_deconv.errors import FileError, ParameterError
from napari_deconv.networks.extractor import Extractor
from napari_deconv.networks.refiner import Refiner
from napari_deconv.networks.shelf import PRETRAINED, pretrained
from napari_deconv.networks.weights import load_weights, save_weights

NETWORKS = {"refiner": Refiner, "extractor": Extractor}


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "some.safetensors"
    tensors = {"a": torch.randn(3, 4), "b": torch.arange(5), "empty": torch.zeros(0, 2)}
    save_weights(path, tensors, "refiner", {"width": 7}, {"title": "Some"})
    return path, tensors


def test_what_is_written_comes_back(written):
    path, tensors = written
    loaded = load_weights(path, "refiner")
    assert loaded.tensors.keys() == tensors.keys()
    assert all(torch.equal(loaded.tensors[name], tensors[name]) for name in tensors)
    assert loaded.settings == {"width": 7}
    assert loaded.card["title"] == "Some"
    assert loaded.card["sha256"] == loaded.sha256


def test_the_format_is_everyones(written):
    """Read by hand, as the specification has it."""
    path, tensors = written
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    first, last = header["a"]["data_offsets"]
    numbers = torch.frombuffer(
        bytearray(content[8 + length + first : 8 + length + last]), dtype=torch.float32
    )
    assert torch.equal(numbers.reshape(3, 4), tensors["a"])
    assert header["a"]["dtype"] == "F32"


def test_halves_are_read_as_floats(tmp_path):
    path = tmp_path / "half.safetensors"
    save_weights(path, {"a": torch.tensor([0.5, 2.0]).half()}, "refiner", {})
    assert load_weights(path, "refiner").tensors["a"].dtype == torch.float32


def test_a_changed_file_is_refused(written):
    path, _ = written
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match="changed or damaged"):
        load_weights(path, "refiner")


def test_another_networks_weights_are_refused(written):
    with pytest.raises(FileError, match="extractor is needed"):
        load_weights(written[0], "extractor")


def test_unknown_names_are_told_what_there_is():
    with pytest.raises(ParameterError, match="come with the package"):
        load_weights("no-such-weights", "refiner")


@pytest.mark.parametrize("cut", [0, 5, 20, -4])
def test_broken_files_are_refused(written, cut):
    path, _ = written
    path.with_suffix(".json").unlink()
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FileError, match="safetensors"):
        load_weights(path, "refiner")


def test_a_header_that_lies_is_refused(tmp_path):
    path = tmp_path / "lie.safetensors"
    header = {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 400]}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    with pytest.raises(FileError, match="safetensors"):
        load_weights(path, "refiner")


@pytest.mark.parametrize("name", [name for name in pretrained() if name.startswith("cider-")])
def test_what_comes_along_fits_and_has_a_card(name):
    kind = name.removeprefix("cider-")
    loaded = load_weights(name, kind)
    NETWORKS[kind]().load_state_dict(loaded.tensors)
    assert {"title", "training", "scores", "licence"} <= loaded.card.keys()
    assert (PRETRAINED / f"{name}.safetensors").stat().st_size < 2_000_000
