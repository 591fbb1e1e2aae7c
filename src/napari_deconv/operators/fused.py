"""The passes of a variational step through memory, each in one loop: compiled by numba.

Total variation and the Hessian have three to six numbers a voxel, which plain torch walks through
thirty times a step. On a CPU each pass is one loop of :mod:`~napari_deconv.operators.loops`; on a
GPU, where an axis is not periodic, or where ``NAPARI_DECONV_NUMBA=off``, the same is done by torch
(:func:`usable` tells). The differences are those of :mod:`~napari_deconv.operators.gradients`.
"""

from __future__ import annotations

import importlib.util
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from napari_deconv.sharing import shared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

# Float32 numbers of a block of rows that stay in a core's cache, in three planes of all arrays.
_BLOCK = 1 << 19

Kind = Literal["gradient", "hessian", "nuclear", "continuity"]


@dataclass
class Assembly:
    """What becomes of a step besides the prior's dual u: see :mod:`..operators.splitting`.

    Attributes
    ----------
    estimate
        The object to be shown.
    signed
        The positive variable and its dual in one: its positive part and its negative one; None
        where the object may be negative.
    before
        ``L^T u``.
    target
        Where to put what x is to be drawn to; may be the memory of x.
    hold, hold_positive
        How firmly the prior's variable and the positive one are held.
    """

    estimate: Tensor
    signed: Tensor | None
    before: Tensor
    target: Tensor
    hold: float
    hold_positive: float


def usable(tensor: Tensor, periodic: Sequence[bool]) -> bool:
    """Whether the compiled loops can work on a tensor of this kind."""
    import torch

    return (
        tensor.device.type == "cpu"
        and tensor.dtype == torch.float32
        and all(periodic)
        and min(tensor.shape) >= 3
        and os.environ.get("NAPARI_DECONV_NUMBA", "auto") != "off"
        and importlib.util.find_spec("numba") is not None
    )


def step(
    kind: Kind,
    x: Tensor,
    dual: Tensor,
    weights: Sequence[float],
    limits: Sequence[float],
    assembly: Assembly,
    seams: Sequence[int | None] = (),
) -> float:
    """Project ``L x + dual`` onto the dual ball, and assemble: all in one pass through memory.

    Parameters
    ----------
    kind
        Which differences, and which ball.
    x
        Estimate; a view of a row-padded array may be given.
    dual
        Components of shape ``(components, *x.shape)``, as ``gradients.field`` makes them.
    weights
        Weight of a difference along each axis.
    limits
        Largest length of a voxel's vector afterwards, largest absolute eigenvalue (nuclear), or
        largest absolute value of each component (continuity).
    assembly
        What else becomes of the step.
    seams
        For continuity; see :func:`napari_deconv.operators.gradients.seams`.

    Returns
    -------
    float
        How far the duals moved, squared, each times how firmly it is held.
    """
    import numpy as np

    from napari_deconv.operators import loops

    number = getattr(loops, kind.upper())
    array, length = rows(x)
    u, factors = stack(dual), _factors(1 if kind == "gradient" else 2, weights)
    bounds = tuple(np.float32(b) for b in (*limits, *[0.0] * (6 - len(limits))))
    places = tuple(-1 if s is None else s for s in (*[None] * (3 - len(seams)), *seams))
    state = _state(assembly)
    height = max(4, _BLOCK // (min(3, array.shape[0]) * (u.shape[2] + 4) * length))
    blocks = max(1, array.shape[1] // height)

    def sweep(first: int, stop: int, _: int, __: int) -> tuple[float, float]:
        fixed = (number, array, length, u, factors, bounds, places)
        scratch = np.empty((u.shape[2] + 3, length), np.float32)
        moved, lifted = loops.sweep(*fixed, *state, scratch, blocks, first, stop)
        return float(moved), float(lifted)

    def rim(first: int, stop: int, _: int, __: int) -> float:
        fixed = (number, array, length, u, factors)
        return float(loops.rim(*fixed, *state, blocks, first, stop))

    inside, between = shared(sweep, blocks, 1), shared(rim, blocks, 1)
    lifted = sum(part[1] for part in inside) + sum(between)
    return assembly.hold * sum(part[0] for part in inside) + assembly.hold_positive * lifted


def assemble(x: Tensor, now: Tensor, assembly: Assembly) -> float:
    """Assemble a step whose prior has found its ``L^T u``; return as :func:`step` does."""
    from napari_deconv.operators import loops

    array, length = rows(x)
    bent, state = rows(now)[0], _state(assembly)

    def work(*place: int) -> float:
        return float(loops.assemble(array, length, bent, *state, *place))

    return assembly.hold_positive * sum(shared(work, array.shape[0], array.shape[1]))


def fit(
    prediction: Tensor, dual: Tensor, data: Tensor, floor: Tensor, number: float, *, poisson: bool
) -> tuple[float, float]:
    """Take the step of :class:`~napari_deconv.operators.splitting.Misfit`.

    ``number`` is how firmly the prediction is held (Poisson), or how much of its difference from
    the data remains (Gaussian).
    """
    from napari_deconv.operators import loops

    q, u, y = planes(prediction), rows(dual)[0], rows(data)[0]
    b = everywhere(floor, y.shape[-1])

    def work(*place: int) -> tuple[float, float]:
        moved, size = loops.fit(poisson, q, u, y, b, number, *place)
        return float(moved), float(size)

    parts = shared(work, y.shape[0], y.shape[1])
    return sum(p[0] for p in parts), sum(p[1] for p in parts)


def blurred(x: Tensor, otf: Tensor, into: Tensor) -> None:
    """Set ``into`` to the product of two half spectra."""
    from napari_deconv.operators import loops_spectra

    arrays = lines(x, otf, into)
    shared(
        lambda first, stop, _, __: loops_spectra.blurred(*arrays, first, stop), len(arrays[0]), 1
    )


def gather(x: Tensor, spectrum: Tensor, otf: Tensor, bend: Tensor, hold: float) -> None:
    """Set x to ``bend x + hold conj(otf) spectrum``, and ``spectrum`` to what x was."""
    from napari_deconv.operators import loops_spectra

    arrays = lines(x, spectrum, otf, bend.expand(x.shape))
    shared(
        lambda first, stop, _, __: loops_spectra.gather(*arrays, hold, first, stop),
        len(arrays[0]),
        1,
    )


def divide(
    x: Tensor, spectrum: Tensor, otf: Tensor, bend: Tensor, holds: tuple[float, float]
) -> None:
    """Set x to ``(x + spectrum) / (holds[0] |otf|^2 + bend + holds[1])``, ``spectrum`` to otf x."""
    from napari_deconv.operators import loops_spectra

    arrays = lines(x, spectrum, otf, bend.expand(x.shape))
    shared(
        lambda first, stop, _, __: loops_spectra.divide(*arrays, *holds, first, stop),
        len(arrays[0]),
        1,
    )


def invert(spectrum: Tensor, otf: Tensor, bend: Tensor, weight: float) -> None:
    """Set ``spectrum`` to ``conj(otf) spectrum / (|otf|^2 + weight bend)``."""
    from napari_deconv.operators import loops_spectra

    arrays = lines(spectrum, otf, bend.expand(spectrum.shape))
    shared(lambda a, b, _, __: loops_spectra.invert(*arrays, weight, a, b), len(arrays[0]), 1)


def _state(assembly: Assembly) -> tuple[Any, ...]:
    arrays = (assembly.before, assembly.signed, assembly.estimate, assembly.target)
    before, s, e, out = (rows(assembly.estimate if a is None else a)[0] for a in arrays)
    positive = assembly.signed is not None
    return before, s, e, out, assembly.hold, assembly.hold_positive, positive


def _factors(order: int, weights: Sequence[float]) -> tuple[Any, ...]:
    """Return the factor of each component of a stack; zero where a plane has none."""
    import numpy as np

    w = (0.0, *weights) if len(weights) == 2 else tuple(weights)
    root = math.sqrt(2)
    if order == 2:
        w = tuple(w[a] * w[b] * (1 if a == b else root) for a in range(3) for b in range(a, 3))
    return tuple(np.float32(f) for f in (*w, *[0.0] * (6 - len(w))))


def lines(*spectra: Tensor) -> list[Any]:
    """Return half spectra, or what has their shape, as lines of frequencies."""
    return [s.reshape(-1, s.shape[-1]).numpy() for s in spectra]


def rows(x: Tensor) -> tuple[Any, int]:
    """Return a stack with contiguous rows, padded as they are in memory, and their true length."""
    length = x.shape[-1]
    row = x.stride(-2)
    if x.ndim == 2:
        return x.as_strided((1, x.shape[0], row), (x.shape[0] * row, row, 1)).numpy(), length
    if x.stride(0) == x.shape[1] * row:
        return x.as_strided((x.shape[0], x.shape[1], row), (x.stride(0), row, 1)).numpy(), length
    return x.numpy(), length  # a part of larger planes


def everywhere(x: Tensor, length: int) -> Any:
    """Return a stack as :func:`rows` does, or for one number a single row, to be taken for all."""
    return rows(x)[0] if x.ndim else x.expand(1, 1, length).contiguous().numpy()


def planes(corner: Tensor) -> Any:
    """Return the planes of a larger stack that a corner of it lies in, in one piece."""
    if corner.ndim == 2:
        corner = corner.unsqueeze(0)
    plane, row, _ = corner.stride()
    lines = max(corner.shape[1], plane // row)
    return corner.as_strided((corner.shape[0], lines, row), (lines * row, row, 1)).numpy()


def stack(field: Tensor) -> Any:
    """Return what :func:`napari_deconv.operators.gradients.field` makes, rows' components together.

    Raises
    ------
    ValueError
        When components do not stand together: a copy of them would change in their stead.
    """
    together = field.movedim(0, -2)
    if not together.is_contiguous():
        raise ValueError("a field's rows have to hold its components together: gradients.field()")
    return (together if field.ndim == 4 else together.unsqueeze(0)).numpy()
