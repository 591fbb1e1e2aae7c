"""A blur that changes from place to place, as a sum of convolutions with maps between.

With a few kernels e_k (eigen-PSFs) and smooth maps a_k, the point spread function at a place is
``sum_k a_k e_k``. Two operators come of it (Debarnot and Weiss 2024, deep-blur, model 2.2, and
Escande and Weiss 2017, doi:10.1007/s10851-017-0714-2):

``product-convolution``
    ``H x = sum_k e_k * (a_k x)``: the PSF is that of the place where the light comes from.
``convolution-product``
    ``H x = sum_k a_k (e_k * x)``: the PSF is that of the place where the light arrives.

They differ as little as the PSF changes within its own width. With one kernel and no map, both
are the convolution of model 2.1.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_deconv.operators.convolution import Convolution
from napari_deconv.operators.slabs import slabs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, device, dtype

    from napari_deconv.operators.convolution import Borders

Order = Literal["product-convolution", "convolution-product"]

# Steps of the power method, and the margin that makes of what it finds a bound.
_STEPS, _MARGIN = 12, 1.05
# Places along an axis at which the mean of the maps is taken.
_PLACES = 16


class ProductConvolution(Convolution):
    """H of a blur that varies, with its exact adjoint; all else is as for :class:`Convolution`.

    Parameters
    ----------
    components
        Kernels e_k (k, ..., y, x).
    weights
        Maps a_k: called with the places (voxels of the image) along each axis, it returns them at
        all combinations (k, ..., y, x), an axis along which they do not change having length 1.
    shape, borders, spacing, multiple, device, dtype
        As for :class:`Convolution`.
    order
        Whether light is weighed where it comes from or where it arrives.
    origin
        Index of the kernels' origin on every axis.
    start
        Place of the image's first voxel, where it is a part of a larger one.

    Attributes
    ----------
    otf
        Half spectrum of the mean PSF, for estimates that need no more.
    invariant
        False: the operator is not diagonal in Fourier space.
    """

    invariant = False

    def __init__(
        self,
        components: NDArray[np.floating],
        weights: Callable[[Sequence[NDArray[np.float64]]], NDArray[np.floating]],
        shape: Sequence[int],
        borders: Borders | Sequence[Borders] = "extended",
        *,
        order: Order = "product-convolution",
        origin: Sequence[int] | None = None,
        start: Sequence[int] | None = None,
        spacing: Sequence[float] | None = None,
        multiple: int = 1,
        device: device | str = "cpu",
        dtype: dtype | None = None,
    ) -> None:
        self.order = order
        self._components, self._weights = components, weights
        self._start = tuple(start) if start is not None else (0,) * len(shape)
        places = [
            np.unique(np.linspace(s, s + n - 1, min(n, _PLACES)))
            for s, n in zip(self._start, shape, strict=True)
        ]
        shares = weights(places).reshape(len(components), -1).mean(axis=1)
        mean = np.tensordot(shares, components, 1)
        super().__init__(
            mean,
            shape,
            borders,
            origin=origin,
            spacing=spacing,
            multiple=multiple,
            device=device,
            dtype=dtype,
        )

    def _prepare(self, psf: NDArray[np.floating], origin: Sequence[int]) -> None:
        import torch

        self.otf = self._spectrum_of(psf, origin)
        self._otfs = [self._spectrum_of(each, origin) for each in self._components]
        weighed_at_source = self.order == "product-convolution"
        places = self._object_places(origin) if weighed_at_source else self._data_places()
        maps = np.ascontiguousarray(self._weights(places))
        self._maps = list(torch.from_numpy(maps).to(self.dtype).to(self.device))
        self._spectrum = torch.empty_like(self.otf)
        total_shape = self.object_shape if weighed_at_source else self.data_shape
        self._total = torch.empty(total_shape, dtype=self.dtype, device=self.device)
        self.sensitivity = self._sensitivity(float(psf.sum()))

    def __call__(self, estimate: Tensor, *, borrow: bool = False) -> Tensor:
        """Project: ``H x``; see :meth:`Convolution.__call__`."""
        if self.order == "product-convolution":
            image = self._gather(estimate, forward=True)
        else:
            image = self._scatter(estimate, forward=True)
        if self.observer is not None:
            self.observer(estimate, image)
        return image if borrow else image.clone()

    def adjoint(self, data: Tensor, *, borrow: bool = False, otf: Tensor | None = None) -> Tensor:
        """Project back: ``H^T y``; see :meth:`Convolution.adjoint`."""
        if otf is not None:
            return super().adjoint(data, borrow=borrow, otf=otf)
        if self.order == "product-convolution":
            result = self._scatter(data, forward=False)
        else:
            result = self._gather(data, forward=False)
        return result if borrow else result.clone()

    def resized(self, shape: Sequence[int], start: Sequence[int] | None = None) -> Convolution:
        """Return the same blur for a part of the image, beginning at voxel ``start``."""
        if tuple(shape) == self.data_shape:
            return self
        first = start if start is not None else [0] * len(self.data_shape)
        return ProductConvolution(
            self._components,
            self._weights,
            shape,
            self._cut_borders(shape),
            order=self.order,
            origin=self._kernel[1],
            start=[a + b for a, b in zip(self._start, first, strict=True)],
            spacing=self.spacing,
            multiple=self.multiple,
            device=self.device,
            dtype=self.dtype,
        )

    def _gather(self, values: Tensor, *, forward: bool) -> Tensor:
        """Weigh with each map, then filter with its kernel (or back), and add up: in a buffer."""
        embed = self._embed_object if forward else self._embed_data
        for number, (weight, otf) in enumerate(zip(self._maps, self._otfs, strict=True)):
            embed(values * weight)
            spectrum = self.transform.forward()
            for total, s, h in slabs(self._spectrum, spectrum, otf):
                h = h if forward else h.conj()
                if number:
                    total.addcmul_(s, h)
                else:
                    total.copy_(s).mul_(h)
        self.transform.inverse(self._spectrum)
        if forward:
            return self._data
        self._fold_back()
        return self._object

    def _scatter(self, values: Tensor, *, forward: bool) -> Tensor:
        """Filter with each kernel (or back), then weigh with its map, and add up: in a buffer."""
        import torch

        embed, seen = (
            (self._embed_object, self._data) if forward else (self._embed_data, self._object)
        )
        embed(values)
        self._spectrum.copy_(self.transform.forward())
        for number, (weight, otf) in enumerate(zip(self._maps, self._otfs, strict=True)):
            target = self.transform.spectrum
            for t, s, h in slabs(target, self._spectrum, otf):
                torch.mul(s, h if forward else h.conj(), out=t)
            self.transform.inverse(target)
            if not forward:
                self._fold_back()
            if number:
                self._total.addcmul_(seen, weight)
            else:
                torch.mul(seen, weight, out=self._total)
        return self._total

    def _embed_object(self, estimate: Tensor) -> None:
        """Put an object on the grid, with its mirror images."""
        self._object.copy_(estimate)
        self._clear_outside(self.object_shape)
        self._mirror_out()

    def _embed_data(self, data: Tensor) -> None:
        """Put data on the grid, and nothing around."""
        if data.data_ptr() != self._data.data_ptr():
            self._data.copy_(data)
        self._clear_outside(self.data_shape)

    def _data_places(self) -> list[NDArray[np.float64]]:
        return [
            first + np.arange(n, dtype=np.float64)
            for first, n in zip(self._start, self.data_shape, strict=True)
        ]

    def _object_places(self, origin: Sequence[int]) -> list[NDArray[np.float64]]:
        """Return where in the image the object's voxels are, those of an extended margin too."""
        places = []
        for first, n, whole, reach in zip(
            self._start, self.data_shape, self.object_shape, origin, strict=True
        ):
            index = np.arange(whole)
            # The end of the margin stands for what lies before the first voxel.
            before = (index >= n + reach) & (whole > n)
            places.append(first + np.where(before, index - whole, index).astype(np.float64))
        return places

    @cached_property
    def norm_squared(self) -> float:
        """A bound of ``|H|^2`` from the power method, begun with light everywhere.

        Found when it is first asked for: it takes a dozen projections there and back.
        """
        import torch

        generator = torch.Generator().manual_seed(0)
        vector = torch.rand(self.object_shape, generator=generator, dtype=self.dtype)
        vector = vector.add_(0.5).to(self.device)
        largest = 0.0
        observer, self.observer = self.observer, None
        for _ in range(_STEPS):
            vector = vector / vector.norm()
            vector = self.adjoint(self(vector, borrow=True))
            largest = float(vector.norm())
        self.observer = observer
        bound = sum(
            float(m.abs().max()) * float(h.abs().max())
            for m, h in zip(self._maps, self._otfs, strict=True)
        )
        if self._mirrors:
            return _MARGIN * largest
        return min(_MARGIN * largest, bound**2)
