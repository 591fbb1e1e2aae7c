"""Iterative shrinkage and thresholding (ISTA): few wavelets explain the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_deconv.methods._level import typical_level
from napari_deconv.methods._thresholding import GRIDS, Shrinkage, WaveletName
from napari_deconv.operators.shrinkage import move
from napari_deconv.registry import Advanced, Auto, Range, Search, Unit, method, never

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


def _arrays(parameters: Mapping[str, Any]) -> tuple[float, float]:
    return 6.0 if parameters["cycle_spinning"] else 5.0, 0.0


@method(
    "ista",
    title="ISTA (wavelets, plain steps)",
    group="sparse",
    converges=True,
    cites=[
        "Daubechies et al. 2004, doi:10.1002/cpa.20042",
        "Figueiredo and Nowak 2003, doi:10.1109/TIP.2003.814255",
        "Coifman and Donoho 1995, doi:10.1007/978-1-4612-2544-7_9",
    ],
    arrays=_arrays,
    halo=2.0,
    # The coarsest wavelets' grid, of four scales: tiles have to meet it where the whole does.
    grid=16,
)
def ista(
    data: Tensor,
    blur: Convolution,
    *,
    iterations: Annotated[int, Range(1, 10000)] = 200,
    strength: Annotated[
        float | Literal["auto"], Range(1e-8, 1e2, logarithmic=True), Search(1e-4, 1.0)
    ] = "auto",
    wavelet: WaveletName = "db2",
    cycle_spinning: bool = True,
    scales: Annotated[int, Range(1, 10), Advanced()] = 4,
    positive: Annotated[bool, Advanced()] = True,
    level: Annotated[
        float | Literal["auto"],
        Range(1e-30),
        Unit("counts"),
        Advanced(),
        Auto(typical_level, needs_blur=never),
    ] = "auto",
) -> Iterator[Tensor]:
    r"""Slow and plain; FISTA comes to the same result in a tenth of the steps.

    .. math:: x \leftarrow P_+ \, W^T \, T_{\lambda m / |H|^2}
        \left( W \left( x - H^T (H x - y) / |H|^2 \right) \right)

    with the soft threshold T of all wavelet coefficients but the approximation: it approaches the
    minimum of :math:`|Hx - y|^2 / 2m + \lambda |Wx|_1`. Positivity is applied after the threshold,
    which is exact as long as it changes little; see ``docs/theory/wavelets.md``.

    Parameters
    ----------
    data
        Image y.
    blur
        Forward model H.
    iterations
        How many steps to take: more steps come closer to the result, and do not add noise.
    strength
        Weight of the wavelets against the image: larger is smoother, smaller keeps more noise.
        Automatic tries some on a region and takes the one with the least expected error.
    wavelet
        What objects are thought to be made of: steps (haar), smooth waves (spline), or waves that
        are short for their smoothness (db, sym, coif; a higher number is smoother and wider).
    cycle_spinning
        Move the wavelets' grid from step to step and average over the last ones: no blocks and
        ripples where the grid happened to lie.
    scales
        How many sizes of wavelets, each twice the one before; fewer where the image is small.
        What is coarser is left as it is.
    positive
        Keep negative values out of the result.
    level
        Typical intensity of the image, which makes the strength independent of its unit;
        automatic takes the mean.
    """
    step = Shrinkage(
        data,
        blur,
        float(strength) * float(level),
        wavelet=wavelet,
        scales=scales,
        spin=cycle_spinning,
    )
    estimate = blur.extend(data)
    if positive:
        estimate.clamp_(min=0)
    mean = estimate.clone() if cycle_spinning else None
    for number in range(iterations):
        share = 1 / min(number + 1, GRIDS)
        move(step(estimate), estimate, positive=positive, mean=mean, share=share)
        yield estimate if mean is None else mean
