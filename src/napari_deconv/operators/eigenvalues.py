"""The eigenvalues of fields of small symmetric matrices, in closed form.

A field has a component for each entry of the upper triangle, row by row, off the diagonal times
``sqrt(2)``: as :func:`napari_deconv.operators.gradients.hessian` writes them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def eigenvalues(field: Tensor) -> Tensor:
    """Return the eigenvalues, of shape ``(2 or 3, *shape)``, the largest first.

    Parameters
    ----------
    field
        Symmetric matrices of two or three rows, of shape ``(3 or 6, *shape)``. In float32 the
        eigenvalues of nearly equal ones are good to three digits of their difference only.

    References
    ----------
    Three rows: Smith, Communications of the ACM 4 (1961) 168, doi:10.1145/355578.366316.
    """
    import torch

    root = math.sqrt(0.5)
    if len(field) == 3:
        a, b, c = field[0], root * field[1], field[2]
        mean, apart = (a + c) / 2, torch.hypot((a - c) / 2, b)
        return torch.stack([mean + apart, mean - apart])
    a, d, f = field[0], field[3], field[5]
    b, c, e = (root * field[i] for i in (1, 2, 4))
    mean = (a + d + f) / 3
    a, d, f = a - mean, d - mean, f - mean
    size = ((a * a + d * d + f * f + 2 * (b * b + c * c + e * e)) / 6).sqrt()
    determinant = a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d)
    tiny = torch.finfo(field.dtype).tiny ** 0.25
    angle = (determinant / (2 * size.clamp(min=tiny) ** 3)).clamp(-1, 1).acos() / 3
    first = 2 * size * angle.cos()
    last = 2 * size * (angle + 2 * math.pi / 3).cos()
    return torch.stack([first, -first - last, last]) + mean


def clip_eigenvalues(field: Tensor, most: float) -> Tensor:
    """Return the matrices with their eigenvalues cut to ``-most`` and ``most``.

    The nearest ones whose spectral norm is no larger: by the polynomial of the matrix that has the
    wanted values at its eigenvalues.

    Parameters
    ----------
    field
        As for :func:`eigenvalues`.
    most
        Largest absolute eigenvalue afterwards.
    """
    import torch

    # Where there is float64 (not on Apple's GPUs), so that equal eigenvalues do no harm.
    exact = field if field.device.type == "mps" else field.double()
    found = eigenvalues(exact)
    wanted = found.clamp(-most, most)
    # Differences of equal eigenvalues are rounding; what is made of them stays bounded.
    kind = torch.finfo(exact.dtype)
    least = (found.abs().amax(0) * kind.eps).clamp_(min=kind.tiny)
    slopes = (wanted[:-1] - wanted[1:]) / torch.maximum(found[:-1] - found[1:], least)
    slopes.clamp_(0, 1)
    one = _identity(exact)
    first = exact - found[0] * one
    result = wanted[0] * one + slopes[0] * first
    if len(found) == 3:
        bend = (slopes[0] - slopes[1]) / torch.maximum(found[0] - found[2], least)
        result += bend * _product(first, exact - found[1] * one)
    return result.to(field.dtype)


def _identity(field: Tensor) -> Tensor:
    """Return identity matrices that can be multiplied with numbers of the field's shape."""
    import torch

    diagonal = (0, 2) if len(field) == 3 else (0, 3, 5)
    one = torch.zeros(len(field), dtype=field.dtype, device=field.device)
    one[list(diagonal)] = 1
    return one.reshape(-1, *[1] * (field.ndim - 1))


def _product(first: Tensor, second: Tensor) -> Tensor:
    """Return the products of matrices of three rows that commute."""
    import torch

    half, root = 0.5, math.sqrt(0.5)
    (a, b, c, d, e, f), (u, v, w, x, y, z) = first, second
    return torch.stack(
        [
            a * u + half * (b * v + c * w),
            a * v + b * x + root * c * y,
            a * w + root * b * y + c * z,
            half * b * v + d * x + half * e * y,
            root * b * w + d * y + e * z,
            half * (c * w + e * y) + f * z,
        ]
    )
