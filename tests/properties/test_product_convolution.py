"""A blur that varies: its adjoint, its definition voxel by voxel, its parts, and its bound."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.product_convolution import ProductConvolution

BORDERS = ["extended", "reflect", "circular", "zero", "mixed"]
ORDERS = ["product-convolution", "convolution-product"]


def words(borders, ndim):
    return ["circular", "extended", "reflect"][-ndim:] if borders == "mixed" else [borders] * ndim


def waves(count, ndim, flat=()):
    """Smooth maps; constant along the axes in ``flat``."""

    def weights(places):
        grids = np.meshgrid(
            *[p[:1] * 0 if axis in flat else p for axis, p in enumerate(places)], indexing="ij"
        )
        return np.stack(
            [
                1 + 0.5 * np.cos(0.3 * k + sum((0.1 + 0.05 * k) * g for g in grids))
                for k in range(count)
            ]
        )

    return weights


@st.composite
def problems(draw):
    ndim = draw(st.sampled_from([2, 3]))
    shape = draw(st.tuples(*[st.integers(1, 9)] * ndim))
    support = draw(st.tuples(*[st.integers(1, 11)] * ndim))
    origin = tuple(draw(st.integers(0, n - 1)) for n in support)
    flat = draw(st.sampled_from([(), (0,)]))
    return shape, support, origin, flat, draw(st.integers(1, 4)), draw(st.integers(0, 2**31))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("borders", BORDERS)
@settings(max_examples=25, deadline=None)
@given(problem=problems())
def test_adjoint(order, borders, problem):
    shape, support, origin, flat, count, seed = problem
    rng = np.random.default_rng(seed)
    components = rng.standard_normal((count, *support)) + 0.5
    blur = ProductConvolution(
        components,
        waves(count, len(shape), flat),
        shape,
        words(borders, len(shape)),
        order=order,
        origin=origin,
        dtype=torch.float64,
    )
    x = torch.from_numpy(rng.standard_normal(blur.object_shape))
    y = torch.from_numpy(rng.standard_normal(blur.data_shape))
    left, right = float((blur(x) * y).sum()), float((x * blur.adjoint(y)).sum())
    scale = float(blur(x).norm() * y.norm()) + 1e-12
    assert abs(left - right) <= 1e-6 * scale
    # Borrowed buffers hold the same.
    borrowed = blur.adjoint(blur(x, borrow=True), borrow=True).clone()
    assert torch.allclose(borrowed, blur.adjoint(blur(x)), atol=1e-9 * scale)


def dense(blur, shape):
    """The matrix of an operator."""
    columns = []
    for index in range(int(np.prod(shape))):
        unit = torch.zeros(shape, dtype=torch.float64)
        unit.view(-1)[index] = 1
        columns.append(blur(unit).flatten().numpy())
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("order", ORDERS)
def test_it_is_the_sum_that_it_says(order):
    """Each voxel's light spreads as the PSF of its place (or is gathered with it)."""
    rng = np.random.default_rng(0)
    shape, support, origin, count = (7, 6), (3, 4), (1, 2), 3
    components, weights = rng.random((count, *support)), waves(count, 2)
    blur = ProductConvolution(
        components, weights, shape, "zero", order=order, origin=origin, dtype=torch.float64
    )
    maps = weights([np.arange(n, dtype=float) for n in shape])
    expected = np.zeros((42, 42))
    for source in np.ndindex(*shape):
        for offset in np.ndindex(*support):
            target = tuple(s + k - o for s, k, o in zip(source, offset, origin, strict=True))
            if all(0 <= t < n for t, n in zip(target, shape, strict=True)):
                place = source if order == "product-convolution" else target
                value = sum(maps[(k, *place)] * components[(k, *offset)] for k in range(count))
                row, column = (
                    np.ravel_multi_index(target, shape),
                    np.ravel_multi_index(source, shape),
                )
                expected[row, column] += value
    np.testing.assert_allclose(dense(blur, shape), expected, atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("borders", ["extended", "reflect", "circular", "zero"])
def test_one_kernel_without_a_map_is_a_convolution(order, borders):
    psf = np.random.default_rng(1).random((5, 4))
    psf /= psf.sum()
    plain = Convolution(psf, (9, 8), borders, dtype=torch.float64)
    blur = ProductConvolution(
        psf[None],
        lambda places: np.ones((1, 1, 1)),
        (9, 8),
        borders,
        order=order,
        dtype=torch.float64,
    )
    x = torch.rand(plain.object_shape, dtype=torch.float64)
    assert torch.allclose(blur(x), plain(x), atol=1e-12)
    assert torch.allclose(
        blur.sensitivity, plain.sensitivity.expand(plain.object_shape), atol=1e-12
    )


@pytest.mark.parametrize("order", ORDERS)
def test_a_part_sees_what_the_whole_sees_there(order):
    rng = np.random.default_rng(2)
    components, weights = rng.random((3, 5, 5)), waves(3, 2)
    whole = ProductConvolution(
        components, weights, (40, 30), "zero", order=order, dtype=torch.float64
    )
    part = whole.resized((20, 16), (11, 7))
    x = torch.from_numpy(rng.random((40, 30)))
    seen = whole(x)[11:31, 7:23]
    # Its object goes on by two voxels on every side, those before the first at the end.
    index = [
        [s + i if i < n + 2 else s + i - g for i in range(g)]
        for s, n, g in zip((11, 7), (20, 16), part.object_shape, strict=True)
    ]
    around = x[np.ix_(*index)]
    assert torch.allclose(part(around), seen, atol=1e-10)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("borders", ["extended", "reflect", "circular", "zero"])
def test_bound_and_sensitivity(order, borders):
    """norm_squared bounds the largest eigenvalue of H^T H, tightly; sensitivity is H^T 1."""
    rng = np.random.default_rng(3)
    components = np.stack([rng.random((5, 5)), 0.2 * rng.standard_normal((5, 5))])
    components /= components[0].sum()
    blur = ProductConvolution(
        components, waves(2, 2), (10, 11), borders, order=order, dtype=torch.float64
    )
    largest = np.linalg.norm(dense(blur, blur.object_shape), 2) ** 2
    assert largest <= blur.norm_squared <= 1.1 * largest
    ones = torch.ones(blur.data_shape, dtype=torch.float64)
    expected = blur.adjoint(ones).clamp(min=float(blur.sensitivity.min()))
    assert torch.allclose(blur.sensitivity, expected, atol=1e-12)
