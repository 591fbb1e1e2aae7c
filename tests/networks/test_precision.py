import pytest
import torch

from napari_deconv.networks import precision


@pytest.mark.parametrize(("known", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_networks_compute_in_bfloat16_only_where_the_device_does(monkeypatch, known, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: known, raising=False)
    layer, x = torch.nn.Linear(3, 3), torch.ones(2, 3)
    with precision.autocast(torch.device("cpu")):
        assert layer(x).dtype == expected


def test_a_torch_that_cannot_say_is_not_asked_for_bfloat16(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert not precision.knows_bfloat16("cpu")
    assert not precision.knows_bfloat16("mps")
