"""The compiled loops against the plain operators."""

from __future__ import annotations

import pytest
import torch

from napari_deconv.operators import fused, gradients

CASES = [((7, 9, 11), (0.3, 1.0, 0.8)), ((12, 9), (1.0, 0.7)), ((3, 3, 3), (1.0, 1.0, 1.0))]
OPERATORS = {
    1: (gradients.gradient, gradients.gradient_adjoint),
    2: (gradients.hessian, gradients.hessian_adjoint),
}


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("shape", "weights"), CASES)
def test_projection_and_adjoint_are_those_of_the_plain_operators(threads, shape, weights, order):
    forward, adjoint = OPERATORS[order]
    generator = torch.Generator().manual_seed(0)
    padded = torch.randn((*shape[:-1], shape[-1] + 2), generator=generator)
    for x in (padded[..., :-2], padded[..., :-2].contiguous()):
        assert fused.usable(x, (True,) * x.ndim)
        dual = torch.randn(forward(x, weights, True).shape, generator=generator)
        moved_dual = forward(x, weights, True) + dual
        expected = moved_dual * (1.3 / moved_dual.norm(dim=0)).clamp(max=1)
        distance = float((expected - dual).square().sum())
        assert fused.project(order, x, dual, weights, 1.3) == pytest.approx(distance, rel=1e-5)
        torch.testing.assert_close(dual, expected, rtol=1e-5, atol=1e-5)
        into = torch.empty(shape)
        fused.adjoint(order, dual, weights, into)
        torch.testing.assert_close(into, adjoint(dual, weights, True), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("floor", [0.7, "image"])
@pytest.mark.parametrize("part", [False, True])
def test_the_step_of_photons_solves_its_equation(threads, floor, part):
    """The new z is the stationary point of z + b - y log(z + b) + hold / 2 (z - p)^2."""
    generator = torch.Generator().manual_seed(1)
    data = torch.poisson(torch.full((5, 6, 7), 4.0), generator=generator)
    whole = torch.rand((7, 9, 12), generator=generator) * 8
    prediction = whole[:5, :6, :7] if part else whole[:5, :6, :7].contiguous()
    before = prediction.clone()
    dual = torch.randn(data.shape, generator=generator)
    p = before + dual
    b = torch.rand(data.shape, generator=generator) if floor == "image" else torch.tensor(floor)
    hold = 0.3
    old = dual.clone()
    moved, size = fused.photons(prediction, dual, data, b, hold)
    z = p - dual
    gradient = 1 - data / (z + b) + hold * (z - p)
    assert float(gradient[data > 0].abs().max()) < 1e-3
    torch.testing.assert_close(prediction, 2 * z - p, rtol=1e-5, atol=1e-5)
    assert moved == pytest.approx(float((dual - old).square().sum()), rel=1e-4)
    assert size == pytest.approx(float(before.square().sum()), rel=1e-4)


def test_what_the_loops_cannot_do_is_left_to_torch(monkeypatch):
    x = torch.zeros((4, 5, 6))
    assert fused.usable(x, (True, True, True))
    assert not fused.usable(x, (True, False, True))
    assert not fused.usable(x.double(), (True, True, True))
    assert not fused.usable(torch.zeros((2, 5)), (True, True))
    monkeypatch.setenv("NAPARI_DECONV_NUMBA", "off")
    assert not fused.usable(x, (True, True, True))
