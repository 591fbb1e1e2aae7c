"""What classic methods make of one image, side by side: the input of a network that improves on it.

Each channel is an estimate in units of the image's typical intensity, so that a network sees the
same numbers whatever the camera's unit; the last one is the noise in the same units.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from napari_deconv.operators.priors import make_prior
from napari_deconv.operators.splitting import Misfit, minimise

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution
    from napari_deconv.operators.priors import PriorName

# Richardson-Lucy steps after which an estimate is kept.
LUCY = (4, 16)
# Fewest and most steps of the convex problems, and how near their solution is near enough.
_FEWEST, _MOST, _NEAR = 60, 200, 3e-4
# Total variation wants this many times the strength that the Hessian's norm does; found on
# photographs and on actin of 100 photons alike.
TV_TO_HESSIAN = 1.5
# A weaker prior keeps the detail, and the noise, that the full one takes away.
WEAKER = 5.0
CHANNELS = 7


def classics(
    data: Tensor,
    blur: Convolution,
    floor: Tensor,
    *,
    level: float,
    strength: float,
    noise: float,
) -> Generator[None, None, Tensor]:
    """Make seven estimates of an image; yields after each step of them.

    Parameters
    ----------
    data
        Image y.
    blur
        Forward model H.
    floor
        Intensity that is added to H x.
    level
        Typical intensity of the image above that.
    strength
        Weight of the Hessian prior, as of the method ``variational``; the others follow from it.
    noise
        Standard deviation of the image's noise, in counts.

    Returns
    -------
    Tensor
        ``(7, *object_shape)`` in units of ``level``: the image extended, Hessian, Hessian with a
        fifth of the strength, total variation, Richardson-Lucy after 4 and 16 steps, the noise.
    """
    import torch

    channels = [blur.extend(data - floor)]
    convex: tuple[tuple[PriorName, float], ...] = (
        ("hessian", strength),
        ("hessian", strength / WEAKER),
        ("tv", strength * TV_TO_HESSIAN),
    )
    for prior, weight in convex:
        problem = Misfit(data, floor, "gaussian", level)
        solver = islice(
            minimise(problem, blur, make_prior(prior, blur), weight, positive=True), _MOST
        )
        for step, (estimate, residual) in enumerate(solver, 1):  # noqa: B007
            yield
            if step >= _FEWEST and residual < _NEAR:
                break
        channels.append(estimate.clone())
    for steps, estimate in enumerate(lucy(data, blur, floor), 1):
        yield
        if steps in LUCY:
            channels.append(estimate.clone())
        if steps == max(LUCY):
            break
    channels.append(torch.full_like(channels[0], noise))
    return torch.stack(channels).div_(level)


def after(
    steps: int, data: Tensor, blur: Convolution, floor: Tensor
) -> Generator[None, None, Tensor]:
    """Return the Richardson-Lucy estimate after so many steps; yields after each."""
    estimates = lucy(data, blur, floor)
    estimate = next(estimates)
    for _ in range(steps - 1):
        yield
        estimate = next(estimates)
    return estimate


def lucy(data: Tensor, blur: Convolution, floor: Tensor) -> Iterator[Tensor]:
    """Yield plain Richardson-Lucy estimates from a flat start, in one tensor."""
    import torch

    light = float((data - floor).clamp(min=0).mean())
    darkest = 1e-6 * max(float(data.abs().max()), 1e-30)
    x = torch.full(blur.object_shape, max(light, darkest), dtype=data.dtype, device=data.device)
    positive = data.clamp(min=0)
    while True:
        model = blur(x, borrow=True).add_(floor).clamp_(min=darkest)
        ratio = torch.div(positive, model, out=model)
        x.mul_(blur.adjoint(ratio, borrow=True).clamp_(min=0)).div_(blur.sensitivity)
        yield x
