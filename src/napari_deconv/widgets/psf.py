"""The PSF dock: from what is written on the objective, or from beads, to a layer with its PSF."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.theme import get_theme
from qtpy.QtWidgets import QTabBar, QVBoxLayout, QWidget

from napari_deconv.errors import DeconvolutionError, ParameterError
from napari_deconv.optics import Microscope
from napari_deconv.optics.setup import Setup
from napari_deconv.optics.zernike import name as zernike_name
from napari_deconv.widgets.choice import when_gone
from napari_deconv.widgets.dock import Dock, hex_of
from napari_deconv.widgets.layers import KEY, compatible_units, pixels, times
from napari_deconv.widgets.psf_beads import PsfBeads, bead_points
from napari_deconv.widgets.psf_tasks import BeadAveraging, FieldFit, PsfGeneration, PupilFit
from napari_deconv.widgets.psf_theory import PsfTheory
from napari_deconv.widgets.recipe import beads_command, beads_python, psf_command, psf_python
from napari_deconv.widgets.strip import Strip, duration

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

_MAKE, _AVERAGE = "Make", "Find and average"
# Coefficients of a fitted pupil that are named in the message.
_NAMED = 4


class PsfWidget(Dock):
    """Make a PSF layer, from theory or from beads.

    Parameters
    ----------
    napari_viewer
        The viewer; napari fills it in.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer, "psf", Strip(_MAKE, preview=False, again=False))
        self.theory = PsfTheory(napari_viewer)
        self.beads = PsfBeads(napari_viewer)
        self.tabs = Tabs()
        self.tabs.add(self.theory, "Theory")
        self.tabs.add(self.beads, "Beads")
        self.column.addWidget(self.tabs)
        self.column.addWidget(self.strip)
        self.column.addStretch(1)
        self._record: dict[str, Any] | None = None
        self._averaging_done: BeadAveraging | None = None
        self.remember_form("microscope", self.theory.form)
        for (kind, id_), form in self.theory.own.items():
            self.remember_form(f"{kind} {id_}", form)
        self.remember_form("beads", self.beads.form)
        self.tabs.bar.currentChanged.connect(self._show_tab)
        self.beads.pupil_asked.connect(self._fit_pupil)
        self.beads.field_asked.connect(self._fit_field)
        for tab in (self.theory, self.beads):
            tab.told.connect(self.strip.say)
        self.strip.python_asked.connect(partial(self._copy, python=True))
        self.strip.command_asked.connect(partial(self._copy, python=False))
        napari_viewer.events.theme.connect(self._colour)
        when_gone(self, self._stop_colouring)
        self._colour()
        self.theory.take_image()

    # The docks' common parts -----------------------------------------------------------------

    def make_task(self, *, preview: bool) -> PsfGeneration | BeadAveraging:
        """Return the computation of the PSF, or the averaging of beads."""
        if self.tabs.current() is self.beads:
            return self._averaging()
        microscope, settings = self.theory.microscope()
        grid = self.theory.grid
        return PsfGeneration(microscope, grid.shape, grid.spacing, settings)

    def add_results(self, task: Any, *, preview: bool) -> Layer | None:
        """Add what came out."""
        if isinstance(task, PsfGeneration):
            return self._add_computed(task)
        if isinstance(task, BeadAveraging):
            return self._add_measured(task)
        if isinstance(task, FieldFit):
            return self._add_field(task)
        self._take_pupil(task)
        return None

    # Theory ----------------------------------------------------------------------------------

    def _add_computed(self, task: PsfGeneration) -> Layer:
        """Add the PSF, its centre on the middle of the image."""
        assert task.output is not None
        model, modality = task.settings["model"], task.settings["modality"]
        rest = {k: v for k, v in task.settings.items() if k not in ("model", "modality")}
        self._record = {
            "kind": "psf",
            "model": model,
            "modality": modality,
            "microscope": task.microscope,
            "shape": list(task.shape),
            "spacing": list(task.spacing),
            "parameters": rest,
            "seconds": task.seconds,
        }
        microscope = task.microscope
        name = (
            f"PSF {microscope['numerical_aperture']:g} NA, "
            f"{1000 * microscope['emission_wavelength']:.0f} nm, {modality}"
        )
        layer = self._add_psf(task.output.data, task.spacing, name, self._record)
        words = f"{name}: {times(task.shape)} voxels, {duration(task.seconds)}."
        seen = self.theory.view.shown
        if seen is not None and abs(seen.shift) > 0.05:
            words += (
                f" Through these layers a point is brightest {abs(seen.shift):.2f} µm "
                f"{'beyond' if seen.shift > 0 else 'before'} its depth; "
                + (
                    "the PSF is centred on that plane."
                    if task.settings["centre"] == "brightest"
                    else "the PSF is not centred on that plane, as you chose."
                )
            )
        self.strip.say(f"{words} Shown with a gamma of 0.5.")
        self.strip.offer(can_continue=False)
        return layer

    # Beads -----------------------------------------------------------------------------------

    def _averaging(self) -> BeadAveraging:
        source, leading = self.beads.snapshot()
        scope: Microscope | None = None
        modality = "widefield"
        if self.beads.theory.isChecked():
            microscope, settings = self.theory.microscope()
            scope, modality = Microscope(**microscope), settings["modality"]
        return BeadAveraging(source, leading, self.beads.form.values, scope, modality)

    def _add_measured(self, task: BeadAveraging) -> Layer:
        """Add the averaged PSF, and marks on the beads."""
        average = task.average
        assert average is not None
        self._averaging_done = task
        self.beads.show_average(average, task.source.shape)
        self.add(bead_points(task.source, average), select=False)
        self._record = {
            "kind": "psf",
            "model": "beads",
            "modality": task.modality,
            "microscopes": [] if task.microscope is None else [vars(task.microscope)],
            "source": task.source.name,
            "source_path": task.source.path,
            "beads": average.count,
            "shape": list(average.psf.shape),
            "spacing": list(average.spacing),
            "parameters": task.settings,
            "seconds": task.seconds,
        }
        name = f"PSF of {average.count} beads, {task.source.name}"
        layer = self._add_psf(average.psf, average.spacing, name, self._record)
        self.strip.say(f"{name}: {times(average.psf.shape)} voxels, {duration(task.seconds)}.")
        self.strip.offer(can_continue=False)
        return layer

    def _fit_field(self) -> None:
        if not self.runner.busy and self._averaging_done is not None:
            self.start(FieldFit(self._averaging_done), preview=False)

    def _add_field(self, task: FieldFit) -> Layer:
        """Add the eigen-PSFs; the model itself goes with them in the metadata."""
        variant, done = task.variant, task.averaging
        assert variant is not None
        terms = len(variant.components)
        name = f"Field PSF of {done.source.name}"
        record = {
            "kind": "psf",
            "model": "field",
            "modality": done.modality,
            "microscopes": [] if done.microscope is None else [vars(done.microscope)],
            "source": done.source.name,
            "spacing": list(variant.spacing or ()),
            "seconds": task.seconds,
            "variant": variant,
        }
        layer = self._add_psf(variant.components, variant.spacing or (), name, record)
        layer.visible = False  # or napari adds a slider for its terms
        path = self.beads.ask_where_to_save()
        words = (
            f"{name}: {terms} eigen-PSFs (the mean first), {duration(task.seconds)}; the parts' "
            f"own averages are reproduced to {variant.residual:.1%}."
        )
        if path:
            variant.save(path)
            words += f" For the shell and for later it is in {Path(path).name}."
        self.strip.say(words)
        return layer

    def _fit_pupil(self) -> None:
        if self.runner.busy or self.beads.average is None:
            return
        try:
            microscope, settings = self.theory.microscope()
            if settings["modality"] != "widefield":
                raise ParameterError(
                    "A pupil is fitted to beads of a widefield microscope: choose that modality in "
                    "the Theory tab, if that is what they were recorded with."
                )
        except DeconvolutionError as error:
            self._report(type(error)(f"The fit needs the microscope of the Theory tab. {error}"))
            return
        self.start(PupilFit(self.beads.average, Microscope(**microscope)), preview=False)

    def _take_pupil(self, task: PupilFit) -> None:
        """Put the aberrations into the theory tab."""
        assert task.pupil is not None
        # Four digits are more than a fit can know.
        rounded = {j: round(waves, 4) for j, waves in task.pupil.aberrations.items()}
        found = {j: waves for j, waves in rounded.items() if waves}
        self.theory.take_setup(
            Setup(task.microscope, model="pupil", parameters={"aberrations": found})
        )
        largest = sorted(found, key=lambda j: -abs(found[j]))[:_NAMED]
        told = ", ".join(f"{zernike_name(j)} {found[j]:+.3f}" for j in largest)
        self.strip.say(
            f"The largest aberrations, in waves rms: {told} ({duration(task.seconds)}). They are "
            "in the Theory tab now: press Make there for a PSF without noise."
        )
        self.tabs.choose(self.theory)

    # Layers ----------------------------------------------------------------------------------

    def _add_psf(
        self, psf: Any, spacing: tuple[float, ...], name: str, record: dict[str, Any]
    ) -> Layer:
        from napari.layers import Layer

        ndim = len(spacing)
        extra = psf.ndim - ndim
        settings = {
            "name": name,
            "scale": (1.0,) * extra + tuple(spacing),
            "units": ("pixel",) * extra + compatible_units(list(self.viewer.layers), ndim),
            "axis_labels": ("term",) * extra + tuple("zyx"[-ndim:]),
            "translate": (0.0,) * extra + self._corner(psf.shape[extra:], spacing),
            "colormap": "inferno",
            "blending": "additive",
            "contrast_limits": (0.0, float(psf.max()) or 1.0),
            "gamma": 0.5,
            "metadata": {KEY: record},
        }
        return self.add(Layer.create(psf, settings, "image"))

    def _corner(self, shape: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[float, ...]:
        """Return where the PSF begins, so that its origin lies on the image's middle."""
        tab = self.beads if self.tabs.current() is self.beads else self.theory
        layer, ndim = tab.image.layer, len(shape)
        if layer is None or layer.rgb or layer.ndim < ndim:
            return (0.0,) * ndim
        middle = [n // 2 for n in pixels(layer).shape]
        world = layer.data_to_world(middle)[-ndim:]
        return tuple(float(w) - (n // 2) * s for w, n, s in zip(world, shape, spacing, strict=True))

    # The rest --------------------------------------------------------------------------------

    def _show_tab(self) -> None:
        beads = self.tabs.current() is self.beads
        self.strip.run.setText(_AVERAGE if beads else _MAKE)

    def _copy(self, *, python: bool) -> None:
        if self._record is None:
            return
        if self._record["model"] == "beads":
            write = beads_python if python else beads_command
        else:
            write = psf_python if python else psf_command
        self.copy(partial(write, self._record), "Python code" if python else "command")

    def _stop_colouring(self) -> None:
        self.viewer.events.theme.disconnect(self._colour)

    def _colour(self, event: Any = None) -> None:
        theme = get_theme(self.viewer.theme)
        self.theory.view.set_colours(hex_of(theme.text), hex_of(theme.foreground))


class Tabs(QWidget):
    """Widgets of which one is shown; as high as that one needs, unlike Qt's own."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = QTabBar()
        self.bar.setDrawBase(False)
        self.bar.setExpanding(True)
        self._rows = QVBoxLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(0)
        self._rows.addWidget(self.bar)
        self._tabs: list[QWidget] = []
        self.bar.currentChanged.connect(self._show)

    def add(self, widget: QWidget, title: str) -> None:
        """Add a tab."""
        self._tabs.append(widget)
        self._rows.addWidget(widget)
        self.bar.addTab(title)
        self._show()

    def current(self) -> QWidget:
        """Return the widget that is shown."""
        return self._tabs[self.bar.currentIndex()]

    def choose(self, widget: QWidget) -> None:
        """Show a widget."""
        self.bar.setCurrentIndex(self._tabs.index(widget))

    def _show(self) -> None:
        for place, tab in enumerate(self._tabs):
            tab.setVisible(place == self.bar.currentIndex())
