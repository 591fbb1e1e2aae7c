r"""The regularised inverse of any forward model: the proximal operator of its data term.

.. math:: R_\lambda(z) = \arg\min_u |Hu - y|^2 + \lambda |u - z|^2

It is all that splitting methods such as Douglas-Rachford's need to know of H and y.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from napari_deconv.operators.conjugate_gradients import conjugate_gradients
from napari_deconv.operators.slabs import inner
from napari_deconv.operators.spectra import is_circular

if TYPE_CHECKING:
    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution

# Most steps of conjugate gradients, as many as deep-blur's authors take, and the residual at which
# there is nothing left to gain, relative to that of nothing at all.
STEPS, _TOLERANCE = 20, 1e-6


def inverse_of(data: Tensor, blur: Convolution) -> FourierInverse | ConjugateInverse:
    """Return R for a forward model: in closed form where there is one."""
    if is_circular(blur):
        return FourierInverse(data, blur.otf, data.ndim)
    return ConjugateInverse(data, blur)


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
        import torch

        self._shape = data.shape[-ndim:]
        self._axes = tuple(range(-ndim, 0))
        self._power = otf.real.square() + otf.imag.square()
        self._back = otf.conj() * torch.fft.rfftn(data, dim=self._axes)

    def __call__(self, z: Tensor, weight: Any) -> Tensor:
        """Return R(z) of the shape of z."""
        import torch

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

    Attributes
    ----------
    taken
        Steps of the last call.
    """

    def __init__(self, data: Tensor, blur: Convolution, steps: int = STEPS) -> None:
        self._blur, self._steps = blur, steps
        self._back = blur.adjoint(data)
        self._power = blur.otf.real.square() + blur.otf.imag.square()
        self._continued = blur.otf.conj() * blur.spectrum(data)
        self._corner = tuple(slice(n) for n in blur.object_shape)
        self.taken = 0

    def __call__(self, z: Tensor, weight: Any) -> Tensor:
        """Return R(z), of the object's shape."""
        import torch

        weight = float(weight)
        wanted = torch.add(self._back, z, alpha=weight)
        enough = _TOLERANCE**2 * inner(self._precondition(wanted, weight), wanted)
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
        import torch

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
        import torch

        torch.view_as_real(spectrum).div_((self._power + weight)[..., None])
        return self._blur.from_spectrum(spectrum)
