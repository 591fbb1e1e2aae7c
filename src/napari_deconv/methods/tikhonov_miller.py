"""Tikhonov-Miller: least squares with a quadratic penalty, and true borders."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_deconv.methods._rehearsal import rehearse
from napari_deconv.operators.conjugate_gradients import conjugate_gradients
from napari_deconv.operators.gradients import hessian, hessian_adjoint, weights
from napari_deconv.operators.slabs import inner, slabs
from napari_deconv.operators.spectra import is_torus, penalty_power, spectral_inner
from napari_deconv.registry import Advanced, Auto, Range, method

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution
    from napari_deconv.operators.spectra import Penalty


# Voxels of the region on which strengths are tried, and steps of each try.
_REGION, _TRY = 1 << 17, 10


def _choose(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> float:
    def restore(image: Tensor, model: Convolution, strength: float) -> Tensor:
        options = {"strength": strength, "penalty": parameters["penalty"]}
        *_, (estimate, _) = tikhonov_miller(image, model, iterations=_TRY, **options)
        return estimate

    return rehearse(data, blur, _REGION).choose(restore, parameters["penalty"], 1e-8, 1e2)


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
    arrays=lambda _: (4.5, 0.0),
)
def tikhonov_miller(
    data: Tensor,
    blur: Convolution,
    *,
    iterations: Annotated[int, Range(1, 10000)] = 30,
    strength: Annotated[
        float | Literal["auto"], Range(1e-8, 1e2, logarithmic=True), Auto(_choose)
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
        generalised cross-validation and finds the best one in a rehearsal.
    penalty
        What is kept small: the Laplacian, which leaves smooth structures alone and means the same
        whatever the depth of a voxel, or the object itself.
    """
    solve = _on_torus if is_torus(blur) else _anywhere
    yield from islice(solve(data, blur, float(strength), penalty), iterations)


# Energy of a residual, as a share of the data's, below which there is nothing but rounding.
_ROUNDING = 1e-13


def _on_torus(
    data: Tensor, blur: Convolution, strength: float, penalty: Penalty
) -> Iterator[tuple[Tensor, float]]:
    """Solve in Fourier space, where penalty and preconditioner are divisions.

    A step takes two transforms for the image's border and one to show the estimate.
    """
    import torch

    transform, otf, power = blur.transform, blur.otf, penalty_power(blur, penalty)
    curvature = otf.real.square().add_(otf.imag.square()).add_(power, alpha=strength)

    def normal(spectrum: Tensor) -> Tensor:
        for t, x, h in slabs(transform.spectrum, spectrum, otf):
            torch.mul(x, h, out=t)
        transform.inverse(transform.spectrum)
        result = project_back()
        for r, x, p in slabs(result, spectrum, power):
            r.add_(x * p, alpha=strength)
        return result

    def project_back() -> Tensor:
        """Return H^T of what stands in the work buffer within the image."""
        for axis, (length, whole) in enumerate(zip(blur.data_shape, blur.grid, strict=True)):
            transform.work.narrow(axis, length, whole - length).zero_()
        spectrum = transform.forward()
        for s, h in slabs(spectrum, otf):
            s *= h.conj()
        return spectrum

    def precondition(residual: Tensor) -> Tensor:
        for t, r, c in slabs(transform.spectrum, residual, curvature):
            torch.div(r, c, out=t)
        return transform.spectrum

    def product(first: Tensor, second: Tensor) -> float:
        return spectral_inner(first, second, blur.grid[-1])

    # From the filter's result for a smoothly continued image: exact where all borders are circular.
    spectrum = blur.spectrum(data).clone()
    for s, h, c in slabs(spectrum, otf, curvature):
        s.mul_(h.conj()).div_(c)
    blur.crop(transform.work).copy_(data)
    residual = project_back().clone()
    size = sum(product(r, z) for r, z in slabs(residual, precondition(residual)))
    residual -= normal(spectrum)
    estimate = torch.empty(blur.object_shape, dtype=data.dtype, device=data.device)
    for energy in conjugate_gradients(
        spectrum, residual, normal, precondition, product, _ROUNDING * size
    ):
        transform.spectrum.copy_(spectrum)
        transform.inverse(transform.spectrum)
        estimate.copy_(transform.work)
        yield estimate, (energy / max(size, 1e-30)) ** 0.5


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

    def normal(x: Tensor) -> Tensor:
        result = blur.adjoint(blur(x, borrow=True), borrow=True)
        if penalty == "laplacian":
            result.add_(hessian_adjoint(hessian(x, slopes), slopes), alpha=strength)
        else:
            result.add_(x, alpha=strength)
        return result

    def precondition(residual: Tensor) -> Tensor:
        if not spectral:
            return residual
        transform = blur.transform
        inside = transform.work.zero_()[tuple(map(slice, residual.shape))]
        inside.copy_(residual)
        transform.inverse(transform.forward().div_(curvature))
        return inside

    def product(first: Tensor, second: Tensor) -> float:
        return inner(first, second)

    estimate = blur.extend(data)
    residual = blur.adjoint(data)
    size = sum(product(r, z) for r, z in slabs(residual, precondition(residual)))
    residual -= normal(estimate)
    for energy in conjugate_gradients(
        estimate, residual, normal, precondition, product, _ROUNDING * size
    ):
        yield estimate, (energy / max(size, 1e-30)) ** 0.5
