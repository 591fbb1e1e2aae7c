"""The CiDeR dock: a network fitted to one image, and how far to trust it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from napari_deconv.widgets.deconvolution import DeconvolutionWidget
from napari_deconv.widgets.look import psf_arrays
from napari_deconv.widgets.streamed import StreamedRestoration
from napari_deconv.widgets.tasks import Restoration
from napari_deconv.widgets.trust import SEEDS, SpreadMap, SupportMap, Trust

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer


class CiderWidget(DeconvolutionWidget):
    """Restore one image by a network that is fitted to it.

    Parameters
    ----------
    napari_viewer
        The viewer; napari fills it in.
    """

    NAME: ClassVar[str] = "cider"
    ONLY: ClassVar[str | None] = "cider"

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.trust = Trust()
        self.column.insertWidget(self.column.indexOf(self.strip) + 1, self.trust)
        self.compare.hide()
        self.trust.support_asked.connect(self._ask_support)
        self.trust.spread_asked.connect(self._ask_spread)
        self._psf_used: Any = None

    def make_task(self, *, preview: bool) -> Restoration | None:
        """Return the restoration of the layer, or of a part of it."""
        self._psf_used = psf_arrays(self.psf_layer)
        return super().make_task(preview=preview)

    def start(self, task: Any, *, preview: bool) -> None:
        """Start a task."""
        self.trust.hide()
        super().start(task, preview=preview)

    def add_results(self, task: Any, *, preview: bool) -> Layer | None:
        """Add the restored image, or a map of it."""
        if isinstance(task, Restoration):
            # The maps are of a result in memory.
            self.trust.setVisible(not isinstance(task, StreamedRestoration))
            return super().add_results(task, preview=preview)
        self.trust.show()
        self.strip.offer(can_continue=False)
        if isinstance(task, SupportMap):
            return self._add_support(task)
        return self._add_spread(task)

    def _ask_support(self) -> None:
        if not self.runner.busy and self._last is not None:
            self.start(SupportMap(self._last[0]), preview=False)

    def _ask_spread(self) -> None:
        if not self.runner.busy and self._last is not None:
            self.start(SpreadMap(self._last[0], self._psf_used), preview=False)

    def _add_support(self, task: SupportMap) -> Layer:
        assert task.output is not None
        done = task.restoration
        values = task.output.data
        record = {"kind": "map", "of": done.source.name, "unit": "standard deviations"}
        layer = self._layer(done, task.output, f"{done.source.name}, is it in the data", record)
        layer.colormap = "RdBu_r"
        missing, invented = float((values > 4).mean()), float((values < -4).mean())
        self.strip.say(
            f"Light is missing in {missing:.2%} of the result, and not supported by the data in "
            f"{invented:.2%} (beyond 4 standard deviations; by chance 0.003% each)."
        )
        return self.add(layer)

    def _add_spread(self, task: SpreadMap) -> Layer:
        assert task.output is not None
        done = task.restoration
        assert done.job is not None
        assert done.job.result is not None
        spread, result = task.output.data, done.job.result
        record = {"kind": "map", "of": done.source.name, "seeds": SEEDS}
        layer = self._layer(done, task.output, f"{done.source.name}, spread", record)
        layer.colormap = "magma"
        share = float((spread**2).mean() ** 0.5 / max(float((result**2).mean() ** 0.5), 1e-30))
        self.strip.say(
            f"Between {SEEDS} seeds, results differ by {share:.2%} of their intensity (root mean "
            "square)."
        )
        return self.add(layer)
