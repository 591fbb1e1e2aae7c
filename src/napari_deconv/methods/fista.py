"""Fast iterative shrinkage and thresholding (FISTA): few wavelets explain the image."""

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
    return 7.0 if parameters["cycle_spinning"] else 6.0, 0.0


@method(
    "fista",
    title="FISTA (wavelets)",
    group="sparse",
    converges=True,
    cites=[
        "Beck and Teboulle 2009, doi:10.1137/080716542",
        "Attouch, Chbani and Riahi 2019, doi:10.1051/cocv/2017083",
        "O'Donoghue and Candes 2015, doi:10.1007/s10208-013-9150-3",
        "Liang et al. 2018, arXiv:1811.01430",
        "Coifman and Donoho 1995, doi:10.1007/978-1-4612-2544-7_9",
    ],
    arrays=_arrays,
    halo=2.0,
    # The coarsest wavelets' grid, of four scales: tiles have to meet it where the whole does.
    grid=16,
)
def fista(
    data: Tensor,
    blur: Convolution,
    *,
    iterations: Annotated[int, Range(1, 10000)] = 100,
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
    r"""For images of lines, edges and texture: removes blur, and what no few wavelets explain.

    .. math::
        x_{k+1} &= P_+ \, W^T \, T_{\lambda m / |H|^2}
        \left( W \left( s_k - H^T (H s_k - y) / |H|^2 \right) \right) \\
        s_{k+1} &= x_{k+1} + a_k (x_{k+1} - x_k)

    ISTA's step from a point s that runs ahead (Beck and Teboulle 2009). Where the wavelets' grid
    moves, :math:`a_k = k / (k + 2)` (Attouch, Chbani and Riahi 2019), the same for any part of an
    image. Where it stays, :math:`a_k = 1` (the greedy FISTA of Liang, Luo and Schönlieb 2018), and
    s goes back to x when :math:`\langle s_k - x_{k+1}, x_{k+1} - x_k \rangle > 0`, which tells
    that it went too far (the gradient scheme of O'Donoghue and Candes 2015).

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
    point = estimate.clone()
    mean = estimate.clone() if cycle_spinning else None
    for number in range(iterations):
        too_far = move(
            step(point),
            estimate,
            positive=positive,
            mean=mean,
            share=1 / min(number + 1, GRIDS),
            point=point,
            ahead=number / (number + 2) if cycle_spinning else 1.0,
        )
        if too_far > 0 and not cycle_spinning:
            point.copy_(estimate)
        yield estimate if mean is None else mean
