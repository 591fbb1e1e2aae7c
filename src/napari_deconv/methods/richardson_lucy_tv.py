"""Richardson-Lucy held back by total variation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from napari_deconv.methods.richardson_lucy import Likelihood, first_estimate
from napari_deconv.operators import fused
from napari_deconv.operators.gradients import gradient, gradient_adjoint, weights, wraps
from napari_deconv.operators.slabs import slabs
from napari_deconv.registry import Advanced, Range, Search, Unit, method

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution

# Of the update of Dey et al., against the sensitivity: no voxel gets more than ten times brighter.
_LEAST_DIVISOR = 0.1
# Slopes below this share of the typical intensity count little: an edge is more than that.
_LEAST_SLOPE = 0.05
# Elements of a slab: its slopes and all that is made of them stay in the processor's cache.
_SLAB = 1 << 17


@method(
    "richardson-lucy-tv",
    title="Richardson-Lucy with total variation",
    group="statistical",
    converges=True,
    cites=[
        "Dey et al. 2006, doi:10.1002/jemt.20294",
        "Lanteri et al. 2002, doi:10.1088/0266-5611/18/5/313",
    ],
    arrays=lambda _: (3.0, 0.0),
)
def richardson_lucy_tv(
    data: Tensor,
    blur: Convolution,
    *,
    iterations: Annotated[int, Range(1, 10000)] = 50,
    strength: Annotated[
        float | Literal["auto"], Range(1e-8, 1e2, logarithmic=True), Search(1e-3, 1.0)
    ] = "auto",
    update: Annotated[Literal["stable", "dey"], Advanced()] = "stable",
    background: Annotated[float, Range(0), Advanced()] = 0.0,
    read_noise: Annotated[float, Range(0), Unit("counts"), Advanced()] = 0.0,
    gain: Annotated[float, Range(1e-30), Unit("counts per photon"), Advanced()] = 1.0,
) -> Iterator[Tensor]:
    r"""For objects of even patches with sharp edges, seen with few photons.

    .. math::
        x \leftarrow \frac{x}{H^T 1 - \lambda \, \mathrm{div} \frac{\nabla x}{|\nabla x|}} \;
        H^T \frac{y + \sigma^2/g}{H x + b + \sigma^2/g}

    (Dey et al. 2006, with the sensitivity, background and read noise of Richardson-Lucy), where
    divergence is minus the adjoint of the gradient and slopes are physical: a voxel's depth counts.
    As it stands, this overshoots where the image is nearly even, and its divisor vanishes at large
    strengths. The prior's pull on a voxel, however, is the difference of two positive parts, what
    the voxel has and what its neighbours have. With the one in the divisor and the other beside
    the ratio (Lanteri et al. 2002), the same estimates stand still, and every step is stable.

    Parameters
    ----------
    data
        Image y.
    blur
        Forward model H.
    iterations
        How many steps to take: more steps bring more detail, up to a result that stays, and noise
        only where the strength is too small to hold it back.
    strength
        Weight of the total variation: larger makes even patches with sharp edges of noise and of
        fine texture alike, smaller keeps both. Automatic tries some on a region and takes the one
        with the least expected error.
    update
        The stable form, or the formula of Dey et al. with its divisor kept above a tenth of the
        sensitivity, which wants strengths below 0.01 and a small number of steps by hand.
    background
        Intensity b that is added to the image everywhere, such as a camera's offset and haze.
    read_noise
        Standard deviation of the camera's read noise, in counts of the image.
    gain
        Counts of the image for each photon; matters only together with read noise.
    """
    import torch

    variance = read_noise**2 / gain
    if variance:
        data = (data + variance).clamp_(min=0)
    floor = torch.as_tensor(background, dtype=data.dtype, device=data.device) + variance
    model = Likelihood(data, blur, floor)
    estimate = first_estimate(data, blur, floor, "flat")
    weight, least_slope = float(strength), _LEAST_SLOPE * float(estimate.mean())
    scale, periodic = weights(blur.spacing), wraps(blur)
    least_divisor = _LEAST_DIVISOR if update == "dey" else 0.0
    compiled = fused.usable(estimate, periodic)
    if compiled:
        from napari_deconv.operators import fused_variation

        spare, scratch = torch.empty_like(estimate), torch.empty_like(estimate)
    for _ in range(iterations):
        correction = model.correction(model.ratio(estimate))
        if compiled:
            fused_variation.step(
                estimate,
                correction,
                blur.sensitivity,
                scale,
                strength=weight,
                least_slope=least_slope,
                least_divisor=least_divisor,
                out=spare,
                scratch=scratch,
            )
            estimate, spare = spare, estimate
            yield estimate
            continue
        pull, own = variation(estimate, scale, periodic, least_slope)
        for x, c, p, a, s in slabs(estimate, correction, pull, own, blur.sensitivity):
            c.clamp_(min=0)
            if update == "stable":
                a.mul_(x)
                x *= c.add_(torch.sub(a, p, out=p).clamp_(min=0), alpha=weight)
                x /= a.mul_(weight).add_(s)
            else:
                x *= c
                x /= torch.maximum(p.mul_(weight).add_(s), least_divisor * s, out=p)
        yield estimate


def variation(
    x: Tensor, weights: Sequence[float], periodic: bool | Sequence[bool], least_slope: float
) -> tuple[Tensor, Tensor]:
    r"""Return the gradient of the total variation, and the diagonal of the form it comes from.

    Parameters
    ----------
    x
        Estimate.
    weights, periodic
        As for :func:`napari_deconv.operators.gradients.gradient`.
    least_slope
        :math:`\epsilon`: the variation is :math:`\sum \sqrt{|Dx|^2 + \epsilon^2}`.

    Returns
    -------
    pull
        :math:`D^T (Dx / \sqrt{|Dx|^2 + \epsilon^2})`: positive on peaks, negative in pits, zero
        where nothing changes.
    own
        What multiplies a voxel itself in that; its neighbours are the rest.
    """
    import torch

    pull, own = torch.zeros_like(x), torch.zeros_like(x)
    squares = [w * w for w in weights]
    # Slopes in units of the least one, so that no unit of intensity is too small to be squared.
    steep = [w / least_slope for w in weights]
    rows = x.shape[0]
    step = max(1, _SLAB * rows // x.numel()) if x.device.type == "cpu" else rows
    for first in range(0, rows, step):
        part = (first, min(first + step, rows))
        slope = gradient(x, steep, periodic, rows=part)
        # Not by torch's norm, which is slow along the first axis.
        factor = slope[0].square()
        for component in slope[1:]:
            factor.addcmul_(component, component)
        factor.add_(1).rsqrt_()
        slope *= factor
        gradient_adjoint(slope, weights, periodic, rows=part, into=pull)
        factor /= least_slope
        gradient_adjoint(
            factor.expand_as(slope), squares, periodic, rows=part, into=own, absolute=True
        )
    return pull, own
