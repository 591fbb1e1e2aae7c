"""The loop of a training: for a while, in steps that may be watched, stopped and gone on with."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from torch import Tensor, nn

_CLIP = 1.0
_WARMING = 0.08
# How fast the mean of the weights forgets.
_MEAN = 0.01
_SECONDS_BETWEEN_SCORES = 45.0


@dataclass(frozen=True)
class Progress:
    """Where a training is.

    Attributes
    ----------
    step
        Steps taken.
    fraction
        Share of the plan, 0 to 1.
    loss
        Smoothed.
    score
        On pairs kept apart, when it was last measured; the higher the better.
    best
        The best score so far; those weights are kept.
    """

    step: int
    fraction: float
    loss: float
    score: float
    best: float


class Loop(ABC):
    """A network that learns.

    Parameters
    ----------
    network
        What learns.
    minutes
        Time in all, earlier runs from the same folder counted in.
    steps
        Number of steps in all, in place of a time; for results that can be repeated exactly.
    rate
        Highest learning rate: it is reached soon, and falls to zero along a cosine.
    folder
        Where to keep what is needed to go on; nothing is kept without it.
    device
        Where to compute.
    """

    # Of the score, as it is shown behind it.
    unit = ""

    def __init__(
        self,
        network: nn.Module,
        *,
        minutes: float,
        steps: int | None,
        rate: float,
        folder: Path | None,
        device: str,
    ) -> None:
        self.network, self.device = network.to(device), torch.device(device)
        self._minutes, self._goal, self._rate = minutes, steps, rate
        self._optimiser = torch.optim.Adam(network.parameters(), lr=rate)
        self.step, self.seconds, self._loss = 0, 0.0, math.nan
        self.curve: list[tuple[float, float, float]] = []
        self._mean = _copy(network.state_dict())
        self.best: dict[str, Tensor] = _copy(self._mean)
        self.score = self.best_score = -math.inf
        self._checkpoint = None if folder is None else folder / "training.pt"
        if self._checkpoint is not None and self._checkpoint.exists():
            self._restore(self._checkpoint)

    @abstractmethod
    def loss(self) -> Tensor:
        """Return the loss of the next step."""

    @abstractmethod
    def judged(self) -> float:
        """Return the score of the network as it is."""

    @abstractmethod
    def save(self, path: Path, settings: Mapping[str, Any], card: Mapping[str, Any]) -> str:
        """Write the best weights and their card; return the file's SHA-256."""

    @property
    def fraction(self) -> float:
        """Share of the plan that is done."""
        if self._goal is not None:
            return self.step / self._goal
        return self.seconds / (60 * self._minutes)

    def steps(self) -> Generator[Progress, None, None]:
        """Train; may be left at any step, the best weights are in ``best``.

        Yields
        ------
        Progress
            After each step.
        """
        before, judged = time.perf_counter(), self.seconds
        try:
            while self.fraction < 1:
                self._take()
                now = time.perf_counter()
                self.seconds, before = self.seconds + now - before, now
                if self.seconds - judged > _SECONDS_BETWEEN_SCORES:
                    self._judge()
                    judged = self.seconds
                yield self._progress()
        finally:
            self._judge()
        yield self._progress()

    def _progress(self) -> Progress:
        return Progress(self.step, min(self.fraction, 1.0), self._loss, self.score, self.best_score)

    def _take(self) -> None:
        """Take one step."""
        fraction = self.fraction
        rate = self._rate * min(1.0, fraction / _WARMING + 1e-3)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0)))
        self.network.train()
        loss = self.loss()
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        self._optimiser.step()
        self.step += 1
        now = float(loss.detach())
        self._loss = now if math.isnan(self._loss) else 0.98 * self._loss + 0.02 * now
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self._mean[name].lerp_(value, max(_MEAN, 1 / (self.step + 1)))

    def _judge(self) -> None:
        """Measure the weights and their mean, and keep the better one if it is the best so far."""
        scored = {"raw": _copy(self.network.state_dict()), "mean": self._mean}
        scores = {}
        for name, state in scored.items():
            self.network.load_state_dict(state)
            scores[name] = self.judged()
        self.network.load_state_dict(scored["raw"])
        better = max(scores, key=lambda name: scores[name])
        self.score = scores[better]
        if self.score > self.best_score:
            self.best_score, self.best = self.score, _copy(scored[better])
        self.curve.append((self.seconds, self._loss, self.score))
        if self._checkpoint is not None:
            self._keep(self._checkpoint)

    def _keep(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "mean": self._mean,
            "best": self.best,
            "figures": [self.step, self.seconds, self._loss, self.best_score],
            "curve": self.curve,
        }
        # What there was must survive a run that ends while it writes.
        beside = path.with_suffix(".new")
        torch.save(state, beside)
        beside.replace(path)

    def _restore(self, path: Path) -> None:
        stored = torch.load(path, weights_only=True, map_location=self.device)
        self.network.load_state_dict(stored["network"])
        self._optimiser.load_state_dict(stored["optimiser"])
        self._mean, self.best, self.curve = stored["mean"], stored["best"], stored["curve"]
        step, self.seconds, self._loss, self.best_score = stored["figures"]
        self.step = int(step)


def _copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}
