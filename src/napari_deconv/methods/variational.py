"""Variational restoration: the object that explains the image and looks like objects do."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_deconv.methods._level import typical_level
from napari_deconv.operators.priors import make_prior
from napari_deconv.operators.splitting import Misfit, minimise
from napari_deconv.registry import Advanced, Auto, Range, Search, Unit, method, never

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


def _arrays(parameters: Mapping[str, Any]) -> tuple[float, float]:
    components = {"hessian": 6.0, "nuclear-hessian": 6.0, "tv": 3.0, "wavelet": 3.0}
    return components[parameters["prior"]] + 6.5, 2.0


@method(
    "variational",
    title="Variational restoration",
    group="sparse",
    converges=True,
    cites=[
        "Lefkimmiatis et al. 2013, doi:10.1109/TIP.2013.2237919",
        "Rudin et al. 1992, doi:10.1016/0167-2789(92)90242-F",
        "Figueiredo and Bioucas-Dias 2010, doi:10.1109/TIP.2010.2053941",
        "Almeida and Figueiredo 2013, doi:10.1109/TIP.2013.2258354",
    ],
    arrays=_arrays,
)
def variational(
    data: Tensor,
    blur: Convolution,
    *,
    iterations: Annotated[int, Range(1, 10000)] = 100,
    strength: Annotated[
        float | Literal["auto"], Range(1e-8, 1e2, logarithmic=True), Search(1e-4, 1.0)
    ] = "auto",
    prior: Literal["hessian", "nuclear-hessian", "tv", "wavelet"] = "hessian",
    misfit: Annotated[Literal["gaussian", "poisson", "poisson-gaussian"], Advanced()] = "gaussian",
    positive: Annotated[bool, Advanced()] = True,
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
) -> Iterator[tuple[Tensor, float]]:
    r"""For few photons: removes blur and noise together, without a stop to be found.

    .. math:: \hat x = \arg\min_{x \ge 0} D(Hx + b, y) + \lambda \, \varphi(Lx)

    One convex problem with one solution, found by the alternating direction method of multipliers;
    each step also tells how far it still is from it.

    Parameters
    ----------
    data
        Image y.
    blur
        Forward model H.
    iterations
        How many steps to take: more steps come closer to the solution, and do not add noise.
    strength
        Weight of the prior against the image: larger is smoother, smaller keeps more noise.
        Automatic tries some on a region and takes the one with the least expected error.
    prior
        What objects look like: of few bends, so that slopes and fine lines survive (hessian), and
        in each place bent along few directions, as a line or a sheet is (nuclear-hessian);
        of few edges, flat between them (tv); of few wavelets (wavelet).
    misfit
        How the image may differ from the model: by as much everywhere (gaussian), as photons do
        (poisson), or with the camera's read noise added to that (poisson-gaussian). With photons,
        faint structures are smoothed less and bright ones more, and it takes more steps.
    positive
        Keep negative values out of the result.
    level
        Typical intensity of the image, which makes the strength independent of its unit;
        automatic takes the mean above the background.
    background
        Intensity b that is added to the image everywhere, such as a camera's offset and haze.
    read_noise
        Standard deviation of the camera's read noise, in counts of the image.
    gain
        Counts of the image for each photon; matters only together with read noise.
    """
    import torch

    variance = read_noise**2 / gain if misfit == "poisson-gaussian" else 0.0
    if misfit != "gaussian":
        data = (data + variance).clamp_(min=0)
    floor = torch.as_tensor(background, dtype=data.dtype, device=data.device) + variance
    kind: Literal["gaussian", "poisson"] = "gaussian" if misfit == "gaussian" else "poisson"
    term = Misfit(data, floor, kind, float(level))
    steps = minimise(term, blur, make_prior(prior, blur), float(strength), positive=positive)
    yield from islice(steps, iterations)
