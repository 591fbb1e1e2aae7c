"""Choose a strength by rehearsal: restore an image whose object is known, made like the real one.

Cross-validation finds the strength that predicts the *image* best, and asks for white noise. The
object's best strength is another one: a filter with too little of it still predicts the image
well, and whatever shines in from beyond the border is no white noise. So a quick Richardson-Lucy
estimate stands in for the object. The forward model blurs it, true borders included, and the
image's own residual, with its signs drawn at random, is the noise (a "wild" bootstrap: Wu 1986,
doi:10.1214/aos/1176350142). The strength that restores it best is taken for the image, with regard
to what the image shows and the stand-in lacks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from napari_deconv.methods._powers import fitted_share, unexplained_power
from napari_deconv.methods._shells import on_grid
from napari_deconv.operators.slabs import total
from napari_deconv.operators.spectra import cross_validated_weight, gather, penalty_power
from napari_deconv.operators.white_noise import quietest, seen, white_noise
from napari_deconv.registry import Chosen

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution
    from napari_deconv.operators.spectra import Penalty

# Voxels of the region on which strengths are tried.
REGION = 1 << 18
# The stand-in is finished when a step explains no more than that share of the residual.
_LEAST_GAIN = 0.003


@dataclass(frozen=True)
class Rehearsal:
    """A region of an image, and an object that might be behind it.

    Attributes
    ----------
    data, blur
        The region, with a brightest value of 1, and its forward model.
    noise
        Variance of the region's noise.
    stand_in
        That object, of the forward model's ``object_shape``.
    prediction
        Its image.
    """

    data: Tensor
    blur: Convolution
    noise: float
    stand_in: Tensor
    prediction: Tensor

    def choose(
        self,
        restore: Callable[[Tensor, Convolution, float], Tensor],
        penalty: Penalty,
        lower: float,
        upper: float,
        psf_error: float,
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
        psf_error
            How far the PSF may be wrong, relative to the light, which counts as noise.
        """
        truth, simulated = self.blur.crop(self.stand_in), self._simulated(psf_error)
        spread = total((truth - truth.mean()).square_())
        lacking = self._lacking(penalty)

        def score(place: float) -> float:
            found = self.blur.crop(restore(simulated, self.blur, 10**place))
            error = total((found - truth).square_()) + lacking(10**place)
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

    def _simulated(self, psf_error: float) -> Tensor:
        """Return an image of the stand-in with noise.

        Of the noise and the PSF's error that the stand-in follows, nothing is left in the residual;
        it is made as large as all of both.
        """
        import torch

        residual = self.data - self.prediction
        left = total(residual.square()) / residual.numel()
        error = psf_error**2 * total(self.prediction.square()) / residual.numel()
        size = max(1.0, ((self.noise + error) / max(left, 1e-30)) ** 0.5)
        signs = torch.randint(2, residual.shape, generator=torch.Generator().manual_seed(0))
        return residual.mul_(size * (2 * signs - 1).to(residual.device)).add_(self.prediction)

    def _lacking(self, penalty: Penalty) -> Callable[[float], float]:
        """Return what a filter of any weight takes away of the power that the stand-in lacks."""
        blur = self.blur
        weighed = penalty_power(blur, penalty)
        power = on_grid(unexplained_power(self.data, self.prediction, blur), blur)
        power[(0,) * power.ndim] = 0
        ratio, lost = gather(blur, weighed, power)
        lost /= math.prod(blur.grid) ** 2 / math.prod(blur.data_shape)

        def taken(weight: float) -> float:
            share = weight * ratio
            return float(((share / (1 + share)).square() * lost).sum())

        return taken


def rehearse(
    data: Tensor,
    blur: Convolution,
    *,
    steps: int = 40,
    until_noise: bool = False,
) -> Rehearsal:
    """Find an object that might be behind ``data``, or behind a typical region of it.

    Parameters
    ----------
    data, blur
        Image and forward model.
    steps
        Most steps that the stand-in takes; a few are enough for its coarse structures.
    until_noise
        Stop before it follows noise, which looks like fine structures. For what comes in from
        beyond the border it does no harm, and there more steps explain more.
    """
    from napari_deconv.methods.richardson_lucy import richardson_lucy

    region = _typical(data)
    data = data[region].contiguous()
    # Strengths have no unit, and squares of the brightest images are beyond float32.
    data = data / data.abs().max().clamp(min=1e-30)
    blur = blur.resized(data.shape, [piece.start for piece in region])
    noise = _noise(data, blur)
    # A good fit follows some of the noise: 0.5 to 3 % in stacks, more than half in photographs.
    enough = (1 - fitted_share(data, blur, noise)) * noise if until_noise else 0.0
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
        if misfits[-1] <= enough or misfits[-1] > (1 - _LEAST_GAIN) * before:
            break
    blur.observer = None
    return Rehearsal(data, blur, noise, stand_in, blur(stand_in))


def _noise(data: Tensor, blur: Convolution) -> float:
    """Return the mean variance of white noise."""
    import torch

    if tuple(data.shape) == tuple(blur.grid):
        return white_noise(seen(data, blur), blur) / data.numel()
    # Where a border has to fade, the noise of the middle would be told.
    return quietest(torch.fft.rfftn(data).abs().square_().div_(data.numel()), data.shape)


def _typical(data: Tensor) -> tuple[slice, ...]:
    """Return the region of ``REGION`` voxels whose contrast is most like that of all of them.

    The last two axes are cut first.
    """
    size = list(data.shape)
    while math.prod(size) > REGION:
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
