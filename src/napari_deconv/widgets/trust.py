"""How far a result can be trusted: what the data say against it, and what chance adds."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_deconv.widgets.buttons import button, row
from napari_deconv.widgets.tasks import Picture, Update
from napari_deconv.widgets.torch_thread import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_deconv.widgets.tasks import Restoration

SEEDS = 3


class Trust(QWidget):
    """Buttons that ask for maps of a finished result."""

    support_asked = Signal()
    spread_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.support = button(
            "Is it in the data?",
            "Blur the result again and hold it against the image: a new layer shows by how many "
            "standard deviations of the noise light is missing in the result (red) or not "
            "supported by the data (blue). Within 3, the two agree.",
        )
        self.spread = button(
            f"Spread of {SEEDS} seeds",
            "Restore again with other random numbers: a new layer shows the standard deviation "
            "between the results, which is what chance has added. Takes twice as long as the "
            "restoration.",
        )
        self.support.clicked.connect(self.support_asked)
        self.spread.clicked.connect(self.spread_asked)
        self.setLayout(row([(self.support, 1), (self.spread, 1)]))
        self.hide()


class SupportMap:
    """The map of what the data say against a result.

    Parameters
    ----------
    restoration
        A finished one.
    """

    def __init__(self, restoration: Restoration) -> None:
        self.restoration = restoration
        self.output: Picture | None = None

    def __str__(self) -> str:
        return f"Holding {self.restoration.source.name} against its restoration"

    def run(self) -> Iterator[Update]:
        """Make it."""
        from napari_deconv.assessment import Noise, support_map

        yield Update("Blurring again", open_ended=True)
        done = self.restoration
        assert done.job is not None
        assert done.job.result is not None
        told = done.job.details
        data = done.source.data
        if done.region is not None:
            data = data[done.region]
        assert told.psf is not None
        assert told.psf_origin is not None
        found = support_map(
            np.asarray(data),
            done.job.result,
            centred(told.psf, told.psf_origin),
            noise=Noise(gain=told.gain, offset=told.offset, read_noise=told.read_noise),
        )
        self.output = Picture(found, (-6.0, 6.0))


class SpreadMap:
    """The standard deviation between results of several seeds.

    Parameters
    ----------
    restoration
        The first, finished.
    psf
        What it was given.
    """

    def __init__(self, restoration: Restoration, psf: Any) -> None:
        self.restoration, self._psf = restoration, psf
        self.output: Picture | None = None

    def __str__(self) -> str:
        return f"Restoring {self.restoration.source.name} with other seeds"

    def run(self) -> Iterator[Update]:
        """Make it."""
        from napari_deconv.engine import Job

        import_torch()
        done = self.restoration
        assert done.job is not None
        assert done.job.result is not None
        results = [done.job.result]
        first = int(done.options.get("seed") or 0)
        for number in range(1, SEEDS):
            options = {**done.options, "seed": first + number}
            job = Job(done.source.data, done.method, psf=self._psf, region=done.region, **options)
            with closing(job.steps()) as steps:
                for step in steps:
                    share = (number - 1 + step.fraction) / (SEEDS - 1)
                    yield Update(f"Seed {first + number}: {step.stage.lower()}", fraction=share)
            assert job.result is not None
            results.append(job.result)
        self.output = Picture.of(np.std(results, axis=0, dtype=np.float64).astype(np.float32))


def centred(psf: NDArray[Any], origin: Sequence[int]) -> NDArray[Any]:
    """Return a PSF with zeros around it, so that its origin is at index n // 2."""
    margins = []
    for n, place in zip(psf.shape, origin, strict=True):
        half = max(place, n - 1 - place)
        margins.append((half - place, half - (n - 1 - place)))
    return np.pad(psf, margins)
