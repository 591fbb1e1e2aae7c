"""Which method suits an image, by the photons it is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.errors import InputError
from napari_deconv.registry import methods

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_deconv.registry import Method

# Photons in the bright places below which noise, rather than the PSF, limits what is seen.
FEW_PHOTONS = 1000
# Share of the voxels that are not "the bright places".
_BRIGHT = 0.999


@dataclass(frozen=True)
class Recommendation:
    """A method for an image.

    Attributes
    ----------
    method
        Its id.
    options
        What to set, beside what is its default.
    words
        Why, in one line.
    """

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    words: str = ""


def bright_photons(sample: NDArray[Any]) -> float | None:
    """Return how many photons a voxel has in the bright places; None for too small an image.

    Parameters
    ----------
    sample
        Intensities, axes ``..., Y, X``.
    """
    from napari_deconv.assessment.noise import estimate_noise

    try:
        noise = estimate_noise(sample)
    except InputError:
        return None
    light = float(np.quantile(sample, _BRIGHT)) - noise.offset
    # Read noise counts as that many more photons, which show nothing.
    return max(light, 0.0) / (noise.gain + noise.read_noise**2 / max(light, noise.gain))


def recommend(photons: float | None) -> Recommendation:
    """Return the method for an image with so many photons in its bright places."""
    known = methods()
    if photons is not None and photons < FEW_PHOTONS and "variational" in known:
        title = known["variational"].title.split(" (")[0]
        return Recommendation(
            "variational",
            _with_hessian_prior(known["variational"]),
            f"Few photons (about {_rounded(photons)} in bright places): {title} with its Hessian "
            "prior tells structure from noise best.",
        )
    title = known["richardson-lucy"].title
    if photons is None or photons < FEW_PHOTONS:
        return Recommendation("richardson-lucy", {}, f"{title} is made for images of photons.")
    return Recommendation(
        "richardson-lucy",
        {},
        f"Many photons (about {_rounded(photons)}): {title} suits this image.",
    )


def _with_hessian_prior(entry: Method) -> dict[str, Any]:
    """Return the options for a prior on second derivatives, and for no negative light."""
    options: dict[str, Any] = {}
    for name, parameter in entry.parameters.items():
        hessian = [choice for choice in parameter.choices if choice.startswith("hessian")]
        if hessian:
            options[name] = hessian[0]
        if parameter.kind is bool and name.startswith("positiv"):
            options[name] = True
    return options


def _rounded(photons: float) -> str:
    if photons < 10:
        return f"{photons:.0f}"
    digits = len(str(int(photons))) - 2
    return str(int(round(photons, -digits)))
