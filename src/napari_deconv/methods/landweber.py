"""Landweber's iteration: the plainest way to least squares."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

from napari_deconv.operators.slabs import slabs
from napari_deconv.operators.spectra import is_circular
from napari_deconv.registry import SLOW_STEPS, Advanced, Range, method

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


@method(
    "landweber",
    title="Landweber",
    group="linear",
    cites=["Landweber 1951, doi:10.2307/2372313"],
    most=lambda _: SLOW_STEPS,
    arrays=lambda _: (3.0, 0.0),
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
    yield from islice((_spectral if is_circular(blur) else _steps)(data, blur, length), iterations)


def _steps(data: Tensor, blur: Convolution, length: float) -> Iterator[Tensor]:
    """Walk down the misfit, for any forward model."""
    import torch

    estimate = blur.start
    if estimate is None:
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

    With t = length |H|^2 the k-th estimate is ``length s_k conj(H) y``, where ``s_k = (1 - (1 -
    t)^k) / t`` is the sum of the first k powers of 1 - t: ``s_k = 1 + (1 - t) s_(k-1)`` keeps its
    digits where t is tiny.
    """
    import torch

    projected = blur.spectrum(data).clone()
    for p, h in slabs(projected, blur.otf):
        p.mul_(h.conj()).mul_(length)
    left = (blur.otf.real.square() + blur.otf.imag.square()).mul_(-length).add_(1)
    powers = torch.zeros_like(left)
    estimate = torch.empty_like(data)
    target = blur.transform.spectrum
    while True:
        for t, p, r, s in slabs(target, projected, left, powers):
            s.mul_(r).add_(1)
            # Real numbers times complex ones are slow in torch.
            torch.mul(p, s.to(p.dtype), out=t)
        blur.transform.inverse(target)
        estimate.copy_(blur.transform.work)
        yield estimate
