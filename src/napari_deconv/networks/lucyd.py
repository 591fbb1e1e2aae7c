"""LUCYD: one pass of a network laid out like one step of Richardson-Lucy.

T. Chobola et al. 2023, "LUCYD: A Feature-Driven Richardson-Lucy Deconvolution Network". A
correction module adds a mask M to the image y, which stands for the estimate that earlier steps
would have made (equation 3); an update module makes the update term u, with learned layers in the
places of the PSF and its mirror (equation 4); the result is their product (equation 5). Between
them lies a bottleneck at half the resolution, which both feed and both hear.

Everything that is learned is a convolution without bias and a batch normalisation after it. The
layers are as in the paper's figures 1 and 2; where those leave a size open, it is the one with
which the network has the parameters that the paper counts, 24,964.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    Variant = Literal["paper", "repaired"]

# Trained parameters, by the number of spatial axes; the paper tells the first.
PARAMETERS = {3: 24_964, 2: 8_452}
# How far, in voxels, a result looks around; even, as the grid of half the resolution wants it.
REACH = 24
# What is added to the divisor in equation 4b. The authors' is so small that where a projection is
# dark the quotient is 1e12, and the statistics of the next normalisation are those of such voxels
# alone; images lie between 0 and 1, where 0.1 leaves the quotient a quotient.
_GUARDS = {"paper": 1e-12, "repaired": 0.1}
# No quotient is beyond this in half precision, where sums of larger ones would overflow.
_LARGEST_HALF = 1e3

_CONVOLUTIONS: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORMS: dict[int, Any] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


@dataclass(frozen=True)
class Parts:
    """What the network makes on its way, all of one channel and of the input's shape.

    Attributes
    ----------
    mask
        M of equation 3: what the correction module adds.
    corrected
        The estimate before the product, y + M.
    projection
        FP of equation 4a: the mean of the features that stand for the blurred estimate.
    quotient
        DV of equation 4b: the image over that.
    update
        u of equation 4c: what each voxel is multiplied by.
    restored
        The result, equation 5.
    """

    mask: Tensor
    corrected: Tensor
    projection: Tensor
    quotient: Tensor
    update: Tensor
    restored: Tensor


class Lucyd(nn.Module):
    """The network.

    Parameters
    ----------
    ndim
        Spatial axes, 3 as in the paper, or 2.
    variant
        ``"paper"``: divides by the projection plus 1e-12, and ends in a batch normalisation and a
        ReLU, which the paper does not mention but its number of parameters contains.
        ``"repaired"``: divides by the projection plus 0.1, ends in a learned factor and a learned
        offset in their place, and begins as the identity. Both have the same parameters.

    Notes
    -----
    Axes are (batch, 1, (z,) y, x), with even numbers of voxels. Intensities have to lie about
    between 0 and 1, with a background near 0. For float16 use autocast: the paper's variant has
    statistics that do not fit it.
    """

    def __init__(self, ndim: int = 3, variant: Variant = "repaired") -> None:
        super().__init__()
        self.ndim, self.variant = ndim, variant
        self.correction = Correction(ndim)
        self.bottleneck = Bottleneck(ndim)
        self.update = Update(ndim, _GUARDS[variant])
        self.end: nn.Module = _NORMS[ndim](1) if variant == "paper" else Affine()
        if variant == "repaired":
            self._begin_as_identity()
        count = sum(parameter.numel() for parameter in self.parameters())
        assert count == PARAMETERS[ndim], count

    def forward(self, image: Tensor) -> Tensor:
        """Return the restored image."""
        return self.parts(image).restored

    def parts(self, image: Tensor) -> Parts:
        """Return the restored image, and what it was made of."""
        seen = self.correction.encode(image)
        projected = self.update.project(image)
        fused, wide = self.bottleneck(seen, self.correction.down(seen), self.update.down(projected))
        mask = self.correction.decode(wide, fused)
        mean, quotient, divided = self.update.divide(image, projected)
        update = self.update.back_project(divided, wide)
        corrected = image + mask  # (3)
        restored = self.end(corrected * update)  # (5)
        if self.variant == "paper":
            restored = functional.relu(restored)
        return Parts(mask, corrected, mean, quotient, update, restored)

    def _begin_as_identity(self) -> None:
        """Start with a small mask and an update term about one, as Richardson-Lucy ends."""
        nn.init.constant_(self.correction.last.norm.weight, 0.1)
        nn.init.constant_(self.update.last.norm.weight, 0.1)
        nn.init.constant_(self.update.last.norm.bias, 1.0)


class Correction(nn.Module):
    """Makes the mask M of equation 3: an encoder and a decoder at full resolution."""

    def __init__(self, ndim: int) -> None:
        super().__init__()
        self.first = Convolution(ndim, 1, 4)
        self.encoder = Residual(ndim, 4)
        self.down = Convolution(ndim, 4, 8, stride=2)
        self.merge = Convolution(ndim, 8, 4)
        self.decoder = Residual(ndim, 4)
        self.last = Convolution(ndim, 4, 1, rectified=False)

    def encode(self, image: Tensor) -> Tensor:
        """Return the features that EB1 makes of the image."""
        features: Tensor = self.encoder(self.first(image))
        return features

    def decode(self, wide: Tensor, fused: Tensor) -> Tensor:
        """Return the mask of what the bottleneck says and the features fused at full resolution."""
        mask: Tensor = self.last(self.decoder(self.merge(torch.cat([wide, fused], 1))))
        return mask


class Update(nn.Module):
    """Makes the update term u of equation 4."""

    def __init__(self, ndim: int, guard: float) -> None:
        super().__init__()
        self.guard = guard
        self.first = Convolution(ndim, 1, 4)
        self.projector = Residual(ndim, 4)
        self.down = Convolution(ndim, 4, 8, stride=2)
        self.mean = Convolution(ndim, 4, 4)
        self.spread = Convolution(ndim, 1, 4)
        self.merge = Convolution(ndim, 8, 4)
        self.back_projector = Residual(ndim, 4)
        self.last = Convolution(ndim, 4, 4)

    def project(self, image: Tensor) -> Tensor:
        """Return the features of the forward projection f, equation 4a."""
        features: Tensor = self.projector(self.first(image))
        return features

    def divide(self, image: Tensor, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return projection, quotient (equation 4b) and the features made of it: figure 2b."""
        refined = self.mean(projected)
        # Eight bits of a quotient's divisor are too few.
        with torch.autocast(image.device.type, enabled=False):
            projection = refined.float().mean(1, keepdim=True)
            quotient = image.float() / (projection + self.guard)
            kind = self.spread.weight.dtype
            if kind == torch.float16:
                quotient = quotient.clamp(-_LARGEST_HALF, _LARGEST_HALF)
            divided = self.spread(quotient.to(kind))
        return projection, quotient, divided

    def back_project(self, divided: Tensor, wide: Tensor) -> Tensor:
        """Return u, equation 4c: the backward projection b of the quotient's features."""
        merged = self.merge(torch.cat([divided, wide], 1))
        update: Tensor = self.last(self.back_projector(merged + divided)).mean(1, keepdim=True)
        return update


class Bottleneck(nn.Module):
    """Works at half the resolution on what both modules saw."""

    def __init__(self, ndim: int) -> None:
        super().__init__()
        self.merge = Convolution(ndim, 16, 8)
        self.encoder = Residual(ndim, 8)
        self.fuse_wide = Fusion(ndim, 12, 4)
        self.fuse_deep = Fusion(ndim, 12, 8)
        self.refine = Convolution(ndim, 8, 8)
        self.decoder = Residual(ndim, 8)
        self.up = Convolution(ndim, 8, 4, kernel=4, stride=2, transposed=True)

    def forward(self, seen: Tensor, seen_deep: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Return the fused features of full resolution, and those that both decoders hear."""
        deep = self.encoder(self.merge(torch.cat([seen_deep, projected], 1)))
        above = functional.interpolate(deep, scale_factor=2.0, mode="nearest")
        below = functional.interpolate(seen, scale_factor=0.5, mode="nearest")
        fused = self.fuse_wide(torch.cat([seen, above], 1))  # (6)
        deep = self.fuse_deep(torch.cat([below, deep], 1))  # (7)
        return fused, self.up(self.decoder(self.refine(deep)))


class Fusion(nn.Sequential):
    """Feature fusion block, figure 2a: a pointwise convolution, then one of 3."""

    def __init__(self, ndim: int, inputs: int, outputs: int) -> None:
        super().__init__(
            Convolution(ndim, inputs, outputs, kernel=1),
            Convolution(ndim, outputs, outputs, rectified=False),
        )

    def __iter__(self) -> Iterator[Convolution]:
        """Iterate over both convolutions."""
        return iter(cast("list[Convolution]", list(self._modules.values())))


class Residual(nn.Module):
    """Two convolutions beside which the features pass unchanged."""

    def __init__(self, ndim: int, features: int) -> None:
        super().__init__()
        self.first = Convolution(ndim, features, features)
        self.second = Convolution(ndim, features, features, rectified=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        changed: Tensor = features + self.second(self.first(features))
        return changed


class Convolution(nn.Module):
    """A convolution without bias, its normalisation, and where wanted a ReLU."""

    def __init__(
        self,
        ndim: int,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        transposed: bool = False,
        rectified: bool = True,
    ) -> None:
        super().__init__()
        kind = (_TRANSPOSED if transposed else _CONVOLUTIONS)[ndim]
        self.filter = kind(inputs, outputs, kernel, stride, padding=(kernel - 1) // 2, bias=False)
        self.norm = _NORMS[ndim](outputs)
        self.rectified = rectified

    @property
    def weight(self) -> Tensor:
        """The filters."""
        weight: Tensor = self.filter.weight
        return weight

    def forward(self, features: Tensor) -> Tensor:
        """Return new features."""
        made: Tensor = self.norm(self.filter(features))
        return functional.relu(made, inplace=True) if self.rectified else made


class Affine(nn.Module):
    """A factor and an offset."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor) -> Tensor:
        """Return ``weight * image + bias``."""
        return self.weight * image + self.bias


def folded(network: Lucyd) -> Lucyd:
    """Return a copy that computes the same with its normalisations inside its convolutions.

    It only restores: it cannot be trained any further.
    """
    import copy

    from torch.nn.utils.fusion import fuse_conv_bn_eval

    made = copy.deepcopy(network).eval().requires_grad_(False)
    for module in made.modules():
        if isinstance(module, Convolution):
            transposed = isinstance(module.filter, tuple(_TRANSPOSED.values()))
            fuse: Callable[..., Any] = fuse_conv_bn_eval
            module.filter = fuse(module.filter, module.norm, transposed)
            module.norm = nn.Identity()
    return made
