"""One convex solver: the alternating direction method of multipliers (ADMM).

It minimises ``D(H x) + s phi(L x)`` over objects x, which may have to be positive, with
the prediction z = H x, the prior's w = L x and the positive v = x split off, each with a scaled
dual variable (Boyd et al. 2011, doi:10.1561/2200000016, section 3.1.1). Because only the prediction
within the image enters D, the object may go on beyond it: the prediction there is free, and the
update of x stays one division in Fourier space (Almeida and Figueiredo 2013,
doi:10.1109/TIP.2013.2258354).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_deconv.operators import fused
from napari_deconv.operators.slabs import inner, slabs
from napari_deconv.operators.spectra import blurred, is_torus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution
    from napari_deconv.operators.priors import Prior

# How firmly each split is held, in units of the data term's curvature: tuned on photographs and on
# simulated microscope images, for strengths of 1e-3 to 100. The result does not depend on them,
# only how soon it is reached. A stronger prior wants to be held more firmly.
_DATA, _POSITIVE = 0.1, 0.01
_PRIOR, _LEAST, _MOST = 10.0, 0.03, 100.0
# Conjugate-gradient steps of an update of x where the forward model is no convolution on a torus.
_INNER_STEPS = 4


@dataclass
class Misfit:
    """A data term D, by its proximal operator.

    Attributes
    ----------
    data
        Image y.
    floor
        Intensity b that the model adds to H x.
    kind
        "gaussian": ``|z + b - y|^2 / (2 level)``; "poisson": ``sum(z + b - y log(z + b))``.
    level
        Typical intensity, which makes the two comparable and a strength independent of the unit.
    """

    data: Tensor
    floor: Tensor
    kind: Literal["gaussian", "poisson"]
    level: float

    def advance(self, prediction: Tensor, dual: Tensor, hold: float) -> tuple[float, float]:
        """Take the data term's step: ``prediction`` becomes 2 z - p, with p = prediction + dual.

        Returns how far the dual moved, squared, and the square of the prediction's length.
        """
        import torch

        poisson, share = self.kind == "poisson", hold / (hold + 1 / self.level)
        if fused.usable(prediction, (True,)):
            arrays = (prediction, dual, self.data, self.floor)
            return fused.fit(*arrays, hold if poisson else share, poisson=poisson)
        moved = size = 0.0
        for q, u, y, b in slabs(prediction, dual, self.data, self.floor):
            size += inner(q, q)
            p = q + u
            if not poisson:
                # z = (hold p + (y - b) / level) / (hold + 1 / level)
                z = torch.lerp(y - b, p, share)
            else:
                # With t = z + b: t^2 + (1 / hold - p - b) t - y / hold = 0.
                half = (p + b).sub_(1 / hold).mul_(0.5)
                root = (half.square() + y / hold).sqrt_()
                # The sum of two positive numbers, or their equal that does not cancel.
                z = torch.where(half > 0, half + root, y / hold / (root - half).clamp_(min=1e-30))
                z.sub_(b)
            new = p - z
            u.sub_(new)
            moved += inner(u, u)
            u.copy_(new)
            torch.sub(z, new, out=q)
        return moved, size


def minimise(
    misfit: Misfit,
    blur: Convolution,
    prior: Prior,
    strength: float,
    *,
    positive: bool,
) -> Iterator[tuple[Tensor, float]]:
    """Yield estimates that approach the minimiser, each with how far it is from it.

    Parameters
    ----------
    misfit
        Data term.
    blur
        Forward model H.
    prior, strength
        Prior, and its weight.
    positive
        Whether the object has to be positive.

    Yields
    ------
    estimate
        Object, of the forward model's ``object_shape``; the same tensor every time.
    residual
        Length of what the constraints are violated by, over that of the prediction, in the metric
        of the algorithm; zero at the minimiser.
    """
    import torch

    unit = 1 / (misfit.level * blur.norm_squared)
    hold_data, hold = _DATA * unit, min(max(_PRIOR * strength, _LEAST), _MOST) * unit
    hold_positive = _POSITIVE * unit if positive else 0.0
    x = blur.extend((misfit.data - misfit.floor).clamp_(min=0))
    update = (_Fourier if is_torus(blur) else _ConjugateGradients)(
        blur, x, hold_data, prior, hold, hold_positive
    )
    dual, bends = torch.zeros_like(misfit.data), prior.dual()
    assembly = fused.Assembly(
        estimate=x.clone(),
        signed=x if positive else None,
        before=torch.zeros_like(x),
        target=update.target,
        hold=hold,
        hold_positive=hold_positive,
    )
    del x
    while True:
        change, size = misfit.advance(update.predict(), dual, hold_data)
        # With w - u = L x + u_before - 2 u; the L x of it is the business of the update.
        moved = hold_data * change
        moved += prior.step(update.object(), bends, strength / hold, assembly)
        update.solve()
        yield assembly.estimate, (moved / max(hold_data * size, 1e-30)) ** 0.5


class _Fourier:
    """The update of x where H and L are convolutions on one periodic grid: a division.

    Between steps ``spectrum`` is that of x; within one, it gathers what the next x is made of.
    """

    def __init__(
        self,
        blur: Convolution,
        x: Tensor,
        hold_data: float,
        prior: Prior,
        hold: float,
        hold_positive: float,
    ) -> None:
        self._blur, self._hold, self._hold_positive = blur, hold_data, hold_positive
        self._bend = hold * prior.symbol(blur.grid)
        self.target = blur.transform.work
        self.target.copy_(x)
        self._spectrum = blur.transform.forward().clone()
        self._fused = fused.usable(x, (True,))
        # The spectrum of H x, and how often the transform's memory had been used when it was made.
        self._ahead: tuple[Tensor, int] | None = None

    def predict(self) -> Tensor:
        """Return H x within the image, as a view that may be changed before :meth:`object`."""
        transform = self._blur.transform
        # Not kept: where transforms have no memory of their own, this is as large as the object.
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead[1] != transform.uses:
            # Somebody has used the memory since, to look at the estimate.
            blurred(self._spectrum, self._blur.otf, transform.spectrum)
            ahead = (transform.spectrum, transform.uses)
        transform.inverse(ahead[0])
        return self._blur.crop(transform.work)

    def object(self) -> Tensor:
        """Project back what stands where the prediction stood; return x, where the target goes."""
        transform = self._blur.transform
        spectrum = transform.forward()
        arrays = (self._spectrum, spectrum, self._blur.otf, self._bend)
        if self._fused:
            fused.gather(*arrays, self._hold)
        else:
            for x, s, h, bend in slabs(*arrays):
                back = (s * h.conj()).mul_(self._hold)
                s.copy_(x)
                x.mul_(bend).add_(back)
        transform.inverse(spectrum)
        return transform.work

    def solve(self) -> None:
        """Find the next x from the target, and blur it while it is at hand."""
        import torch

        transform = self._blur.transform
        arrays = (self._spectrum, transform.forward(), self._blur.otf, self._bend)
        self._ahead = (arrays[1], transform.uses)
        if self._fused:
            fused.divide(*arrays, (self._hold, self._hold_positive))
            return
        for x, s, h, bend in slabs(*arrays):
            power = h.real.square().addcmul_(h.imag, h.imag).mul_(self._hold)
            power.add_(bend).add_(self._hold_positive)
            x.add_(s).div_(power.clamp_(min=1e-30))
            torch.mul(x, h, out=s)


class _ConjugateGradients:
    """The update of x for any forward model: a few steps towards the solution."""

    def __init__(
        self,
        blur: Convolution,
        x: Tensor,
        hold_data: float,
        prior: Prior,
        hold: float,
        hold_positive: float,
    ) -> None:
        import torch

        self._blur, self._x, self._prior = blur, x.clone(), prior
        self.target = torch.empty_like(x)
        self._hold_data, self._hold, self._hold_positive = hold_data, hold, hold_positive

    def predict(self) -> Tensor:
        """Return H x, to be changed before :meth:`object`."""
        self._prediction = self._blur(self._x, borrow=True)
        return self._prediction

    def object(self) -> Tensor:
        """Project back what stands where the prediction stood; return x."""
        self._back = self._blur.adjoint(self._prediction).mul_(self._hold_data)
        return self._x

    def solve(self) -> None:
        """Take conjugate-gradient steps towards the next x, from the last one."""
        residual = self._back.add_(self.target).sub_(self._normal(self._x))
        residual.add_(self._prior.normal(self._x), alpha=self._hold)
        direction = residual.clone()
        square = inner(residual, residual)
        for _ in range(_INNER_STEPS):
            if square == 0:
                return
            bent = self._normal(direction)
            step = square / max(inner(direction, bent), 1e-30)
            self._x.add_(direction, alpha=step)
            residual.sub_(bent, alpha=step)
            last, square = square, inner(residual, residual)
            direction.mul_(square / last).add_(residual)

    def _normal(self, x: Tensor) -> Tensor:
        bent = self._blur.adjoint(self._blur(x, borrow=True)).mul_(self._hold_data)
        bent.add_(self._prior.normal(x), alpha=self._hold)
        return bent.add_(x, alpha=self._hold_positive)
