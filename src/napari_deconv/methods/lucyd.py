"""LUCYD: one pass of a trained network."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_deconv.errors import ParameterError
from napari_deconv.methods._precision import fastest
from napari_deconv.registry import Advanced, Auto, Range, Unit, WeightsOf, method, never

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.networks.lucyd import Lucyd, Parts
    from napari_deconv.networks.lucyd_compiled import CompiledLucyd
    from napari_deconv.operators.convolution import Convolution

# How far the network sees: its halo in voxels, and its grid of half the resolution.
REACH, GRID = 24, 2
DEFAULTS = {3: "mixture", 2: "2d"}
# What it sees of the mirror image beyond a border; more is worth less than a tenth of a dB there.
# It was trained on crops with nothing around them.
_RIM = 4
# The network's unit is the brightest voxel of the image without its noise. Of means over three
# voxels along each axis, which have little of it left, this share is below that.
_BRIGHT = 0.9995
# A spacing within this factor of what the weights know is one that they know.
_TOLERANCE = 1.3
# Float32 maps that are held at once, measured.
_MAPS = 40.0


def darkness(image: NDArray[np.float32]) -> float:
    """Return the intensity without light: that of the darkest regions."""
    from napari_deconv.background import estimate_offset

    return float(estimate_offset(image))


def brightness(image: NDArray[np.float32], level: float) -> float:
    """Return nearly the brightest intensity above a level, of means that noise hardly changes."""
    import numpy as np
    from scipy.ndimage import uniform_filter

    smooth = uniform_filter(image, 3, mode="nearest").ravel()
    rank = min(int(_BRIGHT * smooth.size), smooth.size - 1)
    bright = float(np.partition(smooth, rank)[rank]) - level
    return max(bright, 1e-6 * float(np.abs(image).max()), 1e-30)


def _level(data: Tensor, blur: Convolution | None, parameters: Mapping[str, Any]) -> float:
    del blur, parameters
    return darkness(data.cpu().numpy())


def _scale(data: Tensor, blur: Convolution | None, parameters: Mapping[str, Any]) -> float:
    from napari_deconv.assessment.noise import estimate_noise
    from napari_deconv.networks.weights import load_weights

    level = parameters["level"]
    if level == "auto":
        level = _level(data, blur, parameters)
    image = data.cpu().numpy()
    bright = brightness(image, float(level))
    weights = parameters["weights"]
    if weights == "auto":
        weights = _weights(data, blur, parameters)
    known = load_weights(weights, "lucyd").settings.get("noise")
    if known is None:
        return bright
    # An image that is noisier than what the weights know is made so much darker.
    noise = math.sqrt(estimate_noise(image).variance(float(level)))
    return max(bright, noise / float(known))


def _weights(data: Tensor, blur: Convolution | None, parameters: Mapping[str, Any]) -> str:
    from napari_deconv.networks.shelf import pretrained

    del blur, parameters
    name = DEFAULTS[data.ndim]
    if f"lucyd-{name}" not in pretrained():
        kind = "planes" if data.ndim == 2 else "stacks"
        raise ParameterError(
            f"No weights for {kind} come with this version. Train some: "
            "napari-deconv train lucyd --help tells how; then give their file as weights."
        )
    return name


def _precision(data: Tensor, blur: Convolution | None, parameters: Mapping[str, Any]) -> str:
    from napari_deconv.networks.lucyd_compiled import usable

    return "float32" if usable(data.device, data.ndim) else fastest(data, blur, parameters)


# They look at the image alone: what is mirrored around it is no further evidence.
_Auto = partial(Auto, needs_blur=never)


@method(
    "lucyd",
    title="LUCYD",
    group="learned",
    needs_psf=False,
    cites=[
        "Chobola et al. 2023, doi:10.1007/978-3-031-43993-3_65",
    ],
    halo=0.0,
    margin=REACH,
    rim=_RIM,
    grid=GRID,
    arrays=lambda _: (0.0, _MAPS),
)
def lucyd(
    data: Tensor,
    blur: Convolution,
    *,
    weights: Annotated[str, _Auto(_weights), WeightsOf("lucyd")] = "auto",
    shown: Literal["restored", "mask", "estimate", "update"] = "restored",
    level: Annotated[float | Literal["auto"], Unit("counts"), Advanced(), _Auto(_level)] = "auto",
    scale: Annotated[
        float | Literal["auto"], Range(1e-30), Unit("counts"), Advanced(), _Auto(_scale)
    ] = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"], Advanced(), _Auto(_precision)
    ] = "auto",
) -> Tensor:
    r"""For noisy stacks in a second, without a PSF: a network that was trained on other objects.

    .. math:: x' = (y + M) \cdot \left( \frac{y}{y * f} * b \right)

    One step of Richardson-Lucy with learned parts: a mask M makes of the image y what earlier steps
    would have made of it, and the features f and b stand for the blur and its mirror image. What
    it knows of blur and noise is what it was trained on; see the weights' card. Structures that
    the noise hides are guessed from the training's phantoms: do not count what it shows, measure.

    Parameters
    ----------
    data
        Image y.
    blur
        Tells the voxel size; the network needs no PSF.
    weights
        Weights that come with the package or that you trained in the dock, or the path of a
        safetensors file made by ``napari-deconv train lucyd``. Automatic: ``mixture`` for stacks,
        ``2d`` for planes.
    shown
        What to return: the restored image; the mask M; the estimate y + M before the product; or
        the update term, which each of its voxels is multiplied by.
    level
        Intensity without light, which is taken away before and put back after; automatic takes
        that of the darkest regions.
    scale
        Intensity above the level that counts as bright, which the network sees as one; automatic
        takes nearly the brightest one of local means, or more where the noise would be more than
        the weights tell that they know.
    precision
        Of the network's convolutions: bfloat16 is exact to about a thousandth of the scale.
        Automatic takes it where the device computes in it, but for stacks on a processor, for
        which compiled loops in float32 are faster.
    """
    import torch

    from napari_deconv.networks.lucyd_compiled import CompiledLucyd, usable

    last = {2: torch.channels_last, 3: torch.channels_last_3d}[data.ndim]
    network, settings = _network(weights, data.ndim)
    image = (data - float(level)) / float(scale)
    depth = data.shape[0]
    planes = _planes(depth, blur.spacing, settings, weights)
    if planes != depth:
        image = _resampled(image, planes)
    half = precision == "bfloat16"
    network = network.to(data.device).to(memory_format=last)  # type: ignore[call-overload]
    runs = network if half or not usable(data.device, data.ndim) else CompiledLucyd(network)
    with torch.no_grad(), torch.autocast(data.device.type, torch.bfloat16, enabled=half):
        parts = run(runs, image)
    made = _chosen(parts, shown)[tuple(map(slice, image.shape))].float()
    if planes != depth:
        made = _resampled(made, depth)
    if shown != "update":
        made = made * float(scale)
    if shown in ("restored", "estimate"):
        # No light is less than none; only where the level is below zero may the result be.
        made = made.add_(float(level)).clamp_(min=min(float(level), 0.0))
    return blur.extend(made)


def run(network: Lucyd | CompiledLucyd, image: Tensor) -> Parts:
    """Let a network see an image, which may grow by a voxel at the end of each axis."""
    from torch.nn import functional

    odd = [side for length in reversed(image.shape) for side in (0, length % GRID)]
    return network.parts(functional.pad(image[None, None], odd, mode="replicate"))


def _chosen(parts: Parts, shown: str) -> Tensor:
    part = {"estimate": parts.corrected, "mask": parts.mask, "update": parts.update}
    return part.get(shown, parts.restored)[0, 0]


def _network(weights: str, ndim: int) -> tuple[Lucyd, Mapping[str, Any]]:
    """Return a network that is ready to restore, and what is known of its training."""
    from napari_deconv.errors import FileError
    from napari_deconv.networks.lucyd import Lucyd, folded
    from napari_deconv.networks.weights import load_weights

    loaded = load_weights(weights, "lucyd")
    settings = loaded.settings
    if settings.get("ndim") != ndim:
        found = "planes" if settings.get("ndim") == 2 else "stacks"
        raise ParameterError(f"The weights {weights!r} are for {found}; choose others.")
    network = Lucyd(ndim, settings.get("variant", "repaired"))
    problem = FileError(f"The weights {weights!r} are not those of this network: train them anew.")
    try:
        missing, unknown = network.load_state_dict(loaded.tensors, strict=False)
    except RuntimeError as error:
        raise problem from error
    if unknown or any("num_batches" not in name for name in missing):
        raise problem
    return folded(network), settings


def _planes(depth: int, spacing: Sequence[float], settings: Mapping[str, Any], weights: str) -> int:
    """Return the number of planes with which the voxels are of a shape that the weights know."""
    if len(spacing) < 3 or "ratio" not in settings:
        return depth
    least, most = (float(each) for each in settings["ratio"])
    ratio = spacing[0] / math.sqrt(spacing[1] * spacing[2])
    if least / _TOLERANCE <= ratio <= most * _TOLERANCE:
        return depth
    known = min(max(ratio, least), most)
    planes = round(depth * ratio / known)
    if not 2 <= planes <= 8 * depth:
        raise ParameterError(
            f"Planes are {ratio:.2g} times as far apart as pixels, but the weights {weights!r} "
            f"were trained for {least:g} to {most:g}. Train weights for this voxel size."
        )
    return planes


def _resampled(image: Tensor, planes: int) -> Tensor:
    """Return a stack with another number of planes: interpolated linearly, or averaged."""
    from torch.nn import functional

    columns = image.reshape(1, image.shape[0], -1).transpose(1, 2)
    if planes < image.shape[0]:
        changed = functional.adaptive_avg_pool1d(columns, planes)
    else:
        changed = functional.interpolate(columns, planes, mode="linear")
    return changed.transpose(1, 2).reshape(planes, *image.shape[1:])
