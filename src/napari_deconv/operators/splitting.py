"""One convex solver: the alternating direction method of multipliers (ADMM).

It minimises ``D(H x) + sum_i s_i phi_i(L_i x)`` over objects x, which may have to be positive, with
the prediction z = H x, the priors' w_i = L_i x and the positive v = x split off, each with a scaled
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
from napari_deconv.operators.spectra import is_torus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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

        whole = (True,) * prediction.ndim
        if self.kind == "poisson" and fused.usable(prediction, whole):
            return fused.photons(prediction, dual, self.data, self.floor, hold)
        moved = size = 0.0
        for q, u, y, b in slabs(prediction, dual, self.data, self.floor):
            size += inner(q, q)
            p = q + u
            if self.kind == "gaussian":
                # z = (hold p + (y - b) / level) / (hold + 1 / level)
                z = torch.lerp(y - b, p, hold / (hold + 1 / self.level))
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
    terms: Sequence[tuple[Prior, float]],
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
    terms
        Priors and their strengths.
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
    strongest = max((strength for _, strength in terms), default=0.0)
    hold_data, hold = _DATA * unit, min(max(_PRIOR * strongest, _LEAST), _MOST) * unit
    hold_positive = _POSITIVE * unit if positive else 0.0
    torus = is_torus(blur)
    x = blur.extend((misfit.data - misfit.floor).clamp_(min=0))
    update = (_Fourier if torus else _ConjugateGradients)(
        blur, x, hold_data, [prior for prior, _ in terms], hold, hold_positive
    )
    # The positive variable and its dual in one: v is its positive part, the dual its negative one.
    signed, estimate = x, x.clone()
    dual = torch.zeros_like(misfit.data)
    duals = [prior.dual() for prior, _ in terms]
    # L^T u of all priors, before and after a step.
    bent, target = torch.zeros_like(x), torch.zeros_like(x)
    part = torch.empty_like(x) if len(terms) > 1 else target
    while True:
        change, size = misfit.advance(update.predict(), dual, hold_data)
        moved = hold_data * change
        update.take()
        x = update.object()
        for number, ((prior, strength), u) in enumerate(zip(terms, duals, strict=True)):
            moved += hold * prior.project(x, u, strength / hold)
            prior.adjoint(u, target if number == 0 else part)
            if number:
                target += part
        # With w - u = L x + u_before - 2 u; the L x of it is the business of the update.
        moved += hold_positive * _assemble(
            x, signed if positive else None, estimate, bent, target, hold, hold_positive
        )
        bent, target = target, bent
        update.solve(target)
        yield estimate, (moved / max(hold_data * size, 1e-30)) ** 0.5


def _assemble(
    x: Tensor,
    signed: Tensor | None,
    estimate: Tensor,
    bent: Tensor,
    target: Tensor,
    hold: float,
    hold_positive: float,
) -> float:
    """Take the step of the positive variable, and leave in ``bent`` what x is to be drawn to.

    That is, of the priors, ``L^T u_before - 2 L^T u`` (``bent`` and ``target`` as they come in),
    and v minus its dual. Returns how far that dual moved, squared.
    """
    import torch

    if fused.usable(estimate, (True,)):
        return fused.assemble(x, signed, estimate, bent, target, hold, hold_positive)
    moved = 0.0
    for v, s, e, b, t in slabs(x, x if signed is None else signed, estimate, bent, target):
        b.sub_(t, alpha=2).mul_(hold)
        if signed is None:
            e.copy_(v)
            continue
        negative = s.clamp(max=0)
        torch.add(v, negative, out=s)
        torch.clamp(s, min=0, out=e)
        b.add_(s.abs(), alpha=hold_positive)
        negative.sub_(s.clamp(max=0))
        moved += inner(negative, negative)
    return moved


class _Fourier:
    """The update of x where H and L are convolutions on one periodic grid: a division."""

    def __init__(
        self,
        blur: Convolution,
        x: Tensor,
        hold_data: float,
        priors: Sequence[Prior],
        hold: float,
        hold_positive: float,
    ) -> None:
        import torch

        self._blur, self._hold, self._hold_positive = blur, hold_data, hold_positive
        self._bend: Tensor = torch.zeros((), dtype=blur.dtype, device=blur.device)
        for prior in priors:
            self._bend = self._bend + hold * prior.symbol(blur.grid)
        blur.transform.work.copy_(x)
        self._spectrum = blur.transform.forward().clone()
        self._back = torch.empty_like(self._spectrum)

    def predict(self) -> Tensor:
        """Return H x within the image, as a view that may be changed before :meth:`take`."""
        transform = self._blur.transform
        for s, x, h in slabs(transform.spectrum, self._spectrum, self._blur.otf):
            s.copy_(x).mul_(h)
        transform.inverse(transform.spectrum)
        return self._blur.crop(transform.work)

    def take(self) -> None:
        """Project back what stands where the prediction stood."""
        spectrum = self._blur.transform.forward()
        for b, s, h in slabs(self._back, spectrum, self._blur.otf):
            b.copy_(h).conj_physical_().mul_(s).mul_(self._hold)

    def object(self) -> Tensor:
        """Return x, as a view of the work buffer."""
        transform = self._blur.transform
        transform.spectrum.copy_(self._spectrum)
        transform.inverse(transform.spectrum)
        return transform.work

    def solve(self, target: Tensor) -> None:
        """Find the next x."""
        transform = self._blur.transform
        transform.work.copy_(target)
        spectrum = transform.forward()
        arrays = (self._spectrum, self._back, spectrum, self._blur.otf, self._bend)
        if fused.usable(transform.work, (True,)):
            fused.divide(*arrays, (self._hold, self._hold_positive))
            return
        for x, b, s, h, bend in slabs(*arrays):
            power = h.real.square().addcmul_(h.imag, h.imag).mul_(self._hold)
            power.add_(bend).add_(self._hold_positive)
            x.mul_(bend).add_(s).add_(b).div_(power.clamp_(min=1e-30))


class _ConjugateGradients:
    """The update of x for any forward model: a few steps towards the solution."""

    def __init__(
        self,
        blur: Convolution,
        x: Tensor,
        hold_data: float,
        priors: Sequence[Prior],
        hold: float,
        hold_positive: float,
    ) -> None:
        self._blur, self._x, self._priors = blur, x.clone(), priors
        self._hold_data, self._hold, self._hold_positive = hold_data, hold, hold_positive

    def predict(self) -> Tensor:
        """Return H x, to be changed before :meth:`take`."""
        self._prediction = self._blur(self._x, borrow=True)
        return self._prediction

    def take(self) -> None:
        """Project back what stands where the prediction stood."""
        self._back = self._blur.adjoint(self._prediction).mul_(self._hold_data)

    def object(self) -> Tensor:
        """Return x."""
        return self._x

    def solve(self, target: Tensor) -> None:
        """Take conjugate-gradient steps towards the next x, from the last one."""
        residual = target + self._back - self._normal(self._x)
        for prior in self._priors:
            residual.add_(prior.normal(self._x), alpha=self._hold)
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
        for prior in self._priors:
            bent.add_(prior.normal(x), alpha=self._hold)
        return bent.add_(x, alpha=self._hold_positive)
