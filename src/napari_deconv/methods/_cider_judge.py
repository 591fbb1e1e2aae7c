"""CiDeR's guard: of what the networks made, no more is kept than unseen photons confirm."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

from napari_deconv.methods import _zero_shot as zero_shot
from napari_deconv.methods._cider_network import mean_image

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_deconv.methods._cider_fit import Part
    from napari_deconv.methods._cider_task import Task

# The guard mixes in so many parts.
_QUARTERS = 4


class Judge:
    """Mixes the network's images with the classic one, as far as unseen photons want it.

    The classic image is the minimum of a convex objective: by that, no network could do better.
    Photons that neither has seen can tell. What a trained network made before it was fitted is a
    candidate of its own: the fewer the photons, the less is there to fit.

    Parameters
    ----------
    study
        What the photons are of: the whole image, or a part that speaks for it.
    seen
        Estimates without those photons; None lets the network have its way.
    classic
        Classic estimate of the whole image.
    """

    def __init__(self, study: Task, seen: Part | None, classic: Tensor) -> None:
        self._study, self._seen, self._classic = study, seen, classic
        self._start: tuple[Tensor, Tensor] | None = None
        self.share = 0.0

    def remember(self, networks: list[nn.Module], image: Tensor) -> None:
        """Take note of what the networks make before they are fitted."""
        if self._seen is not None:
            self._start = image, self._model(mean_image(networks, self._seen.inputs, self._study))

    def __call__(self, networks: list[nn.Module], image: Tensor) -> Tensor:
        """Return the mixture for the whole image."""
        study, seen = self._study, self._seen
        if seen is None:
            self.share = 1.0
            return image
        images = [image]
        models = [self._model(mean_image(networks, seen.inputs, study))]
        if self._start is not None:
            images.append(self._start[0])
            models.append(self._start[1])
        theirs = self._model(seen.classic * study.level)

        def misfit(parts: tuple[int, ...]) -> float:
            model = theirs + study.floor
            for part, ours in zip(parts, models, strict=True):
                if part:
                    model = model + (ours - theirs) * (part / _QUARTERS)
            found = float(zero_shot.photon_misfit(model, seen.target, study.darkest))
            return found if math.isfinite(found) else math.inf

        every = product(range(_QUARTERS + 1), repeat=len(images))
        best = min((parts for parts in every if sum(parts) <= _QUARTERS), key=misfit)
        self.share = sum(best) / _QUARTERS
        mixture = self._classic
        for part, each in zip(best, images, strict=True):
            if part:
                mixture = mixture + (each - self._classic) * (part / _QUARTERS)
        return mixture

    def _model(self, image: Tensor) -> Tensor:
        return self._study.blur(image)
