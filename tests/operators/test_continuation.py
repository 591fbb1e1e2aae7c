"""How an image goes on beyond its border for what knows only circular convolution."""

import numpy as np
import pytest
import torch

from napari_deconv.operators.convolution import Convolution
from problems import gaussian_psf

SHAPE = (18, 25)
PSF = gaussian_psf((7, 9), 1.3)


@pytest.fixture
def data():
    return torch.from_numpy(np.random.default_rng(0).random(SHAPE).astype(np.float32))


def test_the_image_stays_and_a_straight_line_leads_back(data):
    blur = Convolution(PSF, SHAPE, "extended")
    whole = blur.periodic(data).numpy()
    assert whole.shape == tuple(blur.grid)
    np.testing.assert_array_equal(whole[:18, :25], data)
    for axis, length in enumerate(SHAPE):
        lines = np.moveaxis(whole, axis, 0)
        margin = np.concatenate([lines[length - 1 :], lines[:1]])
        steps = np.diff(margin, axis=0)
        np.testing.assert_allclose(steps, np.broadcast_to(steps[:1], steps.shape), atol=1e-6)


def test_where_the_border_is_circular_there_is_no_margin(data):
    blur = Convolution(PSF, SHAPE, ("circular", "extended"))
    whole = blur.periodic(data)
    assert whole.shape[0] == SHAPE[0]
    assert whole.shape[1] > SHAPE[1]
