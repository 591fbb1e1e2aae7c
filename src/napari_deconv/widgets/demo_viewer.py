"""The demo's images in napari."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import napari
    import numpy as np
    from numpy.typing import NDArray

    Images = Mapping[str, NDArray[np.float32]]


def show_images(
    images: Images, spacing: Sequence[float], records: Mapping[str, dict[str, Any]]
) -> None:
    """Open napari with images side by side, and wait until it is closed.

    Parameters
    ----------
    images
        By name; axes Z, Y, X.
    spacing
        Voxel size (z, y, x), um.
    records
        Provenance of those images that have one.
    """
    import napari

    add_images(napari.Viewer(title="napari-deconv demo"), images, spacing, records)
    napari.run()


def add_images(
    viewer: napari.Viewer,
    images: Images,
    spacing: Sequence[float],
    records: Mapping[str, dict[str, Any]],
) -> None:
    """Add the images to a viewer, in one row."""
    import numpy as np

    for name, image in images.items():
        viewer.add_image(
            image,
            name=name,
            scale=spacing,
            units=("um",) * image.ndim,
            axis_labels=("z", "y", "x"),
            colormap="magma",
            contrast_limits=(float(np.percentile(image, 2)), float(np.percentile(image, 99.9))),
            metadata={"napari-deconv": records[name]} if name in records else {},
        )
    # napari 0.9 moved both to the canvas, and warns at their former place.
    canvas = getattr(viewer, "canvas", None)
    grid = (canvas or viewer).grid
    grid.shape = (1, len(images))
    grid.enabled = True
    (canvas.overlays if canvas else viewer).scale_bar.visible = True
