"""PSFs of a plane in focus behind an aberrated pupil, many at once, with their derivatives.

The scalar pupil of ``optics.pupil_field`` in units of pixels: what remains of microscope,
wavelength and pixel is the cutoff, NA * pixel / wavelength in cycles per pixel (model 2.3 of the
deep-blur paper, at z = 0).
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.optics.microscope import Microscope
from napari_deconv.optics.pupil_field import PupilModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

# Noll indices of the aberrations: defocus, astigmatism, coma, trefoil, spherical.
MODES = (4, 5, 6, 7, 8, 9, 10, 11)
# Those of even radial degree: with all their signs changed, a PSF in focus stays what it is.
EVEN = (4, 5, 6, 11)
# +1 for modes that a PSF keeps when it is turned by 180 degrees, -1 for those that change sign.
TURN = tuple(1 if j in EVEN else -1 for j in MODES)
# A small aperture of vacuum is a Fourier transform: of all the physics, the cutoff remains.
_APERTURE = 0.2


class Pupils:
    """PSFs for vectors of aberrations.

    Parameters
    ----------
    cutoff
        NA * pixel / wavelength, cycles per pixel: the pupil's radius.
    shape
        Pixels (y, x) of the PSFs.
    """

    def __init__(self, cutoff: float, shape: Sequence[int] = (31, 31)) -> None:
        vacuum = Microscope(
            numerical_aperture=_APERTURE,
            emission_wavelength=1.0,
            immersion_index=1.0,
            sample_index=1.0,
        )
        pixel = cutoff / _APERTURE
        self.cutoff, self.shape = cutoff, (int(shape[0]), int(shape[1]))
        self._model = PupilModel(
            vacuum, self.shape, (pixel, pixel), indices=MODES, pixel_integration=False
        )

    def psf(self, coefficients: Tensor) -> Tensor:
        """Return PSFs (..., y, x), sum 1, of aberrations (..., mode) in waves."""
        flat = coefficients.reshape(-1, len(MODES))
        return self._model.psf(flat).reshape(*coefficients.shape[:-1], *self.shape)

    def derivatives(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Return PSFs (n, y, x) and their derivatives (n, mode, y, x) by aberrations (n, mode)."""
        import torch

        phase = 2 * math.pi * (coefficients @ self._model.basis)
        pupil = torch.polar(torch.ones_like(phase), phase) * self._model.light
        # The pupil's own derivative is itself times i 2 pi Z.
        turned = 2j * math.pi * pupil[:, None, :] * self._model.basis
        fields = self._model.field(torch.cat([pupil[:, None], turned], 1))
        own, others = fields[:, :1], fields[:, 1:]
        image = own.real.square() + own.imag.square()
        change = 2 * (own.real * others.real + own.imag * others.imag)
        total = image.sum((-2, -1), keepdim=True)
        psf = image / total
        change = (change - psf * change.sum((-2, -1), keepdim=True)) / total
        return psf[:, 0], change


@cache
def pupils(cutoff: float, shape: tuple[int, int]) -> Pupils:
    """Return the model of a cutoff and shape, made once."""
    return Pupils(cutoff, shape)


def origin_first(psfs: Tensor, shape: Sequence[int]) -> Tensor:
    """Return PSFs (..., y, x) in arrays of this shape, with their origin at index 0."""
    import torch

    h, w = psfs.shape[-2:]
    whole = psfs.new_zeros(*psfs.shape[:-2], max(shape[0], h), max(shape[1], w))
    whole[..., :h, :w] = psfs
    whole = torch.roll(whole, (-(h // 2), -(w // 2)), (-2, -1))
    return whole[..., : shape[0], : shape[1]]


def evenly(count: int, seed: int) -> Tensor:
    """Return points (count, mode) that fill the cube from 0 to 1 evenly."""
    import torch

    engine: Any = torch.quasirandom.SobolEngine
    points: Tensor = engine(len(MODES), scramble=True, seed=seed).draw(count)
    return points


def turned(coefficients: Any) -> Any:
    """Return the aberrations (..., mode) whose PSF is the given ones' turned by 180 degrees."""
    return coefficients * coefficients.new_tensor(TURN)


def even_twin(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the aberrations (..., mode) with the very same PSF in focus: even modes negated."""
    return np.where(np.asarray(TURN) > 0, -coefficients, coefficients)
