"""What trainings share: a time budget, a mean of the weights, and going on after a pause."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

# Longest memory of the mean of the weights, in steps.
_MEMORY = 200
_REPORT = 200


def parser(description: str) -> argparse.ArgumentParser:
    """Return the arguments that every training takes."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("natural", type=Path, help="folder of kodak_144x256x256_gray.npz")
    made.add_argument("output", type=Path, help="folder of checkpoints and of the weights")
    made.add_argument("--minutes", type=float, default=15, help="time to train in this run")
    made.add_argument("--samples", type=int, default=1800, help="pairs to learn from")
    made.add_argument("--scored", type=int, default=80, help="pairs to score on")
    made.add_argument("--batch", type=int, default=8, help="pairs of a step")
    made.add_argument("--crop", type=int, default=96, help="side of what a step sees of a pair")
    made.add_argument("--rate", type=float, default=1e-3, help="learning rate at the start")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--device", default="cpu")
    return made


class School:
    """Trains a network for a time, keeping the mean of its weights.

    Parameters
    ----------
    network
        What is to learn.
    checkpoint
        File to go on from, where there is one, and to write to.
    rate
        Learning rate at the start; it falls to zero along a cosine over the time given.
    """

    def __init__(self, network: nn.Module, checkpoint: Path, rate: float) -> None:
        self.network, self._checkpoint, self._rate = network, checkpoint, rate
        self._optimiser = torch.optim.Adam(network.parameters(), lr=rate)
        self.steps = 0
        if checkpoint.exists():
            stored = torch.load(checkpoint, weights_only=True)
            network.load_state_dict(stored["network"])
            self._optimiser.load_state_dict(stored["optimiser"])
            self.mean: dict[str, Tensor] = stored["mean"]
            self.steps = int(stored["steps"])
        else:
            self.mean = {name: value.clone() for name, value in network.state_dict().items()}

    def teach(
        self,
        minutes: float,
        loss: Callable[[], Tensor],
        score: Callable[[], Mapping[str, float]],
    ) -> Mapping[str, float]:
        """Take steps until the time is over; return the score of the mean weights."""
        started, first = time.perf_counter(), self.steps
        shown = math.nan
        while True:
            done = (time.perf_counter() - started) / (60 * minutes)
            if done >= 1 and self.steps > first:
                break
            warm = min(1.0, (self.steps - first + 1) / 100)
            for group in self._optimiser.param_groups:
                group["lr"] = self._rate * warm * 0.5 * (1 + math.cos(math.pi * min(done, 1)))
            value = loss()
            self._optimiser.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self._optimiser.step()
            self.steps += 1
            now = float(value.detach())
            shown = now if math.isnan(shown) else 0.98 * shown + 0.02 * now
            forget = 1 / min(self.steps + 1, _MEMORY)
            for name, tensor in self.network.state_dict().items():
                if tensor.is_floating_point():
                    self.mean[name].lerp_(tensor, forget)
            if self.steps % _REPORT == 0:
                print(f"{self.steps} steps, loss {shown:.4f}, {self._scored(score)}", flush=True)
                self._save()
        self._save()
        return self._scored(score)

    def _scored(self, score: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
        """Return the score with the mean weights."""
        current = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.mean)
        with torch.no_grad():
            result = score()
        self.network.load_state_dict(current)
        return result

    def _save(self) -> None:
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "mean": self.mean,
            "steps": self.steps,
        }
        # A run that is ended while it writes must not lose what there was.
        beside = self._checkpoint.with_suffix(".new")
        torch.save(state, beside)
        beside.replace(self._checkpoint)
