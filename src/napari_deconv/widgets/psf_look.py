"""What the PSF dock works out in threads: how a PSF looks, what it means, what a file tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_deconv.optics import Microscope
from napari_deconv.optics.advice import Advice, advise
from napari_deconv.optics.preview import Preview, preview_psf
from napari_deconv.optics.setup import Setup

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Seen:
    """What was seen of a PSF.

    Attributes
    ----------
    preview
        Its sections and figures.
    advice
        What it means, the worst first.
    spacing
        Size of the image's voxels (z, y, x), or of its pixels (y, x), um.
    """

    preview: Preview
    advice: list[Advice]
    spacing: tuple[float, ...]


def look(
    microscope: Mapping[str, Any],
    settings: Mapping[str, Any],
    spacing: tuple[float, ...],
    data: Any,
) -> Seen:
    """Look at a PSF, and hold it against an image; runs in a thread."""
    scope = Microscope(**microscope)
    own = {k: v for k, v in settings.items() if k not in ("pixel_integration", "centre")}
    preview = preview_psf(scope, **own)
    setup = Setup(scope, model=own.pop("model"), modality=own.pop("modality"), parameters=own)
    return Seen(preview, advise(setup, spacing, image=data), spacing)


def read_file(path: str, name: str) -> tuple[str, dict[str, Any]]:
    """Return a layer's name, and what its file tells of the microscope; runs in a thread."""
    from napari_deconv.errors import FileError
    from napari_deconv.io import read_image
    from napari_deconv.io.microscope_metadata import microscope_fields

    fields = dict(microscope_fields(path))
    try:
        image = read_image(path)
    except FileError:
        return name, fields
    if image.spacing is not None:
        fields["spacing"] = image.spacing
    return name, fields
