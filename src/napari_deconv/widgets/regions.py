"""Which part of a layer to try things on: a rectangle that was drawn, or the middle of the view."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Shapes

from napari_deconv.widgets.layers import KEY, downsampling, own_metadata, pixels, spatial_ndim

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.components import ViewerModel

# A preview has at most so many voxels along an axis.
PREVIEW = {2: (512, 512), 3: (64, 160, 160)}
NAME = "region to try on"
_SHARED = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


class Regions:
    """Looks for the part of a layer that is meant.

    Parameters
    ----------
    viewer
        Whose view and rectangle it is.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer

    def around(
        self,
        layer: Image,
        largest: Mapping[int, tuple[int, ...]],
        *,
        bounded: bool = True,
        level: int = 0,
    ) -> tuple[slice, ...]:
        """Return slices on all axes of a layer, at the time and channel that are shown.

        Parameters
        ----------
        layer
            The image.
        largest
            Most voxels along the spatial axes, by their number.
        bounded
            Whether that holds for a rectangle that was drawn, too.
        level
            In voxels of which of the layer's resolutions, 0 being the finest.
        """
        shape = tuple(int(n) for n in pixels(layer, level).shape)
        factors = downsampling(layer, level)
        spatial = min(spatial_ndim(layer), len(shape))
        middle = (self.middle(layer) + 0.5) / factors - 0.5
        drawn = {
            axis: (int(start / factors[axis]), min(shape[axis], ceil(stop / factors[axis])))
            for axis, (start, stop) in (self.rectangle(layer) or {}).items()
        }
        slices = []
        for axis, n in enumerate(shape):
            kept = axis - (len(shape) - spatial)
            size = min(n, largest[spatial][kept]) if kept >= 0 else 1
            place = int(np.rint(middle[axis]))
            if kept >= 0 and axis in drawn:
                start, stop = drawn[axis]
                size = min(stop - start, size) if bounded else stop - start
                place = (start + stop) // 2
            first = int(np.clip(place - size // 2, 0, n - size))
            slices.append(slice(first, first + size))
        return tuple(slices)

    def through(self, layer: Image) -> tuple[slice, ...] | None:
        """Return the drawn rectangle through all planes of the frame shown; None without one."""
        drawn = self.rectangle(layer)
        if drawn is None:
            return None
        shape = _shape(layer)
        spatial = min(spatial_ndim(layer), len(shape))
        middle = self.middle(layer)
        slices = []
        for axis, n in enumerate(shape):
            if axis in drawn:
                slices.append(slice(*drawn[axis]))
            elif axis >= len(shape) - spatial:
                slices.append(slice(0, n))
            else:
                place = int(np.clip(np.rint(middle[axis]), 0, n - 1))
                slices.append(slice(place, place + 1))
        return tuple(slices)

    def rectangle(self, layer: Image) -> dict[int, tuple[int, int]] | None:
        """Return the voxels within the rectangle drawn last, by axis; None where there is none."""
        shapes = self._shapes()
        if shapes is None or not len(shapes.data):
            return None
        corners = np.array([self._to(layer, shapes, corner) for corner in shapes.data[-1]])
        found: dict[int, tuple[int, int]] = {}
        for axis, n in enumerate(_shape(layer)):
            low, high = corners[:, axis].min(), corners[:, axis].max()
            if high - low < 1e-3:
                continue  # the axis along which it was not drawn
            # A voxel's middle is at its index.
            start, stop = (int(np.clip(np.rint(edge + 0.5), 0, n)) for edge in (low, high))
            if stop <= start:
                return None
            found[axis] = (start, stop)
        return found or None

    def ask(self, layer: Image) -> Shapes:
        """Let the user draw a rectangle: add a layer for it, and choose the tool."""
        shapes = self._shapes()
        if shapes is None:
            described = layer.as_layer_data_tuple()[1]
            shapes = Shapes(
                ndim=layer.ndim,
                name=NAME,
                face_color="transparent",
                edge_color="#ffd33d",
                edge_width=max(1.0, min(_shape(layer)[-2:]) / 150),
                metadata={KEY: {"kind": "region"}},
                **{name: described[name] for name in _SHARED if name in described},
            )
            self._viewer.add_layer(shapes)
        self._viewer.layers.selection.active = shapes
        shapes.mode = "add_rectangle"
        return shapes

    def _shapes(self) -> Shapes | None:
        for layer in reversed(self._viewer.layers):
            if isinstance(layer, Shapes) and own_metadata(layer).get("kind") == "region":
                return layer
        return None

    def _to(self, layer: Image, shapes: Shapes, corner: Any) -> Any:
        """Return a point of the rectangle in the image's voxels."""
        world = np.atleast_1d(shapes.data_to_world(corner))
        missing = layer.ndim - len(world)
        if missing > 0:
            world = np.concatenate([np.zeros(missing), world])
        return np.asarray(layer.world_to_data(world[-layer.ndim :]))

    def middle(self, layer: Image) -> Any:
        """Return the middle of the view in the image's voxels."""
        viewer = self._viewer
        camera = (viewer.scene if hasattr(viewer, "scene") else viewer).camera
        world = list(viewer.dims.point)
        # Of a plane the camera knows two axes; across it, the slider tells.
        seen = -3 if viewer.dims.ndisplay == 3 else -2
        for axis, place in zip(viewer.dims.displayed, camera.center[seen:], strict=False):
            world[axis] = place
        return np.asarray(layer.world_to_data(world[-layer.ndim :]))


def _shape(layer: Image) -> tuple[int, ...]:
    array = layer.data[0] if layer.multiscale else layer.data
    return tuple(int(n) for n in array.shape)
