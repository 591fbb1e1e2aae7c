"""Computes PSFs with one program in a process of its own.

    python psf_workers.py NAME FOLDER

answers each line of JSON on standard input, ``{"model": "scalar" or "vectorial", "shape": [z, n],
"integrated": bool, "ideal": bool, "out": FILE or null}``, with the seconds that took. It needs
numpy and the program alone, so that every peer can live in an environment of its own. All compute
the same: NA 1.4 oil (1.515) into water (1.33), 2 um deep, 0.61 um, voxels of 0.2 x 0.1 x 0.1 um;
where ``ideal``, without the water.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from importlib import import_module
from typing import Any

import numpy as np


def ours(model: str, planes: int, n: int, integrated: bool, index: float, depth: float) -> Any:
    nd = import_module("napari_deconv.optics")
    scope = nd.Microscope(
        numerical_aperture=1.4, emission_wavelength=0.61, sample_index=index, depth=depth
    )
    return nd.generate_psf(
        scope,
        (planes, n, n),
        (0.2, 0.1, 0.1),
        model={"scalar": "gibson-lanni", "vectorial": "richards-wolf"}[model],
        pixel_integration=integrated,
    )


def psfmodels(model: str, planes: int, n: int, integrated: bool, index: float, depth: float) -> Any:
    """It takes the mean over 3 x 3 points of a pixel, which is its default, or one point."""
    return import_module("psfmodels").make_psf(
        planes,
        n,
        dxy=0.1,
        dz=0.2,
        NA=1.4,
        wvl=0.61,
        ns=index,
        pz=depth,
        model=model,
        oversample_factor=3 if integrated else 1,
    )


def psf_generator(kind: str) -> Any:
    """It does not know pixels; 128 points of the pupil are its fastest and least exact setting."""

    def make(model: str, planes: int, n: int, integrated: bool, index: float, depth: float) -> Any:
        propagators = import_module("psf_generator.propagators")
        layers = {"n_i": 1.515, "n_i0": 1.515, "n_g": 1.515, "n_g0": 1.515}
        propagator = getattr(propagators, f"{model.title()}{kind}Propagator")(
            n_pix_pupil=128,
            n_pix_psf=n,
            wavelength=610,
            na=1.4,
            pix_size=100,
            defocus_step=200,
            n_defocus=planes,
            gibson_lanni=True,
            z_p=1000 * depth,
            n_s=index,
            t_i0=150e3,
            t_g=170e3,
            t_g0=170e3,
            **layers,
        )
        field = propagator.compute_focus_field()
        return (abs(field) ** 2).sum(axis=1).numpy()

    return make


PROGRAMS = {
    "napari-deconv": ours,
    "psfmodels": psfmodels,
    "psf-generator spherical": psf_generator("Spherical"),
    "psf-generator Cartesian": psf_generator("Cartesian"),
}


def main() -> None:
    warnings.simplefilter("ignore")
    program = PROGRAMS[sys.argv[1]]
    print(json.dumps({"python": sys.version}), flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        index, depth = (1.515, 0.0) if task["ideal"] else (1.33, 2.0)
        start = time.perf_counter()
        psf = program(task["model"], *task["shape"], task["integrated"], index, depth)
        seconds = time.perf_counter() - start
        if task["out"]:
            np.save(task["out"], np.asarray(psf))
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
