"""The Wiener filter with one ratio of noise to signal for all frequencies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_deconv.operators.spectra import cross_validated_weight, regularised_inverse
from napari_deconv.registry import Auto, Range, method

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


def _choose(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> float:
    import torch

    del parameters
    return cross_validated_weight(data, blur, torch.ones((), dtype=data.dtype, device=data.device))


@method(
    "wiener",
    title="Wiener filter",
    group="fast",
    cites=["Wiener 1949", "Golub et al. 1979, doi:10.1080/00401706.1979.10489751"],
    halo=1.5,
    arrays=lambda _: (1.0, 0.0),
)
def wiener(
    data: Tensor,
    blur: Convolution,
    *,
    noise_to_signal: Annotated[
        float | Literal["auto"], Range(1e-12, 1e3, logarithmic=True), Auto(_choose)
    ] = "auto",
) -> Tensor:
    r"""One step, linear and fast; keeps intensities, may ring around bright spots.

    .. math:: \hat x = \frac{\bar H}{|H|^2 + S_n/S_x} \, \hat y

    Parameters
    ----------
    data
        Image y.
    blur
        Convolution H.
    noise_to_signal
        Power of the noise over that of the object, :math:`S_n/S_x`: larger is smoother. Automatic
        finds it by generalised cross-validation.
    """
    import torch

    one = torch.ones((), dtype=data.dtype, device=data.device)
    return regularised_inverse(data, blur, one, float(noise_to_signal))
