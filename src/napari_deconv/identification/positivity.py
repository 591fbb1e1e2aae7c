"""How well light that is nowhere negative explains an image, given a PSF.

Dark places hold the estimate at zero, which tells what no spectrum does: with the PSF turned by 180
degrees, the echoes of what is bright would need negative light beside it. Estimated by accelerated
projected gradients (Beck and Teboulle 2009, doi:10.1137/080716542).
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Pixels along a side, in the image's middle, that are looked at, and steps of the estimate.
_SIDE, _STEPS = 192, 20
# Share of the pixels that are darker than what counts as background.
_DARKER = 0.001


def unexplained(plane: Tensor, psfs: Tensor) -> tuple[Tensor, int]:
    """Return the logarithms of how much is left unexplained, and of how many pixels.

    Parameters
    ----------
    plane
        Image (y, x).
    psfs
        (m, y, x), with odd sides.

    Returns
    -------
    shares : torch.Tensor
        Logarithm of the share (m,) of the image's variance that no non-negative object explains.
    pixels : int
        What was looked at.
    """
    import torch

    from napari_deconv.operators.convolution import Convolution
    from napari_deconv.operators.projected import projected_steps

    top, left = (max(0, n - _SIDE) // 2 for n in plane.shape)
    seen = plane[top : top + _SIDE, left : left + _SIDE]
    seen = seen - torch.quantile(seen.flatten(), _DARKER)
    spread = (seen - seen.mean()).square().sum().clamp(min=1e-20)
    shares = []
    for psf in psfs:
        blur = Convolution(psf.numpy(), seen.shape)

        def gradient(point: Tensor, blur: Convolution = blur) -> Tensor:
            residual = blur(point, borrow=True)
            residual -= seen
            return blur.adjoint(residual, borrow=True)

        estimate = torch.zeros(blur.object_shape)
        steps = projected_steps(estimate, gradient, 1 / blur.norm_squared, 0.0, None)
        for _ in islice(steps, _STEPS):
            pass
        rest = (blur(estimate, borrow=True) - seen).square().sum()
        shares.append((rest / spread).clamp(min=1e-12).log())
    return torch.stack(shares), seen.numel()
