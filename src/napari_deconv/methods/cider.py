"""CiDeR: a network fitted to one image, with classic deconvolution inside."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_deconv.methods import _cider_costs
from napari_deconv.methods._cider_fast import fast
from napari_deconv.methods._cider_paper import paper
from napari_deconv.methods._cider_task import Task
from napari_deconv.methods._level import typical_level
from napari_deconv.registry import Advanced, Auto, Range, Search, Unit, method, never

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution

_STEPS = {"paper": 3000, "trained": 25, "scratch": 240}
# The Hessian's weight a pixel, which the paper does not print: that of its authors' demonstration.
_PAPER_STRENGTH = 0.06
# Weakest strength that is searched for: where an image is so clean that photons would want less, it
# is the PSF that is not exact.
LEAST = 1e-3


def _features(data: None, blur: None, parameters: Mapping[str, Any]) -> str:
    del data, blur
    return "estimates" if parameters["preset"] == "fast" else "filter-bank"


def _strength(data: None, blur: None, parameters: Mapping[str, Any]) -> float | str:
    del data, blur
    return "auto" if parameters["preset"] == "fast" else _PAPER_STRENGTH


def _schedule(parameters: Mapping[str, Any]) -> int:
    if parameters["preset"] == "paper":
        return _STEPS["paper"]
    # Where the network comes trained, a few steps adapt it.
    scratch = parameters["weights"] == "none" or parameters["features"] not in ("auto", "estimates")
    return _STEPS["scratch" if scratch else "trained"]


@method(
    "cider",
    title="CiDeR",
    group="learned",
    cites=[
        "Chobola et al. 2023, doi:10.1109/ICCVW60793.2023.00406",
        "Ulyanov et al. 2018, doi:10.1109/CVPR.2018.00984",
    ],
    halo=2.0,
    arrays=lambda _: (0.0, 2.0),
    floats=_cider_costs.floats,
    seconds=_cider_costs.seconds,
    schedule=_schedule,
)
def cider(
    data: Tensor,
    blur: Convolution,
    *,
    iterations: Annotated[int, Range(1, 10000)] = 25,
    preset: Literal["fast", "paper"] = "fast",
    prior: Literal["hessian", "tv"] = "hessian",
    strength: Annotated[
        float | Literal["auto"],
        Range(1e-8, 1e2, logarithmic=True),
        Auto(_strength, needs_data=False),
        Search(LEAST, 1.0, method="variational"),
    ] = "auto",
    features: Annotated[
        Literal["auto", "estimates", "filter-bank", "extractor"],
        Auto(_features, needs_data=False),
        Advanced(),
    ] = "auto",
    weights: Annotated[str, Advanced()] = "pretrained",
    seeds: Annotated[int, Range(1, 8), Advanced()] = 1,
    guard: Annotated[bool, Advanced()] = True,
    sparsity: Annotated[float, Range(0, 100), Advanced()] = 0.0,
    level: Annotated[
        float | Literal["auto"],
        Range(1e-30),
        Unit("counts"),
        Advanced(),
        Auto(typical_level, needs_blur=never),
    ] = "auto",
    background: Annotated[float, Range(0), Advanced()] = 0.0,
    read_noise: Annotated[float, Range(0), Unit("counts"), Advanced()] = 0.0,
    gain: Annotated[float, Range(1e-30), Unit("counts per photon"), Advanced()] = 1.0,
    seed: Annotated[int, Range(0, 2**32 - 1), Advanced()] = 0,
) -> Iterator[Any]:
    r"""For noisy images that may take a minute: a network improves on the classic image, guarded.

    .. math:: \min_\theta \; D(H G_\theta(F), y) + \lambda R(G_\theta(F)) + \beta |G_\theta(F)|_1

    A generator G makes the object of deconvolved features F and is fitted to this one image. The
    fast preset begins with the classic image (``variational``) and a network that was trained to
    improve on such images, adapts it to this one, and keeps of it what photons that were set aside
    confirm. The paper preset is Chobola et al.'s scheme as printed: a random network of 322,913
    parameters, 3000 steps of NAdam on 1 - SSIM with the Hessian's l1 norm.

    Parameters
    ----------
    data
        Image y.
    blur
        Forward model H.
    iterations
        Steps of fitting the network; automatic takes the preset's own plan.
    preset
        The engineered scheme (fast), or the publication's (paper), for planes only.
    prior
        What the classic image is expected to be like, and with it the network's: of few bends
        (hessian) or of few edges (tv).
    strength
        Weight of the prior: larger is smoother, smaller keeps more noise. In the paper preset it
        is its lambda, per pixel.
    features
        What the network is given: classic estimates side by side (estimates), filtered images that
        are deconvolved one by one (filter-bank), or those of a trained feature extractor.
    weights
        Trained weights: "pretrained" takes ours, "none" begins with a random network; else a name
        or a safetensors file, of the refiner or, with its features, of the extractor.
    seeds
        Networks that are fitted, each with random numbers and photons of its own; the result is
        their mean.
    guard
        Keep no more of the network's image than predicts photons that it has not seen better than
        the classic image does.
    sparsity
        Weight beta of the l1 norm, for images that are dark but for few spots.
    level
        Typical intensity of the image, which makes the strength independent of its unit;
        automatic takes the mean above the background.
    background
        Intensity b that is added to the image everywhere, such as a camera's offset and haze.
    read_noise
        Standard deviation of the camera's read noise, in counts of the image.
    gain
        Counts of the image for each photon.
    seed
        Start of the random numbers.
    """
    import torch

    variance = read_noise**2 / gain
    data = (data + variance).clamp_(min=0)
    floor = torch.as_tensor(background, dtype=data.dtype, device=data.device) + variance
    noise = math.sqrt(gain * max(float(data.mean()), 0.0))
    task = Task(
        data,
        blur,
        floor,
        float(level),
        float(gain),
        noise,
        float(strength),
        prior,
        sparsity,
        iterations,
    )
    if preset == "paper":
        yield from paper(task, features, weights, seed)
    else:
        yield from fast(task, features, weights, seeds, guard, seed)
