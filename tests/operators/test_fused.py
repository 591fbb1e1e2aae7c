"""The compiled loops against the plain operators."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from napari_deconv.methods.sparse_hessian import Continuity
from napari_deconv.operators import fused
from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.priors import make_prior
from napari_deconv.operators.splitting import Misfit
from problems import gaussian_psf

SHAPES = [((7, 9, 11), (0.3, 1.0, 0.8)), ((12, 9), (1.0, 0.7)), ((3, 3, 3), (1.0, 1.0, 1.0))]
PRIORS = ["tv", "hessian", "nuclear-hessian", "wavelet", "continuity"]


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def states(prior, shape, *, positive, in_place):
    """Return twice the same random x, dual and assembly; x as rows of a padded array."""
    for _ in range(2):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn((*shape[:-1], shape[-1] + 2), generator=generator)[..., :-2]
        dual = prior.dual()
        dual.copy_(torch.randn(dual.shape, generator=generator))
        estimate, signed, before = torch.randn((3, *shape), generator=generator)
        target = x if in_place else torch.empty(shape)
        yield (
            x,
            dual,
            fused.Assembly(estimate, signed if positive else None, before, target, 0.7, 0.3),
        )


@pytest.mark.parametrize("rows", [1, 1 << 20])
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize(("shape", "spacing"), SHAPES)
def test_a_step_is_that_of_the_plain_operators(
    threads, shape, spacing, name, positive, rows, monkeypatch
):
    """Whatever the blocks, the number of threads, and whether x is overwritten."""
    monkeypatch.setattr(fused, "_BLOCK", rows)
    data_shape = tuple(max(n - 2, 1) for n in shape)
    blur = Convolution(gaussian_psf((3,) * len(shape), 1.0), data_shape, spacing=spacing)
    prior = Continuity(blur, spacing) if name == "continuity" else make_prior(name, blur)
    shape = blur.object_shape
    (x, u, a), (y, v, b) = states(prior, shape, positive=positive, in_place=rows == 1)
    assert fused.usable(x, (True,) * x.ndim)
    moved = prior.step(x, u, 1.3, a)
    monkeypatch.setenv("NAPARI_DECONV_NUMBA", "off")
    assert moved == pytest.approx(prior.step(y, v, 1.3, b), rel=1e-4)
    torch.testing.assert_close(u, v, rtol=1e-5, atol=2e-5)
    for field in fields(a)[:4]:
        found, expected = getattr(a, field.name), getattr(b, field.name)
        if expected is not None:
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("floor", [0.7, "image"])
@pytest.mark.parametrize("part", [False, True])
@pytest.mark.parametrize("shape", [(5, 6, 7), (6, 7)])
def test_the_step_of_photons_solves_its_equation(threads, floor, part, shape):
    """The new z is the stationary point of z + b - y log(z + b) + hold / 2 (z - p)^2."""
    generator = torch.Generator().manual_seed(1)
    data = torch.poisson(torch.full(shape, 4.0), generator=generator)
    whole = torch.rand([n + 3 for n in shape], generator=generator) * 8
    prediction = whole[tuple(map(slice, shape))]
    prediction = prediction if part else prediction.contiguous()
    beyond, before = whole[-1].clone(), prediction.clone()
    dual = torch.randn(data.shape, generator=generator)
    p = before + dual
    b = torch.rand(data.shape, generator=generator) if floor == "image" else torch.tensor(floor)
    hold = 0.3
    old = dual.clone()
    moved, size = Misfit(data, b, "poisson", 4.0).advance(prediction, dual, hold)
    z = p - dual
    gradient = 1 - data / (z + b) + hold * (z - p)
    assert float(gradient[data > 0].abs().max()) < 1e-3
    torch.testing.assert_close(prediction, 2 * z - p, rtol=1e-5, atol=1e-5)
    assert torch.equal(beyond, whole[-1])
    assert moved == pytest.approx(float((dual - old).square().sum()), rel=1e-4)
    assert size == pytest.approx(float(before.square().sum()), rel=1e-4)


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_the_step_of_a_data_term_is_torch_s(threads, kind, monkeypatch):
    generator = torch.Generator().manual_seed(2)
    data = torch.rand((5, 6, 7), generator=generator) * 9
    predictions = [torch.ones((5, 6, 7)), torch.ones((5, 6, 7))]
    duals = [data / 7, data / 7]
    term = Misfit(data, torch.tensor(0.4), kind, 3.0)
    found = term.advance(predictions[0], duals[0], 0.2)
    monkeypatch.setenv("NAPARI_DECONV_NUMBA", "off")
    assert found == pytest.approx(term.advance(predictions[1], duals[1], 0.2), rel=1e-5)
    torch.testing.assert_close(*duals, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(*predictions, rtol=1e-5, atol=1e-5)


def test_what_the_loops_cannot_do_is_left_to_torch(monkeypatch):
    x = torch.zeros((4, 5, 6))
    assert fused.usable(x, (True, True, True))
    assert not fused.usable(x, (True, False, True))
    assert not fused.usable(x.double(), (True, True, True))
    assert not fused.usable(torch.zeros((2, 5)), (True, True))
    monkeypatch.setenv("NAPARI_DECONV_NUMBA", "off")
    assert not fused.usable(x, (True, True, True))
