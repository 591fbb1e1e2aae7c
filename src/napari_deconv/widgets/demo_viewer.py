"""The demo's three layers in napari."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import napari

    from napari_deconv.demo import Demo


def show_demo(demo: Demo) -> None:
    """Open napari with the demo's layers, and wait until it is closed."""
    import napari

    add_layers(demo, napari.Viewer(title="napari-deconv demo"))
    napari.run()


def add_layers(demo: Demo, viewer: napari.Viewer) -> None:
    """Add the sample blurred, restored and true, side by side."""
    import numpy as np

    images = {"blurred": demo.blurred, "restored": demo.restored, "truth": demo.sample.truth}
    for name, image in images.items():
        viewer.add_image(
            image,
            name=name,
            scale=demo.sample.spacing,
            units=("um",) * image.ndim,
            axis_labels=("z", "y", "x"),
            colormap="magma",
            contrast_limits=(float(np.percentile(image, 2)), float(np.percentile(image, 99.9))),
            metadata={"napari-deconv": demo.details.provenance} if name == "restored" else {},
        )
    # napari 0.9 moved both to the canvas, and warns at their former place.
    canvas = getattr(viewer, "canvas", None)
    grid = (canvas or viewer).grid
    grid.shape = (1, len(images))
    grid.enabled = True
    (canvas.overlays if canvas else viewer).scale_bar.visible = True
