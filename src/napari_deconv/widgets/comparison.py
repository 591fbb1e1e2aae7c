"""Settings tried beside each other, as a task for a thread."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.widgets.tasks import Update
from napari_deconv.widgets.torch_thread import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_deconv.engine import Setting, SweepResult
    from napari_deconv.widgets.layers import Snapshot


class Comparison:
    """Try settings on a part of a layer.

    Parameters
    ----------
    source
        What to restore.
    psf, options
        As for :class:`~napari_deconv.engine.Sweep`.
    rows
        The settings as they are laid out.
    region
        Slices on all axes.
    plane
        Which plane of a region with depth is shown.

    Attributes
    ----------
    original
        That plane of the image itself.
    results
        What has come out so far.
    """

    def __init__(
        self,
        source: Snapshot,
        psf: Any,
        rows: Sequence[Sequence[Setting]],
        options: Mapping[str, Any],
        *,
        region: tuple[slice, ...],
        plane: int | None = None,
    ) -> None:
        self.source, self.region, self.plane = source, region, plane
        self.rows = [list(row) for row in rows]
        self.original: NDArray[Any] | None = None
        self.results: list[SweepResult] = []
        self._psf, self._options = psf, dict(options)

    def __str__(self) -> str:
        return f"Comparing settings on {self.source.name}"

    @property
    def settings(self) -> list[Setting]:
        """All settings, row by row."""
        return [setting for row in self.rows for setting in row]

    def run(self) -> Iterator[Update]:
        """Try them; stopped, it keeps the results there are."""
        from napari_deconv.engine import Sweep

        yield Update("Preparing", open_ended=True)
        self.original = self._plane_of_the_image()
        import_torch()
        sweep = Sweep(
            self.source.data,
            self._psf,
            self.settings,
            region=self.region,
            plane=self.plane,
            **self._options,
        )
        self._psf = None
        with closing(sweep.steps()) as steps:
            for step in steps:
                if step.result is not None:
                    self.results.append(step.result)
                inside = step.step.fraction if step.step is not None else 0.0
                stage = f": {step.step.stage.lower()}" if step.step is not None else ""
                number = min(step.done + 1, step.total)
                yield Update(
                    f"Setting {number} of {step.total}{stage}",
                    fraction=min(1.0, (step.done + inside / 2) / step.total),
                )

    def _plane_of_the_image(self) -> NDArray[Any]:
        part = np.asarray(self.source.data[self.region])
        while part.ndim > 3 or (part.ndim == 3 and self.plane is None):
            part = part[len(part) // 2]
        return part[self.plane] if part.ndim == 3 else part
