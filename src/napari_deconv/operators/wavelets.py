"""Orthonormal wavelet transforms in two and three dimensions, on any device."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from napari_deconv.operators.wavelet_filters import wavelet_filter
from napari_deconv.operators.wavelet_steps import Planes, Steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, device, dtype

    from napari_deconv.operators.wavelet_steps import Step


def soft_threshold(coefficients: Tensor, threshold: float) -> Tensor:
    """Bring coefficients nearer to zero by a threshold, in place, and the smaller ones to zero."""
    return coefficients.sub_(coefficients.clamp(-threshold, threshold))


class WaveletTransform:
    """W: an array becomes its wavelet coefficients, as many and with the same sum of squares.

    Separable and periodic, with the bands where Mallat put them (1989, doi:10.1109/34.192463): the
    approximation in the corner at index zero, and the details of each scale around those of the
    next. Where an axis is odd at some scale, its last sample stays in the approximation as it is
    and takes no part in coarser scales, so W is orthonormal for any shape, its inverse is its
    adjoint, and a constant has no details.

    Parameters
    ----------
    shape
        Shape of the arrays, two or three axes.
    wavelet
        See :func:`~napari_deconv.operators.wavelet_filters.wavelet_filter`.
    scales
        How often to halve at most. After the first time an axis stops where the wavelet would be
        longer than what is left of it.
    device, dtype
        Where and how precisely to compute; CPU and float32 by default.

    Attributes
    ----------
    scales
        How often each axis is halved.
    approximation
        Where among the coefficients the approximation is.
    details
        Where the bands of details are, the finest first. Along axes that are not halved any more
        they have all there is; samples left over are with the approximations.
    shift
        Where the grid of the wavelets begins along each axis: as if the arrays were rolled by it.

    Raises
    ------
    ParameterError
        When there is no such orthonormal wavelet.
    """

    def __init__(
        self,
        shape: Sequence[int],
        wavelet: str = "haar",
        scales: int = 4,
        *,
        device: device | str = "cpu",
        dtype: dtype | None = None,
    ) -> None:
        import torch

        self.shape = tuple(int(n) for n in shape)
        dtype = dtype or torch.float32
        filter_ = wavelet_filter(wavelet)
        # Each axis as the next scale finds it: its length, and how much of it can be halved.
        whole, core = list(self.shape), list(self.shape)
        self._levels: list[_Level] = []
        halved = [0] * len(self.shape)
        self.details: list[tuple[slice, ...]] = []
        make = Steps(filter_, dtype, torch.device(device))
        for scale in range(scales):
            shortest = 2 * filter_.reach - 2 if scale else 2
            axes = [a for a, n in enumerate(core) if halved[a] == scale and n >= shortest]
            if not axes:
                break
            steps: list[Step] = [make.make(a, whole[a], core[a] // 2) for a in reversed(axes)]
            if axes[-2:] == [1, 2]:
                steps[:2] = [Planes(steps[0], steps[1])]
            self._levels.append(_Level(tuple(slice(n) for n in whole), steps))
            pairs = [n // 2 if a in axes else 0 for a, n in enumerate(core)]
            self.details += _details(whole, pairs)
            for a in axes:
                core[a] //= 2
                whole[a] -= core[a]
                halved[a] += 1
        self.scales = tuple(halved)
        self.approximation = tuple(slice(n) for n in whole)
        self.shift: Sequence[int] = (0,) * len(whole)
        self._here = torch.empty(self.shape, dtype=dtype, device=device)
        self._there = torch.empty_like(self._here)

    @property
    def work(self) -> Tensor:
        """The transform's own memory: what is put there is transformed without a copy."""
        return self._here

    def forward(self, x: Tensor, *, borrow: bool = False) -> Tensor:
        """Return the coefficients ``W x``, in an array of x's shape.

        ``borrow`` returns them in the transform's own memory, which may be changed in place, given
        to :meth:`inverse` and is overwritten by any other call, instead of a copy.
        """
        if not self._levels and not self._owns(x):
            self._here.copy_(x)
        for level in self._levels:
            self._run(level, x)
            x = self._here
        return self._here if borrow else self._here.clone()

    def inverse(self, coefficients: Tensor, *, borrow: bool = False) -> Tensor:
        """Return the array with these coefficients, ``W^T c``; ``borrow`` as above."""
        if not self._owns(coefficients):
            self._here.copy_(coefficients)
        for level in reversed(self._levels):
            self._run(level, self._here, back=True)
        return self._here if borrow else self._here.clone()

    def _owns(self, x: Tensor) -> bool:
        return x.data_ptr() == self._here.data_ptr()

    def _run(self, level: _Level, x: Tensor, *, back: bool = False) -> None:
        """Pass the corner of x to and fro between the two buffers; it ends up in ``_here``."""
        corner, steps = level
        # Coarser scales lie on the grid of the finest.
        shift = self.shift if level is self._levels[0] else (0,) * len(self.shape)
        source, target, other = x[corner], self._there[corner], self._here[corner]
        for step in reversed(steps) if back else steps:
            (step.inverse if back else step.forward)(source, target, shift)
            source, target, other = target, other, target
        if len(steps) % 2 == 0:
            return
        if source.shape == self.shape:
            self._here, self._there = self._there, self._here
        else:
            self._here[corner] = source


def _details(whole: Sequence[int], pairs: Sequence[int]) -> list[tuple[slice, ...]]:
    """Return where a scale puts its bands of details, of axes that have so many pairs or none."""
    halves = [
        (slice(n - p), slice(n - p, n)) if p else (slice(n),)
        for n, p in zip(whole, pairs, strict=True)
    ]
    return list(product(*halves))[1:]


class _Level(NamedTuple):
    """One scale: the corner that is transformed, and what is done along its axes in turn."""

    corner: tuple[slice, ...]
    steps: list[Step]
