"""Convolution with a PSF as a forward model H with its exact adjoint, and true borders.

What happens beyond the border of an image is part of the model:

``extended``
    The object goes on outside; its light reaches the image. The estimate lives on a domain
    larger by the PSF's support and the data term on the observed part (Bertero and Boccacci
    2005, doi:10.1051/0004-6361:20052717).
``reflect``
    The object is mirrored at the border.
``circular``
    The object repeats itself.
``zero``
    There is nothing outside.
"""

from __future__ import annotations

from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_deconv.operators import fft
from napari_deconv.operators.slabs import slabs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, device, dtype

Borders = Literal["extended", "reflect", "circular", "zero"]

# Voxels of the extended domain that send less than this share of their light into the image
# cannot be told from it: their sensitivity is raised to it, so that the estimate fades there.
LEAST_SENSITIVITY = 1e-3


class Convolution:
    """H: an object becomes its blurred image.

    Parameters
    ----------
    psf
        Kernel of 2 or 3 axes; it is used as it is (see :mod:`napari_deconv.operators.kernel`).
    shape
        Shape of the image.
    borders
        What lies outside, see above; or one word for each axis.
    origin
        Index of the PSF's origin on every axis; ``n // 2`` by default.
    spacing
        Voxel size (um) on every axis, for priors that measure slopes; equal when not given.
    multiple
        Number of whose multiples the estimate's lengths are, along borders that extend it: for
        methods whose own grid has to close around it.
    device, dtype
        Where and how precisely to compute; CPU and float32 by default.

    Attributes
    ----------
    data_shape, object_shape
        Shapes of ``H x`` and of ``x``.
    psf_shape, psf_origin
        Shape of the PSF, and the index of its origin.
    grid
        Shape of the Fourier transforms.
    sensitivity
        ``H^T 1``; a single number where it is the same everywhere.
    norm_squared
        Upper bound of ``|H|^2``: iterations with steps below ``2 / norm_squared`` converge.
    transform
        Fourier transform on ``grid``, with the work buffer of this operator.
    otf
        Half spectrum of the PSF on ``grid``.
    start
        An estimate that methods which can (Richardson-Lucy, Landweber) begin with, when set; they
        overwrite it.
    observer
        Called with ``(x, H x)`` after each forward projection, when set.
    invariant
        Whether the blur is the same everywhere, so that ``otf`` tells all of it.
    """

    invariant = True

    def __init__(
        self,
        psf: NDArray[np.floating],
        shape: Sequence[int],
        borders: Borders | Sequence[Borders] = "extended",
        *,
        origin: Sequence[int] | None = None,
        spacing: Sequence[float] | None = None,
        multiple: int = 1,
        device: device | str = "cpu",
        dtype: dtype | None = None,
    ) -> None:
        import torch

        self.device = torch.device(device)
        self.dtype = dtype or torch.float32
        self.data_shape = tuple(int(n) for n in shape)
        self.borders = each_axis(borders, len(self.data_shape))
        self.spacing = tuple(spacing) if spacing is not None else (1.0,) * len(self.data_shape)
        self.start: Tensor | None = None
        self.observer: Callable[[Tensor, Tensor], None] | None = None
        if origin is None:
            origin = [n // 2 for n in psf.shape]
        self._kernel = psf, tuple(origin)
        self.psf_shape = psf.shape
        self.psf_origin = tuple(int(o) for o in origin)
        self.multiple = multiple
        self.grid = grid_shape(self.data_shape, psf.shape, origin, self.borders, multiple)
        self.object_shape = tuple(
            g if word == "extended" else n
            for word, g, n in zip(self.borders, self.grid, self.data_shape, strict=True)
        )
        self.transform = fft.transform(self.grid, dtype=self.dtype, device=self.device)
        self._data = self.transform.work[_corner(self.data_shape)]
        self._object = self.transform.work[_corner(self.object_shape)]
        self._mirrors = {
            axis: self._mirror(axis, before=psf.shape[axis] - 1 - origin[axis])
            for axis, word in enumerate(self.borders)
            if word == "reflect"
        }
        self._prepare(psf, origin)

    def _prepare(self, psf: NDArray[np.floating], origin: Sequence[int]) -> None:
        self.otf = self._spectrum_of(psf, origin)

    @cached_property
    def sensitivity(self) -> Tensor:  # noqa: D102  (an attribute to those who use it)
        # Whoever asks first may have something in the work buffer; direct filters never ask.
        memory = self.transform.memory
        kept = memory.clone()
        found = self._sensitivity(float(self._kernel[0].sum()))
        memory.copy_(kept)
        return found

    @cached_property
    def norm_squared(self) -> float:  # noqa: D102  (an attribute to those who use it)
        psf = self._kernel[0]
        return self._norm_squared(float(np.abs(psf).sum()), float(psf.sum()))

    def __call__(self, estimate: Tensor, *, borrow: bool = False) -> Tensor:
        """Project: ``H x``.

        Parameters
        ----------
        estimate
            Object x of shape ``object_shape``.
        borrow
            Return a view of the work buffer, which the next call of this operator overwrites
            (and which may be changed in place), instead of a copy.
        """
        self._object.copy_(estimate)
        self._clear_outside(self.object_shape)
        self._mirror_out()
        self._filter(self.otf, conjugate=False)
        if self.observer is not None:
            self.observer(estimate, self._data)
        return self._data if borrow else self._data.clone()

    def adjoint(self, data: Tensor, *, borrow: bool = False, otf: Tensor | None = None) -> Tensor:
        """Project back: ``H^T y``, of shape ``object_shape``.

        ``borrow`` as above; another ``otf`` in place of the PSF's makes an unmatched projector.
        """
        if data.data_ptr() != self._data.data_ptr():
            self._data.copy_(data)
        self._clear_outside(self.data_shape)
        self._filter(self.otf if otf is None else otf, conjugate=True)
        self._fold_back()
        return self._object if borrow else self._object.clone()

    def resized(self, shape: Sequence[int], start: Sequence[int] | None = None) -> Convolution:
        """Return the same blur for a part of the image: along a cut axis the object goes on.

        Where the part begins (``start``) matters only to a blur that varies.
        """
        del start
        if tuple(shape) == self.data_shape:
            return self
        psf, origin = self._kernel
        return Convolution(
            psf,
            shape,
            self._cut_borders(shape),
            origin=origin,
            spacing=self.spacing,
            multiple=self.multiple,
            device=self.device,
            dtype=self.dtype,
        )

    def crop(self, estimate: Tensor) -> Tensor:
        """Return the part of an estimate that lies within the image."""
        return estimate[_corner(self.data_shape)]

    def extend(self, data: Tensor) -> Tensor:
        """Return data on the estimate's domain, continued smoothly where that is larger."""
        if self.object_shape == self.data_shape:
            return data.clone()
        return self.periodic(data)[_corner(self.object_shape)].clone()

    def periodic(self, data: Tensor) -> Tensor:
        """Extend data to ``grid``, so that it repeats without a step.

        The margin leads from what is at one border straight to what is at the other: what a
        direct filter, which knows only circular convolution, needs to see.
        """
        import torch

        extended = torch.empty(self.grid, dtype=data.dtype, device=data.device)
        _make_periodic(extended, data)
        return extended

    def spectrum(self, data: Tensor) -> Tensor:
        """Return the half spectrum of smoothly extended data, in the operator's own memory.

        The next call of this operator overwrites it; it may be changed in place, and
        :meth:`from_spectrum` turns it back.
        """
        _make_periodic(self.transform.work, data)
        return self.transform.forward()

    def from_spectrum(self, spectrum: Tensor) -> Tensor:
        """Return the object whose half spectrum this is, of shape ``object_shape``."""
        self.transform.inverse(spectrum)
        return self._object.clone()

    def _cut_borders(self, shape: Sequence[int]) -> list[Borders]:
        return [
            word if n == whole else "extended"
            for word, n, whole in zip(self.borders, shape, self.data_shape, strict=True)
        ]

    def _mirror_out(self) -> None:
        """Write the mirror images that lie beyond reflecting borders."""
        for axis, mirror in self._mirrors.items():
            _unfold(self.transform.work, axis, self.data_shape[axis], mirror)

    def _fold_back(self) -> None:
        """Add what arrived at the mirror images to what they mirror."""
        for axis, mirror in reversed(self._mirrors.items()):
            _fold(self.transform.work, axis, self.data_shape[axis], mirror)

    def _filter(self, otf: Tensor, *, conjugate: bool) -> None:
        """Multiply the work buffer by an OTF (or its conjugate) in Fourier space."""
        spectrum = self.transform.forward()
        if conjugate:
            # Slab by slab: the conjugate as a whole would cost as much memory as the OTF itself.
            step = max(1, _SLAB // max(1, spectrum[0].numel()))
            for start in range(0, spectrum.shape[0], step):
                spectrum[start : start + step] *= otf[start : start + step].conj()
        else:
            spectrum *= otf
        self.transform.inverse(spectrum)

    def _clear_outside(self, shape: Sequence[int]) -> None:
        """Zero the work buffer outside ``shape``."""
        work = self.transform.work
        for axis, length in enumerate(shape):
            if length < self.grid[axis]:
                work.narrow(axis, length, self.grid[axis] - length).zero_()

    def _mirror(self, axis: int, before: int) -> Tensor:
        """Return, for each grid position beyond the image, the image index that it mirrors."""
        import torch

        length, margin = self.data_shape[axis], self.grid[axis] - self.data_shape[axis]
        position = torch.arange(length, length + margin, device=self.device)
        # The last ``before`` positions stand for what lies before the first voxel.
        position[margin - before :] -= self.grid[axis]
        return _reflected(position, length)

    def _spectrum_of(self, psf: NDArray[np.floating], origin: Sequence[int]) -> Tensor:
        """Return the OTF: the PSF wrapped onto the grid with its origin at index zero."""
        import torch

        if any(n > g for n, g in zip(psf.shape, self.grid, strict=True)):
            psf, origin = _wrapped(psf, origin, self.grid)
        work = self.transform.work.zero_()
        kernel = torch.from_numpy(np.ascontiguousarray(psf)).to(self.dtype).to(self.device)
        # The origin goes to index zero: each axis falls into the part from there on, which comes
        # first, and the part before, which comes last.
        parts = [
            ((slice(o, n), slice(0, n - o)), (slice(0, o), slice(g - o, g)))
            for n, o, g in zip(psf.shape, origin, self.grid, strict=True)
        ]
        for corner in product(*parts):
            work[tuple(p[1] for p in corner)] = kernel[tuple(p[0] for p in corner)]
        return self.transform.forward().clone()

    def _sensitivity(self, total: float) -> Tensor:
        import torch

        if self.invariant and set(self.borders) == {"circular"}:
            return torch.tensor(total, dtype=self.dtype, device=self.device)
        ones = torch.ones((), dtype=self.dtype, device=self.device).expand(self.data_shape)
        return self.adjoint(ones).clamp_(min=LEAST_SENSITIVITY * total)

    def _norm_squared(self, absolute: float, total: float) -> float:
        if "reflect" not in self.borders:
            # What is cut away or padded with zeros shortens vectors at most.
            # Slab by slab: torch takes a complex copy for the absolute values.
            return max(float(part.abs().max()) for (part,) in slabs(self.otf)) ** 2
        # Schur's test: the largest row sum times the largest column sum.
        return absolute**2 * max(1.0, float(self.sensitivity.max()) / total)


# Elements of a spectrum that are conjugated at a time (2 MiB of complex64).
_SLAB = 1 << 18


def each_axis(borders: Borders | Sequence[Borders], ndim: int) -> tuple[Borders, ...]:
    """Return one word for each axis."""
    return (borders,) * ndim if isinstance(borders, str) else tuple(borders)


def grid_shape(
    shape: Sequence[int],
    psf_shape: Sequence[int],
    origin: Sequence[int],
    borders: Borders | Sequence[Borders],
    multiple: int = 1,
) -> tuple[int, ...]:
    """Return the shape of the Fourier transforms that a convolution needs.

    Along borders that are not circular they are multiples of a number.
    """
    grid = []
    words = each_axis(borders, len(shape))
    for length, support, centre, word in zip(shape, psf_shape, origin, words, strict=True):
        if word == "circular":
            grid.append(length)
            continue
        ahead, behind = centre, support - 1 - centre
        margin = max(ahead, behind) if word == "zero" else ahead + behind
        grid.append(fft.fast_length(length + margin, multiple))
    return tuple(grid)


def _wrapped(
    psf: NDArray[np.floating], origin: Sequence[int], grid: Sequence[int]
) -> tuple[NDArray[np.floating], tuple[int, ...]]:
    """Fold a PSF that is larger than the circular image it meets itself in."""
    folded = np.zeros(grid)
    places = [(np.arange(n) - o) % g for n, o, g in zip(psf.shape, origin, grid, strict=True)]
    np.add.at(folded, np.ix_(*places), psf)
    return folded, (0,) * len(grid)


def _make_periodic(extended: Tensor, data: Tensor) -> None:
    """Write data into the corner of a larger array, and behind it a way back to its beginning."""
    import torch

    extended[_corner(data.shape)] = data
    for axis, (length, whole) in enumerate(zip(data.shape, extended.shape, strict=True)):
        margin = whole - length
        if margin == 0:
            continue
        # The axes before this one have their margins already.
        done = extended[(*[slice(None)] * (axis + 1), *_corner(data.shape[axis + 1 :]))]
        share = torch.arange(1, margin + 1, dtype=data.dtype, device=data.device) / (margin + 1)
        last, first = done.narrow(axis, length - 1, 1), done.narrow(axis, 0, 1)
        along = [-1 if i == axis else 1 for i in range(data.ndim)]
        done.narrow(axis, length, margin).copy_(torch.lerp(last, first, share.reshape(along)))


def _corner(shape: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(length) for length in shape)


def _reflected(position: Tensor, length: int) -> Tensor:
    """Mirror positions at the borders between voxels (d c b a | a b c d | d c b a)."""
    position = position % (2 * length)
    return position.minimum(2 * length - 1 - position)


def _unfold(work: Tensor, axis: int, length: int, mirror: Tensor) -> None:
    """Write mirrored copies behind the image along one axis."""
    outside = work.narrow(axis, length, mirror.numel())
    if axis == 0:
        for target, source in zip(outside, mirror.tolist(), strict=True):
            target.copy_(work[source])
        return
    # Slab by slab: to select from the whole, torch would copy it first.
    for part, behind in slabs(work, outside):
        behind.copy_(part.index_select(axis, mirror))


def _fold(work: Tensor, axis: int, length: int, mirror: Tensor) -> None:
    """Add what lies behind the image onto the voxels that it mirrors: the adjoint of unfold."""
    if mirror.numel():
        outside = work.narrow(axis, length, mirror.numel())
        work.narrow(axis, 0, length).index_add_(axis, mirror, outside)
        outside.zero_()
