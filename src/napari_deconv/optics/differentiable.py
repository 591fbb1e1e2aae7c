"""The scalar model as a torch tensor: gradients by depth, indices and focus, from one table.

The Bessel functions and the way onto voxels are constant; only the pupil's phase carries
gradients. So a gradient costs as much as three PSFs, and has as many digits.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.optics.averages import pixel_matrix
from napari_deconv.optics.instrument import Instrument
from napari_deconv.optics.intensity import PERIOD, SINGLE, Sampling
from napari_deconv.optics.optical_path import OpticalPath, layers
from napari_deconv.optics.pixels import Pixels
from napari_deconv.optics.radial import radii

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from napari_deconv.optics.microscope import Microscope


def differentiable_psf(
    microscope: Microscope,
    shape: Sequence[int],
    spacing: Sequence[float],
    *,
    depth: torch.Tensor | float | None = None,
    sample_index: torch.Tensor | float | None = None,
    immersion_index: torch.Tensor | float | None = None,
    shift: torch.Tensor | float | None = None,
    pixel_integration: bool = True,
) -> torch.Tensor:
    """Compute the widefield Gibson-Lanni PSF with gradients.

    It is what ``generate_psf`` computes, to six digits, of which a loss may be differentiated by
    autograd, for instance to fit a depth to a measured bead.

    Parameters
    ----------
    microscope
        The microscope; what is given below takes the place of its own values.
    shape, spacing
        Numbers of voxels (z, y, x) and their size, um.
    depth, sample_index, immersion_index
        Tensors without axes, or numbers. The immersion's design index does not follow: the
        objective stays what it is.
    shift
        Stage position, um, of the plane ``n // 2``. By default where the PSF is brightest, which
        is taken as a constant.
    pixel_integration
        Take the mean over each pixel's area.

    Returns
    -------
    float64 tensor of ``shape``
        With sum 1 and its origin at ``n // 2`` across the axis.

    Raises
    ------
    ParameterError
        For a microscope that cannot be.
    """
    import torch

    given = {
        name: torch.as_tensor(
            getattr(microscope, name) if value is None else value, dtype=torch.float64
        )
        for name, value in (
            ("depth", depth),
            ("sample_index", sample_index),
            ("immersion_index", immersion_index),
        )
    }
    scope = replace(
        microscope,
        immersion_index_design=microscope.designed_immersion_index,
        **{name: float(value.detach()) for name, value in given.items()},
    )
    instrument = Instrument(scope)
    middle = torch.as_tensor(instrument.focus() if shift is None else shift, dtype=torch.float64)
    (dz, *pixel), (planes, ny, nx) = spacing, shape
    z = middle + dz * (torch.arange(planes, dtype=torch.float64) - planes // 2)
    reach = math.hypot((ny // 2 + 0.5) * pixel[0], (nx // 2 + 0.5) * pixel[1])
    step = instrument.lateral_period() / PERIOD
    r = radii(Sampling(z.detach().numpy(), step, reach))
    table = _table(scope, z, r, given)
    pixels = Pixels((ny, nx), (pixel[0], pixel[1]))
    size = pixels.spacing if pixel_integration else (0.0, 0.0)
    return _voxels(table, pixels, pixel_matrix(pixels, size, step, r.size, SINGLE))


def _table(
    scope: Microscope, z: torch.Tensor, r: NDArray[np.float64], given: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Return the intensity (z, r)."""
    import torch
    from scipy.special import j0

    wavelength = scope.emission_wavelength
    k = 2 * math.pi / wavelength
    # Nodes stay where they are: the substitution that makes the integrand smooth does so for its
    # derivatives, too. The integral's end does not move, as evanescent light is kept.
    s, weights = OpticalPath(scope).pupil_nodes(
        wavelength, z.detach().numpy(), float(r[-1]), evanescent=True
    )
    squared = torch.from_numpy(s**2)

    def axial(index: Any) -> torch.Tensor:
        return torch.sqrt((index**2 - squared).to(torch.complex128))

    stack = layers(scope, given["depth"], given["sample_index"], given["immersion_index"])
    fixed = sum(thickness * axial(index) for thickness, index in stack)
    path = fixed - z[:, None] * axial(given["immersion_index"])
    pupil = torch.exp(1j * k * path) * torch.from_numpy(weights * (2 / scope.numerical_aperture**2))
    kernel = torch.from_numpy(j0(k * np.outer(s, r)))
    return (pupil.real @ kernel) ** 2 + (pupil.imag @ kernel) ** 2


def _voxels(table: torch.Tensor, pixels: Pixels, matrix: Any) -> torch.Tensor:
    import torch

    matrix.sum_duplicates()
    entries = matrix.tocoo()
    weights = torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([entries.row, entries.col])),
        torch.from_numpy(entries.data),
        entries.shape,
        check_invariants=False,
    )
    distinct = torch.sparse.mm(weights, table.T).T
    voxels: torch.Tensor = distinct[:, torch.from_numpy(pixels.index)]
    return voxels / voxels.sum()
