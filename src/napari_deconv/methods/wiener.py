"""The Wiener filter, with one ratio of noise to signal or one for each frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_deconv.methods._least_error import least_error, ratios
from napari_deconv.methods._shells import HALO, on_grid
from napari_deconv.operators.slabs import total
from napari_deconv.operators.spectra import penalty_power, regularised_inverse
from napari_deconv.registry import Advanced, Auto, Range, Unit, method, never

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


# Ratio beyond which nothing is left of a frequency, in float32 or in any other number.
_MOST = 1e12


def _spectrum(data: None, blur: None, parameters: Mapping[str, Any]) -> str:
    """Return "constant" for a ratio that somebody gives, as in a textbook."""
    del data, blur
    return "radial" if parameters["noise_to_signal"] == "auto" else "constant"


def _ratio(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> float:
    if parameters["spectrum"] == "radial":
        return 1.0
    return least_error(data, blur, "identity", 1e-12, 1e3, float(parameters["psf_error"]))


def _profile(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> tuple[float, ...]:
    if parameters["spectrum"] != "radial":
        return (1.0,)
    found = ratios(data, blur, float(parameters["psf_error"]))
    # An image in which there is nothing has no power to divide by.
    return tuple(min(float(ratio), _MOST) for ratio in found)


def _is_radial(parameters: Mapping[str, Any]) -> bool:
    return bool(parameters["spectrum"] == "radial")


def _level(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> float:
    del blur, parameters
    return total(data) / data.numel()


@method(
    "wiener",
    title="Wiener filter",
    group="fast",
    cites=["Wiener 1949"],
    halo=HALO,
    arrays=lambda _: (1.5, 0.0),
)
def wiener(
    data: Tensor,
    blur: Convolution,
    *,
    spectrum: Annotated[
        Literal["auto", "radial", "constant"], Auto(_spectrum, needs_data=False)
    ] = "auto",
    noise_to_signal: Annotated[
        float | Literal["auto"], Range(1e-12, 1e3, logarithmic=True), Auto(_ratio)
    ] = "auto",
    profile: Annotated[
        tuple[float, ...] | Literal["auto"],
        Range(0),
        Auto(_profile, needs_blur=_is_radial),
        Advanced(),
    ] = "auto",
    level: Annotated[
        float | Literal["auto"], Unit("counts"), Auto(_level, needs_blur=never), Advanced()
    ] = "auto",
) -> Tensor:
    r"""For a quick, linear first look: start here before anything that takes steps.

    .. math:: \hat x = \frac{\bar H}{|H|^2 + S_n/S_x} \, \hat y

    Parameters
    ----------
    data
        Image y.
    blur
        Convolution H, by its spectrum; the image is continued smoothly beyond its borders.
    spectrum
        Measure the ratio at each frequency on the image, averaged over directions, or take one
        ratio for all. A measured one keeps the mean and coarse structures as bright as they are.
        Automatic measures, unless a ratio is given.
    noise_to_signal
        Power of the noise over that of the object, :math:`S_n/S_x`, or, where that is measured at
        each frequency, a factor on it: larger is smoother. Automatic takes what is measured, or
        the one ratio for all frequencies that makes the expected error least.
    profile
        The ratio of a radial spectrum at the highest frequency and at every eighth of an octave
        below it. Automatic measures it: the object's power from what the image has beyond noise,
        and in the noise, beside the camera's, what the borders hide.
    level
        Intensity about which the object varies, where the spectrum is radial; automatic takes the
        image's mean, which the result then has as well.
    """
    if spectrum == "radial":
        ratio = on_grid([float(each) for each in profile], blur)
        found = regularised_inverse(data, blur, ratio, float(noise_to_signal))
        lost = float(noise_to_signal) * float(ratio[(0,) * ratio.ndim])
        return found.add_(float(level) * lost / (1 + lost))
    one = penalty_power(blur, "identity")
    return regularised_inverse(data, blur, one, float(noise_to_signal))
