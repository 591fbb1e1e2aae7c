"""What the PSF dock lets run in a thread."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.widgets.tasks import Picture, Update
from napari_deconv.widgets.torch_thread import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_deconv.optics import Microscope
    from napari_deconv.optics.beads import BeadAverage
    from napari_deconv.optics.phase_retrieval import Pupil
    from napari_deconv.optics.variant import VariantPsf
    from napari_deconv.widgets.layers import Snapshot


class PsfGeneration:
    """Compute a PSF.

    Parameters
    ----------
    microscope
        Values of :class:`~napari_deconv.optics.Microscope`.
    shape, spacing
        Voxels, and their size in um.
    settings
        More parameters of :func:`~napari_deconv.optics.generate_psf`.
    """

    def __init__(
        self,
        microscope: Mapping[str, Any],
        shape: Sequence[int],
        spacing: Sequence[float],
        settings: Mapping[str, Any],
    ) -> None:
        self.microscope, self.settings = dict(microscope), dict(settings)
        self.shape, self.spacing = tuple(shape), tuple(spacing)
        self.output: Picture | None = None
        self.seconds = 0.0

    def __str__(self) -> str:
        return "Computing a PSF"

    def run(self) -> Iterator[Update]:
        """Compute it."""
        from napari_deconv.optics import Microscope, generate_psf

        yield Update("Computing", open_ended=True)
        started = time.perf_counter()
        psf = generate_psf(Microscope(**self.microscope), self.shape, self.spacing, **self.settings)
        self.seconds = time.perf_counter() - started
        self.output = Picture(psf, (0.0, float(psf.max()) or 1.0))


class BeadAveraging:
    """Find beads and average them.

    Parameters
    ----------
    source
        The image of beads.
    leading
        Which time or channel of it.
    settings
        Values of :class:`~napari_deconv.optics.beads.Averaging`.
    microscope, modality
        What the beads should look like; None to measure them without.
    """

    def __init__(
        self,
        source: Snapshot,
        leading: tuple[int, ...],
        settings: Mapping[str, Any],
        microscope: Microscope | None,
        modality: str,
    ) -> None:
        self.source, self.leading, self.settings = source, leading, dict(settings)
        self.microscope, self.modality = microscope, modality
        self.average: BeadAverage | None = None
        self.seconds = 0.0

    def __str__(self) -> str:
        return f"Averaging the beads of {self.source.name}"

    def run(self) -> Iterator[Update]:
        """Do it."""
        from napari_deconv.optics.beads import average_beads, find_beads

        started = time.perf_counter()
        assert self.source.spacing is not None
        yield Update("Finding beads", fraction=0.0, open_ended=True)
        image = np.asarray(self.source.data[self.leading])
        spacing, scope = self.source.spacing, self.microscope
        beads = find_beads(image, spacing, scope, modality=self.modality)
        yield Update(f"Averaging {sum(b.accepted for b in beads)} beads", open_ended=True)
        self.average = average_beads(
            image, beads, spacing, scope, modality=self.modality, **self.settings
        )
        self.seconds = time.perf_counter() - started


class FieldFit:
    """Make a PSF that changes over the field out of beads that were averaged already.

    Parameters
    ----------
    averaging
        The finished averaging.
    """

    def __init__(self, averaging: BeadAveraging) -> None:
        self.averaging = averaging
        self.variant: VariantPsf | None = None
        self.seconds = 0.0

    def __str__(self) -> str:
        return f"Making a field PSF of {self.averaging.source.name}"

    def run(self) -> Iterator[Update]:
        """Do it."""
        from napari_deconv.optics.variant import variant_from_beads

        yield Update("Averaging in each part of the field", open_ended=True)
        started = time.perf_counter()
        done = self.averaging
        assert done.average is not None
        assert done.source.spacing is not None
        self.variant = variant_from_beads(
            np.asarray(done.source.data[done.leading]),
            done.average.beads,
            done.source.spacing,
            done.microscope,
            modality=done.modality,
            bead_diameter=done.settings["bead_diameter"],
        )
        self.seconds = time.perf_counter() - started


class PupilFit:
    """Find the aberrations that explain an averaged bead.

    Parameters
    ----------
    average
        The average.
    microscope
        The microscope.
    """

    def __init__(self, average: BeadAverage, microscope: Microscope) -> None:
        self.average, self.microscope = average, microscope
        self.pupil: Pupil | None = None
        self.seconds = 0.0

    def __str__(self) -> str:
        return "Fitting a pupil"

    def run(self) -> Iterator[Update]:
        """Do it."""
        import_torch()
        from napari_deconv.optics.phase_retrieval import retrieve_pupil

        yield Update("Fitting", open_ended=True)
        started = time.perf_counter()
        average = self.average
        # As many photons at the top as its height over its noise tells.
        top = float(average.mean.max())
        self.pupil = retrieve_pupil(
            average.mean.clip(min=0),
            average.spacing,
            self.microscope,
            bead_diameter=average.report.bead_diameter,
            gain=top / average.report.snr**2,
        )
        self.seconds = time.perf_counter() - started
