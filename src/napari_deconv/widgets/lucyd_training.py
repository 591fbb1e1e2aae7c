"""The part of the LUCYD dock in which the network is trained for one microscope."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_deconv.errors import ParameterError
from napari_deconv.networks.shelf import named, own_folder
from napari_deconv.widgets.buttons import button
from napari_deconv.widgets.choice import LayerChoice, make_narrow
from napari_deconv.widgets.curve import Curve
from napari_deconv.widgets.form import labelled
from napari_deconv.widgets.layers import is_psf, psf_guess
from napari_deconv.widgets.psf_view import Section

if TYPE_CHECKING:
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_deconv.widgets.lucyd_task import Teacher, TrainingUpdate

_TEACHERS: dict[Teacher, str] = {
    "psf": "phantoms and a PSF",
    "sharp": "a better image",
}


class TrainingForm(QWidget):
    """What to train on, how long, under which name; and how it goes."""

    asked = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.teacher = QComboBox()
        make_narrow(self.teacher)
        for key, title in _TEACHERS.items():
            self.teacher.addItem(title, key)
        tip = (
            "Phantoms: made up objects are blurred with your PSF and get the noise of the image "
            "chosen above. A better image: a second layer that shows the same objects, exactly on "
            "the first, with more light or a better microscope."
        )
        self.psf = LayerChoice(viewer, psf_guess, accepts=is_psf, newest=True)
        self.sharp = LayerChoice(viewer, lambda layer: 0.0, accepts=lambda x: not is_psf(x))
        self.minutes = QDoubleSpinBox()
        self.minutes.setRange(0.05, 1440.0)
        self.minutes.setDecimals(1)
        self.minutes.setValue(15.0)
        self.minutes.setSuffix(" minutes")
        self.name = QLineEdit("my-microscope")
        self.train = button(
            "Train",
            "Begin with the weights that come with the package. It may be stopped at any time: the "
            "best weights so far are kept, and offered above as Weights.",
        )
        self.train.clicked.connect(self.asked)
        self.losses = Curve()
        self.pictures = [
            Section("An image that is kept apart, as the microscope shows it."),
            Section("What the network makes of it so far."),
            Section("The truth."),
        ]
        self.score = QLabel()
        self.score.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(labelled("Learn from", self.teacher, tooltip=tip))
        self._rows: dict[str, QWidget] = {}
        rows = {
            "psf": ("PSF", self.psf, "How the microscope blurs a point."),
            "sharp": ("Better image", self.sharp, "A layer of the same shape."),
        }
        for name, (title, box, words) in rows.items():
            self._rows[name] = QWidget()
            self._rows[name].setLayout(labelled(title, box, tooltip=words))
            layout.addWidget(self._rows[name])
        words = "A quarter of an hour on a graphics card, an hour on a processor, is enough."
        layout.addLayout(labelled("Time", self.minutes, tooltip=words))
        words = "What the weights will be called."
        layout.addLayout(labelled("Name", self.name, tooltip=words))
        layout.addWidget(self.train)
        self.progress = QWidget()
        seen = QVBoxLayout(self.progress)
        seen.setContentsMargins(0, 0, 0, 0)
        seen.setSpacing(4)
        pictures = QHBoxLayout()
        pictures.setSpacing(6)
        for section in self.pictures:
            pictures.addWidget(section)
        pictures.addStretch(1)
        seen.addLayout(pictures)
        seen.addWidget(self.losses)
        seen.addWidget(self.score, 0, Qt.AlignmentFlag.AlignTop)
        layout.addWidget(self.progress)
        self.progress.hide()
        self.teacher.currentIndexChanged.connect(self._show_rows)
        self._show_rows()

    @property
    def kind(self) -> Teacher:
        """What is learned from."""
        kind: Teacher = self.teacher.currentData()
        return kind

    @property
    def layer(self) -> Image | None:
        """The PSF, or the better image."""
        return self.psf.layer if self.kind == "psf" else self.sharp.layer

    def path(self) -> Path:
        """Return where the weights will be.

        Raises
        ------
        ParameterError
            When there are weights of that name, or it is none.
        """
        name = self.name.text().strip()
        if not name or any(letter in name for letter in '/\\:*?"<>|') or name.startswith("."):
            raise ParameterError("Give the weights a name: letters, digits, dots and dashes.")
        if name in named("lucyd") or name == "auto":
            raise ParameterError(f"There are weights called {name!r} already: choose another name.")
        return own_folder() / f"{name}.safetensors"

    def show_update(self, update: TrainingUpdate) -> None:
        """Show how it goes."""
        self.progress.show()
        if len(update.losses) > 1:
            self.losses.draw(update.losses, None, above="loss", below="minutes", turn=True)
        if update.planes is not None:
            low, high = np.percentile(update.planes[-1], [0.5, 99.8])
            limits = (float(low), float(max(high, low + 1e-6)))
            for section, plane, words in zip(
                self.pictures, update.planes, ("image", "network", "truth"), strict=True
            ):
                size = (float(plane.shape[0]), float(plane.shape[1]))
                section.show_plane(
                    plane, (1.0, 1.0), size, words, limits=limits, colours="gray", gamma=1.0
                )
        if np.isfinite(update.best):
            self.score.setText(f"On images kept apart: {update.best:.2f} dB signal to noise.")

    def set_colours(self, ink: str, paper: str, accent: str) -> None:
        """Take the theme's colours."""
        self.losses.set_colours(ink, paper, accent)
        for section in self.pictures:
            section.set_ink(ink)

    def _show_rows(self) -> None:
        for key, row in self._rows.items():
            row.setVisible(key == self.kind)
