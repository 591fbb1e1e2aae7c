"""LUCYD's network in compiled loops, for stacks on a processor.

Libraries lay out features for networks of many channels; this one has four. Their convolutions
take ten times as long as their arithmetic, most of it for moving features to and fro and for memory
that is taken anew for each. Here a row of four features is made at a time, in the processor's
registers, and written into maps with a border of zeros, which are used again.
"""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from napari_deconv.networks.lucyd import Parts
from napari_deconv.sharing import shared

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.networks.lucyd import Convolution, Lucyd

    Map = NDArray[np.float32]

# Features that the loops make at once.
_FEATURES = 4
# The least number, where nothing is cut off.
_ANY = np.float32(-np.inf)
_INSIDE = (slice(None), *(slice(1, -1),) * 3)


def usable(device: torch.device, ndim: int) -> bool:
    """Whether there are compiled loops for so many axes on such a device."""
    return (
        device.type == "cpu"
        and ndim == 3
        and os.environ.get("NAPARI_DECONV_NUMBA", "auto") != "off"
        and importlib.util.find_spec("numba") is not None
    )


class CompiledLucyd:
    """A network for stacks that only restores, in float32.

    Parameters
    ----------
    network
        What :func:`~napari_deconv.networks.lucyd.folded` returns.
    """

    def __init__(self, network: Lucyd) -> None:
        self._network = network

    def parts(self, image: Tensor) -> Parts:
        """Return the restored image (1, 1, z, y, x), and what it was made of.

        The comments of :class:`~napari_deconv.networks.lucyd.Lucyd` hold for each line of this.
        """
        correction, update = self._network.correction, self._network.update
        shape = image.shape[2:]
        seen, projected, spare = (_empty(_FEATURES, shape) for _ in range(3))
        framed = _framed(image[0])
        for first, residual, into in (
            (correction.first, correction.encoder, seen),
            (update.first, update.projector, projected),
        ):
            _convolved(first, framed, into)
            _passed(residual, into, spare)
        fused, wide = self._bottleneck(seen, projected)
        _convolved(update.mean, projected, spare)
        projection = _tensor(spare).mean(1, keepdim=True)
        quotient = image / (projection + update.guard)
        # What the encoders made is not needed any more: their maps take what the decoders make.
        divided, merged = projected, seen
        _convolved(update.spread, _framed(quotient[0]), divided)
        _convolved(update.merge, divided, merged, wide)
        merged += divided
        _passed(update.back_projector, merged, spare)
        _convolved(update.last, merged, spare)
        factor = _tensor(spare).mean(1, keepdim=True)
        _convolved(correction.merge, wide, merged, fused)
        _passed(correction.decoder, merged, spare)
        _convolved(correction.last, merged, spare)
        mask = _tensor(spare)[:, :1].clone()
        corrected = image + mask
        restored = self._network.end(corrected * factor)
        if self._network.variant == "paper":
            restored = functional.relu(restored)
        return Parts(mask, corrected, projection, quotient, factor, restored)

    def _bottleneck(self, seen: Map, projected: Map) -> tuple[Map, Map]:
        """Return the features fused at full resolution, and those that both decoders hear."""
        at, update = self._network.bottleneck, self._network.update
        halves = [
            _strided(down, full)
            for down, full in ((self._network.correction.down, seen), (update.down, projected))
        ]
        small = halves[0].shape[1:]
        deep, spare = (_empty(2 * _FEATURES, small) for _ in range(2))
        _convolved(at.merge, _framed(torch.cat(halves)), deep)
        _passed(at.encoder, deep, spare)
        # A pointwise convolution of features that were repeated is that of the features, repeated.
        layer, last = at.fuse_wide
        point = layer.filter
        own, below = point.weight[:, :_FEATURES, 0, 0, 0], point.weight[:, _FEATURES:, 0, 0, 0]
        inner = torch.from_numpy(deep[_INSIDE])
        above = torch.tensordot(below, inner, 1) + point.bias[:, None, None, None]
        mixed, fused = np.zeros_like(seen), np.zeros_like(seen)
        _fused(seen, above.numpy(), own.numpy(), mixed)
        _convolved(last, mixed, fused)
        layer, last = at.fuse_deep
        point = layer.filter
        thinned = torch.from_numpy(seen[_INSIDE][:, ::2, ::2, ::2])
        both = torch.cat([thinned, inner])
        joint = torch.tensordot(point.weight[:, :, 0, 0, 0], both, 1)
        joint += point.bias[:, None, None, None]
        _convolved(last, _framed(joint.relu_()), deep)
        _convolved(at.refine, deep, spare)
        _passed(at.decoder, spare, deep)
        wide = mixed  # its memory
        risen = at.up(torch.from_numpy(spare[_INSIDE])[None])[0]
        wide[_INSIDE] = risen.numpy()
        return fused, wide


def _passed(residual: Any, features: Map, spare: Map) -> None:
    """Let features pass a residual block, in place."""
    _convolved(residual.first, features, spare)
    _convolved(residual.second, spare, features, added=True)


def _convolved(
    layer: Convolution, features: Map, into: Map, more: Map | None = None, *, added: bool = False
) -> None:
    """Write the convolution of features, and of more of them, into a map or add it to the map."""
    weight, bias = layer.filter.weight.numpy(), layer.filter.bias.numpy()
    if len(weight) % _FEATURES:
        wanting = _FEATURES - len(weight) % _FEATURES
        weight = np.concatenate([weight, np.zeros((wanting, *weight.shape[1:]), np.float32)])
        bias = np.concatenate([bias, np.zeros(wanting, np.float32)])
    if more is not None:
        first = np.ascontiguousarray(weight[:, : len(features)])
        _each_plane("convolve", features, first, bias, into, added, _ANY)
        features, weight = more, np.ascontiguousarray(weight[:, len(features) :])
        bias, added = np.zeros_like(bias), True
    least = np.float32(0) if layer.rectified else _ANY
    _each_plane("convolve", features, weight, bias, into, added, least)


def _fused(features: Map, above: Map, weight: Map, into: Map) -> None:
    """Write the rectified pointwise mixture of features and of others of half the resolution."""
    _each_plane("fuse", features, above, np.ascontiguousarray(weight), into)


def _each_plane(name: str, features: Map, *arguments: Any) -> None:
    from napari_deconv.networks import lucyd_loops

    kernel = getattr(lucyd_loops, name)

    def work(first: int, stop: int, *_: int) -> None:
        kernel(features, *arguments, first + 1, stop + 1)

    planes = features.shape[1] - 2
    # One plane is one piece of work: it is not shared any further.
    shared(work, planes, 1)


def _strided(layer: Convolution, features: Map) -> Tensor:
    """Return features of half the resolution; the border of zeros is the padding."""
    made = functional.conv3d(
        torch.from_numpy(features)[None], layer.filter.weight, layer.filter.bias, stride=2
    )
    return made[0].relu_()


def _empty(features: int, shape: torch.Size) -> Map:
    return np.zeros((features, *(n + 2 for n in shape)), np.float32)


def _framed(features: Tensor) -> Map:
    made: Map = functional.pad(features.float(), (1,) * 6).numpy()
    return made


def _tensor(features: Map) -> Tensor:
    return torch.from_numpy(features[_INSIDE])[None]
