"""What was found of the optics: PSF, pupil and aberrations by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QFontMetrics, QPainter, QPen
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_deconv.optics.zernike import name
from napari_deconv.widgets.psf_view import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from qtpy.QtGui import QPaintEvent

    from napari_deconv.widgets.blur_maps import FieldMaps

_ROW, _FONT = 16, 11
_POSITIVE, _NEGATIVE = "#e8924a", "#5b9ff5"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What an identification says, as far as the dock shows it.

    Attributes
    ----------
    psf
        Axes Y, X.
    pixel
        Its pixel size, um; None when nobody knows.
    pupil
        The pupil's phase, waves, nan outside.
    coefficients, spread
        Waves rms by Noll index, and their standard deviations: of what is known of them, or over
        the field where they change.
    wavelength
        In vacuum, um; None when nobody knows.
    strehl, confidence
        0 to 1.
    error
        Norm of what is expected to be wrong with the PSF, relative to its own.
    verdict
        What all this means, in plain words.
    field
        What changes over the field, where that was looked for; the PSF above is then that of the
        middle, and the other figures are means.
    """

    psf: NDArray[np.float32]
    pixel: float | None
    pupil: NDArray[np.float32]
    coefficients: Mapping[int, float]
    spread: Mapping[int, float]
    wavelength: float | None
    strehl: float
    confidence: float
    error: float
    verdict: str
    field: FieldMaps | None = None


class Aberrations(QWidget):
    """PSF, pupil, figures, and a bar for each aberration; hidden until there is something."""

    def __init__(self) -> None:
        super().__init__()
        self.psf = Section(
            "The PSF that was found: the mean of all that the image leaves possible. Faint parts "
            "are shown brighter than they are (gamma 0.4)."
        )
        self.pupil = Section(
            "The wavefront in the objective's pupil, from blue (early) over white to red (late)."
        )
        self.figures = QLabel()
        self.figures.setTextFormat(Qt.TextFormat.RichText)
        self.figures.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.figures.setWordWrap(True)
        self.bars = Bars()
        self.verdict = QLabel()
        self.verdict.setWordWrap(True)
        self.verdict.setTextFormat(Qt.TextFormat.PlainText)
        pictures = QHBoxLayout()
        pictures.setContentsMargins(0, 0, 0, 0)
        pictures.setSpacing(6)
        for section in (self.psf, self.pupil):
            pictures.addWidget(section, 0, Qt.AlignmentFlag.AlignTop)
        pictures.addWidget(self.figures, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.verdict)
        layout.addLayout(pictures)
        layout.addWidget(self.bars)
        self.shown: Finding | None = None
        self.hide()

    def show_finding(self, found: Finding) -> None:
        """Show what was found."""
        self.shown = found
        pixel = found.pixel or 1.0
        extent = tuple(n * pixel for n in found.psf.shape)
        self.psf.show_plane(
            found.psf / max(float(found.psf.max()), 1e-30),
            (pixel, pixel),
            (extent[0], extent[1]),
            "PSF" if found.field is None else "PSF, middle",
            bar=found.pixel is not None,
        )
        steep = max(float(np.nanmax(np.abs(found.pupil))), 0.05)
        side = float(found.pupil.shape[0])
        self.pupil.show_plane(
            found.pupil,
            (1.0, 1.0),
            (side, side),
            f"{'pupil' if found.field is None else 'mean'}, ±{steep:.2f} waves",
            limits=(-steep, steep),
            colours="RdBu_r",
            gamma=1.0,
        )
        rms = float(np.sqrt(sum(value**2 for value in found.coefficients.values())))
        self.figures.setText(
            "<br>".join(
                [
                    f"<b>{found.confidence:.0%}</b> sure",
                    f"<b>{rms:.2f}</b>&nbsp;waves",
                    f"<b>{found.strehl:.2f}</b>&nbsp;Strehl",
                ]
            )
        )
        self.figures.setToolTip(
            "<qt>How much less the PSF is expected to be wrong than a typical one: 0 for nothing "
            "learned. The wavefront's error, rms, in wavelengths. How bright a point's middle is "
            "beside that of a perfect objective.</qt>"
        )
        self.bars.show_values(found.coefficients, found.spread, found.wavelength)
        self.verdict.setText(found.verdict)
        self.show()

    def set_ink(self, ink: str) -> None:
        """Take the theme's colour."""
        for each in (self.psf, self.pupil, self.bars):
            each.set_ink(ink)


class Bars(QWidget):
    """A row for each aberration: name, bar with its uncertainty, value."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "<qt>Aberrations in waves rms (and nanometres, when the wavelength is known); the thin "
            "line is the standard deviation: of what is known, or over the field where they "
            "change. From one image in focus, the even ones (defocus, astigmatism, spherical) are "
            "known but for their common sign.</qt>"
        )
        self.rows: list[tuple[str, float, float, str]] = []
        self._ink = "#d0d3d8"

    def set_ink(self, ink: str) -> None:
        """Take the theme's colour."""
        self._ink = ink
        self.update()

    def show_values(
        self,
        coefficients: Mapping[int, float],
        spread: Mapping[int, float],
        wavelength: float | None,
    ) -> None:
        """Draw coefficients in waves."""
        self.rows = []
        for j, waves in coefficients.items():
            value = f"{waves:+.3f}"
            if wavelength is not None:
                value += f"  {1000 * wavelength * waves:+.0f} nm"
            self.rows.append((name(j), waves, spread.get(j, 0.0), value))
        self.setFixedHeight(_ROW * len(self.rows))
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the rows."""
        if not self.rows:
            return
        painter = QPainter(self)
        font = painter.font()
        font.setPixelSize(_FONT)
        painter.setFont(font)
        metrics = QFontMetrics(font)
        before = max(metrics.horizontalAdvance(row[0]) for row in self.rows) + 8
        after = max(metrics.horizontalAdvance(row[3]) for row in self.rows) + 8
        half = max((self.width() - before - after) / 2, 10.0)
        middle = before + half
        longest = max(*(abs(waves) + wide for _, waves, wide, _ in self.rows), 0.05)
        ink = QColor(self._ink)
        for place, (title, waves, wide, value) in enumerate(self.rows):
            top = place * _ROW
            painter.setPen(ink)
            side = Qt.AlignmentFlag.AlignVCenter
            painter.drawText(QRectF(0, top, before, _ROW), side, title)
            right = side | Qt.AlignmentFlag.AlignRight
            painter.drawText(QRectF(self.width() - after, top, after, _ROW), right, value)
            length = half * waves / longest
            bar = QRectF(middle, top + 4, length, _ROW - 8).normalized()
            painter.fillRect(bar, QColor(_POSITIVE if waves > 0 else _NEGATIVE))
            line = top + _ROW / 2
            reach = half * wide / longest
            painter.setPen(QPen(ink, 1))
            painter.drawLine(
                round(middle + length - reach),
                round(line),
                round(middle + length + reach),
                round(line),
            )
        painter.setPen(QPen(ink, 1, Qt.PenStyle.DotLine))
        painter.drawLine(round(middle), 0, round(middle), _ROW * len(self.rows))
