"""Denoisers that a restoration can be built around, all behind one door.

A denoiser takes an image of two or three axes and the standard deviation of the noise in it, and
returns what it takes for the image without: ``denoise(image, sigma) -> Tensor`` of the same shape,
type and device. It works in any unit: denoising c times the image, with c times the noise, gives c
times the same. A restoration makes one of its own, which may keep what helps with an image like the
last. To add one, write what makes such a function (a class will do) here under ``@denoiser(name)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from napari_deconv.operators import fused
from napari_deconv.operators.gradients import field, gradient, gradient_adjoint
from napari_deconv.operators.wavelets import WaveletTransform, soft_threshold

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Denoiser = Callable[["Tensor", float], "Tensor"]
F = TypeVar("F", bound=Callable[[], Denoiser])

_denoisers: dict[str, Callable[[], Denoiser]] = {}


def denoiser(name: str) -> Callable[[F], F]:
    """Register what makes a denoiser, under a name that people type."""

    def register(maker: F) -> F:
        _denoisers[name] = maker
        return maker

    return register


def denoisers() -> dict[str, Callable[[], Denoiser]]:
    """Return what makes each denoiser, by its name."""
    return dict(_denoisers)


@denoiser("tv")
class TotalVariation:
    """Keep edges and make what is between them even (Rudin, Osher and Fatemi 1992).

    The weight of the total variation is the noise's standard deviation. By accelerated gradient
    projection (Beck and Teboulle 2009, doi:10.1109/TIP.2009.2028250), from the dual variable of
    the image before.
    """

    def __init__(self) -> None:
        self._dual: Tensor | None = None
        self._radius = 0.0

    def __call__(self, image: Tensor, sigma: float) -> Tensor:
        """Return the image of least squared distance and total variation."""
        image = image.contiguous()
        shape = (image.ndim, *image.shape)
        if self._dual is None or self._dual.shape != shape:
            self._dual = field(image.ndim, image.shape, image.device, image.dtype)
        elif sigma != self._radius:
            self._dual.mul_(sigma / self._radius)
        self._radius = sigma
        step = _tv_step
        if fused.usable(image, (True,)):
            from napari_deconv.operators.fused_denoising import step
        point, found, last = self._dual.clone(), image.clone(), 1.0
        for _ in range(_TV_STEPS):
            new = (1 + (1 + 4 * last**2) ** 0.5) / 2
            moved = step(image, point, self._dual, found, sigma, (last - 1) / new)
            last = new
            if moved <= (_TV_ENOUGH * sigma) ** 2 * image.numel():
                break
        return found


# Most steps; and how little the dual variable has to move, root mean square over voxels and
# relative to the noise.
_TV_STEPS, _TV_ENOUGH = 100, 3e-3


def _tv_step(
    image: Tensor, point: Tensor, dual: Tensor, into: Tensor, radius: float, momentum: float
) -> float:
    """As :func:`napari_deconv.operators.fused_denoising.step`."""
    ones = (1.0,) * image.ndim
    into.copy_(image).sub_(gradient_adjoint(point, ones))
    new = gradient(into, ones).mul_(1 / (4 * image.ndim)).add_(point)
    # torch's own norm is a hundred times slower along the first axis.
    new.mul_((radius / new.square().sum(0).sqrt_().clamp_(min=1e-30)).clamp_(max=1))
    moved = float((new - point).square_().sum())
    point.copy_(new).add_(new - dual, alpha=momentum)
    dual.copy_(new)
    return moved


@denoiser("wavelet")
class Wavelet:
    """Shrink wavelet coefficients, band by band (Chang, Yu and Vetterli 2000, BayesShrink).

    The mean over shifts by none to three voxels along all axes at once: the grid of the wavelets
    shows in a single one.
    """

    def __init__(self) -> None:
        self._transform: WaveletTransform | None = None

    def __call__(self, image: Tensor, sigma: float) -> Tensor:
        """Return the image of shrunk coefficients (doi:10.1109/83.862633)."""
        import torch

        small = _without_single(image)
        if self._transform is None or self._transform.shape != small.shape:
            self._transform = WaveletTransform(
                small.shape, "sym4", 5, dtype=image.dtype, device=image.device
            )
        transform, mean = self._transform, torch.zeros_like(small)
        for shift in range(_SHIFTS):
            transform.shift = (shift,) * small.ndim
            coefficients = transform.forward(small, borrow=True)
            for place in transform.details:
                band = coefficients[place]
                # Of light and noise together; what is left without the noise tells how to shrink.
                excess = float(band.square().mean()) / sigma**2 - 1
                soft_threshold(band, sigma / max(excess, torch.finfo(band.dtype).eps) ** 0.5)
            mean.add_(transform.inverse(coefficients, borrow=True), alpha=1 / _SHIFTS)
        return mean.reshape(image.shape)


_SHIFTS = 4


@denoiser("non-local-means")
def non_local_means() -> Denoiser:
    """Average patches that look alike, near and far (Buades, Coll and Morel 2005)."""
    return _non_local_means


def _non_local_means(image: Tensor, sigma: float) -> Tensor:
    from skimage.restoration import denoise_nl_means

    plain = _plain(image)
    reach = 6 if plain.ndim == 2 else 3
    found = denoise_nl_means(
        plain, patch_size=5, patch_distance=reach, h=0.8 * sigma, sigma=sigma, fast_mode=True
    )
    return _like(image, found)


def _plain(image: Tensor) -> NDArray[Any]:
    """Return a tensor as an array, without axes of one voxel."""
    plain: NDArray[Any] = _without_single(image.detach()).cpu().numpy()
    return plain


def _without_single(image: Tensor) -> Tensor:
    """Return an image of two axes at least, and else without axes of one voxel."""
    while image.ndim > 2 and 1 in image.shape:
        image = image.squeeze(image.shape.index(1))
    return image.contiguous()


def _like(image: Tensor, found: NDArray[Any]) -> Tensor:
    """Return an array as a tensor like the one it was made of."""
    import torch

    return torch.from_numpy(found).to(image).reshape(image.shape)
