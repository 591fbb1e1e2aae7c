"""Richardson-Lucy: the most likely object behind an image made of photons."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_deconv.operators import fused
from napari_deconv.operators.back_projector import wiener_butterworth
from napari_deconv.operators.slabs import inner, slabs, total
from napari_deconv.registry import SLOW_STEPS, Advanced, Auto, Range, Unit, method

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


def _accelerate(data: None, blur: None, parameters: Mapping[str, Any]) -> str:
    """Thirty steps that somebody asks for mean thirty plain ones, as everywhere."""
    del data, blur
    return "nesterov" if parameters["iterations"] == "auto" else "none"


def _arrays(parameters: Mapping[str, Any]) -> tuple[float, float]:
    if parameters["projector"] == "wiener-butterworth":
        return 4.0, 0.0
    kind = parameters["acceleration"]
    if kind == "auto":
        kind = _accelerate(None, None, parameters)
    return {"none": 1.0, "nesterov": 2.0, "biggs-andrews": 5.0}[kind], 0.0


def _most(parameters: Mapping[str, Any]) -> int:
    plain = parameters["acceleration"] == "none" and parameters["projector"] == "matched"
    return SLOW_STEPS if plain else 100


@method(
    "richardson-lucy",
    title="Richardson-Lucy",
    group="statistical",
    cites=[
        "Richardson 1972, doi:10.1364/JOSA.62.000055",
        "Lucy 1974, doi:10.1086/111605",
        "Biggs and Andrews 1997, doi:10.1364/AO.36.001766",
        "Snyder et al. 1993, doi:10.1364/JOSAA.10.001014",
        "Guo et al. 2020, doi:10.1038/s41587-020-0560-x",
    ],
    most=_most,
    arrays=_arrays,
)
def richardson_lucy(
    data: Tensor,
    blur: Convolution,
    *,
    iterations: Annotated[int, Range(1, 10000)] = 30,
    acceleration: Annotated[
        Literal["auto", "none", "biggs-andrews", "nesterov"],
        Auto(_accelerate, needs_data=False),
        Advanced(),
    ] = "auto",
    start: Annotated[Literal["flat", "data"], Advanced()] = "flat",
    projector: Annotated[Literal["matched", "wiener-butterworth"], Advanced()] = "matched",
    background: Annotated[float, Range(0), Advanced()] = 0.0,
    read_noise: Annotated[float, Range(0), Unit("counts"), Advanced()] = 0.0,
    gain: Annotated[float, Range(1e-30), Unit("counts per photon"), Advanced()] = 1.0,
) -> Iterator[Tensor]:
    r"""For images limited by photons; start here.

    .. math:: x \leftarrow \frac{x}{H^T 1} \; H^T \frac{y + \sigma^2/g}{H x + b + \sigma^2/g}

    Each step raises the Poisson likelihood of the image y, keeps the estimate x free of negative
    values and, without background, its total intensity equal to the image's. Fine detail comes
    with the iterations, and so does noise: when to stop is the one choice to make.

    Parameters
    ----------
    data
        Image y.
    blur
        Forward model H.
    iterations
        How many steps to take: more steps bring more detail, and more noise.
    acceleration
        Reach the same likelihood in a fraction of the steps, by the second-order extrapolation of
        Biggs and Andrews or by Nesterov's momentum; both start afresh whenever the likelihood
        would fall. Detail and noise come sooner alike, so fewer steps are enough: automatic takes
        Nesterov's momentum where the number of steps is found, and none where it is given.
    start
        Begin with a flat estimate or with the image itself. The image reaches sharp detail sooner
        and keeps more of its noise.
    projector
        The exact adjoint, or the Wiener-Butterworth back projector that comes close in a few
        steps but then diverges; it ends by itself where the likelihood begins to fall. For
        previews.
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
    estimate = first_estimate(data, blur, floor, start)
    if projector == "wiener-butterworth":
        steps = _unmatched(model, estimate)
    elif acceleration == "nesterov":
        steps = _nesterov(model, estimate)
    elif acceleration == "biggs-andrews":
        steps = _biggs_andrews(model, estimate)
    else:
        steps = _plain(model, estimate)
    yield from islice(steps, iterations)


def first_estimate(data: Tensor, blur: Convolution, floor: Tensor, start: str) -> Tensor:
    """Return the first estimate; no voxel begins at zero, since nothing would ever lift it."""
    import torch

    if blur.start is not None:
        return blur.start
    light = (total(data) - total(floor.expand_as(data))) / data.numel()
    level = max(light, 1e-3 * float(data.mean()), 1e-30)
    if start == "data":
        return blur.extend(data - floor).clamp_(min=1e-3 * level)
    seen = total(blur.sensitivity.expand(blur.object_shape))
    level *= data.numel() / seen
    return torch.full(blur.object_shape, level, dtype=data.dtype, device=data.device)


class Likelihood:
    """The Poisson likelihood of the data: what a step multiplies with, and how good a point is."""

    def __init__(self, data: Tensor, blur: Convolution, floor: Tensor) -> None:
        import torch

        self.data, self.blur, self.floor = data, blur, floor
        self._darkest = torch.finfo(data.dtype).eps * max(float(data.max()), 1e-30)
        self._has_floor = bool(floor.ndim) or float(floor) != 0
        self.compiled = fused.usable(data, (True,))
        self._uniform = blur.sensitivity.ndim == 0 and float(blur.sensitivity) == 1

    def ratio(self, point: Tensor) -> Tensor:
        """Return y / (H x + b), in the operator's work buffer."""
        model = self.blur(point, borrow=True)
        for y, p, b in slabs(self.data, model, self.floor):
            self._divide(y, p, b)
        return model

    def measured_ratio(self, point: Tensor) -> tuple[Tensor, float]:
        """Return the ratio and the divergence sum(y log(y/p) - y + p) of the point."""
        model = self.blur(point, borrow=True)
        if self.compiled:
            from napari_deconv.operators import fused_photons

            return model, fused_photons.divide(model, self.data, self.floor, self._darkest)
        divergence = 0.0
        for y, p, b in slabs(self.data, model, self.floor):
            divergence += float((p + b).sub_(y).sum())
            self._divide(y, p, b)
            # Where y is zero the logarithm does not count, as long as it is finite.
            divergence += inner(y, p.clamp(min=1e-30).log_())
        return model, divergence

    def _divide(self, y: Tensor, p: Tensor, b: Tensor) -> None:
        import torch

        if self._has_floor:
            p += b
        # Rounding in Fourier space leaves specks below zero in the dark.
        torch.div(y, p.clamp_(min=self._darkest), out=p)

    def correction(self, ratio: Tensor, otf: Tensor | None = None) -> Tensor:
        """Return H^T ratio, in the operator's work buffer."""
        return self.blur.adjoint(ratio, borrow=True, otf=otf)

    def advance(self, point: Tensor, correction: Tensor, sensitivity: Tensor) -> None:
        """Multiply one slab of a point by its correction."""
        point *= correction.clamp_(min=0)
        if not self._uniform:
            point /= sensitivity


# A divergence that is higher by less than this share is not worth to start afresh for.
_ROUNDING = 1 + 1e-6


def _plain(model: Likelihood, estimate: Tensor) -> Iterator[Tensor]:
    while True:
        correction = model.correction(model.ratio(estimate))
        for x, c, s in slabs(estimate, correction, model.blur.sensitivity):
            model.advance(x, c, s)
        yield estimate


def _nesterov(model: Likelihood, estimate: Tensor) -> Iterator[Tensor]:
    """Momentum after Nesterov 1983, with O'Donoghue and Candes' restart on the function value.

    A step from a point never lowers the point's likelihood, so keeping the points' likelihood
    rising keeps the estimates' rising.
    """
    import torch

    if model.compiled:
        from napari_deconv.operators import fused_photons

    point, best, pace = estimate.clone(), float("inf"), 1.0
    while True:
        ratio, divergence = model.measured_ratio(point)
        if divergence > best * _ROUNDING:
            point.copy_(estimate)
            ratio, divergence = model.measured_ratio(point)
            pace = 1.0
        best = divergence
        correction = model.correction(ratio)
        faster = (1 + (1 + 4 * pace**2) ** 0.5) / 2
        momentum, pace = (pace - 1) / faster, faster
        arrays = (estimate, point, correction, model.blur.sensitivity)
        if model.compiled:
            fused_photons.run_ahead(*arrays, momentum)
        else:
            for x, y, c, s in slabs(*arrays):
                model.advance(y, c, s)
                torch.lerp(x, y, 1 + momentum, out=x)
                x.clamp_(min=0)
        # The new estimate stands in ``point`` now, and the extrapolation in ``estimate``.
        estimate, point = point, estimate
        yield estimate


def _biggs_andrews(model: Likelihood, estimate: Tensor) -> Iterator[Tensor]:
    """Vector extrapolation after Biggs and Andrews 1997, second order (their equations 8 to 12).

    y = x_k + a h1 + a^2/2 h2, with the first and second differences of the last three estimates
    and a the correlation of the last two changes, between 0 and 1. Where the extrapolated point
    is less likely than the last one, it starts afresh from the estimate.
    """
    import torch

    if model.compiled:
        from napari_deconv.operators import fused_photons

    newest, middle, oldest = estimate, estimate.clone(), estimate.clone()
    point, change = estimate.clone(), torch.zeros_like(estimate)
    best, steps = float("inf"), 0
    while True:
        ratio, divergence = model.measured_ratio(point)
        if divergence > best * _ROUNDING:
            point.copy_(newest)
            ratio, divergence = model.measured_ratio(point)
            steps = 0
        best = divergence
        correction = model.correction(ratio)
        newest, middle, oldest = oldest, newest, middle
        product = square = 0.0
        arrays = (newest, point, change, correction, model.blur.sensitivity)
        if model.compiled:
            product, square = fused_photons.change(*arrays)
        else:
            for x, y, g, c, s in slabs(*arrays):
                x.copy_(y)
                model.advance(x, c, s)
                torch.sub(x, y, out=y)
                product += inner(y, g)
                square += inner(g, g)
        # The change stands in ``point`` now; the last one's place becomes the next point.
        point, change = change, point
        steps += 1
        a = min(max(product / square, 0.0), 1.0) if steps > 1 and square > 0 else 0.0
        b = a * a / 2 if steps > 2 else 0.0
        if model.compiled:
            fused_photons.extrapolate(point, (newest, middle, oldest), a, b)
        else:
            for y, x0, x1, x2 in slabs(point, newest, middle, oldest):
                torch.mul(x0, 1 + a + b, out=y)
                y.add_(x1, alpha=-a - 2 * b).add_(x2, alpha=b).clamp_(min=0)
        yield newest


def _unmatched(model: Likelihood, estimate: Tensor) -> Iterator[Tensor]:
    """Wiener-Butterworth steps; the last one that raised the likelihood is the end.

    The unmatched projector does not keep the total intensity, so each step restores it; without
    that the likelihood would tell about the scale alone.
    """
    import torch

    otf = wiener_butterworth(model.blur)
    # What the projector makes of a perfect ratio: 1 inside, anything in an extended margin.
    neutral = 1 - model.blur.adjoint(torch.ones_like(model.data), otf=otf)
    light = total((model.data - model.floor).clamp_(min=0))
    best, previous = float("inf"), estimate.clone()
    while True:
        ratio, divergence = model.measured_ratio(estimate)
        if divergence > best:
            yield previous
            return
        best = divergence
        previous.copy_(estimate)
        estimate *= model.correction(ratio, otf).add_(neutral).clamp_(min=0)
        estimate *= light / total(estimate * model.blur.sensitivity)
        yield estimate
