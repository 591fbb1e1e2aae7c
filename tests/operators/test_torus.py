"""Conjugate gradients for an object on a torus, seen through a window."""

import pytest
import torch

from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.torus import energy, product, project_back, windowed_steps
from problems import gaussian_psf

SHAPES = [(14, 15), (6, 9, 10)]


def solved(shape, steps=60, ridge=0.05):
    """Return the forward model, the image, and the x of (H^T M H + R) x = H^T y."""
    blur = Convolution(gaussian_psf((5,) * len(shape), 1.2), shape, "extended")
    data = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    weight = torch.full_like(blur.otf.real, ridge)
    inverse = 1 / (blur.otf.abs().square() + weight)
    residual = project_back(blur, data).clone()
    begin = energy(blur, residual, inverse)
    found, energies = torch.zeros_like(residual), []

    def advance(direction, length):
        torch.testing.assert_close(blur.transform.spectrum, direction)
        found.add_(direction, alpha=length)

    for left in windowed_steps(blur, weight, residual, inverse, advance, 1e-12 * begin):
        energies.append(left)
        if len(energies) == steps:
            break
    return blur, data, weight, found, energies, begin


@pytest.mark.parametrize("loops", ["auto", "off"])
@pytest.mark.parametrize("shape", SHAPES)
def test_they_solve_the_equation(shape, loops, monkeypatch):
    monkeypatch.setenv("NAPARI_DECONV_NUMBA", loops)
    blur, data, weight, found, energies, begin = solved(shape)
    assert energies[-1] <= 1e-12 * begin
    assert len(energies) < 60
    left, right = product(blur, found, weight).clone(), project_back(blur, data)
    # To float32's rounding of the largest frequency.
    torch.testing.assert_close(left, right, rtol=0, atol=3e-6 * float(right.abs().max()))
    # In space: H^T H x + 0.05 x = H^T y.
    x = blur.from_spectrum(found.clone())
    mine = blur.adjoint(blur(x)) + 0.05 * x
    torch.testing.assert_close(mine, blur.adjoint(data), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_compiled_and_plain_loops_agree(shape, monkeypatch):
    _, _, _, found, energies, _ = solved(shape, steps=5)
    monkeypatch.setenv("NAPARI_DECONV_NUMBA", "off")
    _, _, _, plain, others, _ = solved(shape, steps=5)
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-5)
    assert energies == pytest.approx(others, rel=1e-3)
