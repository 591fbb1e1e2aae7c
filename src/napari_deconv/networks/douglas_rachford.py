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
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_deconv.networks.drunet import DRUNet, Plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from napari_deconv.networks.weights import Weights

# The regularised inverse: called with z and lambda.
Inverse = Callable[["Tensor", Any], "Tensor"]
Proximal = Callable[["Tensor"], "Tensor"]

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

    @classmethod
    def of(cls, loaded: Weights) -> DouglasRachford:
        """Return the network that a file's weights make, ready to restore.

        Raises
        ------
        RuntimeError, KeyError, TypeError, ValueError
            When they are those of another network.
        """
        network = cls(Unrolled.of(loaded.settings))
        network.load_state_dict(loaded.tensors)
        return network.eval().requires_grad_(False)

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
            Part of the object, along all of its axes, that the proximal networks see; all of it by
            default. The rest is left as the inverse makes it.

        Yields
        ------
        Tensor
            The object after each step.
        """
        weights = self._weights(noise, error)
        maps = [error.expand_as(noise)][: self.plan.prior.maps - 1]
        where: tuple[Any, ...] = inside or (...,)

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
