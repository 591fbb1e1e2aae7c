"""One method on one block: advance it step by step and keep its figures."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from napari_deconv.engine.statistics import (
    HELD_OUT_SHARE,
    Statistics,
    misfit,
    uncertain_misfit,
)
from napari_deconv.operators.slabs import total

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.assessment.noise import Noise
    from napari_deconv.engine.stopping import HeldOutPhotons, Rule
    from napari_deconv.operators.convolution import Convolution
    from napari_deconv.registry import Method

# Voxels of an estimate that are compared from step to step.
_SAMPLE = 1 << 18
# Share of the time that figures which nobody waits for may take.
_SHARE = 0.04
_END = object()


class Run:
    """A method at work on one block.

    Parameters
    ----------
    method, parameters
        What to run. ``parameters`` hold no ``"auto"`` any more.
    data, blur
        The block and its forward model.
    floor
        Intensity that belongs to the model but not to the object.
    noise
        Camera model, for the figures.
    rule
        Reads the figures of every step; without it they are measured only now and then, so that
        they cost little.
    held_out
        Photons set aside for the rule.
    psf_error
        How far the blur may be wrong, relative to the light.
    predicts
        Whether ``blur`` is that of the image; else no figures tell how well it is explained.
    """

    def __init__(
        self,
        method: Method,
        parameters: Mapping[str, Any],
        data: Tensor,
        blur: Convolution,
        *,
        floor: Tensor,
        noise: Noise,
        rule: Rule | None = None,
        held_out: HeldOutPhotons | None = None,
        psf_error: float = 0.0,
        predicts: bool = True,
    ) -> None:
        self.data, self.blur = data, blur
        self.statistics: list[Statistics] = []
        self.estimate: Tensor | None = None
        self.residual: float | None = None
        self.iteration = 0
        self.enough: int | None = None
        self.floor, self.noise, self.rule, self._held_out = floor, noise, rule, held_out
        self._before: Tensor | None = None
        self._started = time.perf_counter()
        self._spent = 0.0
        self._watched: Statistics | None = None
        self._psf_error, self._predicts = psf_error, predicts
        if predicts:
            blur.observer = self._observe
        result = method.function(data, blur, **parameters)
        self._steps: Iterator[Any]
        self._terms: Mapping[str, float] | None = None
        self._steps = result if method.iterative else iter([result])

    def advance(self) -> bool:
        """Take one step; False when the method has come to its own end.

        What a method does before its first step, where that takes long, is no step.
        """
        # What is seen while a step is made describes the estimate that it starts from.
        last = self.statistics[-1] if self.statistics else None
        current = last is not None and last.iteration == self.iteration
        self._watched = last if current and self._held_out is None else None
        result = next(self._steps, _END)
        if result is _END:
            return False
        if result is None:
            return True
        self.estimate, self.residual, self._terms, *_ = (
            (*result, None) if isinstance(result, tuple) else (result, None, None)
        )
        self.iteration += 1
        if self.rule is not None or self._due():
            self._measure()
        return True

    def finish(self) -> None:
        """Measure the last estimate, which no further step looks at."""
        if self.estimate is None:
            return
        if not self.statistics or self.statistics[-1].iteration != self.iteration:
            self._measure()
        if self._predicts:
            self._watched = self.statistics[-1]
            self.blur(self.estimate, borrow=True)

    def close(self) -> None:
        """Let go of the method's arrays."""
        self._steps = iter(())
        self.blur.observer = None

    def on_device(self, array: NDArray[np.float32]) -> Tensor:
        """Return an array where the run computes."""
        import torch

        return torch.from_numpy(array).to(self.data.device)

    def _due(self) -> bool:
        """Whether figures are affordable now."""
        elapsed = time.perf_counter() - self._started
        return self.iteration <= 2 or self._spent < _SHARE * elapsed

    def _observe(self, point: Tensor, prediction: Tensor) -> None:
        """See a forward projection that the method made anyway."""
        del point
        figures, self._watched = self._watched, None
        if figures is None:
            return
        started = time.perf_counter()
        if self._held_out is not None:
            figures.held_out = self._held_out.likelihood(prediction, self.floor)
            figures.explained = self._held_out.explained(prediction, self.floor)
            figures.misfit, share = uncertain_misfit(
                self.data,
                prediction,
                self.floor,
                self.noise,
                self._psf_error,
                HELD_OUT_SHARE,
            )
            if share < 0.5:
                # Where noise is the larger, the photons that were held out know better.
                figures.misfit = None
        else:
            figures.deviance, figures.chi_squared = misfit(
                self.data, prediction, self.floor, self.noise
            )
        self._spent += time.perf_counter() - started

    def _measure(self) -> None:
        """Add the figures of the newest estimate, as far as they need no projection."""
        assert self.estimate is not None
        started = time.perf_counter()
        inside = self.blur.crop(self.estimate)
        step = max(1, round((inside.numel() / _SAMPLE) ** (1 / inside.ndim)))
        sample = inside[(slice(None, None, step),) * inside.ndim].clone()
        change = None
        consecutive = self.statistics and self.statistics[-1].iteration == self.iteration - 1
        if self._before is not None and consecutive:
            change = float((sample - self._before).norm() / self._before.norm().clamp_(min=1e-30))
        self._before = sample
        self.statistics.append(
            Statistics(
                iteration=self.iteration,
                seconds=started - self._started,
                total_intensity=total(inside),
                relative_change=change,
                residual=self.residual,
                terms=self._terms,
            )
        )
        if self._held_out is not None:
            # A rule wants the figure of this very estimate: an accelerated method projects another
            # point, and any method only during the next step.
            self._watched = self.statistics[-1]
            self.blur(self.estimate, borrow=True)
        self._spent += time.perf_counter() - started
        if self.rule is not None and self.enough is None:
            self.enough = self.rule.enough(self.statistics[-1])
