"""The Deconvolution dock: from an image layer and a PSF layer to a restored one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_deconv.engine.options import OF_ITERATIONS, Options
from napari_deconv.errors import DeconvolutionError, InputError
from napari_deconv.optics.variant import VariantPsf
from napari_deconv.registry import Method, methods, parameters_of
from napari_deconv.widgets.background_field import BackgroundField
from napari_deconv.widgets.buttons import row
from napari_deconv.widgets.checker import Checker
from napari_deconv.widgets.choice import LayerChoice, when_gone
from napari_deconv.widgets.dock import Dock
from napari_deconv.widgets.fields import AutoField
from napari_deconv.widgets.form import Form, labelled
from napari_deconv.widgets.form_parameters import AT_ONCE, NOISE, form_parameters
from napari_deconv.widgets.layers import (
    Snapshot,
    lengths,
    own_metadata,
    psf_guess,
    shown_level,
    voxel_size,
)
from napari_deconv.widgets.lights import Lights
from napari_deconv.widgets.look import (
    Findings,
    broken_setting,
    colour_lights,
    look,
    psf_arrays,
    spacings,
)
from napari_deconv.widgets.method_choice import MethodChoice
from napari_deconv.widgets.noise_field import NoiseFromRegion
from napari_deconv.widgets.recipe import Recipe, as_command, as_python
from napari_deconv.widgets.recipe_menu import RecipeMenu
from napari_deconv.widgets.source_row import SourceRow
from napari_deconv.widgets.streamed import StreamedRestoration, ask_for_file, goes_to_a_file
from napari_deconv.widgets.strength_field import StrengthField
from napari_deconv.widgets.strip import Strip, duration
from napari_deconv.widgets.sweeping import Sweeping
from napari_deconv.widgets.tasks import Picture, Restoration

if TYPE_CHECKING:
    from collections.abc import Mapping

    import napari
    from napari.layers import Image, Layer

    from napari_deconv.assessment.noise import Noise
    from napari_deconv.engine import Details
    from napari_deconv.widgets.recommendation import Recommendation


class DeconvolutionWidget(Dock):
    """Restore an image layer with any of the methods.

    Parameters
    ----------
    napari_viewer
        The viewer; napari fills it in.
    """

    # Under which name settings are remembered, and the only method there is, if it is one.
    NAME: ClassVar[str] = "deconvolution"
    ONLY: ClassVar[str | None] = None
    # What may be chosen in place of a PSF's layer.
    PSF_WORDS: ClassVar[tuple[str, ...]] = ()
    # Parameters of a method's own that do not wait under "More", beside its strength.
    PLAIN: ClassVar[int] = AT_ONCE

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer, self.NAME, Strip("Restore"))
        self.image = SourceRow(
            napari_viewer, "Image", "The image to restore: 2D, 3D, time series, channels."
        )
        self.psf = LayerChoice(
            napari_viewer,
            psf_guess,
            newest=True,
            fixed=self.PSF_WORDS,
            tooltip="<qt>How the microscope blurs a point (point spread function). With a "
            "leading channel axis, each channel has its own.</qt>",
        )
        self.make_psf = QPushButton("Make…")
        self.make_psf.setToolTip(
            "<qt>Make a PSF from what is written on the objective, in the PSF dock.</qt>"
        )
        self.background = BackgroundField(napari_viewer, self.image.choice)
        self.lights = Lights()
        self.method = MethodChoice(self.ONLY)
        self.compare = QPushButton("Compare settings…")
        self.compare.setToolTip(
            "<qt>Try this method around its automatic settings, or several methods, on a small "
            "region, and choose by eye.</qt>"
        )
        self.recipes = RecipeMenu(self)
        self.form: Form
        self._form_place = QVBoxLayout()
        # The engine's parameters are every method's; a strength means something else in each.
        self._shared: dict[str, Any] = dict(self.recalled("parameters") or {})
        self._own: dict[str, dict[str, Any]] = dict(self.recalled("own") or {})
        self._last: tuple[Restoration, Recipe] | None = None
        self.checker = Checker(self)
        self.sweeping = Sweeping(self)
        self._fill()
        self._connect()
        self._choose_method()
        self._look()

    def _fill(self) -> None:
        self.method.choose(str(self.recalled("method")))
        self._form_place.setContentsMargins(0, 0, 0, 0)
        column = self.column
        column.addWidget(self.image)
        self.psf_row = QWidget()
        self.psf_row.setLayout(labelled("PSF", self.psf, self.make_psf, tooltip=self.psf.toolTip()))
        column.addWidget(self.psf_row)
        column.addWidget(self.background)
        column.addWidget(self.lights)
        column.addWidget(self.method)
        column.addLayout(self._form_place)
        self.beside = QWidget()
        self.beside.setLayout(row([(self.compare, 5), (self.recipes.button, 2)]))
        column.addWidget(self.beside)
        column.addWidget(self.strip)
        column.addStretch(1)

    def _connect(self) -> None:
        self.method.chosen.connect(self._choose_method)
        self.method.recommended.connect(self._take_recommendation)
        self.compare.clicked.connect(self.sweeping.open)
        for signal in (self.image.choice.chosen, self.psf.chosen, self.background.changed):
            signal.connect(self._look)
        self.make_psf.clicked.connect(self.open_psf_dock)
        self.lights.remedy.connect(self._mend)
        self.checker.found.connect(self._show_findings)
        self.checker.failed.connect(self._cannot_look)
        strip = self.strip
        strip.python_asked.connect(partial(self._copy, as_python, "Python code"))
        strip.command_asked.connect(partial(self._copy, as_command, "command"))
        strip.continue_asked.connect(self.go_on)
        when_gone(self, self.checker.abandon)

    # Settings --------------------------------------------------------------------------------

    @property
    def chosen_method(self) -> Method:
        """The method that is chosen."""
        return self.method.method

    def _choose_method(self) -> None:
        """Show another method's form; what the engine does for both keeps its value."""
        method = self.chosen_method
        if hasattr(self, "form"):
            self._form_place.removeWidget(self.form)
            self.form.hide()
            self.form.deleteLater()
        noise = NoiseFromRegion(self.regions, lambda: self.image.layer)
        noise.found.connect(self._take_noise)
        self.form = Form(form_parameters(method, self.PLAIN), below={NOISE[-1]: noise})
        self.form_method = method.id
        iterations = self.form.fields.get("iterations")
        if isinstance(iterations, AutoField) and "iterations" in method.parameters:
            iterations.start_from(method.parameters["iterations"].default)
        self.form.set_values(self._shared | self._own.get(method.id, {}))
        self.form.changed.connect(self._on_form)
        self._form_place.addWidget(self.form)
        self.remember_value("method", method.id)
        self._look()

    def _on_form(self) -> None:
        values, method = self.form.valid_values(), self.chosen_method.id
        own = [k for k in values if k in OF_ITERATIONS or k not in parameters_of(Options)]
        self._own[method] = {k: values.pop(k) for k in own}
        self._shared |= values
        self.remember_value("parameters", self._shared)
        self.remember_value("own", self._own)
        self._look()

    def adopt(self, method: str, options: Mapping[str, Any]) -> None:
        """Choose a method with these settings; what they do not tell takes its default."""
        self.method.choose(method)
        entry = self.chosen_method
        defaults = {
            k: v.default for k, v in form_parameters(entry).items() if k in entry.parameters
        }
        if entry.iterative:
            defaults["iterations"] = "auto"
        self.form.set_values({**defaults, **options})

    def _take_recommendation(self, recommendation: Recommendation) -> None:
        self.adopt(recommendation.method, recommendation.options)

    def _take_noise(self, noise: Noise) -> None:
        """Put what a region tells of the camera into the form."""
        self.form.set_values({name: float(f"{getattr(noise, name):.4g}") for name in NOISE})

    def source_choice(self) -> LayerChoice:
        """Return the image's combobox."""
        return self.image.choice

    @property
    def psf_layer(self) -> Image | None:
        """The PSF's layer, where the method needs one."""
        return self.psf.layer if self.chosen_method.needs_psf else None

    def psf_snapshot(self) -> Snapshot | None:
        """Return the PSF as it is now.

        Raises
        ------
        InputError
            When there is none and the method needs one.
        """
        if not self.chosen_method.needs_psf:
            return None
        layer = self.psf_layer
        if layer is None:
            raise InputError("Choose the layer that holds the PSF, or make one: Make…")
        return Snapshot.of(layer)

    def options(self, image: Snapshot, psf: Snapshot | None) -> dict[str, Any]:
        """Return what the job is told, without arrays.

        Raises
        ------
        ParameterError
            When something in the form does not fit.
        """
        preferences = self.preferences()
        values: dict[str, Any] = dict(self.form.values)
        values |= {"device": preferences.device, "threads": preferences.thread_count}
        values |= spacings(image, psf)
        if self.background.layer is None:
            values["background"] = self.background.value
        return values

    def work(self) -> Recipe:
        """Return what would be done now.

        Raises
        ------
        DeconvolutionError
            When something is missing or does not fit.
        """
        image, psf = self.image.snapshot(), self.psf_snapshot()
        options = self.options(image, psf)
        return Recipe(self.chosen_method.id, options, image, psf, self.background.snapshot())

    def make_task(self, *, preview: bool) -> Restoration | None:
        """Return the restoration of the layer, or of a part of it."""
        recipe = self.work()
        image, psf, options = recipe.image, recipe.psf, dict(recipe.options)
        if recipe.background is not None:
            options["background"] = recipe.background.data
        task: Restoration
        arrays = psf_arrays(self.psf_layer)
        if preview:
            task = self._preview(image, psf, arrays, options)
        elif goes_to_a_file(image, options.get("memory_limit")):
            path = ask_for_file(self, image, self.chosen_method.id)
            if path is None:
                return None
            task = StreamedRestoration(path, image, self.chosen_method.id, arrays, options)
        else:
            task = Restoration(
                image,
                self.chosen_method.id,
                arrays,
                options,
                preview_seconds=self.preferences().preview_seconds,
            )
        self._last = (task, recipe)
        return task

    def _preview(
        self, image: Snapshot, psf: Snapshot | None, arrays: Any, options: dict[str, Any]
    ) -> Restoration:
        """Return the restoration of a region, at the resolution that is looked at."""
        layer = self.image.layer
        assert layer is not None
        # A background and a field PSF belong to the finest voxels; so does a PSF of unknown size.
        finest = self.background.layer is not None or isinstance(arrays, VariantPsf)
        level = 0 if finest or image.spacing is None else shown_level(layer)
        if level:
            coarse = self.image.snapshot(level)
            if psf is not None:
                options.setdefault("psf_spacing", image.spacing)
            options["spacing"] = coarse.spacing
            image = coarse
        region = self.region(layer, level)
        task = Restoration(image, self.chosen_method.id, arrays, options, region=region)
        task.level = level
        return task

    # Results ---------------------------------------------------------------------------------

    def start(self, task: Any, *, preview: bool) -> None:
        """Start a task, and let the lights wait."""
        self.checker.pause(True)
        super().start(task, preview=preview)

    def after(self, task: Any, outcome: Any) -> None:
        """Look again, since the processor is free."""
        self.checker.pause(False)

    def make_live(self, picture: Picture) -> Layer | None:
        """Return a layer for the running estimate."""
        assert self._last is not None
        task = self._last[0]
        name = f"{task.source.name}, running"
        record = {"kind": "running"}
        return task.source.result(picture.data, name, record, limits=picture.limits)

    def add_results(self, task: Any, *, preview: bool) -> Layer | None:
        """Add the restored image."""
        assert task.output is not None
        assert task.job is not None
        title = methods()[task.method].title
        details = task.job.details
        source = task.source.name
        if preview:
            name = f"preview of {source}"
        elif task.continues:
            name = f"{source}, {title}, {details.iterations} iterations"
        else:
            name = f"{source}, {title}"
        layer = self._layer(task, task.output, name, details.provenance | {"kind": "restored"})
        self.strip.show_curve(details.trial or details.statistics, details.iterations)
        self.strip.curves.show_choices(details.choices)
        self.strip.say(told(name, task), details.warnings)
        self.strip.offer(can_continue=task.job.can_continue and not preview)
        self._show_found(task.method, details)
        return self.add(layer, select=not preview)

    def _show_found(self, method: str, details: Details) -> None:
        """Show what automatic found beside its button."""
        if method != self.chosen_method.id:
            return
        for name, field in self.form.fields.items():
            number = details.parameters.get(name)
            if isinstance(field, StrengthField) and isinstance(number, float):
                field.show_found(number)
            elif isinstance(field, AutoField) and isinstance(number, (int, float)):
                whole = isinstance(number, int)
                field.start_from(number if whole else float(f"{number:.4g}"))

    def _layer(
        self, task: Restoration, picture: Picture, name: str, record: Mapping[str, Any]
    ) -> Layer:
        start = [part.start for part in task.region] if task.region is not None else None
        facts = {"source": task.source.name, "source_path": task.source.path}
        return task.source.result(
            picture.data, name, {**record, **facts}, start=start, limits=picture.limits
        )

    def offer_last(self, task: Any) -> None:
        """After a cancel, offer the last estimate, or tell where it is."""
        if isinstance(task, StreamedRestoration):
            self.strip.say(task.kept())
            return
        if task.last is None or task.region is not None:
            super().offer_last(task)
            return
        details = task.job.details
        done = task.steps
        name = f"{task.source.name}, {methods()[task.method].title}, cancelled after {done}"
        record = {
            "kind": "restored",
            "method": task.method,
            "parameters": {k: str(v) for k, v in details.parameters.items()},
            "iterations": done,
            "stopped_because": "cancelled",
        }
        layer = self._layer(task, task.last, name, record)

        def add() -> None:
            self.add(layer)
            self.strip.say(f"{name} was added.")

        self.offer_to_keep(f"Cancelled after {done} iterations. No layer was changed.", add)

    def go_on(self, iterations: int) -> None:
        """Take further iterations from where the last job stopped."""
        if self._last is None or self.runner.busy:
            return
        task, recipe = self._last
        again = task.continued(iterations)
        self._last = (again, recipe)
        self.start(again, preview=False)

    def _copy(self, write: Any, what: str) -> None:
        if self._last is None:
            return
        task, recipe = self._last
        if task.continues and task.job is not None:
            options = {**recipe.options, "iterations": task.job.details.iterations}
            recipe = Recipe(recipe.method, options, recipe.image, recipe.psf, recipe.background)
        self.copy(partial(write, recipe), what)

    # Lights ----------------------------------------------------------------------------------

    def _look(self) -> None:
        """Look at the layers in a thread, a moment after the last change."""
        image, psf = self.image.layer, self.psf_layer
        self.background.refresh()
        if image is None or image.rgb:
            self.checker.abandon()
            self._show_findings(Findings(colour_lights(image)))
            return
        try:
            snapshot = Snapshot.of(image)
            psf_snapshot = Snapshot.of(psf) if psf is not None else None
            options = self.form.values | spacings(snapshot, psf_snapshot)
        except DeconvolutionError as error:
            self.checker.abandon()
            self.lights.show_lights([broken_setting(error)])
            return
        options |= {"threads": self.preferences().thread_count}
        background = self.background.snapshot()
        options["background"] = self.background.value if background is None else background.data
        self.checker.ask(
            partial(
                look,
                snapshot,
                psf_arrays(psf),
                voxel_size(psf) if psf is not None else None,
                dict(own_metadata(psf)) if psf is not None else {},
                self.chosen_method.id,
                options,
            )
        )

    def _show_findings(self, findings: Findings) -> None:
        self.lights.show_lights(findings.lights)
        self.method.recommend(findings.recommendation)

    def _cannot_look(self, error: Exception) -> None:
        self.lights.show_lights([broken_setting(error)])

    def _mend(self, remedy: str) -> None:
        """Do what a light proposes."""
        if remedy == "psf":
            self.open_psf_dock()
            return
        for light in self.lights.lights:
            if light.remedy == remedy == "offset" and light.value is not None:
                offset = float(f"{light.value:.4g}")
                self.form.set_values({"offset": offset})
                self.background.set_constant(0.0)
                self.strip.say(f"An offset of {offset:g} counts will be subtracted (see More).")

    def open_psf_dock(self) -> None:
        """Open the PSF dock, for the image that is chosen here."""
        _, dock = self.viewer.window.add_plugin_dock_widget("napari-deconv", "PSF")
        if self.image.layer is not None:
            dock.theory.image.choose(self.image.layer)


def told(name: str, task: Restoration) -> str:
    """Return what a finished job tells."""
    assert task.job is not None
    details = task.job.details
    words = f"{name}: "
    if methods()[task.method].iterative:
        why = f" ({details.stopped_because})" if details.stopped_because else ""
        words += f"{details.iterations} iterations{why}, "
    words += f"{duration(details.seconds)} on {details.device}."
    if isinstance(task, StreamedRestoration):
        words += f" It is in {task.path}."
    if task.level:
        words += f" At the resolution shown: voxels of {lengths(task.source.spacing or ())} µm."
    return words
