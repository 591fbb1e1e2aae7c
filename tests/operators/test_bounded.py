"""Steps within bounds: the compiled loops against torch."""

import pytest
import torch

from napari_deconv.methods.ictm import ictm
from napari_deconv.methods.nnls import nnls
from napari_deconv.operators.convolution import Convolution
from problems import gaussian_psf


def few(method, blur, data, **options):
    *_, last = method(data, blur, iterations=6, **options)
    estimate, residual = last if isinstance(last, tuple) else (last, 0.0)
    return estimate.clone(), residual


@pytest.mark.parametrize("upper", [None, 0.9])
@pytest.mark.parametrize("borders", ["extended", "circular", "reflect"])
@pytest.mark.parametrize("shape", [(12, 15), (6, 9, 10)])
@pytest.mark.parametrize(("method", "options"), [(ictm, {"strength": 0.02}), (nnls, {})])
def test_compiled_and_plain_loops_agree(method, options, shape, borders, upper, monkeypatch):
    blur = Convolution(gaussian_psf((5,) * len(shape), 1.2), shape, borders)
    data = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    options = options | {"lower": 0.1, "upper": upper}
    estimate, residual = few(method, blur, data, **options)
    monkeypatch.setenv("NAPARI_DECONV_NUMBA", "off")
    plain, other = few(method, blur, data, **options)
    torch.testing.assert_close(estimate, plain, rtol=1e-4, atol=1e-5)
    assert residual == pytest.approx(other, rel=1e-3, abs=1e-6)
