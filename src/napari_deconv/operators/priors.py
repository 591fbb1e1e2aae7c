"""What an object is expected to look like: priors as small objects that a solver can use.

A prior is a convex function of a linear operator, ``phi(L x)``, the same whatever the position.
A solver that splits ``w = L x`` (ADMM) needs three things of it: the spectrum of ``L^T L``, the
projection onto the ball of phi's dual norm, and both applied in one pass through memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from napari_deconv.operators import fused, gradients
from napari_deconv.operators.eigenvalues import clip_eigenvalues, eigenvalues
from napari_deconv.operators.slabs import inner, slabs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution
    from napari_deconv.operators.fused import Assembly

PriorName = Literal["hessian", "nuclear-hessian", "tv", "wavelet"]
# Elements of a slab in all components together: they stay in the cache from the first operation
# on them to the last.
_ELEMENTS = 1 << 18


class Prior(Protocol):
    """A convex function ``phi(L x)`` of an estimate."""

    components: float

    def dual(self) -> Tensor:
        """Return zeros of the shape of ``L x``."""
        ...

    def symbol(self, grid: Sequence[int]) -> Tensor:
        """Return the spectrum of ``L^T L`` on the half spectrum of a periodic grid."""
        ...

    def normal(self, x: Tensor) -> Tensor:
        """Return ``L^T L x``."""
        ...

    def value(self, x: Tensor) -> float:
        """Return ``phi(L x)``."""
        ...

    def step(self, x: Tensor, dual: Tensor, threshold: float, assembly: Assembly) -> float:
        """Set ``dual``, u, to the projection of ``L x + u`` onto the dual ball of that radius.

        That is all of an ADMM step that concerns the prior: with a = L x + u the split variable is
        w = a - u' for the new u', so that ``w - L x = u - u'``. Then assemble the rest of the step.
        Returns how far the duals moved, squared, each times how firmly it is held.
        """
        ...


def make_prior(name: PriorName, blur: Convolution, *, wavelet: str = "db2") -> Prior:
    """Return a prior for the objects of a forward model."""
    if name == "wavelet":
        return Wavelet(blur, wavelet)
    return Differences(blur, 1 if name == "tv" else 2, nuclear=name == "nuclear-hessian")


class Differences:
    """Total variation (order 1) or the Hessian's (order 2), isotropic, in physical distances.

    The sum over all voxels of the length of the gradient (Rudin, Osher and Fatemi 1992,
    doi:10.1016/0167-2789(92)90242-F), or of a Schatten norm of the Hessian (Lefkimmiatis, Ward and
    Unser 2013, doi:10.1109/TIP.2013.2237919): that of order 2, which is the Frobenius norm, or the
    ``nuclear`` one of order 1, the sum of the absolute eigenvalues. That asks for few bends in
    each place, as along a line or on a sheet, where the other asks for few places with bends.
    """

    def __init__(self, blur: Convolution, order: int, *, nuclear: bool = False) -> None:
        self._blur, self._order, self._nuclear = blur, order, nuclear
        self._weights = gradients.weights(blur.spacing)
        self._wraps = gradients.wraps(blur)
        ndim = len(blur.object_shape)
        self.components: float = ndim if order == 1 else ndim * (ndim + 1) // 2
        self._forward: Callable[..., Tensor]
        self._adjoint: Callable[..., Tensor]
        if order == 1:
            self._forward, self._adjoint = gradients.gradient, gradients.gradient_adjoint
            self._symbol = gradients.gradient_symbol
        else:
            self._forward, self._adjoint = gradients.hessian, gradients.hessian_adjoint
            self._symbol = gradients.hessian_symbol

    def dual(self) -> Tensor:
        """Return zeros of the shape of ``L x``."""
        blur = self._blur
        return gradients.field(int(self.components), blur.object_shape, blur.device, blur.dtype)

    def symbol(self, grid: Sequence[int]) -> Tensor:
        """Return the spectrum of ``L^T L`` on the half spectrum of a periodic grid."""
        return self._symbol(grid, self._weights, self._blur.device, self._blur.dtype)

    def normal(self, x: Tensor) -> Tensor:
        """Return ``L^T L x``."""
        return self._adjoint(
            self._forward(x, self._weights, self._wraps), self._weights, self._wraps
        )

    def value(self, x: Tensor) -> float:
        """Return the sum of the lengths."""
        import torch

        field = self._forward(x, self._weights, self._wraps)
        if self._nuclear:
            return float(eigenvalues(field.double()).abs().sum())
        return float(field.square_().sum(0).sqrt_().sum(dtype=torch.float64))

    def step(self, x: Tensor, dual: Tensor, threshold: float, assembly: Assembly) -> float:
        """Project, and assemble."""
        if fused.usable(x, self._wraps):
            kind: fused.Kind = "gradient" if self._order == 1 else "hessian"
            kind = "nuclear" if self._nuclear else kind
            return fused.step(kind, x, dual, self._weights, [threshold], assembly)
        moved = self._project(x, dual, threshold)
        now = self._adjoint(dual, self._weights, self._wraps)
        return assembly.hold * moved + assemble(x, now, assembly)

    def _project(self, x: Tensor, dual: Tensor, threshold: float) -> float:
        import torch

        moved, rows = 0.0, x.shape[0]
        step = rows
        if x.device.type == "cpu":
            step = max(1, _ELEMENTS * rows // dual.numel())
        for first in range(0, rows, step):
            u = dual[:, first : first + step]
            stop = first + u.shape[1]
            a = self._forward(x, self._weights, self._wraps, rows=(first, stop)).add_(u)
            if self._nuclear:
                moved += _replace(u, clip_eigenvalues(a, threshold))
                continue
            # torch's own norm is a hundred times slower along the first axis.
            length = a.square().sum(0).sqrt_().clamp_(min=1e-30)
            moved += _replace(u, a.mul_(torch.div(threshold, length).clamp_(max=1)))
        return moved


def _replace(u: Tensor, new: Tensor) -> float:
    """Set u to new; return the square of how far it moved."""
    u.sub_(new)
    moved = inner(u, u)
    u.copy_(new)
    return moved


class Wavelet:
    """The sum of the absolute coefficients of an orthonormal wavelet transform, the coarsest apart.

    Daubechies, Defrise and De Mol 2004, doi:10.1002/cpa.20042.
    """

    components: float = 1

    def __init__(self, blur: Convolution, wavelet: str) -> None:
        from napari_deconv.operators.wavelets import WaveletTransform

        self._blur = blur
        self._transform = WaveletTransform(
            blur.object_shape, wavelet, dtype=blur.dtype, device=blur.device
        )

    def dual(self) -> Tensor:
        """Return zeros of the shape of ``L x``."""
        import torch

        return torch.zeros(
            self._blur.object_shape, dtype=self._blur.dtype, device=self._blur.device
        )

    def symbol(self, grid: Sequence[int]) -> Tensor:
        """Return one: the transform is orthonormal."""
        import torch

        del grid
        return torch.ones((), dtype=self._blur.dtype, device=self._blur.device)

    def normal(self, x: Tensor) -> Tensor:
        """Return ``x``."""
        return x

    def value(self, x: Tensor) -> float:
        """Return the sum of the absolute coefficients but the coarsest."""
        import torch

        coefficients = self._transform.forward(x)
        coefficients[self._transform.approximation] = 0
        return float(coefficients.abs_().sum(dtype=torch.float64))

    def step(self, x: Tensor, dual: Tensor, threshold: float, assembly: Assembly) -> float:
        """Project, and assemble."""
        # The new dual is made in the transform's own memory, which turns it back.
        new, moved = self._transform.forward(x, borrow=True), 0.0
        new[self._transform.approximation] = 0
        for c, u in slabs(new, dual):
            moved += _replace(u, c.add_(u).clamp_(-threshold, threshold))
        now = self._transform.inverse(new, borrow=True)
        return assembly.hold * moved + assemble(x, now, assembly)


def assemble(x: Tensor, now: Tensor, assembly: Assembly) -> float:
    """Take the step of the positive variable, and leave in the target what x is to be drawn to.

    Parameters
    ----------
    x
        Object; overwritten where the target is its memory.
    now
        ``L^T u`` of the prior's new dual.
    assembly
        The rest of the step.

    Returns
    -------
    float
        How far the positive variable's dual moved, squared, times how firmly it is held.
    """
    import torch

    if fused.usable(x, (True,)):
        return fused.assemble(x, now, assembly)
    moved, signed = 0.0, assembly.signed
    arrays = (x if signed is None else signed, assembly.estimate, assembly.before, assembly.target)
    for v, n, s, e, b, t in slabs(x, now, *arrays):
        goal = b.sub(n, alpha=2).mul_(assembly.hold)
        b.copy_(n)
        if signed is None:
            e.copy_(v)
        else:
            negative = s.clamp(max=0)
            torch.add(v, negative, out=s)
            torch.clamp(s, min=0, out=e)
            goal.add_(s.abs(), alpha=assembly.hold_positive)
            negative.sub_(s.clamp(max=0))
            moved += inner(negative, negative)
        t.copy_(goal)
    return assembly.hold_positive * moved
