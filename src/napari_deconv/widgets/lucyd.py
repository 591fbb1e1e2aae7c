"""The LUCYD dock: a trained network that restores in one pass, and can be trained anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from napari.utils.theme import get_theme

from napari_deconv.errors import DeconvolutionError, InputError
from napari_deconv.widgets.choice import when_gone
from napari_deconv.widgets.deconvolution import DeconvolutionWidget
from napari_deconv.widgets.dock import hex_of
from napari_deconv.widgets.form import More
from napari_deconv.widgets.layers import Snapshot
from napari_deconv.widgets.lucyd_task import LucydTraining, TrainingUpdate
from napari_deconv.widgets.lucyd_training import TrainingForm
from napari_deconv.widgets.weights_field import WeightsField

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from napari_deconv.widgets.tasks import Update


class LucydWidget(DeconvolutionWidget):
    """Restore an image layer by LUCYD, or train it for one's own microscope.

    Parameters
    ----------
    napari_viewer
        The viewer; napari fills it in.
    """

    NAME: ClassVar[str] = "lucyd"
    ONLY: ClassVar[str | None] = "lucyd"

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.compare.hide()
        self.psf_row.hide()
        self.training = TrainingForm(napari_viewer)
        self.trainer = More("Train it for your microscope", self.training)
        self.column.insertWidget(self.column.indexOf(self.strip) + 1, self.trainer)
        self.training.asked.connect(self._train)
        napari_viewer.events.theme.connect(self._colour)
        when_gone(self, self._stop_colouring)
        self._colour()

    def start(self, task: Any, *, preview: bool) -> None:
        """Start a task."""
        self.training.train.setEnabled(False)
        super().start(task, preview=preview)

    def after(self, task: Any, outcome: Any) -> None:
        """Offer to train again."""
        self.training.train.setEnabled(True)
        super().after(task, outcome)

    def add_results(self, task: Any, *, preview: bool) -> Layer | None:
        """Add the restored image, or offer the weights."""
        if not isinstance(task, LucydTraining):
            return super().add_results(task, preview=preview)
        self._offer(task, "Trained")
        return None

    def offer_last(self, task: Any) -> None:
        """After a cancel, offer what was reached."""
        if not isinstance(task, LucydTraining):
            super().offer_last(task)
        elif task.saved is None:
            self.strip.say("Cancelled before the first step: there are no weights.")
        else:
            self._offer(task, "Stopped")

    def _train(self) -> None:
        if self.runner.busy:
            return
        form = self.training
        try:
            image, layer = self.image.snapshot(), form.layer
            if layer is None:
                raise InputError(
                    "Choose the layer that holds the PSF: make one in the PSF dock."
                    if form.kind == "psf"
                    else "Choose the layer that shows the same objects better."
                )
            task = LucydTraining(
                image,
                form.kind,
                Snapshot.of(layer),
                minutes=form.minutes.value(),
                path=form.path(),
                device=self.preferences().device,
            )
        except DeconvolutionError as error:
            self._report(error)
            return
        self.start(task, preview=False)

    def _offer(self, task: LucydTraining, how: str) -> None:
        """Choose the new weights, and tell of them."""
        assert task.saved is not None
        field = self.form.fields["weights"]
        assert isinstance(field, WeightsField)
        field.refresh()
        field.set_value(task.saved.stem)
        field.changed.emit()
        self.strip.say(
            f"{how} after {task.steps} steps: {task.best:.2f} dB on images kept apart. The weights "
            f"are {task.saved}, and chosen above."
        )

    def _on_update(self, update: Update) -> None:
        super()._on_update(update)
        if isinstance(update, TrainingUpdate):
            self.training.show_update(update)

    def _stop_colouring(self) -> None:
        self.viewer.events.theme.disconnect(self._colour)

    def _colour(self, event: Any = None) -> None:
        theme = get_theme(self.viewer.theme)
        self.training.set_colours(
            *(hex_of(getattr(theme, name)) for name in ("text", "foreground", "current"))
        )
