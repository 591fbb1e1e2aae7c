"""How fast a task is, and how long the rest of it takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_deconv.widgets.tasks import Update

# Seconds before which a pace says little.
_SOON, _SOON_ENOUGH = 0.3, 1.0


class Pace:
    """Looks at a task's updates as they come.

    Parameters
    ----------
    clock
        Seconds, for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        # Words of the stage, when it began, and at which step.
        self._stage = ("", 0.0, 0)
        # When it was first known how much there is to do, and how much of it was done.
        self._whole: tuple[float, float] | None = None

    def look(self, update: Update) -> tuple[float | None, float | None]:
        """Return steps per second, and the seconds left of all there is to do; None for unknown."""
        now = self._clock()
        if update.stage != self._stage[0]:
            self._stage = (update.stage, now, update.iteration)
        _, began, first = self._stage
        steps, seconds = update.iteration - first, now - began
        rate = steps / seconds if steps > 0 and seconds > _SOON else None
        if update.open_ended:
            return rate, None
        if self._whole is None:
            self._whole = (now, update.fraction)
        since, done = self._whole
        if now - since < _SOON_ENOUGH or update.fraction <= done:
            return rate, None
        return rate, (now - since) * (1 - update.fraction) / (update.fraction - done)
