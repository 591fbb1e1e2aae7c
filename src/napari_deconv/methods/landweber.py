"""Landweber's iteration: the plainest way to least squares."""

from __future__ import annotations

from itertools import count, islice
from typing import TYPE_CHECKING, Annotated

from napari_deconv.operators.slabs import slabs
from napari_deconv.registry import Advanced, Range, method

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


@method(
    "landweber",
    title="Landweber",
    group="linear",
    cites=["Landweber 1951, doi:10.2307/2372313"],
    arrays=lambda _: (2.0, 0.0),
)
def landweber(
    data: Tensor,
    blur: Convolution,
    *,
    iterations: Annotated[int, Range(1, 10000)] = 50,
    step: Annotated[float, Range(0.01, 1.99), Advanced()] = 1.0,
) -> Iterator[Tensor]:
    r"""For bright images that need a linear result; sharper with each step, and noisier.

    .. math:: x \leftarrow x + \gamma H^T (y - H x)

    from zero (Landweber 1951). Where every border is circular the k-th estimate is known at once,

    .. math:: \hat x_k = \frac{1 - (1 - \gamma |H|^2)^k}{H} \, \hat y

    and a step costs one Fourier transform instead of four.

    Parameters
    ----------
    data
        Image y.
    blur
        Forward model H.
    iterations
        How many steps to take: more steps bring more detail, and more noise.
    step
        Length of a step in units of :math:`1 / |H|^2`; below 2 the steps converge. A longer one
        reaches the same detail in fewer steps, beyond 1 at the price of swinging intensities.
    """
    length = step / blur.norm_squared
    circular = set(getattr(blur, "borders", ())) == {"circular"}
    yield from islice((_spectral if circular else _steps)(data, blur, length), iterations)


def _steps(data: Tensor, blur: Convolution, length: float) -> Iterator[Tensor]:
    """Walk down the misfit, for any forward model."""
    import torch

    estimate = torch.zeros(blur.object_shape, dtype=data.dtype, device=data.device)
    while True:
        residual = blur(estimate, borrow=True)
        for y, r in slabs(data, residual):
            torch.sub(y, r, out=r)
        correction = blur.adjoint(residual, borrow=True)
        for x, c in slabs(estimate, correction):
            x.add_(c, alpha=length)
        yield estimate


def _spectral(data: Tensor, blur: Convolution, length: float) -> Iterator[Tensor]:
    """Jump to every step from the image itself, where H is diagonal in Fourier space.

    With t = length |H|^2, the k-th estimate is ``length s_k conj(H) y`` with
    ``s_k = (1 - (1 - t)^k) / t``, which is k where t is zero.
    """
    import torch

    projected = blur.spectrum(data).clone()
    for p, h in slabs(projected, blur.otf):
        p *= h.conj()
    estimate = torch.empty_like(data)
    target = blur.transform.spectrum
    for steps in count(1):
        for out, p, h in slabs(target, projected, blur.otf):
            torch.mul(p, length * _sum_of_powers(_transfer(h, length), steps), out=out)
        blur.transform.inverse(target)
        estimate.copy_(blur.transform.work)
        yield estimate


def _transfer(otf: Tensor, length: float) -> Tensor:
    return (otf.real.square() + otf.imag.square()).mul_(length)


def _sum_of_powers(t: Tensor, steps: int) -> Tensor:
    """Return ``(1 - (1 - t)^steps) / t`` for 0 <= t < 2, precise also where t is tiny."""
    import torch

    t.clamp_(min=torch.finfo(t.dtype).tiny)
    base = 1 - t
    # expm1 and log1p keep the digits that 1 - t loses.
    small = torch.expm1(steps * torch.log1p(-t.clamp(max=0.5))).neg_()
    return torch.where(t < 0.5, small, 1 - base.pow(steps)).div_(t)
