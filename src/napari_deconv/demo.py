"""A built-in sample from blurred to restored, with figures and a picture."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_deconv.engine import Details, Step
    from napari_deconv.simulation.samples import Sample

    Volume = NDArray[np.float32]


@dataclass(frozen=True)
class Demo:
    """The sample, what became of it, and how much better it is.

    Attributes
    ----------
    sample
        Image, truth and PSF.
    blurred, restored
        The image without the camera's offset, and the restored image.
    details
        What the engine tells of the job.
    figures
        PSNR (dB), SSIM, and the widths at half maximum (um) of a bead across (``fwhm_xy``) and
        along the axis (``fwhm_z``), each for ``blurred``, ``restored`` and, for the widths,
        ``truth``.
    """

    sample: Sample
    blurred: Volume
    restored: Volume
    details: Details
    figures: dict[str, dict[str, float]]

    def __str__(self) -> str:
        """Return the figures as a table."""
        rows = [f"{'':<24}{'blurred':>9}{'restored':>10}{'truth':>8}"]
        for name, title in _TITLES.items():
            row = self.figures[name]
            digits = 3 if name == "ssim" else 2
            cells = [f"{row['blurred']:9.{digits}f}", f"{row['restored']:10.{digits}f}"]
            cells += [f"{row['truth']:8.{digits}f}"] if "truth" in row else []
            rows.append(f"{title:<24}{''.join(cells)}")
        return "\n".join(rows)


_TITLES = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "fwhm_xy": "width of a bead, xy (um)",
    "fwhm_z": "width of a bead, z (um)",
}


def run_demo(
    *,
    progress: Callable[[Step], None] = lambda _: None,
    threads: int | None = None,
    seed: int = 0,
) -> Demo:
    """Restore the widefield sample by Richardson-Lucy with everything automatic.

    Parameters
    ----------
    progress
        Called with each step of the engine.
    threads
        Processor threads; by default one core is left to other programs.
    seed
        Of the sample's random numbers.

    Returns
    -------
    Demo
        The images and their figures.
    """
    from napari_deconv.engine import Job
    from napari_deconv.simulation.samples import widefield_stack

    sample = _around_bead(widefield_stack(seed=seed))
    job = Job(
        sample.image,
        "richardson-lucy",
        psf=sample.psf,
        spacing=sample.spacing,
        offset=sample.offset,
        read_noise="auto",
        # Threads that compete with another program for a core mostly wait for each other.
        threads=threads or max(1, (os.cpu_count() or 2) - 1),
    )
    with closing(job.steps()) as steps:
        for step in steps:
            progress(step)
    restored = job.result
    assert restored is not None, "a job that has come to its end has a result"
    blurred = sample.image.astype(np.float32) - np.float32(sample.offset)
    images = {"blurred": blurred, "restored": restored, "truth": sample.truth}
    return Demo(sample, blurred, restored, job.details, _figures(sample, images))


# Planes, rows and columns: enough to see, little enough for a minute on two cores.
_SIZE = (32, 128, 128)


def _around_bead(sample: Sample) -> Sample:
    """Cut out a part with the bead; light from around it stays in, as in any real image."""
    assert sample.bead is not None
    starts = [
        int(np.clip(round(at) - size // 2, 0, whole - size))
        for at, size, whole in zip(sample.bead, _SIZE, sample.image.shape, strict=True)
    ]
    part = tuple(slice(start, start + size) for start, size in zip(starts, _SIZE, strict=True))
    bead = tuple(at - start for at, start in zip(sample.bead, starts, strict=True))
    return replace(sample, image=sample.image[part], truth=sample.truth[part], bead=bead)


def _figures(sample: Sample, images: Mapping[str, Volume]) -> dict[str, dict[str, float]]:
    from napari_deconv.assessment import fwhm, psnr, ssim

    compared = ("blurred", "restored")
    widths = {
        name: fwhm(image, sample.bead, spacing=sample.spacing) for name, image in images.items()
    }
    return {
        "psnr": {name: psnr(images[name], sample.truth) for name in compared},
        "ssim": {name: ssim(images[name], sample.truth) for name in compared},
        "fwhm_xy": {name: (width[1] + width[2]) / 2 for name, width in widths.items()},
        "fwhm_z": {name: width[0] for name, width in widths.items()},
    }


def has_screen() -> bool:
    """Tell whether a window can be opened here, without risking this process on it.

    Qt ends the process when the display that the environment names does not answer, so another
    process tries.
    """
    linux = sys.platform.startswith("linux")
    if linux and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    attempt = "from qtpy.QtWidgets import QApplication; QApplication([])"
    try:
        done = subprocess.run(
            [sys.executable, "-c", attempt], capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def show(demo: Demo) -> None:
    """Open napari with the sample blurred, restored and true; return when it is closed."""
    from napari_deconv.widgets.demo_viewer import show_images

    images = {"blurred": demo.blurred, "restored": demo.restored, "truth": demo.sample.truth}
    show_images(images, demo.sample.spacing, {"restored": demo.details.provenance})


def draw(demo: Demo, path: Path) -> Path:
    """Draw blurred, restored and true sample side by side, from above and from the side.

    Parameters
    ----------
    demo
        What to draw.
    path
        The PNG to be.

    Returns
    -------
    Path
        The same.
    """
    from napari_deconv.io import replacing

    picture = _picture(demo)
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", optimize=True)
    return path


# Layout, in pixels of the picture.
_PANEL = 420
_GAP = 14
_MARGIN = 36
_TOP = 118
_BETWEEN = 34
_BOTTOM = 104
_INK, _FAINT, _PAPER = "#f2f2f2", "#9aa0a6", "#101114"
# Stops of a dark-to-bright colour map, evenly spaced: black, indigo, magenta, orange, cream.
_STOPS = ("#000004", "#2c115f", "#721f81", "#b73779", "#f1605d", "#feb078", "#fcfdbf")


def _picture(demo: Demo) -> Any:
    from PIL import Image, ImageDraw, ImageFont

    def font(size: int) -> Any:
        return ImageFont.load_default(size)

    z_size, _, x_size = demo.sample.spacing
    planes, rows, columns = demo.blurred.shape
    above = _PANEL * rows // columns
    beside = round(_PANEL * planes * z_size / (columns * x_size))
    width = 2 * _MARGIN + 3 * _PANEL + 2 * _GAP
    height = _TOP + above + _BETWEEN + beside + _BOTTOM
    picture = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(picture)

    pen.text((_MARGIN, 26), "napari-deconv: Richardson-Lucy on a widefield stack", _INK, font(30))
    details = demo.details
    pen.text(
        (width - _MARGIN, 34),
        f"{planes} x {rows} x {columns} voxels, {details.iterations} iterations (automatic)",
        _FAINT,
        font(18),
        anchor="ra",
    )
    columns_of = {"blurred": demo.blurred, "restored": demo.restored, "truth": demo.sample.truth}
    for column, (name, image) in enumerate(columns_of.items()):
        left = _MARGIN + column * (_PANEL + _GAP)
        pen.text((left, 80), name, _INK, font(24))
        top = _TOP
        # Seen from above and from the side: the brightest voxel on each line of sight.
        for axis, size in ((0, above), (1, beside)):
            view = _coloured(image.max(axis=axis), (_PANEL, size))
            picture.paste(view, (left, top))
            label = "xy" if axis == 0 else "xz"
            place = (left + 10, top + 8)
            pen.text(place, label, _INK, font(18), stroke_width=3, stroke_fill=_PAPER)
            top += size + (_BETWEEN if axis == 0 else 0)
        pen.text((left, top + 14), _caption(demo, name), _INK, font(18))
    pen.text(
        (width - _MARGIN, height - 34),
        "brightest voxel along each line of sight, each picture on its own contrast",
        _FAINT,
        font(16),
        anchor="ra",
    )
    _scale_bar(pen, _MARGIN + _PANEL - 14, _TOP + above - 16, _PANEL / (columns * x_size), font(18))
    return picture


def _caption(demo: Demo, name: str) -> str:
    figures = demo.figures
    lines = []
    if name in figures["psnr"]:
        lines.append(f"PSNR {figures['psnr'][name]:.1f} dB,  SSIM {figures['ssim'][name]:.3f}")
    lines.append(
        f"bead {figures['fwhm_xy'][name]:.2f} um wide, {figures['fwhm_z'][name]:.2f} um deep"
    )
    return "\n".join(lines)


def _coloured(plane: Volume, size: tuple[int, int]) -> Any:
    """Return a plane in colours, on its own contrast, enlarged."""
    from PIL import Image, ImageColor

    low, high = np.percentile(plane, [2, 99.9])
    shown = np.clip((plane - low) / max(high - low, 1e-9), 0, 1) ** 0.8
    enlarged = Image.fromarray(shown.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    values = np.clip(np.asarray(enlarged), 0, 1)
    stops = np.array([ImageColor.getrgb(stop) for stop in _STOPS], dtype=np.float64)
    places = np.linspace(0, 1, len(stops))
    rgb = np.stack([np.interp(values, places, stops[:, band]) for band in range(3)], axis=-1)
    return Image.fromarray(np.rint(rgb).astype(np.uint8))


def _scale_bar(pen: Any, right: float, bottom: float, pixels_per_um: float, font: Any) -> None:
    length = 2
    left = right - length * pixels_per_um
    pen.rectangle((left, bottom - 5, right, bottom), fill=_INK)
    place = ((left + right) / 2, bottom - 10)
    pen.text(place, f"{length} um", _INK, font, anchor="ms", stroke_width=3, stroke_fill=_PAPER)
