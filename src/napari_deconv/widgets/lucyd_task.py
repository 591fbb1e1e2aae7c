"""What the LUCYD dock lets run in a thread besides restoring: training."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_deconv.errors import InputError
from napari_deconv.widgets.tasks import Update
from napari_deconv.widgets.torch_thread import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_deconv.training.lucyd import Training
    from napari_deconv.training.recipes import Recipe
    from napari_deconv.widgets.layers import Snapshot

Teacher = Literal["psf", "sharp"]
# Seconds between two points of the curve, and between two looks at the picture.
_POINT, _LOOK = 1.0, 10.0


@dataclass(frozen=True)
class TrainingUpdate(Update):
    """Where a training is.

    Attributes
    ----------
    losses
        Pairs of minutes and the smoothed loss.
    best
        Best score so far on pairs kept apart, dB.
    planes
        Planes of an image kept apart, of what the network makes of it, and of the truth; None
        where the ones before are still true.
    """

    losses: Sequence[tuple[float, float]] = ()
    best: float = -np.inf
    planes: tuple[NDArray[np.float32], ...] | None = None


class LucydTraining:
    """Train LUCYD on what one microscope does.

    Parameters
    ----------
    source
        An image of it, whose noise is to be learned, or the worse one of a pair.
    teacher, other
        ``"psf"``: phantoms blurred with the PSF ``other``; ``"sharp"``: ``other`` shows the same
        object better.
    minutes
        How long.
    path
        Where to keep the weights.
    device
        Where to compute.
    """

    def __init__(
        self,
        source: Snapshot,
        teacher: Teacher,
        other: Snapshot,
        *,
        minutes: float,
        path: Path,
        device: str = "auto",
    ) -> None:
        self.source, self.other, self.teacher = source, other, teacher
        self.minutes, self.path, self.device = minutes, path, device
        self.saved: Path | None = None
        self.steps, self.best = 0, -np.inf

    def __str__(self) -> str:
        return f"Training LUCYD for {self.source.name}"

    def run(self) -> Iterator[Update]:
        """Train; when it is stopped, what is best so far is kept all the same."""
        yield Update("Making the first pairs", open_ended=True)
        import_torch()
        from dataclasses import replace

        from napari_deconv.engine.devices import find_device
        from napari_deconv.training import own
        from napari_deconv.training.lucyd import Training

        recipe = self._recipe()
        plan = replace(recipe.plan, minutes=self.minutes)
        training = Training(
            recipe.supply(plan.seed),
            recipe.judged(plan.seed),
            plan,
            device=str(find_device(self.device)),
            start=own.start_for(len(recipe.shape)),
        )
        try:
            yield from self._train(training)
        finally:
            if training.step:
                self._keep(training, recipe)

    def _train(self, training: Training) -> Iterator[Update]:
        losses: list[tuple[float, float]] = []
        started = shown = looked = time.perf_counter()
        with closing(training.steps()) as steps:
            for progress in steps:
                now = time.perf_counter()
                if progress.fraction < 1 and now - shown < _POINT:
                    continue
                shown = now
                losses.append(((now - started) / 60, progress.loss))
                planes = None
                if len(losses) == 1 or now - looked > _LOOK or progress.fraction >= 1:
                    looked, planes = now, training.picture()
                self.steps, self.best = progress.step, progress.best
                yield TrainingUpdate(
                    f"Training, {progress.step} steps",
                    fraction=progress.fraction,
                    losses=tuple(losses),
                    best=progress.best,
                    planes=planes,
                )

    def _keep(self, training: Training, recipe: Recipe) -> None:
        from importlib.metadata import version

        self.path.parent.mkdir(parents=True, exist_ok=True)
        card = {
            "title": recipe.title,
            "training": recipe.data,
            "limits": recipe.limits,
            "made": f"in the LUCYD dock, for {self.source.name} with {self.other.name}",
            "version": version("napari-deconv"),
        }
        training.save(self.path, recipe.settings, card)
        self.saved, self.best = self.path, training.best_score

    def _recipe(self) -> Recipe:
        from napari_deconv.training import own

        image, other = self.source, self.other
        pixels, second = np.asarray(image.data), np.asarray(other.data)
        if self.teacher == "psf":
            if second.ndim > 3:
                raise InputError("A PSF for training has the axes (Z,) Y, X: choose one of them.")
            return own.from_psf(
                second,
                _one_of(pixels, second.ndim),
                spacing=image.spacing,
                psf_spacing=other.spacing,
            )
        ndim = min(pixels.ndim, len(image.spacing) if image.spacing else 3)
        return own.from_pairs(
            list(zip(_each_of(pixels, ndim), _each_of(second, ndim), strict=False))
        )


def _one_of(pixels: NDArray[Any], ndim: int) -> NDArray[Any]:
    """Return the middle one of a series."""
    while pixels.ndim > ndim:
        pixels = pixels[len(pixels) // 2]
    return pixels


def _each_of(pixels: NDArray[Any], ndim: int) -> NDArray[Any]:
    """Return every one of a series, along one axis."""
    return pixels.reshape(-1, *pixels.shape[pixels.ndim - ndim :])
