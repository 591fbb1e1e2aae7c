"""Sparse deconvolution: few bright structures, continuous in space and time."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

from napari_deconv.operators import fused, gradients
from napari_deconv.operators.priors import assemble
from napari_deconv.operators.slabs import inner, total
from napari_deconv.operators.splitting import Misfit, minimise
from napari_deconv.registry import Advanced, Auto, Range, Search, Unit, method, never

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution
    from napari_deconv.operators.fused import Assembly

# Continuity along the axis of time, where nothing is known about it (the authors' default).
_IN_TIME = 0.5
# Elements of a slab in all components together: they stay in the processor's cache.
_ELEMENTS = 1 << 18


def _level(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> float:
    """Return the mean intensity."""
    del blur, parameters
    return max(total(data) / data.numel(), 1e-3 * float(data.abs().mean()), 1e-30)


def _continuity(data: Tensor, blur: Convolution, parameters: Mapping[str, Any]) -> float:
    """Tell a stack, whose depth counts, from a series of frames, each with a blur of its own."""
    del data, parameters
    otf = getattr(blur, "otf", None)
    middle = blur.grid[0] // 2
    if otf is not None and float((otf[middle] - otf[0]).abs().max()) < 1e-6 * float(
        otf.abs().max()
    ):
        return _IN_TIME
    return (min(blur.spacing[1:]) / blur.spacing[0]) ** 2


@method(
    "sparse-hessian",
    title="Sparse Hessian",
    group="sparse",
    converges=True,
    cites=[
        "Zhao et al. 2022, doi:10.1038/s41587-021-01092-2",
        "Huang et al. 2018, doi:10.1038/nbt.4115",
    ],
    arrays=lambda _: (12.5, 2.0),
)
def sparse_hessian(
    data: Tensor,
    blur: Convolution,
    *,
    iterations: Annotated[int, Range(1, 10000)] = 100,
    strength: Annotated[
        float | Literal["auto"], Range(1e-8, 1e2, logarithmic=True), Search(1e-4, 1.0)
    ] = "auto",
    sparsity: Annotated[float, Range(0, 1)] = 0.02,
    misfit: Annotated[Literal["gaussian", "poisson"], Advanced()] = "gaussian",
    axis_continuity: Annotated[
        float | Literal["auto"], Range(0, 1e2), Auto(_continuity), Advanced()
    ] = "auto",
    level: Annotated[
        float | Literal["auto"],
        Range(1e-30),
        Unit("counts"),
        Auto(_level, needs_blur=never),
        Advanced(),
    ] = "auto",
) -> Iterator[tuple[Tensor, float]]:
    r"""For fine bright structures on a dark ground, in stacks, single frames or time series.

    .. math::
        \hat x = \arg\min_{x \ge 0} \frac{1}{2 l} |Hx - y|^2
        + \lambda \sum_{ij} \sqrt{w_i w_j} |\partial_i \partial_j x|_1 + \lambda_s |x|_1

    (Zhao et al. 2022, with the blur inside the first term instead of a deconvolution afterwards):
    an image that is continuous in all directions, as noise is not, and dark wherever it can be. A
    convex problem with one solution; each step also tells how far it still is from it. Since a
    blur keeps light, the last term is the light of the prediction Hx, and solves itself: it takes
    the intensity :math:`\lambda_s l` from the image.

    A series of images is restored frame by frame when the PSF has two axes. With a PSF of one
    plane, of shape (1, Y, X), the series is a stack whose first axis is time, and neighbouring
    frames help each other.

    Parameters
    ----------
    data
        Image y.
    blur
        Forward model H.
    iterations
        How many steps to take: more steps come closer to the solution, and do not add noise.
    strength
        Weight of continuity: larger is smoother, smaller keeps more noise. Automatic tries some on
        a region and takes the one with the least expected error.
    sparsity
        Weight of sparsity: takes that share of the typical intensity off as haze, so larger makes
        a darker ground and finer structures; 0 leaves intensities as they are.
    misfit
        How the image may differ from the model: by the same amount everywhere, as the authors have
        it (gaussian), or as photons do, which shows more between structures on a dark ground and
        takes more steps (poisson).
    axis_continuity
        Continuity along the first axis of a stack against that within a plane: larger for slow
        scenes, 0 for frames that have nothing to do with each other. Automatic takes the depth of
        a voxel into account, and 0.5 for a series of frames (a PSF of one plane).
    level
        Typical intensity l of the image, which makes the strength independent of its unit;
        automatic takes the mean above the background.
    """
    import torch

    weights = gradients.weights(blur.spacing)
    if len(blur.data_shape) == 3:
        weights = (math.sqrt(float(axis_continuity)), *gradients.weights(blur.spacing[1:]))
    floor = torch.tensor(sparsity * float(level), dtype=data.dtype, device=data.device)
    term = Misfit(data, floor, misfit, float(level))
    steps = minimise(term, blur, Continuity(blur, weights), float(strength), positive=True)
    yield from islice(steps, iterations)


class Continuity:
    """The sum of the absolute second derivatives, mixed ones twice.

    A prior in the sense of :class:`napari_deconv.operators.priors.Prior`.
    """

    def __init__(self, blur: Convolution, weights: Sequence[float]) -> None:
        self._blur, self._weights = blur, tuple(weights)
        self._wraps, self._seams = gradients.wraps(blur), gradients.seams(blur)
        pairs = gradients.pairs(len(self._weights))
        self.components: float = len(pairs)
        # Mixed ones come multiplied by sqrt(2) already.
        self._factors = [1.0 if a == b else math.sqrt(2) for a, b in pairs]

    def dual(self) -> Tensor:
        """Return zeros of the shape of the Hessian."""
        blur = self._blur
        return gradients.field(len(self._factors), blur.object_shape, blur.device, blur.dtype)

    def symbol(self, grid: Sequence[int]) -> Tensor:
        """Return the spectrum of ``D^T D`` on the half spectrum of a periodic grid."""
        return gradients.hessian_symbol(grid, self._weights, self._blur.device, self._blur.dtype)

    def normal(self, x: Tensor) -> Tensor:
        """Return ``D^T D x``."""
        bends = gradients.hessian(x, self._weights, self._wraps)
        return gradients.hessian_adjoint(bends, self._weights, self._wraps)

    def value(self, x: Tensor) -> float:
        """Return the weighted sum."""
        bends = gradients.hessian(x, self._weights, self._wraps).abs_()
        gradients.open_seams(bends, 2, self._seams, x.shape)
        return sum(f * total(b) for f, b in zip(self._factors, bends, strict=True))

    def step(self, x: Tensor, dual: Tensor, threshold: float, assembly: Assembly) -> float:
        """Project, and assemble."""
        bounds = [factor * threshold for factor in self._factors]
        if fused.usable(x, self._wraps):
            steps = (x, dual, self._weights, bounds, assembly, self._seams)
            return fused.step("continuity", *steps)
        moved = self._project(x, dual, bounds)
        now = gradients.hessian_adjoint(dual, self._weights, self._wraps)
        return assembly.hold * moved + assemble(x, now, assembly)

    def _project(self, x: Tensor, dual: Tensor, bounds: Sequence[float]) -> float:
        moved, rows = 0.0, x.shape[0]
        step = max(1, _ELEMENTS * rows // dual.numel()) if x.device.type == "cpu" else rows
        for first in range(0, rows, step):
            part = (first, min(first + step, rows))
            u = dual[:, slice(*part)]
            a = gradients.hessian(x, self._weights, self._wraps, rows=part).add_(u)
            for component, bound in zip(a, bounds, strict=True):
                component.clamp_(-bound, bound)
            # Across a seam nothing is expected: the dual, the force that bends x back, is zero.
            gradients.open_seams(a, 2, self._seams, x.shape, part)
            moved += inner(u.sub_(a), u)
            u.copy_(a)
        return moved
