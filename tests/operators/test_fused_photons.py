"""The compiled passes of Richardson-Lucy's steps: against torch, and against the formula."""

import numpy as np
import pytest
import torch

from napari_deconv.methods.richardson_lucy import richardson_lucy
from napari_deconv.operators import fused_photons
from napari_deconv.operators.convolution import Convolution
from problems import gaussian_psf


def last_of(data, blur, acceleration):
    options = {"acceleration": acceleration, "background": 0.3, "read_noise": 0.5}
    *_, last = richardson_lucy(data, blur, iterations=5, **options)
    return last.clone()


@pytest.mark.parametrize("acceleration", ["nesterov", "biggs-andrews"])
@pytest.mark.parametrize("borders", ["extended", "circular", "reflect"])
@pytest.mark.parametrize("shape", [(12, 15), (6, 9, 10)])
def test_compiled_and_plain_passes_agree(shape, borders, acceleration, monkeypatch):
    blur = Convolution(gaussian_psf((5,) * len(shape), 1.2), shape, borders)
    data = torch.poisson(torch.full(shape, 9.0), generator=torch.Generator().manual_seed(0))
    found = last_of(data, blur, acceleration)
    monkeypatch.setenv("NAPARI_DECONV_NUMBA", "off")
    torch.testing.assert_close(found, last_of(data, blur, acceleration), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
@pytest.mark.parametrize("floor", [0.0, 0.4, "image"])
@pytest.mark.parametrize("shape", [(40, 37), (5, 9, 20)])
def test_the_divergence_is_that_of_the_formula(shape, floor, scale):
    random = np.random.default_rng(1)
    y = random.poisson(4, shape) * scale
    p = random.lognormal(0, 3, shape) * scale
    b = random.random(shape) * scale if floor == "image" else floor * scale
    y32, b32 = (torch.as_tensor(t, dtype=torch.float32) for t in (y, b))
    whole = torch.zeros([n + 2 for n in shape])
    prediction = whole[tuple(map(slice, shape))]
    prediction.copy_(torch.as_tensor(p))
    divergence = fused_photons.divide(prediction, y32, b32, darkest=1e-6 * scale)
    y, p = y32.double().numpy(), torch.as_tensor(p).float().double().numpy() + b32.double().numpy()
    expected = np.where(y > 0, y * np.log(np.maximum(y, 1e-300) / p), 0) - y + p
    assert divergence == pytest.approx(expected.sum(), rel=1e-5)
    np.testing.assert_allclose(prediction, y / p, rtol=1e-5)
    assert not whole[-1].any()
