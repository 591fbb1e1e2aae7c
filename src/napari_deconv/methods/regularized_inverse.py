"""The regularised inverse filter: smooth in the sense of the Laplacian."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_deconv.operators.spectra import (
    cross_validated_weight,
    regularised_inverse,
    squared_frequency,
)
from napari_deconv.registry import Auto, Range, method

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


def _choose(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> float:
    del parameters
    return cross_validated_weight(data, blur, squared_frequency(blur).square_())


@method(
    "regularized-inverse",
    title="Regularised inverse filter (RIF)",
    group="fast",
    cites=["Sage et al. 2017, doi:10.1016/j.ymeth.2016.12.015"],
    halo=1.5,
    arrays=lambda _: (1.6, 0.0),
)
def regularized_inverse(
    data: Tensor,
    blur: Convolution,
    *,
    smoothness: Annotated[
        float | Literal["auto"], Range(1e-12, 1e3, logarithmic=True), Auto(_choose)
    ] = "auto",
) -> Tensor:
    r"""One step, linear and fast; smoother in empty regions than the Wiener filter.

    .. math:: \hat x = \frac{\bar H}{|H|^2 + \lambda |\omega|^4} \, \hat y

    the minimiser of :math:`|Hx - y|^2 + \lambda |\Delta x|^2`, with the frequency :math:`\omega`
    in physical units, so that the weight means the same whatever the depth of a voxel.

    Parameters
    ----------
    data
        Image y.
    blur
        Convolution H.
    smoothness
        Weight of the squared Laplacian against the misfit: larger is smoother. Automatic finds it
        by generalised cross-validation.
    """
    penalty = squared_frequency(blur).square_()
    return regularised_inverse(data, blur, penalty, float(smoothness))
