from __future__ import annotations

import dataclasses

import numpy as np
import psf_reference as reference
import pytest
import torch

from napari_deconv.optics import Microscope, focal_shift, generate_psf
from napari_deconv.optics.differentiable import differentiable_psf

OIL = Microscope(numerical_aperture=1.4, emission_wavelength=0.61, depth=3.0)
SCOPES = {
    "oil into water": OIL,
    "at the coverslip": dataclasses.replace(OIL, depth=0.05),
    "deep": dataclasses.replace(OIL, depth=40.0, sample_index=1.45),
    "matched": dataclasses.replace(OIL, sample_index=1.515),
    "wrong oil": dataclasses.replace(OIL, immersion_index_design=1.51),
}
SHAPE, SPACING = (5, 12, 13), (0.3, 0.1, 0.1)
each_scope = pytest.mark.parametrize("scope", SCOPES.values(), ids=SCOPES.keys())


@each_scope
@pytest.mark.parametrize("spacing", [SPACING, (0.3, 0.09, 0.12)])
@pytest.mark.parametrize("integrate", [True, False])
def test_it_is_what_generate_psf_computes(scope, spacing, integrate):
    psf = differentiable_psf(scope, SHAPE, spacing, pixel_integration=integrate)
    exact = generate_psf(scope, SHAPE, spacing, pixel_integration=integrate, dtype="float64")
    assert reference.relative_error(psf.numpy(), exact) < 5e-7


@each_scope
@pytest.mark.parametrize("name", ["depth", "sample_index", "immersion_index", "shift"])
def test_gradients_are_those_of_finite_differences(scope, name):
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=SHAPE))
    values = {
        "depth": scope.depth,
        "sample_index": scope.sample_index,
        "immersion_index": scope.immersion_index,
        "shift": focal_shift(scope),
    }

    value = torch.tensor(values[name], dtype=torch.float64, requires_grad=True)
    psf = differentiable_psf(scope, SHAPE, SPACING, **{**values, name: value})
    (gradient,) = torch.autograd.grad((weights * psf).sum(), value)
    step = 1e-5 * (1 if name in ("depth", "shift") else 0.1)
    with torch.no_grad():
        up, down = (
            (weights * differentiable_psf(scope, SHAPE, SPACING, **{**values, name: v})).sum()
            for v in (value + step, value - step)
        )
    if name == "depth" and scope.sample_index == scope.immersion_index:
        assert gradient == 0
    else:
        assert abs(gradient) > 1e-6
    assert float(gradient) == pytest.approx(float(up - down) / (2 * step), rel=2e-4, abs=2e-5)


def test_a_depth_is_found_by_descent():
    """From 1 um off, with the stage where it was."""
    truth = torch.from_numpy(generate_psf(OIL, (11, 15, 15), SPACING, dtype="float64"))
    shift = focal_shift(OIL)
    depth = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([depth], max_iter=40, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        psf = differentiable_psf(OIL, (11, 15, 15), SPACING, depth=depth, shift=shift)
        loss = 1e6 * ((psf - truth) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert depth.item() == pytest.approx(3.0, abs=1e-4)
