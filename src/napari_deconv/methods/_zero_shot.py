"""What fitting a network to one image needs: the forward model with a gradient, losses, pieces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.operators.gradients import weights as axis_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from napari_deconv.operators.convolution import Convolution

# Regularises the back-projection's inverse of the OTF (Tirer and Giryes 2021,
# doi:10.1109/TCI.2021.3053699): frequencies that pass with less than a twentieth are left alone.
_BACK = 3e-3
# SSIM as Wang et al. 2004, doi:10.1109/TIP.2003.819861.
_SSIM_SIGMA, _SSIM_SIDE = 1.5, 11


def blurred(x: Tensor, blur: Convolution) -> Tensor:
    """Return ``H x`` with a gradient: the adjoint, whatever the borders."""
    import torch

    class _Project(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return blur(x.detach())

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return blur.adjoint(gradient.contiguous())

    projected: Tensor = _Project.apply(x)  # type: ignore[no-untyped-call]
    return projected


def photon_misfit(model: Tensor, data: Tensor, darkest: float) -> Tensor:
    """Return the mean of ``m - y log m``, for a model in counts."""
    model = model.clamp(min=darkest)
    return (model - data * model.log()).mean()


class BackProjection:
    """Half the mean square of a residual whose blur is undone as far as it can be.

    Convergence along weak frequencies is as fast as along strong ones, which plain squares leave
    for the end; they let noise in, so this is for clean images.
    """

    def __init__(self, blur: Convolution) -> None:
        power = blur.otf.real.square() + blur.otf.imag.square()
        self._gain = (power / blur.norm_squared + _BACK).rsqrt()
        self._grid = blur.grid
        # White noise shall count as much as in plain squares.
        self._gain = self._gain / self._gain.square().mean().sqrt()

    def __call__(self, residual: Tensor) -> Tensor:
        """Return the misfit."""
        import torch

        axes = tuple(range(residual.ndim))
        spectrum = torch.fft.rfftn(residual, s=self._grid, dim=axes)
        white = torch.fft.irfftn(spectrum * self._gain, s=self._grid, dim=axes)
        misfit: Tensor = 0.5 * white.square().sum() / residual.numel()
        return misfit


def roughness(x: Tensor, order: int, spacing: Sequence[float]) -> Tensor:
    """Return the mean length of the gradient (order 1) or Hessian (2), as the priors have it.

    Edges are left out: nothing is known beyond them.
    """
    import torch

    weights = axis_weights(spacing)
    axes = range(x.ndim)
    squares: Tensor | None = None
    inside = tuple(slice(1, -1) for _ in axes)

    def shifted(steps: dict[int, int]) -> Tensor:
        return x[tuple(slice(1 + steps.get(a, 0), x.shape[a] - 1 + steps.get(a, 0)) for a in axes)]

    here = x[inside]
    for a in axes:
        first = shifted({a: 1}) - here
        if order == 1:
            part = (weights[a] * first).square()
        else:
            part = (weights[a] ** 2 * (shifted({a: 1}) + shifted({a: -1}) - 2 * here)).square()
            for b in range(a + 1, x.ndim):
                mixed = shifted({a: 1, b: 1}) - shifted({a: 1}) - shifted({b: 1}) + here
                part = part + 2 * (weights[a] * weights[b] * mixed).square()
        squares = part if squares is None else squares + part
    assert squares is not None
    return torch.sqrt(squares + 1e-10).mean()


def hessian_l1(x: Tensor) -> Tensor:
    """Return the mean of ``|x_yy| + |x_xx| + 2 |x_yx|``: the paper's equation 6, per pixel."""
    yy = x[2:] + x[:-2] - 2 * x[1:-1]
    xx = x[:, 2:] + x[:, :-2] - 2 * x[:, 1:-1]
    yx = x[1:, 1:] - x[1:, :-1] - x[:-1, 1:] + x[:-1, :-1]
    return yy.abs().mean() + xx.abs().mean() + 2 * yx.abs().mean()


def gradient_l1(x: Tensor) -> Tensor:
    """Return the mean of ``|x_y| + |x_x|``."""
    return (x[1:] - x[:-1]).abs().mean() + (x[:, 1:] - x[:, :-1]).abs().mean()


def structural_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean SSIM of planes (..., y, x) with values from 0 to 1, windows of side 11."""
    import torch
    from torch.nn import functional

    side = min(_SSIM_SIDE, *(n - 1 + n % 2 for n in a.shape[-2:]))
    t = torch.arange(side, dtype=a.dtype, device=a.device) - side // 2
    bell = torch.exp(-t.square() / (2 * _SSIM_SIGMA**2))
    bell = bell / bell.sum()

    maps = torch.stack([a, b, a * a, b * b, a * b]).reshape(-1, 1, *a.shape[-2:])
    maps = functional.conv2d(maps, bell.reshape(1, 1, -1, 1))
    maps = functional.conv2d(maps, bell.reshape(1, 1, 1, -1))
    maps = maps.reshape(5, *a.shape[:-2], *maps.shape[-2:])
    mean_a, mean_b = maps[0], maps[1]
    var_a, var_b = maps[2] - mean_a * mean_a, maps[3] - mean_b * mean_b
    both = maps[4] - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    ratio = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return (ratio / ((mean_a.square() + mean_b.square() + c1) * (var_a + var_b + c2))).mean()


@dataclass(frozen=True)
class Piece:
    """A part of the image and the object that it is made from.

    Attributes
    ----------
    blur
        Forward model of the part.
    data
        Where the part lies in the image.
    object
        Indices of its object along each axis of the whole object, in order of place.
    before
        Voxels of its object that lie before its first data voxel, on each axis.
    """

    blur: Convolution
    data: tuple[slice, ...]
    object: tuple[Any, ...]
    before: tuple[int, ...]

    def of(self, whole: Tensor) -> Tensor:
        """Return the piece of objects, ``(..., *object)``, in order of place."""
        import torch

        for axis, index in enumerate(self.object):
            place = whole.ndim - len(self.object) + axis
            whole = whole.index_select(place, torch.as_tensor(index, device=whole.device))
        return whole

    def as_object(self, placed: Tensor) -> Tensor:
        """Return a piece in order of place as the forward model wants it: image first."""
        import torch

        axes = list(range(placed.ndim - len(self.before), placed.ndim))
        return torch.roll(placed, [-n for n in self.before], axes)


class Pieces:
    """The whole image where it is small, else random parts of bounded size.

    Parameters
    ----------
    blur
        Forward model of the image.
    largest
        Voxels of the largest object that is worked on in one piece.
    """

    def __init__(self, blur: Convolution, largest: int) -> None:
        self.blur = blur
        psf, origin = blur.psf_shape, blur.psf_origin
        self._reach = [(n - 1 - o, o) for n, o in zip(psf, origin, strict=True)]
        shape = list(blur.object_shape)
        core = list(blur.data_shape)
        margins = [sum(r) for r in self._reach]

        def size() -> int:
            return math.prod(
                w if c >= n else c + m
                for c, n, m, w in zip(core, blur.data_shape, margins, shape, strict=True)
            )

        while size() > largest and max(core) > 16:
            axis = max(range(len(core)), key=lambda a: core[a])
            core[axis] = -(-core[axis] // 2)
        self.core = tuple(core)
        self._part = blur if self.core == blur.data_shape else blur.resized(self.core)

    @property
    def whole(self) -> Piece:
        """The whole image."""
        before = tuple(
            self._reach[a][0] if w > n else 0
            for a, (n, w) in enumerate(
                zip(self.blur.data_shape, self.blur.object_shape, strict=True)
            )
        )
        index = tuple(
            (np.arange(w) - b) % w for w, b in zip(self.blur.object_shape, before, strict=True)
        )
        return Piece(self.blur, tuple(slice(n) for n in self.blur.data_shape), index, before)

    def random(self, generator: np.random.Generator) -> Piece:
        """Return the whole image, or a part somewhere."""
        if self._part is self.blur:
            return self.whole
        data, index, before = [], [], []
        for axis, (c, n) in enumerate(zip(self.core, self.blur.data_shape, strict=True)):
            whole, length = self.blur.object_shape[axis], self._part.object_shape[axis]
            ahead = self._reach[axis][0] if length > c else 0
            wraps = self.blur.borders[axis] in ("extended", "circular")
            low, high = 0, n - c
            if c < n and not wraps:
                # What lies beyond such a border is no object of its own: stay inside.
                low, high = min(ahead, n - c), max(min(ahead, n - c), n - (length - ahead))
            start = int(generator.integers(low, high + 1))
            data.append(slice(start, start + c))
            places = np.arange(length) + start - ahead
            index.append(places % whole if wraps else places.clip(0, whole - 1))
            before.append(ahead)
        return Piece(self._part, tuple(data), tuple(index), tuple(before))


def places(core: Sequence[int], shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Return where a part of size ``core`` may lie, half of it on from place to place."""
    starts = [
        sorted({min(a, n - c) for a in range(0, n, max(c // 2, 1))})
        for c, n in zip(core, shape, strict=True)
    ]
    for start in product(*starts):
        yield tuple(slice(a, a + c) for a, c in zip(start, core, strict=True))


def cosine(step: int, total: int) -> float:
    """Return the share of the learning rate at a step: all of it at first, a hundredth at last."""
    return max(0.01, 0.5 * (1 + math.cos(math.pi * min(step / max(total, 1), 1.0))))


def thinned(
    data: Tensor, share: float, gain: float, zero: float, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Split an image's photons at random; return both parts, each scaled to the whole's intensity.

    Whole numbers of photons are split binomially, into two independent images; a camera's counts
    get noise of the variance that this would have had (Noise2Noise from one image: Oliveira, Batson
    and others call it recorruption or data fission).
    """
    import torch

    counts = data.detach().cpu().numpy().astype(np.float64)
    photons = (counts - zero) / gain
    whole = np.rint(photons)
    if np.abs(photons - whole).max() < 1e-3 and whole.min() >= 0:
        one = generator.binomial(whole.astype(np.int64), share).astype(np.float64)
    else:
        spread = np.sqrt(share * (1 - share) * photons.clip(min=0))
        one = share * photons + spread * generator.standard_normal(photons.shape)
    parts = (one / share, (photons - one) / (1 - share))
    first, second = (
        torch.from_numpy((part * gain + zero).astype(np.float32)).to(data.device) for part in parts
    )
    return first, second
