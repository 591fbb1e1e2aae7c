"""Non-negative least squares: Landweber's iteration that never leaves the positive numbers."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

from napari_deconv.operators.projected import projected_steps
from napari_deconv.operators.slabs import slabs
from napari_deconv.registry import Advanced, Range, Unit, method

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


@method(
    "nnls",
    title="Non-negative least squares",
    group="linear",
    cites=[
        "Eicke 1992, doi:10.1080/01630569208816489",
        "Beck and Teboulle 2009, doi:10.1137/080716542",
        "O'Donoghue and Candes 2015, doi:10.1007/s10208-013-9150-3",
    ],
    arrays=lambda _: (2.0, 0.0),
)
def nnls(
    data: Tensor,
    blur: Convolution,
    *,
    iterations: Annotated[int, Range(1, 10000)] = 30,
    lower: Annotated[float, Unit("counts"), Advanced()] = 0.0,
    upper: Annotated[float | None, Unit("counts"), Advanced()] = None,
) -> Iterator[Tensor]:
    r"""For bright images on a dark ground, whose noise is about the same everywhere.

    .. math:: x \leftarrow P \left[ x + \gamma H^T (y - H x) \right]

    with the projection P onto the bounds in every step (Eicke 1992), so that the next one starts
    from positive numbers, and with the momentum of Beck and Teboulle 2009, which starts afresh
    whenever it points uphill (O'Donoghue and Candes 2015).

    Parameters
    ----------
    data
        Image y.
    blur
        Forward model H.
    iterations
        How many steps to take: more steps bring more detail, and more noise.
    lower
        Least intensity that the object can have: zero where the background is subtracted.
    upper
        Highest intensity that it can have, which cuts off spikes; none leaves it open.
    """
    import torch

    def gradient(point: Tensor) -> Tensor:
        residual = blur(point, borrow=True)
        for r, y in slabs(residual, data):
            r -= y
        return blur.adjoint(residual, borrow=True)

    estimate = torch.zeros(blur.object_shape, dtype=data.dtype, device=data.device)
    steps = projected_steps(estimate, gradient, 1 / blur.norm_squared, lower, upper)
    for _ in islice(steps, iterations):
        yield estimate
