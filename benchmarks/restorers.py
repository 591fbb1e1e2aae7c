"""Runs the restoration methods of one package in a process of its own.

    python restorers.py PACKAGE

It answers each line of JSON on standard input, ``{"function": NAME, "data": FILE, "psf": FILE,
"options": {...}, "out": FILE}``, with the processor's seconds, those on the clock, and the memory
that took: the highest resident size meanwhile, beyond that before. Packages besides ours get the
image scaled to a maximum of one, which is what their defaults are made for, and the result is
scaled back.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import workers

if TYPE_CHECKING:
    from collections.abc import Callable

Image = Any


def ours(data: Image, psf: Image, *, function: str, **options: Any) -> tuple[Image, Any]:
    import napari_deconv as nd

    psf_centre = options.pop("psf_centre", "index")
    image, details = nd.restore(data, function, psf, details=True, psf_centre=psf_centre, **options)
    entry = nd.methods()[function]
    own = {name: details.parameters.get(name) for name in entry.parameters}
    about = {name: value for name, value in own.items() if isinstance(value, (int, float, str))}
    return image, about | {"iterations": details.iterations, "warnings": details.warnings}


def scikit_image(data: Image, psf: Image, *, function: str, **options: Any) -> tuple[Image, Any]:
    from skimage import restoration

    psf = (psf / psf.sum(dtype=np.float64)).astype(np.float32)
    if function == "unsupervised_wiener":
        image, chain = restoration.unsupervised_wiener(data, psf, clip=False, rng=0)
        return image, {"noise": float(chain["noise"][-1]), "prior": float(chain["prior"][-1])}
    return getattr(restoration, function)(data, psf, clip=False, **options), options


def diplib(data: Image, psf: Image, *, function: str, **options: Any) -> tuple[Image, Any]:
    import diplib as dip

    psf = (psf / psf.sum(dtype=np.float64)).astype(np.float32)
    if options.pop("circular", False):
        return np.asarray(getattr(dip, function)(data, psf, **options, options=set())), options
    return np.asarray(getattr(dip, function)(data, psf, **options)), options


def redlionfish(data: Image, psf: Image, *, function: str, **options: Any) -> tuple[Image, Any]:
    import RedLionfishDeconv

    return getattr(RedLionfishDeconv, function)(data, psf, method="cpu", **options), options


def sdeconv(data: Image, psf: Image, *, function: str, **options: Any) -> tuple[Image, Any]:
    import torch

    workers.without_torchvision()
    from sdeconv import deconv

    if function != "Spitfire" or data.ndim == 3:
        psf = workers.in_image(psf, data.shape)
    work = getattr(deconv, function)(torch.from_numpy(psf), pad=0, **options)
    return work(torch.from_numpy(data)).detach().numpy(), options


PACKAGES: dict[str, Callable[..., tuple[Image, Any]]] = {
    "ours": ours,
    "scikit-image": scikit_image,
    "diplib": diplib,
    "RedLionfish": redlionfish,
    "sdeconv": sdeconv,
}


def main(package: str) -> None:
    restore = PACKAGES[package]
    print(json.dumps({"ready": package}), flush=True)
    warm = False
    for line in sys.stdin:
        message = json.loads(line)
        data, psf = np.load(message["data"]), np.load(message["psf"])
        scale = 1.0 if package == "ours" else float(data.max())
        data = np.ascontiguousarray(data / scale, np.float32)
        if not warm:
            # What is loaded at first use is no part of any job.
            with contextlib.suppress(Exception):
                corner = np.ascontiguousarray(data[(slice(24),) * data.ndim]) + 1
                kernel = np.ones((5,) * data.ndim, np.float32)
                restore(corner, kernel, function=message["function"], **message["options"])
            warm = True
        before = forgotten_peak()
        started, clock = time.process_time(), time.perf_counter()
        try:
            result, about = restore(data, psf, function=message["function"], **message["options"])
        except Exception as error:
            # A peer that fails has a cell that says so.
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
            continue
        answer = {"seconds": time.process_time() - started, "about": about}
        answer["clock"] = time.perf_counter() - clock
        answer["memory"] = workers.peak() - before if before else None
        np.save(message["out"], np.asarray(result, np.float32).reshape(data.shape) * scale)
        print(json.dumps(answer, default=float), flush=True)


def forgotten_peak() -> int:
    """Make the system forget the highest resident size; return the present one, 0 if it cannot."""
    switch = Path("/proc/self/clear_refs")
    if not switch.exists():
        return 0
    # What was freed goes back to the system first: it would hide what is taken next.
    ctypes.CDLL(None).malloc_trim(0)
    switch.write_text("5")
    return workers.peak()


if __name__ == "__main__":
    main(sys.argv[1])
