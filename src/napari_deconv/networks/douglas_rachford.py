r"""Douglas-Rachford splitting, with networks in place of the prior's proximal operator.

Debarnot and Weiss 2024, doi:10.1017/S2633903X24000096, algorithm 1. Of a forward model H, an image
y and a prior it needs but two operators: the regularised inverse

.. math:: R_\lambda(z) = \arg\min_u |Hu - y|^2 + \lambda |u - z|^2

and what takes the place of the proximal operator, a denoiser N. A step is ``u = R(z)``,
``x = N(2u - z)``, ``z += beta (x - u)`` (Combettes and Pesquet 2011, arXiv:0912.3522, algorithm
10.15). Unrolled, a fixed number of steps is a network, of which N, lambda and beta are learned; H
is none of it, so that one network restores with any forward model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_deconv.networks.drunet import DRUNet, Plan
from napari_deconv.operators.conjugate_gradients import conjugate_gradients
from napari_deconv.operators.slabs import inner
from napari_deconv.operators.spectra import is_circular

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution

# The regularised inverse: called with z and lambda.
Inverse = Callable[["Tensor", Any], "Tensor"]
Proximal = Callable[["Tensor"], "Tensor"]

# Conjugate gradients of an inverse: most steps (the paper's), and the residual to reach, relative
# to that of an estimate of nothing.
STEPS, _TOLERANCE = 20, 1e-3
# Noise below this share of the image's scale, and a PSF better than this, cannot be told from none.
_LEAST_NOISE, _LEAST_DOUBT = 1e-3, 1e-2


def douglas_rachford(
    inverse: Inverse,
    proximals: Sequence[Proximal],
    weights: Sequence[Any],
    relaxations: Sequence[Any],
    z: Tensor,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Take a step for each proximal operator.

    Parameters
    ----------
    inverse
        The regularised inverse R.
    proximals, weights, relaxations
        N, lambda and beta of each step.
    z
        Where to begin.

    Yields
    ------
    u, x
        What explains the image, and what the prior makes of it; one and the same in the end where
        N is the proximal operator of a convex function, and all steps are alike.
    """
    for proximal, weight, relaxation in zip(proximals, weights, relaxations, strict=True):
        u = inverse(z, weight)
        x = proximal(2 * u - z)
        z = z + relaxation * (x - u)
        yield u, x


class FourierInverse:
    """R in closed form, where the blur is circular: a division in Fourier space.

    Parameters
    ----------
    data
        Images (..., [z,] y, x).
    otf
        Half spectrum of the PSF, one for all or one for each image; its axes after the batch's are
        the spatial ones.
    ndim
        Number of spatial axes.
    """

    def __init__(self, data: Tensor, otf: Tensor, ndim: int) -> None:
        self._shape = data.shape[-ndim:]
        self._axes = tuple(range(-ndim, 0))
        self._power = otf.real.square() + otf.imag.square()
        self._back = otf.conj() * torch.fft.rfftn(data, dim=self._axes)

    def __call__(self, z: Tensor, weight: Any) -> Tensor:
        """Return R(z) of the shape of z."""
        spectrum = self._back + weight * torch.fft.rfftn(z, dim=self._axes)
        made: Tensor = torch.fft.irfftn(
            spectrum / (self._power + weight), s=self._shape, dim=self._axes
        )
        return made


class ConjugateInverse:
    """R for any forward model with an adjoint, by preconditioned conjugate gradients.

    The preconditioner is the closed form for the same blur (where it varies, the mean one) on the
    grid of its Fourier transform, and so is the beginning, with the data continued smoothly: what
    is left to the steps are true borders and how the blur varies.

    Parameters
    ----------
    data
        Image y.
    blur
        Forward model H.
    steps
        Most steps to take.
    tolerance
        Residual at which to end before, relative to that of nothing at all, both in the metric of
        the preconditioner.

    Attributes
    ----------
    taken
        Steps of the last call.
    """

    def __init__(
        self, data: Tensor, blur: Convolution, steps: int = STEPS, tolerance: float = _TOLERANCE
    ) -> None:
        self._blur, self._steps, self._tolerance = blur, steps, tolerance
        self._back = blur.adjoint(data)
        self._power = blur.otf.real.square() + blur.otf.imag.square()
        self._continued = blur.otf.conj() * blur.spectrum(data)
        self._corner = tuple(slice(n) for n in blur.object_shape)
        self.taken = 0

    def __call__(self, z: Tensor, weight: Any) -> Tensor:
        """Return R(z), of the object's shape."""
        weight = float(weight)
        wanted = torch.add(self._back, z, alpha=weight)
        enough = self._tolerance**2 * inner(self._precondition(wanted, weight), wanted)
        u = self._filtered(self._spectrum(z).mul_(weight).add_(self._continued), weight)
        residual = wanted.sub_(self._normal(u, weight))

        def normal(d: Tensor) -> tuple[Tensor, float]:
            bent = self._normal(d, weight)
            return bent, inner(bent, d)

        def precondition(r: Tensor) -> tuple[Tensor, float]:
            image = self._precondition(r, weight)
            return image, inner(image, r)

        def advance(d: Tensor, length: float) -> None:
            u.add_(d, alpha=length)

        steps = conjugate_gradients(residual, advance, normal, precondition, enough)
        self.taken = sum(1 for _ in islice(steps, self._steps))
        return u

    def _normal(self, x: Tensor, weight: float) -> Tensor:
        bent = self._blur.adjoint(self._blur(x, borrow=True), borrow=True)
        return torch.add(bent, x, alpha=weight)

    def _precondition(self, r: Tensor, weight: float) -> Tensor:
        return self._filtered(self._spectrum(r), weight)

    def _spectrum(self, x: Tensor) -> Tensor:
        transform = self._blur.transform
        transform.work.zero_()
        transform.work[self._corner].copy_(x)
        return transform.forward()

    def _filtered(self, spectrum: Tensor, weight: float) -> Tensor:
        torch.view_as_real(spectrum).div_((self._power + weight)[..., None])
        return self._blur.from_spectrum(spectrum)


def regularised_inverse(data: Tensor, blur: Convolution) -> Inverse:
    """Return R for a forward model: in closed form where there is one."""
    if is_circular(blur):
        return FourierInverse(data, blur.otf, data.ndim)
    return ConjugateInverse(data, blur)


@dataclass(frozen=True)
class Unrolled:
    """Sizes of an unrolled network.

    Attributes
    ----------
    prior
        Of the proximal networks.
    steps
        How many steps it takes.
    own
        Whether each step has a network of its own, as in the publication, or all share one.
    """

    prior: Plan = field(default_factory=lambda: Plan(channels=(32, 64, 128, 256), maps=2))
    steps: int = 4
    own: bool = True

    def settings(self) -> dict[str, Any]:
        """Return it as plain values; :meth:`of` reads them."""
        return asdict(self)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Unrolled:
        """Return the sizes that plain values tell."""
        prior = dict(settings["prior"])
        prior["channels"] = tuple(prior["channels"])
        return cls(Plan(**prior), int(settings["steps"]), bool(settings["own"]))


class DouglasRachford(nn.Module):
    """The unrolled network.

    Images have axes (batch, 1, [z,] y, x), and a unit in which the object varies by about one
    around zero. With the noise s of an image and the error e of its PSF, step k takes
    ``lambda = a_k (s^2 + b^2 e^2)^p_k``; its proximal network sees maps of both.

    Parameters
    ----------
    plan
        Its sizes.
    """

    def __init__(self, plan: Unrolled) -> None:
        super().__init__()
        self.plan = plan
        count = plan.steps
        self.networks = nn.ModuleList(DRUNet(plan.prior) for _ in range(count if plan.own else 1))
        # The first is that of the estimate to begin with.
        self.log_weight = nn.Parameter(torch.full((count + 1,), 2.0))
        self.power = nn.Parameter(torch.ones(count + 1))
        self.relaxation = nn.Parameter(torch.ones(count))
        self.log_noise = nn.Parameter(torch.zeros(count))
        self.log_misfit = nn.Parameter(torch.tensor(-3.0))

    def forward(
        self,
        inverse: Inverse,
        nothing: Tensor,
        noise: Tensor,
        error: Tensor,
        inside: tuple[slice, ...] = (),
    ) -> Iterator[Tensor]:
        """Restore.

        Parameters
        ----------
        inverse
            R of the images.
        nothing
            An object that is zero, for its shape.
        noise
            Standard deviation of the noise at each place, of the shape of the part ``inside``.
        error
            Norm of what is wrong with the PSF, relative to the PSF's; (batch, 1, ...).
        inside
            Part of the object that the proximal networks see, all of it by default; the rest is
            left as the inverse makes it.

        Yields
        ------
        Tensor
            The object after each step.
        """
        weights = self._weights(noise, error)
        maps = [error.expand_as(noise)][: self.plan.prior.maps - 1]
        where: tuple[Any, ...] = (..., *inside)

        def proximal(step: int) -> Proximal:
            network = self.networks[step if self.plan.own else 0]
            told = self.log_noise[step].exp() * noise

            def denoised(v: Tensor) -> Tensor:
                # A copy, so that gradients find what lies outside as it was.
                x = v.clone()
                x[where] = network(torch.cat([v[where], told, *maps], 1)).to(v.dtype)
                return x

            return denoised

        steps = range(self.plan.steps)
        begin = inverse(nothing, weights[0])
        split = douglas_rachford(
            inverse, [proximal(k) for k in steps], weights[1:], list(self.relaxation), begin
        )
        for _, x in split:
            yield x

    def _weights(self, noise: Tensor, error: Tensor) -> list[Tensor]:
        axes = tuple(range(1, noise.ndim))
        square = noise.square().mean(axes, keepdim=True) + _LEAST_NOISE**2
        square = square + (self.log_misfit.exp() * (error + _LEAST_DOUBT)).square()
        return [a.exp() * square**p for a, p in zip(self.log_weight, self.power, strict=True)]
