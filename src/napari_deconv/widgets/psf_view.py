"""Pictures of a PSF: sections, transfer function and profiles, drawn as soon as they are known."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_deconv.widgets.advice_list import GREEN
from napari_deconv.widgets.strip import AMBER, RED
from napari_deconv.widgets.thumbnail import picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from qtpy.QtGui import QPaintEvent, QPixmap

    from napari_deconv.optics.preview import Preview

ACROSS_COLOUR, ALONG_COLOUR = "#5b9ff5", "#e8924a"
_SIDE, _CAPTION, _PLOT = 108, 16, 86
# Above Nyquist's voxel by so much is orange, and by so much red.
_COARSE, _TOO_COARSE = 1.0, 1.7


class PsfView(QWidget):
    """Sections, transfer function and profiles; it draws and computes nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.lateral = Section(
            "The PSF in the plane of its focus. Faint parts are shown brighter than they are "
            "(gamma 0.4)."
        )
        self.axial = Section(
            "The PSF from the side: X to the right, Z (deeper into the sample) downwards. Faint "
            "parts are shown brighter than they are (gamma 0.4)."
        )
        self.transfer = Section(
            "What the microscope transmits: frequencies across (X) to the right and along (Z) "
            "upwards, the finest details at the rim. The frame is what the image's voxels can "
            "hold: green where they hold all, orange where they lose the finest details, red where "
            "they lose much."
        )
        self.profiles = Profiles()
        pictures = QHBoxLayout()
        pictures.setContentsMargins(0, 0, 0, 0)
        pictures.setSpacing(6)
        for section in (self.lateral, self.axial, self.transfer):
            pictures.addWidget(section)
        pictures.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(pictures)
        layout.addWidget(self.profiles)
        self.shown: Preview | None = None

    def show_preview(self, preview: Preview, voxel: Sequence[float]) -> None:
        """Draw a PSF, and what voxels of (z, y, x) or (y, x) um hold of it."""
        self.shown = preview
        dz, dx = preview.spacing
        across = preview.lateral.shape[1] * dx
        # A quarter of the field is where the light is.
        wide = 0.5 * across
        self.lateral.show_plane(preview.lateral, (dx, dx), (wide, wide), "XY", bar=True)
        tall = min(preview.axial.shape[0] * dz, max(wide, 8 * preview.fwhm[0]))
        self.axial.show_plane(preview.axial, (dz, dx), (tall, wide), "XZ", bar=True)
        # As far as the support goes, and a bit of the nothing around it.
        reach = tuple(1.3 / (2 * preview.nyquist[axis]) for axis in (0, 2))
        self.transfer.show_plane(
            preview.transfer, preview.frequencies, (2 * reach[0], 2 * reach[1]), "OTF"
        )
        if len(voxel) == 3:
            frame = (1 / (2 * voxel[0]), 1 / (2 * voxel[2]))
            ratios = [size / finest for size, finest in zip(voxel, preview.nyquist, strict=True)]
        else:
            frame = (reach[0], 1 / (2 * voxel[-1]))
            ratios = [voxel[-1] / preview.nyquist[2]]
        self.transfer.show_frame(frame, sampling_colour(max(ratios)))
        self.profiles.draw(preview, voxel)

    def set_colours(self, ink: str, paper: str) -> None:
        """Take the theme's colours."""
        self.profiles.set_colours(ink, paper)
        for section in (self.lateral, self.axial, self.transfer):
            section.set_ink(ink)


def sampling_colour(ratio: float) -> str:
    """Return green, orange or red for a voxel so many times as large as Nyquist's."""
    if ratio <= _COARSE * 1.001:
        return GREEN
    return AMBER if ratio <= _TOO_COARSE else RED


class Section(QWidget):
    """A plane in false colours with a caption, a scale bar and perhaps a frame.

    Parameters
    ----------
    tip
        What it shows.
    """

    def __init__(self, tip: str) -> None:
        super().__init__()
        self.setFixedSize(_SIDE, _SIDE + _CAPTION)
        self.setToolTip(f"<qt>{tip}</qt>")
        self._pixmap: QPixmap | None = None
        self._source = QRectF()
        self._extent = (1.0, 1.0)
        self._caption = ""
        self._bar = False
        self._frame: tuple[tuple[float, float], str] | None = None
        self._ink = "#d0d3d8"

    def set_ink(self, ink: str) -> None:
        """Take the theme's colour."""
        self._ink = ink
        self.update()

    def show_plane(
        self,
        plane: NDArray[Any],
        pixel: tuple[float, float],
        extent: tuple[float, float],
        caption: str,
        *,
        bar: bool = False,
        limits: tuple[float, float] = (0.0, 1.0),
        colours: str = "inferno",
        gamma: float = 0.4,
    ) -> None:
        """Draw the middle of a plane: of ``extent`` (height, width), in the pixels' unit."""
        self._pixmap = picture(plane, limits, _colours(colours), gamma)
        (height, width), (tall, wide) = plane.shape, extent
        h, w = tall / pixel[0], wide / pixel[1]
        # The middle of the middle pixel.
        self._source = QRectF(width // 2 + 0.5 - w / 2, height // 2 + 0.5 - h / 2, w, h)
        self._extent, self._caption, self._bar, self._frame = extent, caption, bar, None
        self.update()

    def show_frame(self, half: tuple[float, float], colour: str) -> None:
        """Draw a frame around the middle, of these half heights and widths."""
        self._frame = half, colour
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw what is shown."""
        painter = QPainter(self)
        side = QRectF(0, 0, _SIDE, _SIDE)
        painter.fillRect(side, QColor("black"))
        if self._pixmap is None:
            return
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.drawPixmap(side, self._pixmap, self._source)
        tall, wide = self._extent
        if self._frame is not None:
            (high, broad), colour = self._frame
            across, up = (min(0.49, each) * _SIDE for each in (broad / wide, high / tall))
            painter.setPen(QPen(QColor(colour), 2))
            painter.drawRect(QRectF(_SIDE / 2 - across, _SIDE / 2 - up, 2 * across, 2 * up))
        caption = self._caption
        if self._bar:
            length = _round_length(wide / 3)
            pixels = length / wide * _SIDE
            painter.setPen(QPen(QColor("white"), 2))
            y = _SIDE - 7.0
            painter.drawLine(QPointF(_SIDE - 7 - pixels, y), QPointF(_SIDE - 7, y))
            caption += f"   {length:g} µm"
            if abs(tall / wide - 1) > 0.02:
                caption = f"XZ   {tall:.2g} µm high"
        painter.setPen(QColor(self._ink))
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        below = QRectF(0, _SIDE, _SIDE, _CAPTION)
        painter.drawText(below, Qt.AlignmentFlag.AlignCenter, caption)


class Profiles(QWidget):
    """The PSF along X and along Z, with a dot wherever the image has a voxel."""

    def __init__(self) -> None:
        super().__init__()
        self._plot = pyqtgraph.PlotWidget(self)
        self._plot.setMenuEnabled(False)
        self._plot.setMouseEnabled(x=False, y=False)
        self._plot.hideButtons()
        self._plot.setFrameShape(pyqtgraph.QtWidgets.QFrame.Shape.NoFrame)
        self._lines = [self._plot.plot([], [], antialias=True) for _ in range(2)]
        self._dots = [self._plot.plot([], [], pen=None, symbol="o", symbolSize=5) for _ in "xz"]
        self._plot.getAxis("left").setStyle(showValues=False)
        self.words = QLabel()
        self.words.setTextFormat(Qt.TextFormat.RichText)
        self.words.setToolTip(
            "<qt>Full width at half maximum (FWHM) of a point's image, before the pixels widen it. "
            "Dots are the voxels of the image.</qt>"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.words)
        layout.addWidget(self._plot)
        self._plot.setFixedHeight(_PLOT)
        self.set_colours("#d0d3d8", "#26292f")

    def set_colours(self, ink: str, paper: str) -> None:
        """Take the theme's colours."""
        self._plot.setBackground(paper)
        for line, dots, colour in zip(
            self._lines, self._dots, (ACROSS_COLOUR, ALONG_COLOUR), strict=True
        ):
            line.setPen(pyqtgraph.mkPen(colour, width=2))
            dots.setSymbolBrush(colour)
            dots.setSymbolPen(None)
        for side in ("left", "bottom"):
            axis = self._plot.getAxis(side)
            axis.setPen(ink)
            axis.setTextPen(ink)
            axis.setStyle(tickLength=-4)
        self._plot.getAxis("bottom").enableAutoSIPrefix(False)

    def draw(self, preview: Preview, voxel: Sequence[float]) -> None:
        """Draw the profiles of a PSF."""
        x, across, z, along = preview.profiles()
        flat = len(voxel) == 2
        curves = [(x, across, voxel[-1]), (z, along, None if flat else voxel[0])]
        for line, dots, (places, values, step) in zip(self._lines, self._dots, curves, strict=True):
            if step is None:
                line.setData([], [])
                dots.setData([], [])
                continue
            line.setData(places, values)
            count = int(places[-1] // step)
            spots = step * np.arange(-count, count + 1)
            dots.setData(spots, np.interp(spots, places, values))
        width = 2.5 * (preview.fwhm[2] if flat else preview.fwhm[0])
        reach = min(max(width, 4 * preview.fwhm[2]), float(x[-1] if flat else z[-1]))
        self._plot.setXRange(-reach, reach, padding=0)
        self._plot.setYRange(0, 1.05, padding=0)
        words = f'FWHM <span style="color:{ACROSS_COLOUR}">X {_nm(preview.fwhm[2])}</span>'
        if not flat:
            words += f', <span style="color:{ALONG_COLOUR}">Z {_nm(preview.fwhm[0])}</span>'
        self.words.setText(f"{words}   (µm below)")


def _nm(length: float) -> str:
    return f"{1000 * length:.0f} nm" if length < 1 else f"{length:.2f} µm"


def _round_length(about: float) -> float:
    """Return 1, 2 or 5 times a power of ten that is not longer."""
    decade = 10.0 ** np.floor(np.log10(about))
    return float(decade * max(step for step in (1, 2, 5) if step * decade <= about))


@cache
def _colours(name: str) -> Any:
    from napari.utils.colormaps import ensure_colormap

    return ensure_colormap(name)
