"""Slopes and curvatures of an estimate, their exact adjoints, norms and spectra.

Differences are weighted by the voxel size: along axis a by ``min(spacing) / spacing[a]``, so that a
slope means the same along every axis. An axis is either periodic, or nothing is known beyond its
ends: then a difference that would reach beyond is zero (Neumann).

A gradient has one component an axis: the forward difference ``x[i+1] - x[i]``. A Hessian has one
for each pair of axes, in the order of :func:`pairs`: ``x[i-1] - 2 x[i] + x[i+1]`` along one axis,
and the forward difference of the forward difference, times ``sqrt(2)``, along two. So the sum of
its squares is that of the whole matrix.

Large arrays are walked through in slabs of rows (entries of the first axis) that stay in the
processor's cache. A method may do the same and fuse what it does with each slab: ``rows`` makes an
operator compute, and an adjoint read, those rows only.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, device, dtype

    from napari_deconv.operators.convolution import Convolution

# Elements of a slab: 1 MiB of float32.
_SLAB = 1 << 18


def weights(spacing: Sequence[float]) -> tuple[float, ...]:
    """Return the weight of a difference along each axis: 1 for the finest voxels."""
    finest = min(spacing)
    return tuple(finest / s for s in spacing)


def wraps(blur: Convolution) -> tuple[bool, ...]:
    """Return along which axes a forward model's object is periodic.

    Where borders are extended the margin is kept behind the image, and what lies just before the
    first voxel stands at the very end.
    """
    return tuple(word in ("circular", "extended") for word in blur.borders)


def seams(blur: Convolution) -> tuple[int | None, ...]:
    """Return along each axis the last voxel before the seam of an extended object, or None.

    There the margin that belongs to the end of the image meets the one that belongs to its
    beginning; without margin the last voxel meets the first. They are no neighbours.
    """
    return tuple(
        n + (whole - n) // 2 - 1 if word == "extended" else None
        for word, n, whole in zip(blur.borders, blur.data_shape, blur.object_shape, strict=True)
    )


def open_seams(
    field: Tensor,
    order: int,
    seams: Sequence[int | None],
    shape: Sequence[int],
    rows: tuple[int, int] | None = None,
) -> None:
    """Set to zero, in place, what a field of differences says across seams.

    Parameters
    ----------
    field
        Gradient (``order`` 1) or Hessian (2) of an object of ``shape``, or ``rows`` of it.
    seams
        As :func:`seams` returns them.
    """
    first, stop = rows or (0, shape[0])
    parts = _components(order, len(shape), (1.0,) * len(shape))
    for component, (orders, _) in zip(field, parts, strict=True):
        for axis, times in orders:
            seam = seams[axis]
            for place in () if seam is None else range(seam, seam + times):
                index = place % shape[axis]
                if axis > 0:
                    component.select(axis, index).zero_()
                elif first <= index < stop:
                    component[index - first].zero_()


def pairs(ndim: int) -> tuple[tuple[int, int], ...]:
    """Return the pair of axes of each component of a Hessian."""
    return tuple(combinations_with_replacement(range(ndim), 2))


def gradient(
    x: Tensor,
    weights: Sequence[float],
    periodic: bool | Sequence[bool] = False,
    *,
    rows: tuple[int, int] | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Return the weighted forward differences, of shape ``(ndim, *x.shape)``.

    Parameters
    ----------
    x
        Estimate.
    weights
        Weight of each axis, see :func:`weights`.
    periodic
        Whether the estimate repeats, for all axes or for each.
    rows
        First and last-but-one row to compute; all of them by default.
    out
        Where to write it.
    """
    return _apply(1, x, weights, periodic, rows, out)


def gradient_adjoint(
    g: Tensor,
    weights: Sequence[float],
    periodic: bool | Sequence[bool] = False,
    *,
    rows: tuple[int, int] | None = None,
    into: Tensor | None = None,
    absolute: bool = False,
) -> Tensor:
    """Return the adjoint of the gradient: minus the divergence.

    Parameters
    ----------
    g
        Vector field of shape ``(ndim, *shape)``; of ``rows`` only, where those are given.
    weights, periodic
        As for :func:`gradient`.
    rows
        Which rows of the whole field ``g`` is; then ``into`` is needed.
    into
        Tensor of the whole shape that the result is added to, instead of a new one.
    absolute
        Add to both voxels of a difference instead of to one and from the other. Of factors c, with
        the weights squared, that makes the diagonal of ``D^T c D``.
    """
    return _apply_adjoint(1, g, weights, periodic, rows, into, absolute)


def hessian(
    x: Tensor,
    weights: Sequence[float],
    periodic: bool | Sequence[bool] = False,
    *,
    rows: tuple[int, int] | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Return the weighted second differences, of shape ``(ndim * (ndim + 1) / 2, *x.shape)``.

    Mixed ones are multiplied by ``sqrt(2)``; parameters as for :func:`gradient`.
    """
    return _apply(2, x, weights, periodic, rows, out)


def hessian_adjoint(
    h: Tensor,
    weights: Sequence[float],
    periodic: bool | Sequence[bool] = False,
    *,
    rows: tuple[int, int] | None = None,
    into: Tensor | None = None,
) -> Tensor:
    """Return the adjoint of the Hessian; parameters as for :func:`gradient_adjoint`."""
    return _apply_adjoint(2, h, weights, periodic, rows, into)


def gradient_norm_squared(weights: Sequence[float]) -> float:
    """Return an upper bound of the squared norm of the gradient."""
    return 4 * sum(w * w for w in weights)


def hessian_norm_squared(weights: Sequence[float]) -> float:
    """Return an upper bound of the squared norm of the Hessian."""
    return gradient_norm_squared(weights) ** 2


def field(components: int, shape: Sequence[int], device: device | str, dtype: dtype) -> Tensor:
    """Return zeros (components, *shape); on a processor all components of a row stand together.

    One stream of memory, not six, is what goes through such a field row by row; and components
    a power of two apart would drive each other out of the caches. A GPU goes through it as a whole.
    """
    import torch

    if torch.device(device).type != "cpu":
        return torch.zeros((components, *shape), dtype=dtype, device=device)
    rows = torch.zeros((*shape[:-1], components, shape[-1]), dtype=dtype, device=device)
    return rows.movedim(-2, 0)


def gradient_symbol(
    grid: Sequence[int], weights: Sequence[float], device: device | str, dtype: dtype
) -> Tensor:
    """Return the spectrum of ``D^T D`` of the periodic gradient, on the half spectrum of a grid."""
    import torch

    symbol = torch.zeros((), dtype=dtype, device=device)
    for axis, (length, weight) in enumerate(zip(grid, weights, strict=True)):
        half = axis == len(grid) - 1
        angle = torch.arange(length // 2 + 1 if half else length, dtype=torch.float64)
        part = (2 * weight * torch.sin(math.pi / length * angle)).square_()
        shape = [-1 if i == axis else 1 for i in range(len(grid))]
        symbol = symbol + part.to(dtype).to(device).reshape(shape)
    return symbol


def hessian_symbol(
    grid: Sequence[int], weights: Sequence[float], device: device | str, dtype: dtype
) -> Tensor:
    """Return the same for the periodic Hessian: the square of the gradient's."""
    return gradient_symbol(grid, weights, device, dtype).square_()


# A shifted piece of an axis, (start, length), and the factor it counts with.
_Term = tuple[int, float]
# Where along an axis a difference is written (start, length), and the terms it is the sum of.
_Piece = tuple[int, int, tuple[_Term, ...]]


@cache
def _difference(order: int, length: int, wrap: bool) -> tuple[_Piece, ...]:
    """Return the pieces of a difference of one axis; nothing is written where it has no value."""
    if order == 1:
        inside: _Piece = (0, length - 1, ((1, 1.0), (0, -1.0)))
        outside = [length - 1]
    else:
        inside = (1, length - 2, ((2, 1.0), (0, 1.0), (1, -2.0)))
        outside = sorted({0, length - 1})
    pieces = [inside] if inside[1] > 0 else []
    if wrap:
        for i in outside:
            after, before = (i + 1) % length, (i - 1) % length
            terms = ((after, 1.0), (i, -1.0))
            pieces.append((i, 1, terms if order == 1 else ((after, 1.0), (before, 1.0), (i, -2.0))))
    return tuple(pieces)


@cache
def _whole(length: int) -> tuple[_Piece, ...]:
    return ((0, length, ((0, 1.0),)),)


def _components(
    order: int, ndim: int, weights: Sequence[float]
) -> list[tuple[tuple[tuple[int, int], ...], float]]:
    """Return for each component the axes it differs along, with the orders, and its factor."""
    if order == 1:
        return [(((a, 1),), weights[a]) for a in range(ndim)]
    return [
        (((a, 2),), weights[a] ** 2)
        if a == b
        else (((a, 1), (b, 1)), math.sqrt(2) * weights[a] * weights[b])
        for a, b in pairs(ndim)
    ]


def _regions(
    orders: tuple[tuple[int, int], ...],
    shape: Sequence[int],
    periodic: Sequence[bool],
    rows: tuple[int, int],
) -> Iterator[tuple[tuple[slice, ...], list[tuple[tuple[slice, ...], float]]]]:
    """Yield where a component is written, relative to the first row, and what it is a sum of."""
    axes = [_whole(n) for n in shape]
    for axis, order in orders:
        axes[axis] = _difference(order, shape[axis], periodic[axis])
    axes[0] = tuple(_cut(axes[0], *rows))
    for region in product(*axes):
        target = [slice(start, start + length) for start, length, _ in region]
        target[0] = slice(target[0].start - rows[0], target[0].stop - rows[0])
        sources = [
            (
                tuple(slice(s, s + n) for (s, _), (_, n, _) in zip(terms, region, strict=True)),
                math.prod(factor for _, factor in terms),
            )
            for terms in product(*(terms for _, _, terms in region))
        ]
        yield tuple(target), sources


def _cut(pieces: Sequence[_Piece], first: int, stop: int) -> Iterator[_Piece]:
    """Yield what of the pieces lies between two rows."""
    for start, length, terms in pieces:
        low, high = max(start, first), min(start + length, stop)
        if low < high:
            yield low, high - low, tuple((s + low - start, factor) for s, factor in terms)


def _slabs(
    x: Tensor, rows: tuple[int, int] | None, shape: Sequence[int]
) -> Iterator[tuple[int, int]]:
    first, stop = rows or (0, shape[0])
    step = stop - first
    if x.device.type == "cpu":
        step = max(1, _SLAB // max(1, math.prod(shape[1:])))
    for start in range(first, stop, max(1, step)):
        yield start, min(start + step, stop)


def _each(periodic: bool | Sequence[bool], ndim: int) -> tuple[bool, ...]:
    return (periodic,) * ndim if isinstance(periodic, bool) else tuple(periodic)


def _apply(
    order: int,
    x: Tensor,
    weights: Sequence[float],
    periodic: bool | Sequence[bool],
    rows: tuple[int, int] | None,
    out: Tensor | None,
) -> Tensor:
    import torch

    wrap, parts = _each(periodic, x.ndim), _components(order, x.ndim, weights)
    first, stop = rows or (0, x.shape[0])
    if out is None:
        out = x.new_empty((len(parts), stop - first, *x.shape[1:]))
    for low, high in _slabs(x, rows, x.shape):
        for component, (orders, factor) in zip(out, parts, strict=True):
            slab = component[low - first : high - first]
            if not all(wrap[axis] for axis, _ in orders):
                slab.zero_()
            for target, sources in _regions(orders, x.shape, wrap, (low, high)):
                there = slab[target]
                (a, one), (b, sign), *others = ((x[s], f) for s, f in sources)
                assert one == 1
                torch.add(a, b, alpha=sign, out=there)
                for term, f in others:
                    there.add_(term, alpha=f)
                if factor != 1:
                    there *= factor
    return out


def _apply_adjoint(
    order: int,
    g: Tensor,
    weights: Sequence[float],
    periodic: bool | Sequence[bool],
    rows: tuple[int, int] | None,
    into: Tensor | None,
    absolute: bool = False,
) -> Tensor:
    wrap, parts = _each(periodic, g.ndim - 1), _components(order, g.ndim - 1, weights)
    if into is None:
        if rows is not None:
            raise ValueError("rows of a field need a tensor of the whole shape to be added to")
        into = g.new_zeros(g.shape[1:])
    first = rows[0] if rows else 0
    for low, high in _slabs(g, rows, into.shape):
        for component, (orders, factor) in zip(g, parts, strict=True):
            slab = component[low - first : high - first]
            for target, sources in _regions(orders, into.shape, wrap, (low, high)):
                there = slab[target]
                for source, f in sources:
                    into[source].add_(there, alpha=(abs(f) if absolute else f) * factor)
    return into
