"""The Deep-Blur dock: find the aberrations in an image, look at them, undo them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from napari.layers import Layer
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QHBoxLayout

from napari_deconv.errors import DeconvolutionError
from napari_deconv.widgets.aberrations import Aberrations, Finding
from napari_deconv.widgets.blur_maps import KIND, map_layers
from napari_deconv.widgets.blur_task import Identification, finding_of
from napari_deconv.widgets.buttons import button
from napari_deconv.widgets.checker import Checker
from napari_deconv.widgets.choice import when_gone
from napari_deconv.widgets.deconvolution import DeconvolutionWidget
from napari_deconv.widgets.dock import hex_of
from napari_deconv.widgets.layers import KEY, Snapshot, compatible_units, own_metadata
from napari_deconv.widgets.psf_look import read_file
from napari_deconv.widgets.strip import duration

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

BLIND = "to be found in the image"
# What a layer or its file may tell of the microscope, and the form asks for.
_OPTICS = ("numerical_aperture", "emission_wavelength")


class DeepBlurWidget(DeconvolutionWidget):
    """Restore an image whose PSF nobody has measured.

    Parameters
    ----------
    napari_viewer
        The viewer; napari fills it in.
    """

    NAME: ClassVar[str] = "deep-blur"
    ONLY: ClassVar[str | None] = "deep-blur"
    PSF_WORDS: ClassVar[tuple[str, ...]] = (BLIND,)
    # The optics, and whether the PSF varies.
    PLAIN: ClassVar[int] = 3

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.identify = button(
            "Find the PSF",
            "Look for the aberrations of the microscope in the image: PSF, wavefront and how sure "
            "they are. The PSF becomes a layer that every dock can use. Restore does this by "
            "itself where no PSF is chosen.",
        )
        self.aberrations = Aberrations()
        self.compare.hide()
        self.make_psf.hide()
        beside = self.beside.layout()
        assert isinstance(beside, QHBoxLayout)
        beside.insertWidget(0, self.identify, 5)
        self.column.insertWidget(self.column.indexOf(self.strip) + 1, self.aberrations)
        self.reader = Checker(self)
        self.reader.found.connect(self._take_file)
        self.reader.failed.connect(lambda _: None)  # a file that cannot be read tells nothing
        self.identify.clicked.connect(self._ask_find)
        self.image.choice.chosen.connect(self._take_optics)
        napari_viewer.events.theme.connect(self._colour)
        when_gone(self, self.reader.abandon)
        when_gone(self, self._stop_colouring)
        self._colour()
        self._take_optics()

    # Choosing --------------------------------------------------------------------------------

    @property
    def psf_layer(self) -> Image | None:
        """The PSF's layer, where one is chosen."""
        return self.psf.layer

    def psf_snapshot(self) -> Snapshot | None:
        """Return the PSF as it is now; None where it is to be found."""
        return None if self.psf.layer is None else Snapshot.of(self.psf.layer)

    def options(self, image: Snapshot, psf: Snapshot | None) -> dict[str, Any]:
        """Return what the job is told: of a PSF that was found, also how wrong it may be."""
        values = super().options(image, psf)
        told = None if psf is None else psf.metadata.get("psf_error")
        if (
            told is not None
            and values["psf_error"] == self.form.fields["psf_error"].parameter.default
        ):
            values["psf_error"] = told
        return values

    def _take_optics(self) -> None:
        """Fill in what the image's layer tells of the microscope, or else its file."""
        layer = self.image.layer
        if layer is None or layer.rgb:
            return
        told = own_metadata(layer).get("microscopes") or []
        if told:
            self._fill_in(told[0])
        elif layer.source.path:
            self.reader.ask(partial(read_file, layer.source.path, layer.name))

    def _take_file(self, found: tuple[str, dict[str, Any]]) -> None:
        name, fields = found
        if self.image.layer is not None and self.image.layer.name == name:
            self._fill_in(fields)

    def _fill_in(self, fields: Any) -> None:
        self.form.set_values({k: fields[k] for k in _OPTICS if fields.get(k) is not None})

    # Finding ---------------------------------------------------------------------------------

    def _ask_find(self) -> None:
        if self.runner.busy:
            return
        try:
            image = self.image.snapshot()
            task = Identification(image, self.chosen_method.id, self.options(image, None))
        except DeconvolutionError as error:
            self._report(error)
            return
        self.start(task, preview=False)

    def start(self, task: Any, *, preview: bool) -> None:
        """Start a task."""
        self.identify.setEnabled(False)
        super().start(task, preview=preview)

    def after(self, task: Any, outcome: Any) -> None:
        """Offer to look for the PSF again."""
        self.identify.setEnabled(True)
        super().after(task, outcome)

    def offer_last(self, task: Any) -> None:
        """After a cancel, offer the last estimate."""
        if isinstance(task, Identification):
            self.strip.say("Cancelled. No layer was changed.")
        else:
            super().offer_last(task)

    def add_results(self, task: Any, *, preview: bool) -> Layer | None:
        """Add the restored image, or the PSF that was found."""
        if isinstance(task, Identification):
            assert task.finding is not None
            self.aberrations.show_finding(task.finding)
            layer = self._add_found(task.finding, task.source)
            self.psf.choose(layer)
            self.strip.offer(can_continue=False)
            self.strip.afterwards.hide()
            self.strip.say(
                f"{layer.name}: {duration(task.seconds)}. It is chosen above: Restore uses it, as "
                "do the other docks."
            )
            return layer
        assert task.job is not None
        finding = finding_of(task.job.details, task.options.get("spacing"))
        if finding is not None:
            self.aberrations.show_finding(finding)
            if not preview:
                self._add_found(finding, task.source)
        layer = super().add_results(task, preview=preview)
        # A few steps that belong together: no curve, and nothing to go on with.
        self.strip.curves.clear()
        self.strip.offer(can_continue=False)
        return layer

    def _add_found(self, finding: Finding, source: Snapshot) -> Layer:
        """Add what was found, in place of older maps of the same image; return the PSF's layer."""
        if finding.field is not None:
            for layer in [
                each for each in self.viewer.layers if own_metadata(each).get("kind") == KIND
            ]:
                if own_metadata(layer)["source"] == source.name:
                    self.viewer.layers.remove(layer)
            for layer in map_layers(finding.field, source):
                self.add(layer, select=False)
        return self._add_psf(finding, source)

    def _add_psf(self, finding: Finding, source: Snapshot) -> Layer:
        """Add the PSF that was found, hidden, since it lies over the image."""
        spacing = (finding.pixel,) * 2 if finding.pixel else None
        field = finding.field
        record: dict[str, Any] = {
            "kind": "psf",
            "model": "deep-blur",
            "source": source.name,
            "source_path": source.path,
            "coefficients": {str(j): waves for j, waves in finding.coefficients.items()},
            "confidence": finding.confidence,
            "psf_error": finding.error,
            "verdict": finding.verdict,
        }
        if spacing is not None:
            record["spacing"] = list(spacing)
        if field is not None:
            record |= {"model": "field", "variant": field.psf}
        settings = {
            "name": f"{'PSF' if field is None else 'Field PSF'} found in {source.name}",
            "scale": spacing or (1.0, 1.0),
            "units": compatible_units(list(self.viewer.layers), 2) if spacing else ("pixel",) * 2,
            "axis_labels": ("y", "x"),
            "colormap": "inferno",
            "blending": "additive",
            "contrast_limits": (0.0, float(finding.psf.max())),
            "gamma": 0.5,
            "visible": False,
            "metadata": {KEY: record},
        }
        return self.add(Layer.create(finding.psf, settings, "image"), select=False)

    # Colours ---------------------------------------------------------------------------------

    def _stop_colouring(self) -> None:
        self.viewer.events.theme.disconnect(self._colour)

    def _colour(self, event: Any = None) -> None:
        self.aberrations.set_ink(hex_of(get_theme(self.viewer.theme).text))
