"""One scale of a wavelet transform along one axis, there and back.

A short filter is a lattice of rotations: samples are taken in pairs, and neighbours of pairs turned
against each other (Vaidyanathan and Hoang 1988, doi:10.1109/29.1491). That is the least work, on a
CPU by compiled loops. The lattice of a long filter is not accurate; there the filters' banded
matrices are multiplied, block by block, each block a small dense matrix times a view of the array.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from napari_deconv.operators import fused
from napari_deconv.operators.slabs import slabs
from napari_deconv.operators.wavelet_filters import Filter
from napari_deconv.sharing import shared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, device, dtype

# Taps up to which a lattice is exact to rounding, and the steepest shear that it may have.
_LATTICE, _STEEPEST = 16, 2.0
# A rotation as three shears, a += p b; b += q a; a += p b.
_Shear = tuple[float, float]
# Larger slabs than elsewhere: the operations are many and short.
_ELEMENTS = 1 << 20
# Samples made at a time by one small matrix: more of them means more multiplications with zeros,
# fewer means products too small to be quick.
_BLOCK = 64


class Step(Protocol):
    """Halves the first 2 ``pairs`` samples of an axis of ``whole`` samples.

    The approximation goes to the start and the details to the end; the samples left over stay
    between them. The first pair begins at the sample ``shift[axis]``, and the last ones go round
    the end.
    """

    def forward(self, source: Tensor, target: Tensor, shift: Sequence[int]) -> None:
        """Write approximation and details of ``source`` to ``target``."""
        ...

    def inverse(self, source: Tensor, target: Tensor, shift: Sequence[int]) -> None:
        """Write the samples with approximation and details ``source`` to ``target``.

        The source is work space.
        """
        ...


class Planes:
    """Steps along the last two of three axes, some planes at a time, so that they stay in cache."""

    def __init__(self, last: Step, middle: Step) -> None:
        self._last, self._middle = last, middle

    def forward(self, source: Tensor, target: Tensor, shift: Sequence[int]) -> None:
        """As of :class:`Step`."""
        for x, between, y in self._slabs(source, target):
            self._last.forward(x, between, shift)
            self._middle.forward(between, y, shift)

    def inverse(self, source: Tensor, target: Tensor, shift: Sequence[int]) -> None:
        """As of :class:`Step`."""
        for x, between, y in self._slabs(source, target):
            self._middle.inverse(x, between, shift)
            self._last.inverse(between, y, shift)

    def _slabs(self, source: Tensor, target: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        import torch

        between: Tensor | None = None
        for x, y in slabs(source, target, elements=_ELEMENTS // 2):
            if between is None:
                between = torch.empty(y.shape, dtype=y.dtype, device=y.device)
            yield x, between[: y.shape[0]], y


class Steps:
    """Makes the steps of one filter."""

    def __init__(self, filter_: Filter, dtype: dtype, device: device) -> None:
        self._shears: list[_Shear] = []
        if len(filter_.taps) <= _LATTICE:
            self._shears = [(math.tan(a / 2), -math.sin(a)) for a in lattice(filter_.taps)]
        self._tame = all(abs(p) <= _STEEPEST for p, _ in self._shears)
        self._bands = _Bands(filter_, dtype, device)

    def make(self, axis: int, whole: int, pairs: int) -> Step:
        """Return the step for an axis; see :class:`Step` for the numbers."""
        if self._shears and self._tame:
            return _Lattice(axis, whole, pairs, self._shears)
        return self._bands.step(axis, whole, pairs)


def lattice(taps: NDArray[np.float64]) -> list[float]:
    """Return the angles of the rotations that an orthonormal filter is made of, the first first.

    With the filter H and its mirror G, the last rotation is the one after which the last two taps
    of H, and the first two of G, are zero; without them they are a shorter such pair.
    """
    low, high = taps, Filter(taps).highpass
    angles = []
    while len(low) > 2:
        angle = math.atan2(low[-1], high[-1])
        angle -= math.copysign(math.pi, angle) if abs(angle) > math.pi / 2 else 0
        c, s = math.cos(angle), math.sin(angle)
        low, high = (c * low - s * high)[:-2], (s * low + c * high)[2:]
        angles.append(angle)
    return [math.atan2(low[1], low[0]), *reversed(angles)]


class _Lattice:
    """Rotations, each as three shears."""

    def __init__(self, axis: int, whole: int, pairs: int, shears: list[_Shear]) -> None:
        self._axis, self._whole, self._pairs, self._shears = axis, whole, pairs, shears

    def forward(self, source: Tensor, target: Tensor, shift: Sequence[int]) -> None:
        import torch

        if self._compiled(source, target, shift, back=False):
            return
        p, q = self._shears[0]
        for x, y in self._slabs(source, target):
            low, high = y[..., : self._pairs], y[..., self._whole - self._pairs :]
            for even, odd, a, b in self._pieces(x, low, high, shift[self._axis]):
                torch.add(even, odd, alpha=p, out=a)
                torch.add(odd, a, alpha=q, out=b)
                a.add_(b, alpha=p)
            for apart, shear in enumerate(self._shears[1:], 1):
                self._rotate(low, high, apart, *shear)
            self._rest(y, self._pairs).copy_(self._rest(x, 2 * self._pairs))

    def inverse(self, source: Tensor, target: Tensor, shift: Sequence[int]) -> None:
        import torch

        if self._compiled(target, source, shift, back=True):
            return
        p, q = self._shears[0]
        for y, x in self._slabs(source, target):
            low, high = y[..., : self._pairs], y[..., self._whole - self._pairs :]
            for apart, shear in reversed([*enumerate(self._shears)][1:]):
                self._rotate(low, high, apart, -shear[0], -shear[1])
            for even, odd, a, b in self._pieces(x, low, high, shift[self._axis]):
                a.sub_(b, alpha=p)
                torch.sub(b, a, alpha=q, out=odd)
                torch.sub(a, odd, alpha=p, out=even)
            self._rest(x, 2 * self._pairs).copy_(self._rest(y, self._pairs))

    def _compiled(self, x: Tensor, y: Tensor, shift: Sequence[int], *, back: bool) -> bool:
        """Take the step from x to y, or back, by compiled loops; say whether they could."""
        if not all(fused.usable(each, (True,)) and _in_planes(each) for each in (x, y)):
            return False
        from napari_deconv.operators import loops_wavelets

        axis = self._axis + 3 - x.ndim
        shape = (1, *x.shape)[-3:]
        arrays = fused.planes(x), fused.planes(y)
        shears = np.array(self._shears, np.float32)
        begin = shift[self._axis] % (2 * self._pairs)
        numbers = (self._whole, self._pairs, begin, shears, back)

        def work(*place: int) -> None:
            if axis == 2:
                loops_wavelets.along(*arrays, *numbers, *place)
            else:
                loops_wavelets.across(*arrays, axis, *numbers, *place)

        shared(work, *(n for a, n in enumerate(shape) if a != axis))
        return True

    def _slabs(self, source: Tensor, target: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Yield matching pieces that stay in the cache, with the step's axis last."""
        ends = (t.movedim(self._axis, -1) for t in (source, target))
        return slabs(*ends, elements=_ELEMENTS)

    def _pieces(
        self, x: Tensor, low: Tensor, high: Tensor, shift: int
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Yield both samples of the pairs, and where they go; a pair may lie across the end."""
        period = 2 * self._pairs
        shift %= period
        inside = (period - shift) // 2
        ends = (0, inside, inside + shift % 2, self._pairs)
        for first, stop in pairwise(ends):
            if first < stop:
                even = (shift + 2 * first) % period
                odd, length = (even + 1) % period, 2 * (stop - first) - 1
                yield (
                    x[..., even : even + length : 2],
                    x[..., odd : odd + length : 2],
                    low[..., first:stop],
                    high[..., first:stop],
                )

    def _rest(self, x: Tensor, start: int) -> Tensor:
        return x.narrow(-1, start, self._whole - 2 * self._pairs)

    def _rotate(self, low: Tensor, high: Tensor, apart: int, p: float, q: float) -> None:
        """Turn each approximation and the detail some places on against each other."""
        apart %= self._pairs
        split = self._pairs - apart
        for a, b in (low[..., :split], high[..., apart:]), (low[..., split:], high[..., :apart]):
            if a.shape[-1]:
                a.add_(b, alpha=p)
                b.add_(a, alpha=q)
                a.add_(b, alpha=p)


def _in_planes(x: Tensor) -> bool:
    """Whether an array is the corner of a stack of planes, all of whose rows are in memory."""
    *outer, row, one = x.stride()
    plane = x.shape[-2] * row
    if one != 1 or row < x.shape[-1] or any(n < plane or n % row for n in outer):
        return False
    end = x.storage_offset() + x.shape[0] * x.stride(0)
    return end <= x.untyped_storage().nbytes() // x.element_size()


class _Product(NamedTuple):
    """Samples from ``start`` on of what a matrix makes, as a sum of small matrices times samples.

    Each of these comes with the first of the samples that it is multiplied with.
    """

    start: int
    terms: list[tuple[Tensor, int]]


class _Banded(NamedTuple):
    """Banded matrices along one axis; ``rest`` samples are kept."""

    axis: int
    pairs: int
    rest: int
    analysis: list[_Product]
    synthesis: list[_Product]

    def forward(self, source: Tensor, target: Tensor, shift: Sequence[int]) -> None:
        samples = source.narrow(self.axis, 0, 2 * self.pairs)
        if shift[self.axis]:
            samples = samples.roll(-shift[self.axis], self.axis)
        _multiply(self.analysis, samples, target, self.axis)
        left = source.narrow(self.axis, 2 * self.pairs, self.rest)
        target.narrow(self.axis, self.pairs, self.rest).copy_(left)

    def inverse(self, source: Tensor, target: Tensor, shift: Sequence[int]) -> None:
        _multiply(self.synthesis, source, target, self.axis)
        if shift[self.axis]:
            samples = target.narrow(self.axis, 0, 2 * self.pairs)
            samples.copy_(samples.roll(shift[self.axis], self.axis))
        left = source.narrow(self.axis, self.pairs, self.rest)
        target.narrow(self.axis, 2 * self.pairs, self.rest).copy_(left)


def _multiply(products: list[_Product], source: Tensor, target: Tensor, axis: int) -> None:
    """Multiply along an axis."""
    import torch

    merged = _is_matrix(source, axis) and _is_matrix(target, axis)
    x, y = _with_rows(source, axis, merged), _with_rows(target, axis, merged)
    single = x.ndim == 2
    multiply, add = (torch.mm, torch.addmm) if single else (torch.bmm, torch.baddbmm)
    for start, terms in products:
        for number, (matrix, first) in enumerate(terms):
            m = matrix if single else matrix.expand(x.shape[0], *matrix.shape)
            samples = x.narrow(-2, first, matrix.shape[1])
            made = y.narrow(-2, start, matrix.shape[0])
            if number == 0:
                multiply(m, samples, out=made)
            else:
                add(made, m, samples, out=made)


def _is_matrix(x: Tensor, axis: int) -> bool:
    """Whether the other axes can be seen as one."""
    if x.ndim == 3 and axis == 0:
        return x.stride(1) == x.shape[2] * x.stride(2)
    return x.ndim == 2 or (axis == 2 and x.stride(0) == x.shape[1] * x.stride(1))


def _with_rows(x: Tensor, axis: int, merged: bool) -> Tensor:
    """Return a view with an axis as the rows of a matrix, or of a batch of matrices."""
    if merged and x.ndim == 3:
        return x.flatten(1) if axis == 0 else x.flatten(0, 1).t()
    return x.movedim(axis, -2)


class _Bands:
    """Makes the banded matrices of a filter; equal blocks share one small matrix."""

    def __init__(self, filter_: Filter, dtype: dtype, device: device) -> None:
        self._taps = (filter_.taps, filter_.highpass)
        self._dtype, self._device = dtype, device
        self._made: dict[tuple[tuple[int, ...], bytes], Tensor] = {}

    def step(self, axis: int, whole: int, pairs: int) -> _Banded:
        """Return the step of an axis."""
        bands = tuple(zip(self._taps, (0, whole - pairs), strict=True))
        analysis, synthesis = [], []
        for first in range(0, pairs, _BLOCK // 2):
            rows = range(first, min(first + _BLOCK // 2, pairs))
            for taps, offset in bands:
                terms = self._wrapped(*_analysis(taps, rows), 2 * pairs, 0)
                analysis.append(_Product(offset + first, terms))
        for first in range(0, 2 * pairs, _BLOCK):
            rows = range(first, min(first + _BLOCK, 2 * pairs))
            made = (self._wrapped(*_synthesis(taps, rows), pairs, offset) for taps, offset in bands)
            synthesis.append(_Product(first, [term for terms in made for term in terms]))
        return _Banded(axis, pairs, whole - 2 * pairs, analysis, synthesis)

    def _wrapped(
        self, matrix: NDArray[np.float64], start: int, period: int, offset: int
    ) -> list[tuple[Tensor, int]]:
        """Return a matrix, whose first column belongs to ``start``, wrapped at a period."""
        columns = matrix.shape[1]
        if columns > period:
            folded = np.zeros((matrix.shape[0], period))
            np.add.at(folded.T, (start + np.arange(columns)) % period, matrix.T)
            return [(self._tensor(folded), offset)]
        start %= period
        split = min(columns, period - start)
        terms = [(self._tensor(matrix[:, :split]), offset + start)]
        if split < columns:
            terms.append((self._tensor(matrix[:, split:]), offset))
        return terms

    def _tensor(self, matrix: NDArray[np.float64]) -> Tensor:
        import torch

        key = (matrix.shape, matrix.tobytes())
        if key not in self._made:
            made = torch.from_numpy(np.ascontiguousarray(matrix))
            self._made[key] = made.to(self._dtype).to(self._device)
        return self._made[key]


def _analysis(taps: NDArray[np.float64], rows: range) -> tuple[NDArray[np.float64], int]:
    """Return the matrix of some coefficients, and the first sample that it concerns."""
    matrix = np.zeros((len(rows), 2 * len(rows) - 2 + len(taps)))
    for i in range(len(rows)):
        matrix[i, 2 * i : 2 * i + len(taps)] = taps
    return matrix, 2 * rows.start


def _synthesis(taps: NDArray[np.float64], rows: range) -> tuple[NDArray[np.float64], int]:
    """Return the matrix of some samples, and the first coefficient that it concerns."""
    # Sample i meets coefficient k by the tap i - 2 k.
    start = -((len(taps) - 1 - rows.start) // 2)
    tap = np.array(rows)[:, None] - 2 * np.arange(start, rows[-1] // 2 + 1)
    inside = (tap >= 0) & (tap < len(taps))
    return np.where(inside, taps[tap.clip(0, len(taps) - 1)], 0.0), start
