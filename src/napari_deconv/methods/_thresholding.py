"""The step that iterative shrinkage repeats, plain (ista) or with momentum (fista)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_deconv.operators.shrinkage import blend, soften
from napari_deconv.operators.slabs import slabs
from napari_deconv.operators.spectra import is_circular
from napari_deconv.operators.wavelets import WaveletTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution

# What a dock offers; the transform knows longer filters, but they blur what is local.
WaveletName = Literal[
    "haar", "spline-1", "spline-3", "spline-5",
    "db2", "db3", "db4", "db5", "db6", "db7", "db8",
    "sym3", "sym4", "sym5", "sym6", "sym7", "sym8",
    "coif1", "coif2", "coif3",
]  # fmt: skip

# Where the grid moves, the mean of the last estimates is the result: of so many, about.
GRIDS = 8


class Shrinkage:
    r"""``W^T soft(W z)`` with ``z = x - H^T (H x - y) / |H|^2``: a step down and one towards order.

    Parameters
    ----------
    data, blur
        Image y and forward model H.
    threshold
        Weight of the sum of absolute coefficients against half the squared misfit.
    wavelet, scales
        The transform W.
    spin
        Whether W's grid moves from step to step.
    """

    def __init__(
        self,
        data: Tensor,
        blur: Convolution,
        threshold: float,
        *,
        wavelet: str,
        scales: int,
        spin: bool,
    ) -> None:
        self._data, self._blur = data, blur
        self._transform = WaveletTransform(
            blur.object_shape, wavelet, scales, device=data.device, dtype=data.dtype
        )
        self._step = 1 / blur.norm_squared
        self._threshold = threshold * self._step
        self._spin, self._number = spin, 0
        self._spectral = None
        if is_circular(blur):
            self._spectral = _spectral_step(data, blur, self._step)

    def __call__(self, point: Tensor) -> Tensor:
        """Return the step from a point, as work space."""
        transform = self._transform
        if self._spin:
            self._number += 1
            transform.shift = _shift(self._number, transform.scales)
        coefficients = transform.forward(self._descend(point), borrow=True)
        soften(coefficients, self._threshold, transform.approximation)
        return transform.inverse(coefficients, borrow=True)

    def _descend(self, point: Tensor) -> Tensor:
        """Return ``x - H^T (H x - y) / |H|^2`` in the forward model's work buffer."""
        import torch

        if self._spectral is not None:
            transform = self._blur.transform
            transform.work.copy_(point)
            spectrum = transform.forward()
            blend(spectrum, *self._spectral)
            transform.inverse(spectrum)
            return transform.work
        residual = self._blur(point, borrow=True)
        residual -= self._data
        lower = self._blur.adjoint(residual, borrow=True)
        for g, x in slabs(lower, point):
            torch.add(x, g, alpha=-self._step, out=g)
        return lower


def _spectral_step(data: Tensor, blur: Convolution, step: float) -> tuple[Tensor, Tensor]:
    """Return factor and summand of the step down in Fourier space.

    On a torus ``x - step H^T (H x - y)`` is ``(1 - step |H|^2) x + step H^* y`` there: one
    transform and its inverse, where H and its adjoint would take two.
    """
    otf = blur.otf
    keep = 1 - step * (otf.real.square() + otf.imag.square())
    return keep, (blur.spectrum(data) * otf.conj()).mul_(step)


def _shift(number: int, scales: Sequence[int]) -> list[int]:
    """Return where the grid begins at a step: places that soon fill the torus evenly.

    Roberts' generalisation of the golden ratio: the powers of the root of ``r^(d+1) = r + 1``.
    """
    root = 1.0
    for _ in range(50):
        root = (1 + root) ** (1 / (len(scales) + 1))
    return [int(number * root ** -(axis + 1) % 1 * 2**scale) for axis, scale in enumerate(scales)]
