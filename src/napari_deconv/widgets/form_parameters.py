"""Which parameters of a method the Deconvolution dock shows, and which of them at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_deconv.engine.options import OF_ITERATIONS, Options
from napari_deconv.engine.settings import main_strength
from napari_deconv.registry import Parameter, parameters_of

if TYPE_CHECKING:
    from napari_deconv.registry import Method

# Told by the layers, by the preferences, or by a field of its own.
_ELSEWHERE = ("spacing", "psf_spacing", "background", "device", "threads")
# What the engine fills in, whatever the method calls it.
_FILLED_IN = ("background", "gain", "read_noise", "seed", "iterations")
# Shown at once of a method's own parameters, beside its strength.
AT_ONCE = 2
# The camera's, which stand together.
NOISE = ("gain", "offset", "read_noise")


def form_parameters(method: Method, at_once: int = AT_ONCE) -> dict[str, Parameter]:
    """Return what the form of a method shows: first what decides the picture, then "More".

    At once: the iterations, the strength, and so many others of the method's own that its signature
    does not call advanced. Under "More": the rest of its own, the engine's, the camera's noise.
    """
    common = {k: v for k, v in parameters_of(Options).items() if k not in _ELSEWHERE}
    if not method.iterative:
        common = {k: v for k, v in common.items() if k not in OF_ITERATIONS}
    own = {k: v for k, v in method.parameters.items() if k not in common and k not in _FILLED_IN}
    strength = main_strength(method)
    plain = [k for k, v in own.items() if not v.advanced and v is not strength][:at_once]
    first = {k: v for k, v in common.items() if k == "iterations"}
    if strength is not None:
        first[strength.name] = strength
    first |= {k: own[k] for k in plain}
    rest = {k: v for k, v in (own | common).items() if k not in first and k not in NOISE}
    noise = {k: common[k] for k in NOISE}
    return first | {k: replace(v, advanced=True) for k, v in (rest | noise).items()}
