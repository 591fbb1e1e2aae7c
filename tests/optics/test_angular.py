"""Tables of even harmonics, against the same function on the plane."""

from __future__ import annotations

import math

import numpy as np
import pytest
from psf_reference import axis, relative_error

from napari_deconv.optics.angular import Angular
from napari_deconv.optics.radial import Radial

STEP = 0.02
R = STEP * np.arange(260)


def elongated(x, y):
    """A smooth spot with orders 0, 2 and 4."""
    r2 = x**2 + y**2
    return np.exp(-r2 / 0.18) * (1 + 3 * (x**2 - y**2) + 2 * (r2**2 - 8 * x**2 * y**2))


TABLE = Angular(
    {
        m: (np.exp(-(R**2) / 0.18) * f)[None]
        for m, f in {0: np.ones_like(R), 2: 3 * R**2, 4: 2 * R**4}.items()
    },
    STEP,
)


def value(table, x, y):
    """What a table says about a place at one of its radii."""
    place = round(math.hypot(x, y) / STEP)
    return sum(v[0, place] * math.cos(m * math.atan2(y, x)) for m, v in table.parts.items())


PLACES = [(0.0, 0.0), (0.2, 0.0), (0.0, 0.4), (0.24, 0.32), (-0.36, 0.48)]


@pytest.mark.parametrize("spacing", [(0.1, 0.1), (0.09, 0.13)])
@pytest.mark.parametrize("shape", [(9, 12), (12, 9), (11, 11)])
def test_pixels_hold_the_mean_over_their_area(shape, spacing):
    x, w = np.polynomial.legendre.leggauss(8)
    ys, xs = (np.add.outer(axis(n, d), d / 2 * x) for n, d in zip(shape, spacing, strict=True))
    truth = np.einsum("ypxq,p,q->yx", elongated(xs, ys[:, :, None, None]), w, w)
    truth /= truth.sum()
    found = TABLE.voxels(shape, spacing, integrate=True)[0]
    assert relative_error(np.maximum(found, 0), np.maximum(truth, 0)) < 1e-5
    exact = TABLE.voxels(shape, spacing, integrate=True, dtype="float64")[0]
    assert relative_error(exact, np.maximum(truth, 0)) < 1e-9


def test_x_and_y_are_not_exchanged():
    found = TABLE.voxels((9, 9), (0.1, 0.1), integrate=False)[0]
    truth = elongated(axis(9, 0.1), axis(9, 0.1)[:, None])
    assert relative_error(found, truth / truth.sum()) < 1e-6
    assert found[4, 7] > 1.5 * found[7, 4]


@pytest.mark.parametrize("radius", [0.05, 0.3, 1.1])
def test_a_disc_is_the_mean_over_a_disc(radius):
    rho, w = np.polynomial.legendre.leggauss(40)
    rho, w = (1 + rho) / 2, w * (1 + rho) / 2
    around = np.outer(rho, np.exp(2j * np.pi * np.arange(80) / 80)) * radius
    blurred = TABLE.blur_disc(radius)
    for x, y in PLACES:
        truth = (elongated(x + around.real, y + around.imag).mean(axis=1) * w).sum()
        assert value(blurred, x, y) == pytest.approx(truth, abs=1e-9)


def test_no_disc_at_all_changes_nothing():
    assert TABLE.blur_disc(0.0) is TABLE


def test_copies_on_rings_and_everywhere_beyond():
    rings, density, beyond = [(6.0, 0.8), (12.0, 1.3)], 4.0, 1.5
    summed = TABLE.repeated(rings, density, beyond)
    # The spot's whole light: orders above 0 hold none.
    whole = math.pi * 0.18
    rho, w = np.polynomial.legendre.leggauss(60)
    rho, w = (1 + rho) / 2, w * (1 + rho) / 2
    circle = np.exp(2j * np.pi * np.arange(100) / 100)
    for x, y in PLACES:
        truth = elongated(x, y)
        for copies, radius in rings:
            around = radius * circle
            truth += copies * elongated(x + around.real, y + around.imag).mean()
        around = np.outer(rho, circle) * beyond
        inside = (elongated(x + around.real, y + around.imag).mean(axis=1) * w).sum()
        truth += density * (whole - math.pi * beyond**2 * inside)
        assert value(summed, x, y) == pytest.approx(truth, abs=1e-8)


def test_a_round_one_is_radial():
    values = np.exp(-(R**2) / 0.1)[None]
    rings = [(6.0, 0.7)]
    a, b = (
        table.blur_disc(0.2).repeated(rings, 2.0, 0.9)
        for table in (Angular({0: values}, STEP), Radial(values, STEP))
    )
    np.testing.assert_allclose(a.parts[0], b.values, atol=1e-14)
    np.testing.assert_allclose(
        a.voxels((8, 9), (0.1, 0.1), integrate=True),
        b.voxels((8, 9), (0.1, 0.1), integrate=True),
        atol=1e-8,
    )


def test_products_hold_the_sums_of_orders():
    square = TABLE * TABLE
    assert sorted(square.parts) == [0, 2, 4, 6, 8]
    assert next(iter(square.parts)) == 0
    for x, y in PLACES:
        assert value(square, x, y) == pytest.approx(elongated(x, y) ** 2, abs=1e-12)


def test_weights_go_with_planes():
    two = Angular({m: np.repeat(v, 2, axis=0) for m, v in TABLE.parts.items()}, STEP)
    weighted = two.weighted(np.array([2.0, 0.5]))
    np.testing.assert_allclose(weighted.on_axis(), [2.0, 0.5])
    assert weighted.parts[2][1, 10] == pytest.approx(TABLE.parts[2][0, 10] / 2)
