"""Progress on stderr: a bar for a person, now and then a line for a log file."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds between two pictures of the bar, and between two lines of a log.
_BAR_INTERVAL = 0.1
_LINE_INTERVAL = 10.0
_WIDTH = 24


class Step(Protocol):
    """What is shown of an engine's step."""

    @property
    def iteration(self) -> int:
        """Iterations done in this stage."""

    @property
    def total(self) -> int | None:
        """Iterations of this stage, when known."""

    @property
    def stage(self) -> str:
        """What is being done, in plain words."""

    @property
    def fraction(self) -> float:
        """How much of it is done, 0 to 1."""


class Progress:
    """Shows steps as they come.

    Parameters
    ----------
    stream
        Where to; stderr by default. A terminal gets a bar, anything else sparse lines.
    clock
        Seconds, for tests.
    """

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._bar = self._stream.isatty()
        self._shown = -1e9
        # Words of the stage, when it began, and at which iteration and fraction.
        self._stage = ("", clock(), 0, 0.0)
        self._length = 0

    def show(self, step: Step) -> None:
        """Show one step, unless another has just been shown."""
        now = self._clock()
        new = self._stage[0] != step.stage
        if new or step.fraction < self._stage[3]:
            self._stage = (step.stage, now, step.iteration, step.fraction)
        interval = _BAR_INTERVAL if self._bar else _LINE_INTERVAL
        if not new and now - self._shown < interval:
            return
        self._shown = now
        text = self._text(step, now)
        if self._bar:
            done = round(_WIDTH * step.fraction)
            self._draw(f"[{'#' * done}{'-' * (_WIDTH - done)}] {text}")
        else:
            print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Leave an empty line for what comes next."""
        if self._bar and self._length:
            self._draw("")
            self._stream.write("\r")
            self._stream.flush()

    def _draw(self, text: str) -> None:
        # Spaces instead of an escape sequence: every console knows them.
        self._stream.write("\r" + text.ljust(self._length))
        self._stream.flush()
        self._length = len(text)

    def _text(self, step: Step, now: float) -> str:
        parts = [f"{step.fraction:4.0%}  {step.stage}"]
        if step.iteration:
            total = f" of {step.total}" if step.total else ""
            parts.append(f"{step.iteration}{total}")
        _, since, first, share = self._stage
        done, seconds = step.iteration - first, now - since
        if done > 0 and seconds > 0:
            parts.append(f"{done / seconds:.3g} it/s")
        if share < step.fraction < 1 and seconds > 1:
            parts.append(
                f"{duration(seconds * (1 - step.fraction) / (step.fraction - share))} left"
            )
        return "  ".join(parts)


def duration(seconds: float) -> str:
    """Return a time span as a person says it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
