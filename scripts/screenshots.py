"""Make the pictures of the README and the documentation, from the generated samples.

Run with a screen, for instance one of Xvfb's::

    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/screenshots.py [NAME ...]

NAME is one of the functions below that take pictures; all of them without one.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES = Path(__file__).parent.parent / "docs" / "images"
KEY = "napari-deconv"
SIZE = (1400, 900)
_LARGEST = 900_000


def main() -> None:
    """Make all of them."""
    from napari import settings
    from qtpy.QtCore import QSettings

    # Nobody's own settings in the pictures, and none of the pictures' in anybody's settings.
    folder = tempfile.mkdtemp()
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, folder)
    settings._CFG_PATH = str(Path(folder) / "settings.yaml")
    settings.get_settings(path=str(Path(folder) / "napari.yaml"))
    os.environ["NAPARI_DECONV_WEIGHTS"] = folder
    IMAGES.mkdir(parents=True, exist_ok=True)
    import napari

    takes = (
        before_and_after,
        background,
        choosing,
        microscopes,
        beads,
        blind,
        over_the_field,
        fitted,
        trained,
    )
    for take in [each for each in takes if not sys.argv[1:] or each.__name__ in sys.argv[1:]]:
        # A viewer for each: Mesa's software renderer crashed on the second sample in one.
        viewer = napari.Viewer(show=True)
        viewer.window._qt_window.resize(*SIZE)
        take(viewer)
        viewer.close()
        wait(1)


def before_and_after(viewer: Any) -> None:
    """Go the README's way, and take the PSF dock, the lights, a run and its result on it."""
    sample = open_sample(viewer, "widefield")
    remove(viewer, "psf")
    psf_dock = open_dock(viewer, "PSF")
    settle(psf_dock)
    psf_dock.strip.run.click()
    settle(psf_dock)
    psf = viewer.layers[-1]
    save(psf_dock, "dock-psf")
    close_dock(viewer, psf_dock)
    psf.visible = False

    dock = open_dock(viewer, "Deconvolution")
    settle(dock)
    save(dock, "dock-deconvolution-lights")
    dock.lights.buttons["offset"].click()
    dock.form.set_values({"iterations": "auto", "acceleration": "biggs-andrews"})
    settle(dock)
    dock.strip.run.click()
    until(lambda: dock.strip.bar.value() > 500 and dock.strip.bar.maximum() > 0)
    save(dock, "dock-deconvolution-running")
    settle(dock)
    wait(0.5)
    save(dock, "dock-deconvolution")

    result = viewer.layers[-1]
    # Side by side, for the picture only.
    width = sample.data.shape[-1] * sample.scale[-1]
    result.translate = (0, 0, 1.03 * width)
    sample.contrast_limits = tuple(np.percentile(sample.data, [5, 99.95]))
    result.contrast_limits = (0, float(np.percentile(result.data, 99.93)))
    result.gamma = 0.7
    for layer in (sample, result):
        layer.projection_mode = "max"
    viewer.dims.thickness = (2.0, *viewer.dims.thickness[1:])
    viewer.layers.selection.active = result
    viewer.window._qt_window.resize(1500, 720)
    wait(0.5)
    viewer.reset_view(margin=0.02)
    wait(1)
    shoot(viewer, "napari-before-after")
    viewer.dims.thickness = (0.0, *viewer.dims.thickness[1:])
    close_dock(viewer, dock)


def background(viewer: Any) -> None:
    """Take the Background dock on the hazy sample."""
    open_sample(viewer, "haze")
    dock = open_dock(viewer, "Background")
    dock.form.set_values({"passes": 5})
    dock.strip.run.click()
    settle(dock)
    wait(0.5)
    save(dock, "dock-background")
    shoot(viewer, "napari-background")
    close_dock(viewer, dock)


def choosing(viewer: Any) -> None:
    """Take the list of methods, a strength with its curve, and settings beside each other."""
    open_sample(viewer, "haze")
    dock = open_dock(viewer, "Deconvolution")
    settle(dock)
    dock.lights.buttons["offset"].click()
    dock.strip.say("")
    settle(dock)
    dock.method.box.showPopup()
    wait(0.5)
    corner = dock.mapToGlobal(dock.rect().topLeft())
    list_ = dock.method.box.view().window().frameGeometry()
    low = max(list_.bottom(), corner.y() + dock.area.widget().sizeHint().height()) - corner.y()
    screen = viewer.window._qt_window.screen()
    width = max(dock.width(), list_.right() - corner.x() + 2)
    write(screen.grabWindow(0, corner.x(), corner.y(), width, low + 8), "dock-methods")
    dock.method.box.hidePopup()
    dock.method.choose("variational")
    settle(dock)
    dock.strip.run.click()
    settle(dock)
    dock.strip.curves.choose(dock.strip.curves.names[-1])
    save(dock, "dock-strength")
    viewer.layers.remove(viewer.layers[-1])

    dock.strip.curves.clear()
    dock.strip.afterwards.hide()
    dock.compare.click()
    panel = dock.sweeping.panel
    until(lambda: not panel.runner.busy)
    panel.cells[3].clicked.emit()
    wait(0.5)
    shoot(viewer, "napari-compare-settings")
    panel.what.setCurrentIndex(panel.what.findData("all"))
    panel.compare.click()
    until(lambda: not panel.runner.busy)
    wait(0.5)
    write(panel.grab(), "compare-methods")
    close_dock(viewer, panel)
    close_dock(viewer, dock)


def blind(viewer: Any) -> None:
    """Take the Deep-Blur dock with what it found, and the sample before and after."""
    sample = open_sample(viewer, "aberrated")
    remove(viewer, "psf")
    remove(viewer, "truth")
    dock = open_dock(viewer, "Deep-Blur")
    settle(dock)
    dock.lights.buttons["offset"].click()
    dock.strip.say("")
    settle(dock)
    dock.identify.click()
    settle(dock)
    viewer.window._qt_window.resize(SIZE[0], SIZE[1] + 80)
    wait(0.5)
    save(dock, "dock-deep-blur")
    dock.strip.run.click()
    settle(dock)
    result = viewer.layers[-1]
    result.translate = (0, 1.03 * sample.data.shape[-1] * sample.scale[-1])
    result.contrast_limits = (0, float(np.percentile(result.data, 99.7)))
    viewer.reset_view(margin=0.02)
    wait(1)
    shoot(viewer, "napari-deep-blur")
    close_dock(viewer, dock)


def over_the_field(viewer: Any) -> None:
    """Take the Deep-Blur dock with maps of what changes over the field of the aberrated sample."""
    sample = open_sample(viewer, "aberrated")
    truth = next(x for x in viewer.layers if x.metadata[KEY]["kind"] == "truth").data
    sample.data = varying_image(truth)
    sample.contrast_limits = (100, float(np.percentile(sample.data, 99.7)))
    for kind in ("psf", "truth"):
        remove(viewer, kind)
    dock = open_dock(viewer, "Deep-Blur")
    settle(dock)
    dock.lights.buttons["offset"].click()
    dock.strip.say("")
    dock.form.set_values({"psf_varies": True})
    settle(dock)
    dock.strip.run.click()
    settle(dock)
    viewer.window._qt_window.resize(SIZE[0], SIZE[1] + 80)
    result = viewer.layers[-1]
    # The map lies over the image, the result beside it: for the picture only.
    result.translate = (0, 1.03 * sample.data.shape[-1] * sample.scale[-1])
    result.contrast_limits = (0, float(np.percentile(result.data, 99.7)))
    viewer.reset_view(margin=0.02)
    wait(1)
    shoot(viewer, "napari-deep-blur-field")
    close_dock(viewer, dock)


def varying_image(truth: Any) -> Any:
    """Return the image of an object behind coma and astigmatism that grow over the field."""
    import torch

    from napari_deconv.identification.optics import Pupils
    from napari_deconv.operators.product_convolution import ProductConvolution
    from napari_deconv.optics.variant import VariantPsf

    side = len(truth) - 30
    axis = np.linspace(-1, 1, 5)
    y, x = (each.ravel() for each in np.meshgrid(axis, axis, indexing="ij"))
    waves = np.zeros((25, 8), np.float32)
    waves[:, 1], waves[:, 2], waves[:, 4], waves[:, 7] = 0.07 + 0.06 * y, -0.09, 0.11 * x, 0.05
    psfs = Pupils(0.2).psf(torch.from_numpy(waves)).numpy()
    places = (np.stack([y, x], 1) + 1) / 2 * (side - 1)
    psf = VariantPsf.from_psfs(psfs, places, (side, side), align=False)
    blur = ProductConvolution(psf.components, psf.weights, (side, side))
    light = blur(torch.from_numpy(np.asarray(truth, np.float32))).numpy().clip(min=0)
    photons = np.random.default_rng(0).poisson(5000 * light / light.max())
    return (100 + photons).astype(np.uint16)


def fitted(viewer: Any) -> None:
    """Take the CiDeR dock: idle, running, and done with what the data say of the result."""
    sample = open_sample(viewer, "haze")
    sample.data = sample.data[128:384, 128:384]
    remove(viewer, "truth")
    dock = open_dock(viewer, "CiDeR")
    settle(dock)
    dock.lights.buttons["offset"].click()
    dock.strip.say("")
    settle(dock)
    save(dock, "dock-cider")
    dock.strip.run.click()
    until(lambda: dock.strip.bar.value() > 600 and dock.strip.bar.maximum() > 0)
    save(dock, "dock-cider-running")
    settle(dock)
    dock.trust.support.click()
    settle(dock)
    map_ = viewer.layers[-1]
    map_.translate = (0, 1.03 * map_.data.shape[-1] * map_.scale[-1])
    viewer.reset_view(margin=0.02)
    wait(0.5)
    shoot(viewer, "napari-cider")
    close_dock(viewer, dock)


def trained(viewer: Any) -> None:
    """Take the LUCYD dock while it is trained."""
    open_sample(viewer, "haze")
    dock = open_dock(viewer, "LUCYD")
    settle(dock)
    dock.trainer.open()
    dock.training.minutes.setValue(15.0)
    dock.training.train.click()
    until(lambda: len(dock.training.losses.points) > 30)
    save(dock, "dock-lucyd-training")
    dock.strip.cancel.click()
    settle(dock)
    close_dock(viewer, dock)


def microscopes(viewer: Any) -> None:
    """Take the PSF dock for an oil objective deep in water, and for a confocal microscope."""
    open_sample(viewer, "widefield")
    dock = open_dock(viewer, "PSF")
    oil = {"numerical_aperture": 1.4, "immersion_index": 1.515, "sample_index": 1.33}
    dock.theory.fill_in({**oil, "emission_wavelength": 0.51, "depth": 8.0})
    settle(dock)
    save(dock, "dock-psf-oil")
    silicone = {"numerical_aperture": 1.3, "immersion_index": 1.406, "sample_index": 1.38}
    light = {"excitation_wavelength": 0.488, "emission_wavelength": 0.51, "depth": 0.0}
    dock.theory.fill_in({**silicone, **light, "modality": "confocal"})
    settle(dock)
    save(dock, "dock-psf-confocal")
    close_dock(viewer, dock)


def beads(viewer: Any) -> None:
    """Take the averaging of beads whose coma grows to the corners, and the fit of a pupil."""
    from dataclasses import asdict

    from napari_deconv.optics import Microscope, generate_psf

    scope = Microscope(
        numerical_aperture=0.9, immersion_index=1.33, sample_index=1.33, emission_wavelength=0.52
    )
    spacing = (0.3, 0.13, 0.13)
    rng = np.random.default_rng(0)
    image = np.zeros((25, 400, 400))
    for y in range(40, 400, 64):
        for x in range(40, 400, 64):
            row, column = y + rng.integers(-6, 7), x + rng.integers(-6, 7)
            coma = {7: 0.12 * (row - 200) / 200, 8: 0.12 * (column - 200) / 200}
            psf = generate_psf(scope, (17, 33, 33), spacing, model="pupil", aberrations=coma)
            part = (slice(4, 21), slice(row - 16, row + 17), slice(column - 16, column + 17))
            image[part] += 2500 * psf / psf.max()
    noisy = rng.poisson(image + 100).astype(np.uint16)
    viewer.add_image(noisy, name="beads 515", scale=spacing, units="um", gamma=0.5)
    dock = open_dock(viewer, "PSF")
    dock.theory.fill_in({**asdict(scope), "modality": "widefield", "model": "gibson-lanni"})
    dock.tabs.choose(dock.beads)
    dock.beads.form.set_values({"bead_diameter": 0.1})
    dock.beads.theory.setChecked(True)
    settle(dock)
    dock.strip.run.click()
    settle(dock)
    dock.beads.map.choice.setCurrentText("Long by short width")
    viewer.layers[-1].visible = False
    shoot(viewer, "napari-beads")
    dock.beads.pupil.click()
    settle(dock)
    save(dock, "dock-psf-pupil")
    close_dock(viewer, dock)


def open_sample(viewer: Any, name: str) -> Any:
    """Open a sample and return its image layer."""
    viewer.open_sample(KEY, name)
    return next(layer for layer in viewer.layers if layer.metadata[KEY]["kind"] == "sample")


def remove(viewer: Any, kind: str) -> None:
    """Remove layers of a kind."""
    for layer in [x for x in viewer.layers if x.metadata.get(KEY, {}).get("kind") == kind]:
        viewer.layers.remove(layer)


def open_dock(viewer: Any, name: str) -> Any:
    """Open a dock as the menu does."""
    _, dock = viewer.window.add_plugin_dock_widget(KEY, name)
    wait(0.3)
    viewer.window._qt_window.resize(*SIZE)
    return dock


def close_dock(viewer: Any, dock: Any) -> None:
    """Close a dock."""
    viewer.window.remove_dock_widget(dock)
    wait(0.2)


def save(dock: Any, name: str) -> None:
    """Save the picture of a dock, as far down as there is something in it."""
    wait(0.3)
    inside = dock.area.widget()
    picture = dock.grab()
    height = min(picture.height(), inside.sizeHint().height() + 8)
    write(picture.copy(0, 0, picture.width(), height), name)


def shoot(viewer: Any, name: str) -> None:
    """Save the picture of the whole window."""
    wait(0.3)
    write(viewer.window._qt_window.grab(), name)


def write(picture: Any, name: str) -> None:
    """Write a picture, small enough for a web page."""
    path = IMAGES / f"{name}.png"
    picture.save(str(path))
    from PIL import Image

    image = Image.open(path).convert("RGB")
    if path.stat().st_size > _LARGEST:
        image = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
    print(f"{path.name}: {image.width} x {image.height}, {path.stat().st_size // 1000} kB")


def settle(dock: Any) -> None:
    """Wait until a dock has nothing to do any more."""
    from napari_deconv.widgets.checker import Checker

    def idle() -> bool:
        return not dock.runner.busy and not any(c.busy for c in dock.findChildren(Checker))

    until(idle)


def until(condition: Callable[[], bool], seconds: float = 300) -> None:
    """Let Qt work until something is true."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("It never happened.")
        QApplication.processEvents()
        time.sleep(0.005)


def wait(seconds: float) -> None:
    """Let Qt work for a while."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end)


if __name__ == "__main__":
    main()
