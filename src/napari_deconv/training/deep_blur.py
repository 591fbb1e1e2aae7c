"""Train deep-blur's restoration: the unrolled Douglas-Rachford network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from napari_deconv.methods._zero_shot import structural_similarity
from napari_deconv.networks.douglas_rachford import DouglasRachford, Unrolled
from napari_deconv.networks.drunet import Plan as Prior
from napari_deconv.networks.precision import autocast
from napari_deconv.networks.weights import save_weights
from napari_deconv.training.loop import Loop
from napari_deconv.training.unrolled_pairs import Pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from napari_deconv.training.unrolled_pairs import Batch

# Share of the plan in which the first proximal network learns alone, on the regularised inverse;
# the others begin as copies of it.
_ALONE = 0.15
# Weight of 1 - SSIM beside the absolute error, and of all steps but the last one.
_SIMILARITY, _EARLIER = 0.2, 0.1
# Noise of what is judged by, and its side.
_JUDGED, _SIDE, _EACH = (0.0, 0.003, 0.02, 0.05), 128, 6


@dataclass(frozen=True)
class Plan:
    """What to train, and how.

    Attributes
    ----------
    title
        For the card.
    network
        Its sizes.
    minutes
        Time in all, earlier runs from the same folder counted in.
    steps
        Number of steps in all, in place of a time; for results that can be repeated exactly.
    batch, side
        Crops in a step, and their side in pixels.
    rate
        Highest learning rate.
    seed
        Start of the random numbers.
    found
        Images in which PSFs are found to learn from.
    """

    title: str = "deep-blur's restoration, small"
    network: Unrolled = field(
        default_factory=lambda: Unrolled(
            Prior(channels=(48, 64, 96), blocks=1, maps=2, patch=2, residual=True)
        )
    )
    minutes: float = 182.0
    steps: int | None = None
    batch: int = 8
    side: int = 80
    rate: float = 1e-3
    seed: int = 0
    found: int = 2000


# Nearly the publication's size, for a GPU: 6.3 million parameters for each of four steps, 50 MB in
# half precision. On one core a step takes 20 s, so it has never been trained.
LARGE = Plan(
    title="deep-blur's restoration, large",
    network=Unrolled(Prior(channels=(32, 64, 128, 256), blocks=3, maps=2, residual=True)),
    minutes=600.0,
    batch=16,
    side=120,
    rate=2e-4,
)
RECIPES = {"small": Plan(), "large": LARGE}


class Training(Loop):
    """A restoration that learns from photographs and synthetic microscopy.

    Parameters
    ----------
    natural
        Folder of ``kodak_144x256x256_gray.npz``.
    plan
        What to train, and how.
    microscopy
        Folder of microscope images or stacks, TIFF, to learn from as well.
    folder, device
        As for :class:`~napari_deconv.training.loop.Loop`.
    say
        Told what is being made before the first step.
    """

    unit = "SSIM"
    network: DouglasRachford

    def __init__(
        self,
        natural: Path,
        plan: Plan,
        *,
        microscopy: Path | None = None,
        folder: Path | None = None,
        device: str = "cpu",
        say: Callable[[str], None] = print,
    ) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self._microscopy = plan, microscopy is not None
        self._pairs = Pairs(
            natural,
            seed=plan.seed,
            microscopy=microscopy,
            found=plan.found,
            kept=None if folder is None else folder / "found.pt",
            say=say,
        )
        apart = Pairs(natural, apart=True, seed=plan.seed)
        self._judged = [
            apart.batch(number, _EACH, _SIDE, sigma, told=told)
            for number, sigma in enumerate(_JUDGED)
            for told in (False, True)
        ]
        network = DouglasRachford(plan.network)
        if plan.network.prior.ndim == 2:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        super().__init__(
            network,
            minutes=plan.minutes,
            steps=plan.steps,
            rate=plan.rate,
            folder=folder,
            device=device,
        )
        self._copied = self.fraction >= _ALONE

    def loss(self) -> Tensor:
        """Return the loss on the next batch."""
        plan = self.plan
        batch = self._pairs.batch(self.step, plan.batch, plan.side)
        alone = self.fraction < _ALONE
        if not alone and not self._copied:
            self._copy_first()
        made = restored(self.network, batch, self.device, steps=1 if alone else None)
        shares = [_EARLIER] * (len(made) - 1) + [1.0]
        truths = batch.truths.to(self.device)
        return sum(
            (share * _misfit(each, truths) for share, each in zip(shares, made, strict=True)),
            start=torch.zeros((), device=self.device),
        )

    def judged(self) -> float:
        """Return the mean SSIM, over noise and PSFs true and wrong."""
        scores = []
        alone = self.fraction < _ALONE
        self.network.eval()
        with torch.no_grad():
            for batch in self._judged:
                made = restored(self.network, batch, self.device, steps=1 if alone else None)
                scores.append(float(structural_similarity(made[-1], batch.truths.to(self.device))))
        self.each = scores
        return sum(scores) / len(scores)

    def _copy_first(self) -> None:
        """Let every step begin with what the first has learned alone."""
        self._copied = True
        first, *others = self.network.networks
        for other in others:
            other.load_state_dict(first.state_dict())
        with torch.no_grad():
            self.network.log_weight[2:] = self.network.log_weight[1]
            self.network.power[2:] = self.network.power[1]
            self.network.log_noise[1:] = self.network.log_noise[0]
        for name, value in self.network.state_dict().items():
            self._mean[name].copy_(value)
        # One step alone and all together are judged apart.
        self.best_score = -float("inf")

    def save(self, path: Path, settings: Mapping[str, Any], card: Mapping[str, Any]) -> str:
        """Write the best weights in half precision, and their card; return the file's SHA-256."""
        count = sum(p.numel() for p in self.network.parameters())
        plan, prior = self.plan, self.plan.network.prior
        seen = "microscope images, " if self._microscopy else ""
        about = {
            "title": plan.title,
            "network": f"Douglas-Rachford, {plan.network.steps} steps, DRUNet of "
            f"{'-'.join(map(str, prior.channels))} channels "
            f"{'for each' if plan.network.own else 'shared'}, {count:,} parameters",
            "training": f"photographs of Kodak (1 to 15), {seen}synthetic microscopy, aberrated "
            f"pupils (Noll 4 to 11), circular, {plan.found} PSFs as found in images; see "
            "napari_deconv.training.unrolled_pairs for the ranges",
            "steps": self.step,
            "minutes": round(self.seconds / 60, 1),
            "batch": f"{plan.batch} crops of side {plan.side}",
            "seed": plan.seed,
            "scores": {"mean SSIM on pairs apart": round(self.best_score, 4)},
            "licence": "BSD-3-Clause; made by the napari-deconv developers from Kodak's freely "
            f"usable photographs, {seen}and generated images",
            "limits": "planes; blur as of a pupil of 0.12 to 0.25 cycles per pixel",
        }
        tensors = {name: value.half() for name, value in self.best.items()}
        kind = plan.network.settings() | dict(settings)
        return save_weights(path, tensors, "deep-blur", kind, about | dict(card))


def restored(
    network: DouglasRachford, batch: Batch, device: torch.device, steps: int | None = None
) -> Sequence[Tensor]:
    """Return the objects after each step, in the batch's unit."""
    level, scale = batch.level.to(device), batch.scale.to(device)
    inverse = batch.inverse(device)
    noise, error = batch.noise.to(device) / scale, batch.error.to(device)
    made = []
    with autocast(device):
        for x in network(inverse, torch.zeros_like(noise), noise, error):
            made.append(x.float() * scale + level)
            if len(made) == steps:
                break
    return made


def _misfit(image: Tensor, truth: Tensor) -> Tensor:
    alike = structural_similarity(image, truth)
    return (image - truth).abs().mean() + _SIMILARITY * (1 - alike)
