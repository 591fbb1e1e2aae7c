"""Train LUCYD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from napari_deconv.networks.lucyd import Lucyd
from napari_deconv.networks.precision import autocast, knows_bfloat16
from napari_deconv.networks.weights import save_weights
from napari_deconv.training.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.networks.lucyd import Variant
    from napari_deconv.training.supply import Supply

# Constants of the structural similarity, for intensities from 0 to 1.
_C1, _C2 = 1e-4, 9e-4
# Weight of the error's logarithm beside equation 8, and the error below which it does not matter.
# Without it, noisy images, whose errors are the largest, are all that is learned from.
_LOGARITHM, _NEGLIGIBLE = 0.02, 3e-4
# Weight of the squared error of the mean: what is learned shall neither add nor lose light.
_FLUX = 1.0
# From this share of the time on, the normalisations are fixed: then what is trained is what will
# be used, not a network that sees the other images of its batch.
_FIXED_FROM = 0.6
# How fast the statistics of the normalisations forget.
_STATISTICS = 0.02


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes
    ----------
    minutes
        Time in all, earlier runs from the same folder counted in.
    steps
        Number of steps in all, in place of a time; for results that can be repeated exactly.
    batch, side
        Crops in a step, and their side in voxels.
    rate
        Highest learning rate.
    seed
        Start of the random numbers.
    variant
        Of the network.
    loss
        ``"paper"`` for equation 8 alone, over the whole batch; ``"repaired"`` takes it image by
        image, and adds the logarithm of the error and the error of the mean.
    """

    minutes: float = 15.0
    steps: int | None = None
    batch: int = 4
    side: int = 32
    rate: float = 4e-3
    seed: int = 0
    variant: Variant = "repaired"
    loss: Literal["paper", "repaired"] = "repaired"


class Training(Loop):
    """A network that learns from a supply of pairs.

    Parameters
    ----------
    supply
        Pairs to learn from.
    apart
        Images and objects to judge by.
    plan
        How to train.
    folder
        Where to keep what is needed to go on; nothing is kept without it.
    device
        Where to compute.
    start
        Weights to begin with, in place of random ones: they learn at half the rate, with the
        statistics of their normalisations fixed.
    """

    unit = "dB"
    network: Lucyd

    def __init__(
        self,
        supply: Supply,
        apart: tuple[Tensor, Tensor],
        plan: Plan,
        *,
        folder: Path | None = None,
        device: str = "cpu",
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self._supply = plan, supply
        self._apart = tuple(each.to(device) for each in apart)
        network = Lucyd(apart[0].ndim - 2, plan.variant)
        if start is not None:
            # Batches are counted by no one; files do without.
            network.load_state_dict(start, strict=False)
        for module in _norms(network):
            module.momentum = _STATISTICS
        if network.ndim == 3 and not knows_bfloat16(torch.device(device).type):
            # Half again as fast in float32, which is what is left; bfloat16 likes the other order.
            network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self._fixed_from = _FIXED_FROM if start is None else 0.0
        super().__init__(
            network,
            minutes=plan.minutes,
            steps=plan.steps,
            rate=plan.rate if start is None else plan.rate / 2,
            folder=folder,
            device=device,
        )

    def loss(self) -> Tensor:
        """Return the loss of the next batch."""
        plan = self.plan
        images, truths = self._supply.batch(self.step, plan.batch, plan.side)
        images, truths = images.to(self.device), truths.to(self.device)
        if self.fraction >= self._fixed_from and plan.variant == "repaired":
            for module in _norms(self.network):
                module.eval()
        with autocast(self.device):
            restored = self.network(images)
        return (paper_loss if plan.loss == "paper" else repaired_loss)(restored.float(), truths)

    def judged(self) -> float:
        """Return the mean signal to noise, dB."""
        return signal_to_noise(self.network, *self._apart)

    def picture(self) -> tuple[NDArray[np.float32], ...]:
        """Return the middle plane of an image kept apart, of what comes of it, and of the truth."""
        image, truth = (each[:1] for each in self._apart)
        training = self.network.training
        self.network.eval()
        with torch.no_grad(), autocast(self.device):
            restored = self.network(image).float()
        self.network.train(training)
        return tuple(
            (each[0, 0] if each.ndim == 4 else each[0, 0, each.shape[2] // 2]).cpu().numpy()
            for each in (image, restored, truth)
        )

    def save(self, path: Path, settings: Mapping[str, Any], card: Mapping[str, Any]) -> str:
        """Write the best weights and their card; return the file's SHA-256."""
        kind = {"variant": self.plan.variant, "ndim": self.network.ndim}
        tensors = {name: value for name, value in self.best.items() if "num_batches" not in name}
        about = {
            "network": f"LUCYD, {self.network.ndim}D, {self.plan.variant}, "
            f"{sum(p.numel() for p in self.network.parameters()):,} parameters",
            "steps": self.step,
            "minutes": round(self.seconds / 60, 1),
            "batch": f"{self.plan.batch} crops of side {self.plan.side}",
            "seed": self.plan.seed,
            "scores": {"on pairs apart, signal to noise in dB": round(self.best_score, 2)},
            "licence": "BSD-3-Clause; made by the napari-deconv developers",
        }
        return save_weights(path, tensors, "lucyd", kind | dict(settings), about | dict(card))


def paper_loss(restored: Tensor, truth: Tensor) -> Tensor:
    """Return equation 8, the similarity taken of the whole batch at once, as the authors do."""
    error = (restored - truth).square().mean()
    return error - torch.log((1 + similarity(restored, truth, tuple(range(truth.ndim)))) / 2)


def repaired_loss(restored: Tensor, truth: Tensor) -> Tensor:
    """Return equation 8 image by image, and errors on a scale of dB, and those of the mean."""
    axes = tuple(range(1, truth.ndim))
    error = (restored - truth).square().mean(axes)
    mean = (restored - truth).mean(axes).square()
    alike = -torch.log((1 + similarity(restored, truth, axes)) / 2)
    return (error + alike + _LOGARITHM * torch.log(error + _NEGLIGIBLE) + _FLUX * mean).mean()


def similarity(one: Tensor, other: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return the structural similarity with one mean and one variance for all of some axes."""
    mean_one, mean_other = one.mean(axes, keepdim=True), other.mean(axes, keepdim=True)
    variance_one = (one - mean_one).square().mean(axes)
    variance_other = (other - mean_other).square().mean(axes)
    covariance = ((one - mean_one) * (other - mean_other)).mean(axes)
    a, b = mean_one.reshape(variance_one.shape), mean_other.reshape(variance_one.shape)
    luminance = (2 * a * b + _C1) / (a.square() + b.square() + _C1)
    structure = (2 * covariance + _C2) / (variance_one + variance_other + _C2)
    return luminance * structure


@torch.no_grad()
def signal_to_noise(network: nn.Module, images: Tensor, truths: Tensor) -> float:
    """Return the mean, over images, of the object's variance over its mean squared error, in dB.

    Each is fitted to the object by a factor and an offset: what is judged is the shape.
    """
    network.eval()
    ratios = []
    for image, truth in zip(images, truths, strict=True):
        with autocast(image.device):
            restored = network(image[None])[0].float()
        alike = torch.corrcoef(torch.stack([restored.flatten(), truth.flatten()]))[0, 1]
        unexplained = (1 - alike.square()).nan_to_num(1.0).clamp(min=1e-12)
        ratios.append(float(-10 * torch.log10(unexplained)))
    return sum(ratios) / len(ratios)


def _norms(network: nn.Module) -> list[Any]:
    return [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
