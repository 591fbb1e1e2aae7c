"""Layers that come and go: the running estimate, and the preview until the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_deconv.widgets.tasks import Picture


class PassingLayers:
    """Adds and removes them without changing what is selected.

    Parameters
    ----------
    viewer
        Where.
    fallback
        Returns the layer to select where nothing else is left: menus look at the selection, and
        an empty one hides them.
    """

    def __init__(self, viewer: ViewerModel, fallback: Callable[[], Layer | None]) -> None:
        self._viewer, self._fallback = viewer, fallback
        self._live: Layer | None = None
        self._preview: Layer | None = None
        viewer.layers.events.removed.connect(self._on_removed)

    def stop(self) -> None:
        """Follow the viewer no more."""
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def add(self, layer: Layer, *, select: bool = True) -> Layer:
        """Add a layer."""
        chosen = list(self._viewer.layers.selection)
        self._viewer.add_layer(layer)
        if not select:
            self._select(chosen)
        return layer

    def show_live(self, picture: Picture, make: Callable[[Picture], Layer | None]) -> None:
        """Show the running task's picture; if someone removed the layer, leave it at that."""
        if self._live is None:
            layer = make(picture)
            if layer is not None:
                self._live = self.add(layer, select=False)
        elif self._live in self._viewer.layers:
            self._live.data = picture.data
            if picture.limits is not None:
                self._live.contrast_limits = picture.limits

    def drop_live(self) -> None:
        """Remove the running estimate."""
        live, self._live = self._live, None
        self._remove(live)

    def keep_preview(self, layer: Layer | None) -> None:
        """Take a layer for the preview, which the next one replaces."""
        self._preview = layer

    def drop_preview(self) -> None:
        """Remove the preview."""
        preview, self._preview = self._preview, None
        self._remove(preview)

    def _remove(self, layer: Layer | None) -> None:
        if layer is not None and layer in self._viewer.layers:
            chosen = [other for other in self._viewer.layers.selection if other is not layer]
            self._viewer.layers.remove(layer)
            self._select(chosen)

    def _select(self, layers: list[Layer]) -> None:
        """Select what was selected before."""
        still = [layer for layer in layers if layer in self._viewer.layers]
        if not still and (other := self._fallback()) is not None:
            still = [other]
        if still:
            self._viewer.layers.selection = set(still)

    def _on_removed(self, event: Any) -> None:
        if self._preview is not None and self._preview is event.value:
            self._preview = None
