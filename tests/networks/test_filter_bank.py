"""The filter bank commutes with blur, and sees what it is named after."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from napari_deconv.networks.extractor import Extractor
from napari_deconv.networks.filter_bank import FEATURES, apply_filters, filter_bank


@pytest.mark.parametrize("ndim", [2, 3])
def test_sixteen_filters_of_unit_length(ndim):
    bank = filter_bank(ndim)
    assert bank.shape == (FEATURES, *[9] * ndim)
    torch.testing.assert_close(bank.flatten(1).norm(dim=1), torch.ones(FEATURES))
    # All but the first see no constant.
    assert bank.flatten(1)[1:].sum(1).abs().max() < 1e-5
    assert torch.linalg.matrix_rank(bank.flatten(1)) >= min(FEATURES, 9)


def test_to_blur_and_to_filter_commute():
    torch.manual_seed(0)
    image = torch.rand(64, 64)
    kernel = torch.rand(5, 5)

    def blur(x):
        return functional.conv2d(x[:, None], kernel[None, None], padding=2)[:, 0]

    one = blur(apply_filters(image, filter_bank(2)))
    other = apply_filters(blur(image[None])[0], filter_bank(2))
    inside = (slice(None), slice(8, -8), slice(8, -8))
    torch.testing.assert_close(one[inside], other[inside], atol=1e-4, rtol=1e-4)


def test_slopes_have_the_right_sign_and_axis():
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    maps = apply_filters(2 * y - 3 * x, filter_bank(2))[:, 16, 16]
    assert maps[1] > 0 > maps[2]
    assert abs(maps[1] / maps[2]) == pytest.approx(2 / 3, rel=1e-3)


@pytest.mark.parametrize("shape", [(5, 40), (3, 20, 21)])
def test_thin_images(shape):
    maps = apply_filters(torch.rand(shape), filter_bank(len(shape)))
    assert maps.shape == (FEATURES, *shape)


def test_the_extractor_keeps_the_size():
    extractor = Extractor()
    assert extractor(torch.rand(2, 1, 21, 34)).shape == (2, 16, 21, 34)
