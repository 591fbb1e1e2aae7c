"""Iterative constrained Tikhonov-Miller: a quadratic penalty and positivity."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal

from napari_deconv.operators.bounded import answer, bound, match, mirror, project_back
from napari_deconv.operators.gradients import (
    hessian,
    hessian_adjoint,
    hessian_norm_squared,
    weights,
)
from napari_deconv.operators.projected import projected_steps
from napari_deconv.operators.slabs import inner, slabs
from napari_deconv.operators.spectra import blurred, is_torus, penalty_power
from napari_deconv.registry import Advanced, Range, Search, Unit, method

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution
    from napari_deconv.operators.spectra import Penalty


@method(
    "ictm",
    title="Iterative constrained Tikhonov-Miller (ICTM)",
    group="linear",
    cites=[
        "van Kempen et al. 1997, doi:10.1046/j.1365-2818.1997.d01-629.x",
        "Almeida and Figueiredo 2013, doi:10.1109/TIP.2013.2258354",
    ],
    converges=True,
    arrays=lambda _: (4.5, 0.0),
)
def ictm(
    data: Tensor,
    blur: Convolution,
    *,
    iterations: Annotated[int, Range(1, 10000)] = 50,
    strength: Annotated[
        float | Literal["auto"], Range(1e-12, 1e3, logarithmic=True), Search(1e-9, 1e2)
    ] = "auto",
    penalty: Annotated[Literal["laplacian", "identity"], Advanced()] = "laplacian",
    lower: Annotated[float, Unit("counts"), Advanced()] = 0.0,
    upper: Annotated[float | None, Unit("counts"), Advanced()] = None,
) -> Iterator[tuple[Tensor, float]]:
    r"""For smooth structures on a dark ground whose noise is about the same everywhere.

    .. math:: \hat x = \arg\min_{l \le x \le u} |Hx - y|^2 + \lambda |Lx|^2

    (van Kempen et al. 1997). Every estimate keeps the bounds, and the iteration itself does, not
    only what is shown of it. Where the object lives on a Fourier grid, the alternating direction
    method of multipliers splits off the bounded object and the prediction, which is free where
    there is no image (Almeida and Figueiredo 2013): a step is then a division in Fourier space,
    whatever the strength. Elsewhere it is a projected gradient step with momentum.

    Parameters
    ----------
    data
        Image y.
    blur
        Forward model H.
    iterations
        How many steps to take: more steps come closer to the one result.
    strength
        Weight of the penalty against the misfit: larger is smoother. Automatic tries some on a
        region and takes the one with the least expected error.
    penalty
        What is kept small: the Laplacian, which leaves smooth structures alone and means the same
        whatever the depth of a voxel, or the object itself.
    lower
        Least intensity that the object can have: zero where the background is subtracted.
    upper
        Highest intensity that it can have, which cuts off spikes; none leaves it open.
    """
    solve = _on_torus if is_torus(blur) else _anywhere
    yield from islice(solve(data, blur, float(strength), penalty, lower, upper), iterations)


# How firmly the prediction is held to the object's, in units of the data term's curvature; how
# firmly the bounds are, for a strength of 1 and at least, without and with a border to be found out
# about; and how far a step goes beyond its end (1 to 2). The result does not depend on them, only
# how soon it is reached: tuned on simulated stacks and on planes, for strengths of 1e-6 to 30.
_DATA = 0.05
_BOUNDS, _BOUNDS_AND_BORDER = (0.3, 0.01), (0.03, 0.003)
_BEYOND = 1.8


def _on_torus(
    data: Tensor,
    blur: Convolution,
    strength: float,
    penalty: Penalty,
    lower: float,
    upper: float | None,
) -> Iterator[tuple[Tensor, float]]:
    """Split v = x within the bounds and, where the image has a border, z = H x.

    Each split variable is kept as its sum with its dual: v is ``bounded`` cut to the bounds, and
    z within the image lies between ``predicted`` and the data.
    """
    import torch

    transform, otf, unit = blur.transform, blur.otf, blur.norm_squared
    circular = blur.data_shape == blur.grid
    share = 1.0 if circular else _DATA
    firmness, least = _BOUNDS if circular else _BOUNDS_AND_BORDER
    hold = max(firmness * (strength * unit) ** 0.5, least * unit) / share
    inverse = otf.real.square().add_(otf.imag.square()).add_(hold)
    inverse = inverse.add_(penalty_power(blur, penalty), alpha=strength / share).reciprocal_()

    bounded = blur.extend(data).clamp_(lower, upper)
    estimate = bounded.clone()
    size = sum(inner(y, y) for (y,) in slabs(data)) + 1e-30
    size += hold * sum(inner(v, v) for (v,) in slabs(estimate))
    # What the predictions, or without borders the data, ask of the object.
    spectrum = torch.empty_like(otf)
    predicted = blur.periodic(data)
    transform.work.copy_(predicted)
    project_back(transform.forward(), otf, spectrum)
    while True:
        mirror(bounded, estimate, transform.work)
        found = transform.forward()
        answer(spectrum, found, inverse, hold, keep=not circular)
        transform.inverse(found)
        moved = hold * bound(bounded, estimate, transform.work, lower, upper, _BEYOND)
        if not circular:
            blurred(spectrum, otf, transform.spectrum)
            transform.inverse(transform.spectrum)
            moved += match(predicted, transform.work, data, blur, _DATA / (1 + _DATA), _BEYOND)
            project_back(transform.forward(), otf, spectrum)
        yield estimate, (moved / size) ** 0.5


def _anywhere(
    data: Tensor,
    blur: Convolution,
    strength: float,
    penalty: Penalty,
    lower: float,
    upper: float | None,
) -> Iterator[tuple[Tensor, float]]:
    """Project gradient steps, for any forward model; slow where the penalty is strong."""
    slopes = weights(blur.spacing)
    steepest = hessian_norm_squared(slopes) if penalty == "laplacian" else 1.0

    def gradient(point: Tensor) -> Tensor:
        residual = blur(point, borrow=True)
        for r, y in slabs(residual, data):
            r -= y
        result = blur.adjoint(residual, borrow=True)
        if penalty == "laplacian":
            return result.add_(hessian_adjoint(hessian(point, slopes), slopes), alpha=strength)
        return result.add_(point, alpha=strength)

    estimate = blur.extend(data)
    size = sum(inner(b, b) for (b,) in slabs(blur.adjoint(data, borrow=True)))
    length = 1 / (blur.norm_squared + strength * steepest)
    for energy in projected_steps(estimate, gradient, length, lower, upper):
        yield estimate, (energy / max(size, 1e-30)) ** 0.5
