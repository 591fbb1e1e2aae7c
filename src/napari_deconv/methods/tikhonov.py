"""The Tikhonov-regularised inverse filter: no more energy than the image asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_deconv.methods._least_error import least_error
from napari_deconv.methods._shells import HALO
from napari_deconv.operators.spectra import penalty_power, regularised_inverse
from napari_deconv.registry import Auto, Range, method

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


def _choose(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> float:
    return least_error(data, blur, "identity", 1e-12, 1e3, float(parameters["psf_error"]))


@method(
    "tikhonov",
    title="Tikhonov inverse filter (TRIF)",
    group="fast",
    cites=[
        "Tikhonov 1963",
        "Sage et al. 2017, doi:10.1016/j.ymeth.2016.12.015",
    ],
    halo=HALO,
    arrays=lambda _: (1.0, 0.0),
)
def tikhonov(
    data: Tensor,
    blur: Convolution,
    *,
    strength: Annotated[
        float | Literal["auto"], Range(1e-12, 1e3, logarithmic=True), Auto(_choose)
    ] = "auto",
) -> Tensor:
    r"""For a quick, linear look at a stack; ignores what the microscope hardly transmits.

    .. math:: \hat x = \frac{\bar H}{|H|^2 + \lambda} \, \hat y

    the minimiser of :math:`|Hx - y|^2 + \lambda |x|^2`. The mean is lowered, too: by the factor
    :math:`1 / (1 + \lambda)`.

    Parameters
    ----------
    data
        Image y.
    blur
        Convolution H.
    strength
        Weight of the object's own squares against the misfit: larger is smoother and darker.
        Automatic takes the weight that makes the expected error least, with powers of noise and
        object measured on the image.
    """
    return regularised_inverse(data, blur, penalty_power(blur, "identity"), float(strength))
