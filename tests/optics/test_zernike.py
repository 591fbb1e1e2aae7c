"""Zernike polynomials: order, orthonormality, names, units; the disc's edge on a grid."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_deconv.errors import ParameterError
from napari_deconv.optics import zernike


def disc(nodes=40, angles=96):
    """Points of the disc and weights that integrate polynomials exactly to their mean."""
    t, w = np.polynomial.legendre.leggauss(nodes)
    r, angle = np.sqrt((t + 1) / 2)[:, None], 2 * math.pi * np.arange(angles) / angles
    return r * np.sin(angle), r * np.cos(angle), w[:, None] / (2 * angles)


def test_orthonormal():
    y, x, weights = disc()
    values = zernike.basis(range(1, 92), y, x).reshape(91, -1)
    products = (values * np.broadcast_to(weights, y.shape).ravel()) @ values.T
    assert abs(products - np.eye(91)).max() < 1e-12


@pytest.mark.parametrize(
    ("j", "formula"),
    [
        (1, lambda r, t: 1 + 0 * r),
        (2, lambda r, t: 2 * r * np.cos(t)),
        (3, lambda r, t: 2 * r * np.sin(t)),
        (4, lambda r, t: math.sqrt(3) * (2 * r**2 - 1)),
        (5, lambda r, t: math.sqrt(6) * r**2 * np.sin(2 * t)),
        (6, lambda r, t: math.sqrt(6) * r**2 * np.cos(2 * t)),
        (7, lambda r, t: math.sqrt(8) * (3 * r**3 - 2 * r) * np.sin(t)),
        (8, lambda r, t: math.sqrt(8) * (3 * r**3 - 2 * r) * np.cos(t)),
        (9, lambda r, t: math.sqrt(8) * r**3 * np.sin(3 * t)),
        (10, lambda r, t: math.sqrt(8) * r**3 * np.cos(3 * t)),
        (11, lambda r, t: math.sqrt(5) * (6 * r**4 - 6 * r**2 + 1)),
        (12, lambda r, t: math.sqrt(10) * (4 * r**4 - 3 * r**2) * np.cos(2 * t)),
        (22, lambda r, t: math.sqrt(7) * (20 * r**6 - 30 * r**4 + 12 * r**2 - 1)),
    ],
)
def test_as_noll_wrote_them(j, formula):
    """Noll 1976, table I."""
    r, t = np.meshgrid(np.linspace(0, 1, 11), np.linspace(0, 6, 13))
    values = zernike.basis([j], r * np.sin(t), r * np.cos(t))[0]
    np.testing.assert_allclose(values, formula(r, t), atol=1e-13)


@given(st.integers(1, 500))
def test_order(j):
    n, m = zernike.degrees(j)
    assert abs(m) <= n
    assert (n - m) % 2 == 0
    assert m == 0 or (m > 0) == (j % 2 == 0)
    assert n * (n + 1) // 2 < j <= (n + 1) * (n + 2) // 2
    if j > 1:
        before = zernike.degrees(j - 1)
        assert (before[0], abs(before[1])) <= (n, abs(m))
        assert before != (n, m)


@given(st.integers(1, 231))
def test_at_the_edge(j):
    """``R_n^m(1) = 1``, for any degree."""
    n, m = zernike.degrees(j)
    angle = 0.0 if m >= 0 else math.pi / (2 * abs(m))
    y, x = np.array(math.sin(angle)), np.array(math.cos(angle))
    expected = math.sqrt(n + 1) * (1 if m == 0 else math.sqrt(2))
    assert zernike.basis([j], y, x)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("j", [0, -3, 1.5, True])
def test_no_index(j):
    with pytest.raises(ParameterError, match="Noll index"):
        zernike.degrees(j)


@pytest.mark.parametrize(
    ("j", "words"),
    [
        (4, "defocus"),
        (11, "spherical"),
        (12, "secondary astigmatism (cos)"),
        (15, "quatrefoil (sin)"),
        (16, "secondary coma (cos)"),
        (22, "secondary spherical"),
        (37, "tertiary spherical"),
    ],
)
def test_names(j, words):
    assert zernike.name(j) == words


def test_no_two_have_one_name():
    assert len({zernike.name(j) for j in range(1, 232)}) == 231


def test_units():
    assert zernike.to_waves(math.pi, "rad", 0.6) == pytest.approx(0.5)
    assert zernike.to_waves(60, "nm", 0.6) == pytest.approx(0.1)
    assert zernike.to_waves(0.06, "um", 0.6) == pytest.approx(0.1)
    assert zernike.from_waves(0.1, "nm", 0.6) == pytest.approx(60)
    with pytest.raises(ParameterError, match="Known: waves, rad, nm, um"):
        zernike.to_waves(1, "mm", 0.6)


def test_gradients():
    y, x = np.array([0.1, -0.5]), np.array([0.7, 0.2])
    slopes = zernike.gradients([4, 6], y, x)
    np.testing.assert_allclose(slopes[0], 4 * math.sqrt(3) * np.stack([y, x]), atol=1e-8)
    np.testing.assert_allclose(slopes[1], 2 * math.sqrt(6) * np.stack([-y, x]), atol=1e-8)


class TestCoverage:
    @given(st.floats(0.7, 9.0), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
    def test_adds_up_to_the_disc(self, radius, dy, dx):
        grid = np.arange(-12.0, 13.0)
        inside = zernike.coverage(grid[:, None] + dy, grid + dx, 1.0, radius)
        assert inside.sum() == pytest.approx(math.pi * radius**2, rel=1e-12)

    def test_each_square(self):
        """Against counting points in each square."""
        grid = np.arange(-3.0, 4.0)
        fine = (np.arange(400) + 0.5) / 400 - 0.5
        y, x = (grid[:, None] + fine).ravel()[:, None], (grid[:, None] + fine).ravel()
        counted = (x * x + y * y < 2.3**2).reshape(7, 400, 7, 400).mean(axis=(1, 3))
        inside = zernike.coverage(grid[:, None], grid, 1.0, 2.3)
        np.testing.assert_allclose(inside, counted, atol=5e-4)

    def test_of_nothing(self):
        assert zernike.coverage(np.zeros((2, 1)), np.zeros(2), 1.0, 0.0).sum() == 0
