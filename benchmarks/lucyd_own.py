"""LUCYD trained in its dock for one's own microscope, beside the weights that come along.

    python benchmarks/lucyd_own.py [--minutes 15] [--picture FILE]

A stack of filaments as an objective shows it for which no weights come along (dry, NA 0.75, 20 um
deep in water), its PSF, and the button that a person presses. What was trained is judged on stacks
of three kinds that it has not seen, one of which (bodies as it was trained on) is its home: signal
to noise in dB after an affine fit. Needs a screen (xvfb-run will do).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lucyd_optics import fidelity

import napari_deconv as nd
from napari_deconv.simulation import phantoms
from napari_deconv.training.crowds import crowd

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

SHAPE, SPACING = (48, 160, 160), (0.6, 0.2, 0.2)
PHOTONS = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--picture", type=Path, help="where to save the window when it is trained")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    scope = nd.Microscope(
        numerical_aperture=0.75, emission_wavelength=0.52, immersion_index=1.0, depth=20.0
    )
    psf = nd.generate_psf(scope, (31, 63, 63), SPACING)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_DECONV_WEIGHTS"] = folder
        told = trained(seen(objects()["filaments"], psf, 9), psf, given.minutes, given.picture)
        print(told, flush=True)
        found = {
            name: judged(truth, psf, number)
            for number, (name, truth) in enumerate(objects().items())
        }
    found["trained"] = told
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def objects() -> dict[str, Volume]:
    return {
        "bodies": crowd(SHAPE, 4321, ratio=3.0),
        "filaments": phantoms.filaments(SHAPE, count=60, seed=11),
        "nuclei": phantoms.nuclei(SHAPE, count=14, diameter=22, seed=12),
    }


def seen(truth: Volume, psf: Volume, seed: int) -> Volume:
    image: Volume = nd.simulate(truth, psf, photons=PHOTONS, offset=100, read_noise=1.5, seed=seed)
    return image


def trained(image: Volume, psf: Volume, minutes: float, picture: Path | None) -> str:
    """Train in the dock, as a person does, and return what it says."""
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(show=True)
    viewer.add_image(psf, name="PSF", scale=SPACING, units="um")
    layer = viewer.add_image(image, name="cells", scale=SPACING, units="um")
    _, dock = viewer.window.add_plugin_dock_widget("napari-deconv", "LUCYD")
    dock.image.choice.choose(layer)
    dock.trainer.open()
    dock.training.minutes.setValue(minutes)
    dock.training.name.setText("own")
    dock.training.train.click()
    end = time.monotonic() + 60 * minutes + 600
    while dock.runner.busy and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)
    if picture is not None:
        viewer.window._qt_window.resize(1500, 960)
        QApplication.processEvents()
        viewer.screenshot(str(picture), canvas_only=False)
    said: str = dock.strip.said
    viewer.close()
    return said


def judged(truth: Volume, psf: Volume, number: int) -> dict[str, float]:
    image = seen(truth, psf, 100 + number)
    contenders = {
        "image": lambda: image,
        **{
            name: lambda name=name: nd.restore(image, "lucyd", spacing=SPACING, weights=name)
            for name in ("mixture", "widefield", "light-sheet", "confocal", "own")
        },
        "Richardson-Lucy": lambda: nd.restore(
            image, "richardson-lucy", psf, spacing=SPACING, offset="auto"
        ),
        "variational": lambda: nd.restore(
            image, "variational", psf, spacing=SPACING, offset="auto"
        ),
    }
    figures = {name: fidelity(make(), truth) for name, make in contenders.items()}
    print(number, {name: round(value, 2) for name, value in figures.items()}, flush=True)
    return figures


if __name__ == "__main__":
    main()
