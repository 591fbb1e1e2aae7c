"""What the Deep-Blur dock lets run in a thread: the PSF found in an image."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from napari_deconv.widgets.aberrations import Finding
from napari_deconv.widgets.tasks import Update
from napari_deconv.widgets.torch_thread import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_deconv.engine import Details
    from napari_deconv.widgets.blur_maps import FieldMaps
    from napari_deconv.widgets.layers import Snapshot


class Identification:
    """Find the PSF that an image was blurred with.

    Parameters
    ----------
    source
        The image.
    method, options
        As for :class:`~napari_deconv.engine.Job`.
    """

    def __init__(self, source: Snapshot, method: str, options: Mapping[str, Any]) -> None:
        self.source, self.method, self.options = source, method, dict(options)
        self.finding: Finding | None = None
        self.seconds = 0.0

    def __str__(self) -> str:
        return f"Finding the PSF in {self.source.name}"

    def run(self) -> Iterator[Update]:
        """Find it."""
        from napari_deconv.engine import Job

        yield Update("Preparing", open_ended=True)
        import_torch()
        started = time.perf_counter()
        job = Job(self.source.data, self.method, **self.options)
        with closing(job.settle()) as steps:
            for step in steps:
                yield Update(step.stage, fraction=step.fraction, open_ended=step.fraction < 1)
        self.seconds = time.perf_counter() - started
        self.finding = finding_of(job.details, self.options.get("spacing"))


def finding_of(details: Details, spacing: Sequence[float] | None) -> Finding | None:
    """Return what a job found of the optics of an image of this voxel size, um.

    None when its PSF was given.
    """
    import numpy as np

    from napari_deconv.identification.result import phase_picture

    if details.found is None:
        return None
    record, field = details.found, _maps_of(details)
    if field is None:
        psf = np.asarray(details.psf, np.float32)
        coefficients = {int(j): float(waves) for j, waves in record["coefficients"].items()}
        spread = {int(j): float(wide) for j, wide in record["spread"].items()}
    else:
        psf = field.psf.at([n // 2 for n in field.psf.image_shape])
        coefficients = {j: float(waves.mean()) for j, waves in field.coefficients.items()}
        spread = {j: float(waves.std()) for j, waves in field.coefficients.items()}
    return Finding(
        psf=psf,
        pixel=spacing[-1] if spacing else None,
        pupil=phase_picture(coefficients),
        coefficients=coefficients,
        spread=spread,
        wavelength=details.parameters["emission_wavelength"],
        strehl=float(np.mean(record["strehl"])),
        confidence=float(record["confidence"]),
        error=float(details.parameters["psf_error"]),
        verdict=str(record["verdict"]),
        field=field,
    )


def _maps_of(details: Details) -> FieldMaps | None:
    """Return what was found to change over the field."""
    import numpy as np

    from napari_deconv.widgets.blur_maps import FieldMaps

    record, psf = details.found, details.psf_field
    if record is None or psf is None:
        return None
    rows, columns = (
        first + np.array(nodes)
        for first, nodes in zip(record["start"], record["places"], strict=True)
    )
    return FieldMaps(
        psf=psf,
        coefficients={int(j): np.array(maps) for j, maps in record["coefficients"].items()},
        strehl=np.array(record["strehl"]),
        places=(rows, columns),
    )
