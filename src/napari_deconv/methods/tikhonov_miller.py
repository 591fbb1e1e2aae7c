"""Tikhonov-Miller: least squares with a quadratic penalty, and true borders."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_deconv.methods._least_error import least_error
from napari_deconv.methods._rehearsal import rehearse
from napari_deconv.operators.conjugate_gradients import conjugate_gradients
from napari_deconv.operators.gradients import hessian, hessian_adjoint, weights
from napari_deconv.operators.slabs import inner, slabs
from napari_deconv.operators.spectra import (
    is_torus,
    penalty_power,
    regularised_inverse,
)
from napari_deconv.operators.torus import energy, product, project_back, windowed_steps
from napari_deconv.registry import SLOW_STEPS, Advanced, Auto, Range, method

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution
    from napari_deconv.operators.spectra import Penalty


# Fewest and most steps of a try, and the residual at which it may end in between. What is far from
# its end looks worse than it is the weaker the penalty: of 20 steps each, strengths came out ten
# times too large on stacks.
_FEWEST, _MOST, _CLOSE = 40, 100, 5e-4


def _choose(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> float:
    def restore(image: Tensor, model: Convolution, strength: float) -> Tensor:
        steps = tikhonov_miller(
            image, model, iterations=_MOST, strength=strength, penalty=parameters["penalty"]
        )
        for count, (found, residual) in enumerate(steps, 1):
            estimate = found
            if count >= _FEWEST and residual < _CLOSE:
                break
        return estimate

    error = float(parameters["psf_error"])
    if is_torus(blur) and blur.data_shape == blur.grid:
        return least_error(data, blur, parameters["penalty"], 1e-12, 1e3, error)
    rehearsal = rehearse(data, blur, steps=200, until_noise=True)
    return rehearsal.choose(restore, parameters["penalty"], 1e-12, 1e3, error)


@method(
    "tikhonov-miller",
    title="Tikhonov-Miller",
    group="linear",
    cites=[
        "Tikhonov 1963",
        "Miller 1970, doi:10.1137/0501006",
        "Hestenes and Stiefel 1952, doi:10.6028/jres.049.044",
    ],
    converges=True,
    # Where light comes in from beyond the border, the last decibel takes hundreds.
    most=lambda _: SLOW_STEPS,
    arrays=lambda _: (4.0, 0.0),
)
def tikhonov_miller(
    data: Tensor,
    blur: Convolution,
    *,
    iterations: Annotated[int, Range(1, 10000)] = 30,
    strength: Annotated[
        float | Literal["auto"], Range(1e-12, 1e3, logarithmic=True), Auto(_choose)
    ] = "auto",
    penalty: Annotated[Literal["laplacian", "identity"], Advanced()] = "laplacian",
) -> Iterator[tuple[Tensor, float]]:
    r"""For a linear result that is right up to the border of the image.

    .. math:: \hat x = \arg\min_x |Hx - y|^2 + \lambda |Lx|^2

    by conjugate gradients, whose length of step follows from the data, so that no strength makes
    them diverge (the textbook's fixed step does beyond
    :math:`\lambda = 2 / \max |\omega|^4`). Preconditioned by
    :math:`1 / (|H|^2 + \lambda |L|^2)`, they need one step where every border is circular: the
    regularised inverse filter is the result.

    Parameters
    ----------
    data
        Image y.
    blur
        Forward model H.
    iterations
        How many steps to take: more steps come closer to the one result.
    strength
        Weight of the penalty against the misfit: larger is smoother. Automatic begins with
        generalised cross-validation and finds the best one in a rehearsal; where every border is
        circular it is the regularised inverse's.
    penalty
        What is kept small: the Laplacian, which leaves smooth structures alone and means the same
        whatever the depth of a voxel, or the object itself.
    """
    solve = _on_torus if is_torus(blur) else _anywhere
    yield from islice(solve(data, blur, float(strength), penalty), iterations)


def _rounding(data: Tensor) -> float:
    """Return the share of the data's energy below which a residual is nothing but rounding."""
    import torch

    return float(torch.finfo(data.dtype).eps) ** 2


def _on_torus(
    data: Tensor, blur: Convolution, strength: float, penalty: Penalty
) -> Iterator[tuple[Tensor, float]]:
    """Solve in Fourier space, where penalty and preconditioner are divisions.

    A step takes two transforms for the image's border and one to show the estimate.
    """
    transform, power = blur.transform, penalty_power(blur, penalty)
    if blur.data_shape == blur.grid:
        yield regularised_inverse(data, blur, power, strength), 0.0
        return
    ridge = power.mul_(strength)
    inverse = (blur.otf.real.square() + blur.otf.imag.square()).add_(ridge).reciprocal_()

    def advance(direction: Tensor, length: float) -> None:
        del direction
        transform.inverse(transform.spectrum)
        for e, w in slabs(estimate, transform.work):
            e.add_(w, alpha=length)

    # From the filter's result for a smoothly continued image.
    start = blur.spectrum(data).clone()
    for s, h, c in slabs(start, blur.otf, inverse):
        s.mul_(h.conj()).mul_(c.to(s.dtype))
    residual = project_back(blur, data).clone()
    size = energy(blur, residual, inverse)
    residual -= product(blur, start, ridge)
    estimate = blur.from_spectrum(start)
    del start
    steps = windowed_steps(blur, ridge, residual, inverse, advance, _rounding(data) * size)
    for left in steps:
        yield estimate, (left / max(size, 1e-30)) ** 0.5


def _anywhere(
    data: Tensor, blur: Convolution, strength: float, penalty: Penalty
) -> Iterator[tuple[Tensor, float]]:
    """Solve for any forward model, with differences of neighbours in place of frequencies.

    Where the model has a spectrum, that of the object between zeros is the preconditioner.
    """
    slopes = weights(blur.spacing)
    spectral = hasattr(blur, "otf")
    if spectral:
        curvature = (blur.otf.real.square() + blur.otf.imag.square()).add_(
            penalty_power(blur, penalty), alpha=strength
        )

    def normal(x: Tensor) -> tuple[Tensor, float]:
        result = blur.adjoint(blur(x, borrow=True), borrow=True)
        if penalty == "laplacian":
            result.add_(hessian_adjoint(hessian(x, slopes), slopes), alpha=strength)
        else:
            result.add_(x, alpha=strength)
        return result, dot(x, result)

    def precondition(residual: Tensor) -> tuple[Tensor, float]:
        inside = residual
        if spectral:
            transform = blur.transform
            inside = transform.work.zero_()[tuple(map(slice, residual.shape))]
            inside.copy_(residual)
            transform.inverse(transform.forward().div_(curvature))
        return inside, dot(residual, inside)

    def dot(first: Tensor, second: Tensor) -> float:
        return sum(inner(a, b) for a, b in slabs(first, second))

    def advance(direction: Tensor, length: float) -> None:
        estimate.add_(direction, alpha=length)

    estimate = blur.extend(data)
    residual = blur.adjoint(data)
    size = precondition(residual)[1]
    residual -= normal(estimate)[0]
    for left in conjugate_gradients(
        residual, advance, normal, precondition, _rounding(data) * size
    ):
        yield estimate, (left / max(size, 1e-30)) ** 0.5
