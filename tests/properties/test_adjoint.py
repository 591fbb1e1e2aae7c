"""<Hx, y> = <x, H^T y>, for every border mode with odd, even and off-centre PSFs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.operators.convolution import Convolution

BORDERS = ["extended", "reflect", "circular", "zero", "mixed"]


def words(borders, ndim):
    """One word for each axis, different ones for "mixed"."""
    return ["circular", "extended", "reflect"][-ndim:] if borders == "mixed" else [borders] * ndim


@st.composite
def problems(draw):
    ndim = draw(st.sampled_from([2, 3]))
    shape = draw(st.tuples(*[st.integers(1, 11)] * ndim))
    support = draw(st.tuples(*[st.integers(1, 14)] * ndim))
    origin = tuple(draw(st.integers(0, n - 1)) for n in support)
    return shape, support, origin, draw(st.integers(0, 2**31))


def direct(obj, psf, origin, shape, borders):
    """Convolve by the definition, voxel by voxel: y[n] = sum_k psf[k] x[n - (k - origin)]."""
    image = np.zeros(shape)
    for index in np.ndindex(*shape):
        for offset in np.ndindex(*psf.shape):
            source = [n - (k - o) for n, k, o in zip(index, offset, origin, strict=True)]
            for axis, word in enumerate(words(borders, len(shape))):
                length = shape[axis]
                if word == "circular":
                    source[axis] %= length
                elif word == "reflect":
                    source[axis] %= 2 * length
                    source[axis] = min(source[axis], 2 * length - 1 - source[axis])
                elif word == "extended":
                    source[axis] %= obj.shape[axis]
                elif not 0 <= source[axis] < length:
                    break
            else:
                image[index] += psf[offset] * obj[tuple(source)]
    return image


@pytest.mark.parametrize("borders", BORDERS)
@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_adjoint(borders, problem):
    shape, support, origin, seed = problem
    rng = np.random.default_rng(seed)
    blur = Convolution(
        rng.random(support), shape, words(borders, len(shape)), origin=origin, dtype=torch.float64
    )
    x = torch.from_numpy(rng.standard_normal(blur.object_shape))
    y = torch.from_numpy(rng.standard_normal(blur.data_shape))
    left, right = float((blur(x) * y).sum()), float((x * blur.adjoint(y)).sum())
    scale = float(blur(x).norm() * y.norm()) + 1e-12
    assert abs(left - right) <= 1e-6 * scale


@pytest.mark.parametrize("borders", BORDERS)
@pytest.mark.parametrize(
    ("shape", "support", "origin"),
    [((5, 6), (3, 4), (1, 2)), ((4, 5), (4, 3), (0, 2)), ((3, 4, 5), (2, 3, 3), (1, 0, 2))],
)
def test_forward_is_convolution_by_its_definition(borders, shape, support, origin):
    rng = np.random.default_rng(1)
    psf = rng.random(support)
    blur = Convolution(psf, shape, words(borders, len(shape)), origin=origin, dtype=torch.float64)
    obj = rng.random(blur.object_shape)
    expected = direct(obj, psf, origin, shape, borders)
    np.testing.assert_allclose(blur(torch.from_numpy(obj)).numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("borders", BORDERS)
def test_a_psf_larger_than_the_image(borders):
    rng = np.random.default_rng(2)
    psf, shape = rng.random((9, 7)), (3, 4)
    blur = Convolution(psf, shape, words(borders, len(shape)), dtype=torch.float64)
    obj = rng.random(blur.object_shape)
    expected = direct(obj, psf, (4, 3), shape, borders)
    np.testing.assert_allclose(blur(torch.from_numpy(obj)).numpy(), expected, atol=1e-10)


def test_extended_domain_sees_no_light_twice():
    """A source just outside one border must not shine in at the other."""
    psf = np.ones((5, 5))
    blur = Convolution(psf, (8, 8), "extended", dtype=torch.float64)
    obj = torch.zeros(blur.object_shape, dtype=torch.float64)
    obj[-1, 4] = 1.0  # one row above the first
    image = blur(obj).numpy()
    assert image[0, 4] == pytest.approx(1)
    assert np.abs(image[2:]).max() < 1e-12


@pytest.mark.parametrize("borders", BORDERS)
def test_sensitivity_is_the_adjoint_of_ones(borders):
    psf = np.random.default_rng(3).random((5, 4))
    psf /= psf.sum()
    blur = Convolution(psf, (9, 10), words(borders, 2), dtype=torch.float64)
    ones = torch.ones(blur.data_shape, dtype=torch.float64)
    expected = blur.adjoint(ones).clamp(min=1e-3)
    assert torch.allclose(blur.sensitivity.expand(blur.object_shape), expected, atol=1e-12)


def test_periodic_extension_has_no_step():
    data = torch.linspace(0, 1, 40, dtype=torch.float64)[:, None].expand(40, 12).contiguous()
    blur = Convolution(np.ones((9, 9)) / 81, (40, 12), "extended", dtype=torch.float64)
    extended = blur.periodic(data)
    assert tuple(extended.shape) == blur.grid
    assert torch.equal(blur.crop(extended), data)
    around = torch.cat([extended, extended[:1]])
    assert float((around[1:] - around[:-1]).abs().max()) < 0.35  # against 1 when wrapped as it is
