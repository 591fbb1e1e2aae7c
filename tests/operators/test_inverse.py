"""The regularised inverse: whatever the forward model, its gradient is zero there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.inverse import ConjugateInverse, FourierInverse, inverse_of
from napari_deconv.operators.product_convolution import ProductConvolution

GENERATOR = torch.Generator().manual_seed(0)


def psf_of(shape, sigma=1.3):
    grids = np.ogrid[tuple(slice(-(n // 2), n - n // 2) for n in shape)]
    # To one side, so that an adjoint that is no mirror image shows.
    psf = np.exp(-0.5 * sum(((g - 0.4 * i) / sigma) ** 2 for i, g in enumerate(grids, 1)))
    return psf / psf.sum()


def varying(shape, borders="extended"):
    kernels = np.stack([psf_of((7, 6)), psf_of((7, 6), 0.7) - psf_of((7, 6))])

    def weights(places):
        y, x = places
        return np.stack([np.ones((y.size, x.size)), 0.5 + 0.4 * np.add.outer(y / 40, -x / 40)])

    return ProductConvolution(kernels, weights, shape, borders, dtype=torch.float64)


def blurs():
    for borders in ("extended", "reflect", "zero", "circular"):
        yield (
            f"plane, {borders}",
            Convolution(psf_of((7, 6)), (33, 30), borders, dtype=torch.float64),
        )
    mixed = Convolution(psf_of((3, 5, 5)), (9, 20, 17), "extended", dtype=torch.float64)
    yield "stack", mixed
    yield "varying", varying((33, 30))
    yield "varying, reflect", varying((33, 30), "reflect")


@pytest.mark.parametrize("blur", [pytest.param(b, id=n) for n, b in blurs()])
def test_the_gradient_is_zero(blur):
    """Slope of |Hu - y|^2 + weight |u - z|^2, against that of an object of nothing."""
    data = torch.rand(blur.data_shape, generator=GENERATOR, dtype=torch.float64)
    z = torch.rand(blur.object_shape, generator=GENERATOR, dtype=torch.float64)
    for weight in (0.01, 1.0):
        inverse = inverse_of(data, blur)
        u = inverse(z, weight)
        slope = blur.adjoint(blur(u) - data) + weight * (u - z)
        nothing = blur.adjoint(data) + weight * z
        assert float(slope.norm() / nothing.norm()) < (1e-3 if weight < 1 else 1e-5)


def test_twenty_steps_are_enough_at_true_borders():
    blur = Convolution(psf_of((9, 9)), (64, 60), "extended", dtype=torch.float64)
    data = torch.rand(blur.data_shape, generator=GENERATOR, dtype=torch.float64)
    z = torch.zeros(blur.object_shape, dtype=torch.float64)
    near, exact = (ConjugateInverse(data, blur, steps)(z, 1e-2) for steps in (20, 500))
    assert float((near - exact).norm() / exact.norm()) < 0.01


def test_closed_form_and_steps_agree():
    blur = Convolution(psf_of((7, 6)), (32, 30), "circular", dtype=torch.float64)
    data, z = torch.rand(2, 32, 30, generator=GENERATOR, dtype=torch.float64)
    assert isinstance(inverse_of(data, blur), FourierInverse)
    direct = FourierInverse(data, blur.otf, 2)(z, 0.1)
    torch.testing.assert_close(direct, ConjugateInverse(data, blur)(z, 0.1), rtol=0, atol=1e-6)


def test_a_batch_is_its_images():
    otf = torch.stack(
        [Convolution(psf_of((5, 5), s), (16, 18), "circular").otf for s in (0.8, 1.5)]
    )[:, None]
    data, z = torch.rand(2, 2, 1, 16, 18, generator=GENERATOR)
    weights = torch.tensor([0.1, 0.5]).reshape(2, 1, 1, 1)
    together = FourierInverse(data, otf, 2)(z, weights)
    for i in range(2):
        alone = FourierInverse(data[i, 0], otf[i, 0], 2)(z[i, 0], float(weights[i]))
        torch.testing.assert_close(together[i, 0], alone)
