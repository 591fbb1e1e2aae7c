"""Runs one implementation of Richardson-Lucy in a process of its own.

    python workers.py NAME FOLDER

reads ``data.npy`` and ``psf.npy`` in FOLDER, then answers each line of JSON on standard input,
``{"iterations": 10, "out": FILE or null}``, with the seconds that took. It needs numpy and the
implementation alone, so that every peer can live in an environment of its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

Image = Any


def ours(borders: str, start: str) -> Callable[[Image, Image], Callable[[int], Image]]:
    """Return what a user calls."""

    def prepare(data: Image, psf: Image) -> Callable[[int], Image]:
        import napari_deconv as nd

        options: Any = {"borders": borders, "start": start, "psf_energy": 1.0, "tiles": None}
        return lambda n: nd.restore(data, "richardson-lucy", psf, iterations=n, **options)

    return prepare


def ours_linear(data: Image, psf: Image) -> Callable[[int], Image]:
    """Zero beyond the borders, and the sensitivity taken to be 1: what scikit-image computes."""
    import torch

    from napari_deconv.methods.richardson_lucy import richardson_lucy
    from napari_deconv.operators.convolution import Convolution

    def run(iterations: int) -> Image:
        blur = Convolution(psf / psf.sum(dtype=np.float64), data.shape, "zero")
        blur.sensitivity = torch.tensor(1.0)
        steps = richardson_lucy(torch.from_numpy(data), blur, iterations=iterations)
        return deque(steps, maxlen=1)[0].numpy()

    return run


def floor(borders: str) -> Callable[[Image, Image], Callable[[int], Image]]:
    """Return nothing but the four transforms of an iteration: what no method can go below."""

    def prepare(data: Image, psf: Image) -> Callable[[int], Image]:
        import torch

        from napari_deconv.operators import fft
        from napari_deconv.operators.convolution import grid_shape

        grid = grid_shape(data.shape, psf.shape, [n // 2 for n in psf.shape], borders)
        plan = fft.transform(grid, dtype=torch.float32, device=torch.device("cpu"))

        def run(iterations: int) -> Image:
            for _ in range(2 * iterations):
                plan.inverse(plan.forward())
            return data

        return run

    return prepare


def scikit_image(data: Image, psf: Image) -> Callable[[int], Image]:
    from skimage.restoration import richardson_lucy

    psf = (psf / psf.sum(dtype=np.float64)).astype(np.float32)
    return lambda n: richardson_lucy(data, psf, num_iter=n, clip=False)


def redlionfish(data: Image, psf: Image) -> Callable[[int], Image]:
    from RedLionfishDeconv import doRLDeconvolutionFromNpArrays

    return lambda n: doRLDeconvolutionFromNpArrays(data, psf, niter=n, method="cpu")


def sdeconv(data: Image, psf: Image) -> Callable[[int], Image]:
    import torch

    without_torchvision()
    from sdeconv.deconv import SRichardsonLucy

    image, kernel = torch.from_numpy(data), torch.from_numpy(in_image(psf, data.shape))
    return lambda n: SRichardsonLucy(kernel, niter=n, pad=0)(image).numpy()


def without_torchvision() -> None:
    """Let sdeconv be imported where torchvision is not: only its networks have a use for it."""
    import types

    try:
        import torchvision  # noqa: F401
    except ImportError:
        transforms = types.ModuleType("torchvision.transforms")
        transforms.v2 = types.ModuleType("torchvision.transforms.v2")
        sys.modules["torchvision"] = types.ModuleType("torchvision")
        sys.modules["torchvision.transforms"] = transforms


def in_image(psf: Image, shape: tuple[int, ...]) -> Image:
    """Return the PSF in an array of the image's shape with its origin in the middle.

    sdeconv asks for that. What reaches beyond the image is cut off.
    """
    whole = np.zeros(shape, np.float32)
    target, source = [], []
    for n, k in zip(shape, psf.shape, strict=True):
        first = n // 2 - k // 2
        target.append(slice(max(first, 0), min(first + k, n)))
        source.append(slice(max(-first, 0), min(n - first, k)))
    whole[tuple(target)] = psf[tuple(source)]
    return whole


def diplib(options: set[str]) -> Callable[[Image, Image], Callable[[int], Image]]:
    def prepare(data: Image, psf: Image) -> Callable[[int], Image]:
        import diplib as dip

        psf = (psf / psf.sum(dtype=np.float64)).astype(np.float32)
        return lambda n: np.asarray(
            dip.RichardsonLucy(data, psf, regularization=0.0, nIterations=n, options=options)
        )

    return prepare


IMPLEMENTATIONS: dict[str, Callable[[Image, Image], Callable[[int], Image]]] = {
    "ours circular": ours("circular", "flat"),
    "ours circular from data": ours("circular", "data"),
    "ours extended": ours("extended", "flat"),
    "ours linear": ours_linear,
    "floor circular": floor("circular"),
    "floor extended": floor("extended"),
    "floor linear": floor("zero"),
    "scikit-image": scikit_image,
    "RedLionfish": redlionfish,
    "sdeconv": sdeconv,
    "diplib": diplib(set()),
    "diplib padded": diplib({"pad"}),
}


def peak() -> int:
    """Return the highest resident size of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would tell the parent's peak where that was higher when it forked.
        lines = status.read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(name: str, folder: Path) -> None:
    run = IMPLEMENTATIONS[name](np.load(folder / "data.npy"), np.load(folder / "psf.npy"))
    print(json.dumps({"ready": name}), flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        started = time.perf_counter()
        result = run(message["iterations"])
        seconds = time.perf_counter() - started
        if message["out"]:
            np.save(message["out"], np.asarray(result))
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
