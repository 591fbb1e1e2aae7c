"""Slopes and curvatures: adjoints, spectra, norms and what they are zero for."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.operators import fused, gradients
from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.gradients import (
    gradient,
    gradient_adjoint,
    gradient_norm_squared,
    gradient_symbol,
    hessian,
    hessian_adjoint,
    hessian_norm_squared,
    hessian_symbol,
    pairs,
    weights,
    wraps,
)

KINDS = {
    "gradient": (gradient, gradient_adjoint, gradient_norm_squared, gradient_symbol),
    "hessian": (hessian, hessian_adjoint, hessian_norm_squared, hessian_symbol),
}


@st.composite
def fields(draw):
    ndim = draw(st.sampled_from([1, 2, 3]))
    shape = draw(st.tuples(*[st.integers(1, 7)] * ndim))
    scale = draw(st.tuples(*[st.floats(0.1, 1)] * ndim))
    periodic = draw(st.tuples(*[st.booleans()] * ndim))
    return shape, scale, periodic, draw(st.integers(0, 2**31))


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=150, deadline=None)
@given(field=fields())
def test_adjoint_and_norm(name, field):
    shape, scale, periodic, seed = field
    forward, adjoint, norm_squared, _ = KINDS[name]
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.standard_normal(shape))
    image = forward(x, scale, periodic)
    g = torch.from_numpy(rng.standard_normal(image.shape))
    left, right = float((image * g).sum()), float((x * adjoint(g, scale, periodic)).sum())
    assert left == pytest.approx(right, rel=1e-12, abs=1e-11)
    assert float(image.square().sum()) <= norm_squared(scale) * float(x.square().sum()) + 1e-12


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("shape", [(8, 7), (6, 5, 9), (1, 6, 8)])
def test_the_spectrum_is_the_periodic_operator_s(name, shape):
    forward, adjoint, _, symbol = KINDS[name]
    scale = (0.3, 1.0, 0.8)[-len(shape) :]
    x = torch.from_numpy(np.random.default_rng(0).standard_normal(shape))
    expected = adjoint(forward(x, scale, True), scale, True)
    spectrum = torch.fft.rfftn(x) * symbol(shape, scale, "cpu", x.dtype)
    assert torch.allclose(torch.fft.irfftn(spectrum, s=shape), expected, atol=1e-12)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("periodic", [False, True, (True, False, True)])
def test_slabs_and_rows_make_no_difference(name, periodic, monkeypatch):
    forward, adjoint, *_ = KINDS[name]
    scale = (0.3, 1.0, 0.8)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((9, 4, 5)))
    whole = forward(x, scale, periodic)
    back = adjoint(whole, scale, periodic)
    monkeypatch.setattr(gradients, "_SLAB", 2 * 20)
    assert torch.equal(forward(x, scale, periodic), whole)
    assert torch.allclose(adjoint(whole, scale, periodic), back, atol=1e-14)
    found = torch.zeros_like(x)
    for rows in ((0, 4), (4, 5), (5, 9)):
        part = forward(x, scale, periodic, rows=rows)
        assert torch.equal(part, whole[:, slice(*rows)])
        adjoint(part, scale, periodic, rows=rows, into=found)
    assert torch.allclose(found, back, atol=1e-14)
    with pytest.raises(ValueError, match="whole shape"):
        adjoint(part, scale, periodic, rows=rows)


@settings(max_examples=30, deadline=None)
@given(field=fields())
def test_the_diagonal_of_a_weighted_laplacian(field):
    shape, scale, periodic, seed = field
    factor = torch.from_numpy(np.random.default_rng(seed).random(shape))
    squares = tuple(w * w for w in scale)
    found = gradient_adjoint(
        factor.expand(len(shape), *shape), squares, periodic, absolute=True
    ).flatten()
    for place in range(0, factor.numel(), 5):
        unit = torch.zeros_like(factor)
        unit.view(-1)[place] = 1
        slopes = gradient(unit, scale, periodic)
        # A periodic axis of one voxel has no neighbour: its difference is zero, yet counted.
        lonely = sum(w for w, n, p in zip(squares, shape, periodic, strict=True) if p and n == 1)
        expected = float((slopes.square() * factor).sum())
        expected += 2 * lonely * float(factor.view(-1)[place])
        assert float(found[place]) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_seams_of_an_extended_object(name):
    """With them open, a step from the end of the image to its beginning does not count."""
    forward, order = KINDS[name][0], 1 + (name == "hessian")
    # Two voxels of margin along the first axis, none along the second.
    blur = Convolution(np.ones((3, 1)), (6, 8), ["extended", "extended"])
    assert blur.object_shape == (8, 8)
    assert gradients.seams(blur) == (6, 7)
    rows = torch.arange(8, dtype=torch.float64)
    rows[7] = -1  # the voxel before the first
    ramp = 3 * rows[:, None] + 2 * torch.arange(8, dtype=torch.float64)
    slopes = forward(ramp, (1.0, 1.0), True)
    assert slopes.abs().max() > 10
    for parts in ([(0, 8)], [(0, 6), (6, 7), (7, 8)]):
        cut = slopes.clone()
        for part in parts:
            gradients.open_seams(cut[:, slice(*part)], order, (6, 7), (8, 8), part)
        assert float(cut.max()) == (3 if order == 1 else 0)
        assert int((cut == slopes).sum()) >= 2 * 6 * 6
    circular = Convolution(np.ones((3, 1)), (6, 8), "circular")
    assert gradients.seams(circular) == (None, None)


def test_known_derivatives():
    """Of x = 3 z^2 + 5 z y, voxel by voxel away from the ends."""
    z, y = torch.meshgrid(torch.arange(6.0), torch.arange(7.0), indexing="ij")
    x = 3 * z**2 + 5 * z * y
    steps = gradient(x, (1.0, 0.5))
    assert torch.equal(steps[0, :-1], (3 * (2 * z + 1) + 5 * y)[:-1])
    assert torch.equal(steps[1, :, :-1], 0.5 * (5 * z)[:, :-1])
    assert not steps[0, -1].any()
    assert not steps[1, :, -1].any()
    bends = hessian(x, (1.0, 0.5))
    assert pairs(2) == ((0, 0), (0, 1), (1, 1))
    assert torch.equal(bends[0, 1:-1], torch.full((4, 7), 6.0))
    assert torch.allclose(bends[1, :-1, :-1], torch.tensor(math.sqrt(2) * 2.5))
    assert not bends[2].any()
    # The ends say nothing: a plane has no curvature anywhere.
    assert not hessian(2 * z - 3 * y + 1, (1.0, 0.5)).any()


def test_weights_and_borders():
    assert weights((0.2, 0.1, 0.1)) == (0.5, 1.0, 1.0)
    blur = Convolution(np.ones((3, 3, 3)), (4, 5, 6), ["extended", "reflect", "circular"])
    assert wraps(blur) == (True, False, True)


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5)])
def test_the_components_of_a_row_stand_together(shape):
    made = gradients.field(6, shape, "cpu", torch.float32)
    assert made.shape == (6, *shape)
    assert not made.any()
    assert made.stride()[0] == shape[-1]
    assert fused.stack(made).shape == (*(1,) * (3 - len(shape)), *shape[:-1], 6, shape[-1])
    with pytest.raises(ValueError, match="together"):
        fused.stack(torch.zeros(6, *shape))
    # As any other tensor elsewhere, where what is taken of it would else be copied.
    assert gradients.field(6, shape, "meta", torch.float32).is_contiguous()
