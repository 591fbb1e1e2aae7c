"""Peak memory of Richardson-Lucy beside other packages, and how true the forecasts are.

    python benchmarks/memory.py [--peers FOLDER] [--small]

Every job runs in a fresh process. Its memory is the highest resident size the system saw, less
that of a process which imported the same and did nothing: the image itself, the PSF, the result
and all that the allocator kept are in it. A forecast speaks of what comes on top of the image, so
the image is taken off before the two are compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import harness
import numpy as np
from speed import problem

SHAPE, PSF_SHAPE, ITERATIONS = (64, 512, 512), (32, 64, 64), 3

# Jobs whose forecast is put to the test: shape of image and PSF, method, options.
JOBS: dict[str, tuple[tuple[int, ...], tuple[int, ...], str, dict[str, Any]]] = {
    "3D circular": (SHAPE, PSF_SHAPE, "richardson-lucy", {"borders": "circular"}),
    "3D extended": (SHAPE, (31, 63, 63), "richardson-lucy", {}),
    "3D reflect": ((48, 384, 384), (31, 63, 63), "richardson-lucy", {"borders": "reflect"}),
    "3D nesterov": ((64, 384, 384), (31, 31, 31), "richardson-lucy", {"acceleration": "nesterov"}),
    "3D biggs-andrews": (
        (64, 384, 384),
        (31, 31, 31),
        "richardson-lucy",
        {"acceleration": "biggs-andrews"},
    ),
    "3D wiener": ((64, 384, 384), (31, 31, 31), "wiener", {"noise_to_signal": 1e-3}),
    "3D wiener auto": ((64, 384, 384), (31, 31, 31), "wiener", {}),
    "3D regularized-inverse": ((64, 384, 384), (31, 31, 31), "regularized-inverse", {}),
    "3D uint16 extended": ((64, 384, 384), (31, 31, 31), "richardson-lucy", {"dtype": "uint16"}),
    "3D tiled": ((64, 512, 512), (31, 31, 31), "richardson-lucy", {"tiles": (64, 256, 256)}),
    "2D circular": ((2048, 2048), (63, 63), "richardson-lucy", {"borders": "circular"}),
    "2D extended": ((2048, 2048), (63, 63), "richardson-lucy", {}),
    "2D wiener": ((2048, 2048), (63, 63), "wiener", {}),
}
SMALL = (16, 128, 128), (7, 15, 15)

# Run in the fresh process: what is imported anyway, then the job, then the highest resident size.
CHILD = """
import json, sys, time
import numpy as np
folder, name, iterations, job = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
sys.path.insert(0, folder)
import workers
answer = {}
if name.startswith("ours"):
    import torch, scipy.fft, scipy.ndimage, napari_deconv as nd
    from napari_deconv import methods
    from napari_deconv.assessment import noise
    from napari_deconv.engine import Job
    from napari_deconv.operators import fft
    fft.backend(); methods(); torch.fft.rfftn(torch.ones((8, 8, 8)))
    (torch.ones(1 << 16) * 2).sum()
else:
    if name in ("scikit-image",): import skimage.restoration
    if name == "RedLionfish": import RedLionfishDeconv
    if name == "diplib": import diplib
    if name == "sdeconv":
        workers.sdeconv(np.ones((8, 8, 8), np.float32), np.ones((4, 4, 4), np.float32))(1)
answer["before"] = workers.peak()
if iterations:
    data, psf = np.load(job["data"]), np.load(job["psf"])
    if name == "ours":
        options = dict(job["options"])
        data = data.astype(options.pop("dtype", "float32"), copy=False)
        if "tiles" in options: options["tiles"] = tuple(options["tiles"])
        if job["method"] == "richardson-lucy": options["iterations"] = iterations
        job = Job(data, job["method"], psf, **options)
        if sys.argv[5] == "forecast":
            answer["forecast"] = vars(job.forecast)
        started = time.perf_counter()
        # As restore() does where nobody wants to go on afterwards.
        for step in job.steps(keep=sys.argv[5] != "restore"): pass
        answer["seconds"] = time.perf_counter() - started
        answer["image"] = data.nbytes
    else:
        workers.IMPLEMENTATIONS[name](data, psf)(iterations)
answer["after"] = workers.peak()
print(json.dumps(answer, default=float))
"""


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], rounds=3)
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments")
    parser.add_argument("--small", action="store_true", help="small images, to try the script out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        figures = {
            "beside peers": beside_peers(place, arguments.peers, arguments.small),
            "forecasts": forecasts(place, arguments.rounds, arguments.small),
        }
    harness.finish(arguments.json, figures)


def beside_peers(folder: Path, peers: Path | None, small: bool) -> dict[str, float]:
    """Bytes per voxel of circular Richardson-Lucy in 3D."""
    shape, psf_shape = SMALL if small else (SHAPE, PSF_SHAPE)
    job = _stored(folder, shape, psf_shape) | {"method": "richardson-lucy"}
    job["options"] = {"borders": "circular", "psf_energy": 1.0}
    cases: list[tuple[str, str, dict[str, str], float | None]] = [
        ("ours", sys.executable, {}, 22),
        ("ours", sys.executable, {"NAPARI_DECONV_FFT": "torch"}, 40),
        ("scikit-image", sys.executable, {}, None),
    ]
    for name in ("RedLionfish", "sdeconv", "diplib"):
        python = peers / name.lower() / "bin" / "python" if peers else None
        if python is None or not python.exists():
            print(f"{name} is left out: no environment {name.lower()} in --peers")
        else:
            cases.append((name, str(python), {}, None))
    figures, rows = {}, []
    for name, python, variables, wanted in cases:
        try:
            took = _net(_fresh(python, name, ITERATIONS, job, variables, "restore"))
        except RuntimeError as error:
            print(f"{name} is left out: {error}")
            continue
        label = f"{name}, torch.fft" if variables else name
        figures[label] = took / np.prod(shape)
        reached = None if wanted is None else "yes" if figures[label] <= wanted else "NO"
        rows.append([label, figures[label], wanted, reached])
    title = f"Richardson-Lucy, {'x'.join(map(str, shape))}: net peak memory"
    harness.table(title, ["", "bytes per voxel", "at most", "reached"], rows)
    return figures


def forecasts(folder: Path, rounds: int, small: bool) -> dict[str, Any]:
    """Forecast memory and time against what was then measured."""
    figures: dict[str, Any] = {}
    rows = []
    for name, (shape, psf_shape, method, options) in JOBS.items():
        if small:
            shape, psf_shape = (s[-len(shape) :] for s in SMALL)
            options = options | ({"tiles": (16, 64, 64)} if "tiles" in options else {})
        job = _stored(folder, shape, psf_shape) | {"method": method, "options": options}
        iterations = 30 if len(shape) == 2 else 15
        ratios = []
        for _ in range(rounds):
            told = _fresh(sys.executable, "ours", iterations, job, {}, "forecast")
            ratios.append(told["forecast"]["seconds"] / told["seconds"])
        # Memory from a process that made no forecast, which needs some itself.
        done = _fresh(sys.executable, "ours", iterations, job, {})
        used = _net(done) - done["image"]
        share = told["forecast"]["memory_bytes"] / used
        times = told["forecast"]["seconds"], told["seconds"]
        figures[name] = {"memory": share, "seconds": ratios}
        near = 0.8 <= share <= 1.2, 0.8 <= harness.median(ratios) <= 1.2
        rows.append(
            [
                name,
                told["forecast"]["memory_bytes"] / 1e6,
                used / 1e6,
                f"{share:.2f}{'' if near[0] else ' NO'}",
                *times,
                harness.spread(ratios, 2) + ("" if near[1] else " NO"),
            ]
        )
    header = ["", "MB told", "MB used", "told/used", "s told", "s taken", "told/taken"]
    harness.table("Forecasts (asked for: within 20 %)", header, rows)
    return figures


def _stored(folder: Path, shape: tuple[int, ...], psf_shape: tuple[int, ...]) -> dict[str, Any]:
    """Write an image and a PSF, and return where they are."""
    key = "-".join("x".join(map(str, s)) for s in (shape, psf_shape))
    paths = {name: folder / f"{name}-{key}.npy" for name in ("data", "psf")}
    if not paths["data"].exists():
        for name, array in zip(paths, problem(shape, psf_shape), strict=True):
            np.save(paths[name], array)
    return {name: str(path) for name, path in paths.items()}


def _fresh(
    python: str,
    name: str,
    iterations: int,
    job: dict[str, Any],
    variables: dict[str, str],
    purpose: str = "run",
) -> dict[str, Any]:
    """Run a job in a process of its own; return what it tells."""
    words = [str(harness.HERE), name, str(iterations), json.dumps(job), purpose]
    environment = os.environ | variables
    done = subprocess.run(
        [python, "-c", CHILD, *words], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no word"])[-1])
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _net(answer: dict[str, Any]) -> float:
    return float(answer["after"] - answer["before"])


if __name__ == "__main__":
    main()
