"""Choose a strength by rehearsal: restore an image whose object is known, made like the real one.

Cross-validation finds the strength that predicts the *image* best, and asks for white noise. The
object's best strength is another one: a filter with too little of it still predicts the image
well, and whatever shines in from beyond the border is no white noise. So a quick Richardson-Lucy
estimate stands in for the object. The forward model blurs it, true borders included, and the
image's own residual, with its signs drawn at random, is the noise (a "wild" bootstrap: Wu 1986,
doi:10.1214/aos/1176350142). The strength that restores it best is taken for the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from napari_deconv.operators.slabs import total
from napari_deconv.operators.spectra import cross_validated_weight, penalty_power
from napari_deconv.registry import Chosen

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution
    from napari_deconv.operators.spectra import Penalty

# Voxels of the region on which strengths are tried.
REGION = 1 << 18
# The stand-in is finished when the residual is as small as the noise, less what any fit takes,
# or when a step explains no more than noise would let it.
_LEFT, _LEAST_GAIN = 0.9, 0.003


@dataclass(frozen=True)
class Rehearsal:
    """A region of an image, and one that was made like it.

    Attributes
    ----------
    data, blur
        The region, with a brightest value of 1, and its forward model.
    noise
        Variance of the region's noise.
    stand_in
        The object that was made up, of the forward model's ``object_shape``.
    simulated
        Its image, with noise.
    """

    data: Tensor
    blur: Convolution
    noise: float
    stand_in: Tensor
    simulated: Tensor

    def choose(
        self,
        restore: Callable[[Tensor, Convolution, float], Tensor],
        penalty: Penalty,
        lower: float,
        upper: float,
    ) -> Chosen:
        """Return the strength with which ``restore(data, blur, strength)`` finds the stand-in best.

        Parameters
        ----------
        restore
            The method.
        penalty
            What the strength weighs, for cross-validation to tell where to begin to look.
        lower, upper
            Bounds of the strength.
        """
        truth = self.blur.crop(self.stand_in)
        spread = total((truth - truth.mean()).square_())

        def score(place: float) -> float:
            found = self.blur.crop(restore(self.simulated, self.blur, 10**place))
            error = total((found - truth).square_())
            return 10 * math.log10(max(spread, 1e-30) / max(error, 1e-30))

        power = penalty_power(self.blur, penalty)
        start = cross_validated_weight(self.data, self.blur, power, lower, upper)
        place, scores = _climb(score, math.log10(start), math.log10(lower), math.log10(upper))
        tried = sorted(scores)
        return Chosen.among(
            10**place,
            [10**each for each in tried],
            [scores[each] for each in tried],
            "signal to noise in a rehearsal, in dB",
        )


def rehearse(
    data: Tensor,
    blur: Convolution,
    voxels: int = REGION,
    steps: int = 40,
) -> Rehearsal:
    """Make up an image like ``data``, or like a typical region of it of so many voxels.

    The stand-in takes at most so many ``steps``, which is enough for its coarse structures.
    """
    import torch

    from napari_deconv.methods.richardson_lucy import richardson_lucy

    region = _typical(data, voxels)
    data = data[region].contiguous()
    # Strengths have no unit, and squares of the brightest images are beyond float32.
    data = data / data.abs().max().clamp(min=1e-30)
    blur = blur.resized(data.shape, [piece.start for piece in region])
    noise = _noise(data)
    misfits: list[float] = []

    def watch(point: Tensor, prediction: Tensor) -> None:
        del point
        misfits.append(total((prediction + floor - data).square_()) / data.numel())

    # Noise goes below zero where there is no light; counts do not.
    floor = noise**0.5 if float(data.min()) < 0 else 0.0
    blur.observer = watch
    image = (data + floor).clamp_(min=0)
    for estimate in richardson_lucy(
        image, blur, iterations=steps, acceleration="nesterov", background=floor
    ):
        stand_in = estimate
        before = misfits[-2] if len(misfits) > 1 else math.inf
        if misfits[-1] <= _LEFT * noise or misfits[-1] > (1 - _LEAST_GAIN) * before:
            break
    blur.observer = None
    prediction = blur(stand_in)
    signs = torch.randint(2, data.shape, generator=torch.Generator().manual_seed(0))
    residual = (data - prediction).mul_((2 * signs - 1).to(data.device))
    return Rehearsal(data, blur, noise, stand_in, prediction + residual)


def _noise(data: Tensor) -> float:
    """Return the variance of white noise, as it shows where the spectrum is quietest."""
    import torch

    power = torch.fft.rfftn(data).abs().square_().div_(data.numel())
    radius = torch.zeros((), device=data.device)
    for axis, length in enumerate(data.shape):
        half = axis == data.ndim - 1
        cycles = (torch.fft.rfftfreq if half else torch.fft.fftfreq)(length, device=data.device)
        shape = [-1 if i == axis else 1 for i in range(data.ndim)]
        radius = radius + cycles.square().reshape(shape)
    # Of exponentially distributed numbers, the median is the mean times log(2).
    parts = power.flatten()[radius.expand_as(power).flatten().argsort()].chunk(8)
    return float(min(part.median() for part in parts)) / math.log(2)


def _typical(data: Tensor, voxels: int) -> tuple[slice, ...]:
    """Return the region of so many voxels whose contrast is most like that of all of them.

    The last two axes are cut first.
    """
    size = list(data.shape)
    while math.prod(size) > voxels:
        plane = size[-2:]
        axis = len(size) - 2 + plane.index(max(plane)) if max(plane) > 32 else 0
        size[axis] = -(-size[axis] // 2)
    starts = [
        [*range(0, n - s, max(1, s // 2)), n - s] for n, s in zip(data.shape, size, strict=True)
    ]
    windows = [
        tuple(slice(a, a + s) for a, s in zip(corner, size, strict=True))
        for corner in product(*starts)
    ]
    whole = float(data.std(correction=0))
    return min(windows, key=lambda window: abs(float(data[window].std(correction=0)) - whole))


def _climb(
    score: Callable[[float], float], place: float, low: float, high: float
) -> tuple[float, dict[float, float]]:
    """Return the place of the highest score, and all scores: by ones, by halves, then between."""
    scores: dict[float, float] = {}

    def at(where: float) -> float:
        where = min(max(where, low), high)
        if where not in scores:
            scores[where] = score(where)
        return scores[where]

    for stride in (1.0, 0.5):
        while True:
            at(place)
            at(place - stride)
            at(place + stride)
            best = max(scores, key=lambda where: scores[where])
            if best == place:
                break
            place = best
    before, here, after = at(place - 0.5), at(place), at(place + 0.5)
    bend = before - 2 * here + after
    if bend < 0 and low + 0.5 <= place <= high - 0.5:
        place += 0.25 * (before - after) / bend
    return place, scores
