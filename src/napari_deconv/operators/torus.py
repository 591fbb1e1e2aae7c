"""Least squares with a ridge, of an object on a torus of which the image is a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_deconv.operators import fused, fused_torus
from napari_deconv.operators.slabs import slabs
from napari_deconv.operators.spectra import spectral_inner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution


def project_back(blur: Convolution, data: Tensor) -> Tensor:
    """Return the half spectrum of ``H^T y`` in the memory of a forward model H on a torus.

    Parameters
    ----------
    blur
        H.
    data
        Image y.
    """
    inside = blur.crop(blur.transform.work)
    if data.data_ptr() != inside.data_ptr():
        inside.copy_(data)
    spectrum = _windowed(blur)
    for s, h in slabs(spectrum, blur.otf):
        s.mul_(h.conj())
    return spectrum


def product(blur: Convolution, spectrum: Tensor, ridge: Tensor) -> Tensor:
    """Return ``(H^T M H + R) x``, in the forward model's memory; see :func:`windowed_steps`."""
    import torch

    transform = blur.transform
    for t, x, h in slabs(transform.spectrum, spectrum, blur.otf):
        torch.mul(x, h, out=t)
    transform.inverse(transform.spectrum)
    image = _windowed(blur)
    _bend(image, spectrum, ridge, blur)
    return image


def energy(blur: Convolution, residual: Tensor, inverse: Tensor) -> float:
    """Return the inner product of a residual and ``inverse residual``."""
    return sum(
        spectral_inner(r, r * c.to(r.dtype), blur.grid[-1]) for r, c in slabs(residual, inverse)
    )


def windowed_steps(
    blur: Convolution,
    ridge: Tensor,
    residual: Tensor,
    inverse: Tensor,
    advance: Callable[[Tensor, float], None],
    enough: float,
) -> Iterator[float]:
    r"""Solve ``(H^T M H + R) x = b`` by conjugate gradients, where M keeps what is in the image.

    Without M it would be a division in Fourier space: that is the preconditioner, and the steps
    have to find out about the border alone. Each takes two transforms, and three passes through
    memory (Hestenes and Stiefel 1952, doi:10.6028/jres.049.044).

    Parameters
    ----------
    blur
        Forward model H on a torus. Its memory is used.
    ridge
        R: real, not negative, on the half spectrum; or one number.
    residual
        Half spectrum of ``b - A x`` for the x to start from; changed in place.
    inverse
        ``1 / (|H|^2 + R)`` on the half spectrum.
    advance
        Take a step: add a direction, of which the half spectrum is given, to x, so many times. It
        also stands in ``blur.transform.spectrum``, to be overwritten.
    enough
        The energy at which to end.

    Yields
    ------
    float
        After each step the residual's energy in the preconditioner's metric.
    """
    import torch

    transform = blur.transform
    direction = torch.zeros_like(residual)
    left, share = energy(blur, residual, inverse), 0.0
    while True:
        if left > enough:
            _turn(direction, residual, inverse, share, blur)
            transform.inverse(transform.spectrum)
            image = _windowed(blur)
            length = left / _bend(image, direction, ridge, blur)
            before, left = left, _descend(residual, image, inverse, direction, length, blur)
            share = left / before
            if image.data_ptr() != transform.spectrum.data_ptr():
                transform.spectrum.copy_(direction)
            advance(direction, length)
        yield left
        if left <= enough:
            return


def _windowed(blur: Convolution) -> Tensor:
    """Return the spectrum of what stands in the work buffer within the image."""
    transform = blur.transform
    for axis, (length, whole) in enumerate(zip(blur.data_shape, blur.grid, strict=True)):
        transform.work.narrow(axis, length, whole - length).zero_()
    return transform.forward()


def _turn(
    direction: Tensor, residual: Tensor, inverse: Tensor, share: float, blur: Convolution
) -> None:
    """Set ``direction`` to ``inverse residual + share direction``; its blur goes to transform."""
    import torch

    into = blur.transform.spectrum
    if _compiled(direction):
        fused_torus.turn(direction, residual, inverse, blur.otf, into, share)
        return
    for d, r, c, h, t in slabs(direction, residual, inverse, blur.otf, into):
        # Real numbers times complex ones are slow in torch.
        d.mul_(share).addcmul_(r, c.to(r.dtype))
        torch.mul(d, h, out=t)


def _bend(image: Tensor, direction: Tensor, ridge: Tensor, blur: Convolution) -> float:
    """Set ``image`` to ``conj(otf) image + ridge direction``; return its product with that."""
    if _compiled(direction):
        return fused_torus.bend(image, direction, blur.otf, ridge, blur.grid[-1])
    bend = 0.0
    for s, d, h, p in slabs(image, direction, blur.otf, ridge):
        s.mul_(h.conj()).addcmul_(d, p.to(s.dtype))
        bend += spectral_inner(d, s, blur.grid[-1])
    return bend


def _descend(
    residual: Tensor,
    image: Tensor,
    inverse: Tensor,
    direction: Tensor,
    length: float,
    blur: Convolution,
) -> float:
    """Take ``length image`` off the residual, put ``direction`` there, return the new energy."""
    if _compiled(residual):
        return fused_torus.descend(residual, image, inverse, direction, length, blur.grid[-1])
    left = 0.0
    for r, q, c, d in slabs(residual, image, inverse, direction):
        r.sub_(q, alpha=length)
        q.copy_(d)
        left += spectral_inner(r, r * c.to(r.dtype), blur.grid[-1])
    return left


def _compiled(spectrum: Tensor) -> bool:
    import torch

    return fused.usable(torch.view_as_real(spectrum)[..., 0], (True,))
