"""The naive inverse filter: what happens to noise when a blur is simply divided out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from napari_deconv.operators.slabs import slabs
from napari_deconv.registry import Range, method

if TYPE_CHECKING:
    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


@method(
    "naive-inverse",
    title="Naive inverse filter",
    group="fast",
    cites=["Sage et al. 2017, doi:10.1016/j.ymeth.2016.12.015"],
    halo=1.5,
    arrays=lambda _: (1.0, 0.0),
    warning="The naive inverse filter is a teaching example: it amplifies noise without bound. "
    "Take another method for results.",
)
def naive_inverse(
    data: Tensor,
    blur: Convolution,
    *,
    threshold: Annotated[float, Range(1e-8, 1e2, logarithmic=True)] = 1e-3,
) -> Tensor:
    r"""Teaching example: dividing the blur out, and what that does to noise.

    .. math:: \hat x = \frac{\bar H}{\max(|H|^2, \epsilon^2)} \, \hat y

    Parameters
    ----------
    data
        Image y.
    blur
        Convolution H, by its spectrum; the image is continued smoothly beyond its borders.
    threshold
        Least transfer :math:`\epsilon` that is divided by: what the microscope transmits less of
        is amplified by at most its inverse. A lower one brings more detail and much more noise.
    """
    spectrum = blur.spectrum(data)
    for s, h in slabs(spectrum, blur.otf):
        s *= h.conj() / (h.real.square() + h.imag.square()).clamp_(min=threshold**2)
    return blur.from_spectrum(spectrum)
