"""PSFs: milliseconds and errors, beside psfmodels and psf-generator in the same run.

    python benchmarks/peers.py PEERS
    python benchmarks/psf.py PEERS

``PEERS/psfmodels/bin/python`` and ``PEERS/psf-generator/bin/python`` are the environments that
have them; what is not there is left out. Rounds in which one program runs right after the other,
in random order; a ratio is the median over rounds of a program's time by ours. Errors are
relative L2, beside quadrature at each pixel's own distance, in the case without aberration, in
which all mean the same planes, scaled for the least error; psfmodels is given an odd size, since
it misplaces even ones. psf-generator has no error here: it weighs the pupil in another way.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from harness import Worker, finish, median, nrmse, parser, table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "optics"))
import psf_reference
from psf_workers import PROGRAMS

SIZES = [(64, 128), (128, 256)]
SPACING = (0.2, 0.1, 0.1)
OURS = "napari-deconv"


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        workers = _workers(arguments.peers, Path(folder))
        figures: dict[str, Any] = {"seconds": [], "errors": []}
        for model in ("scalar", "vectorial"):
            for shape in SIZES:
                for integrated in (True, False):
                    figures["seconds"] += _times(workers, model, shape, integrated, arguments)
            for integrated in (True, False):
                figures["errors"] += _errors(workers, model, integrated, Path(folder))
        for worker in workers:
            worker.close()
    columns = ["program", "model", "voxels", "pixels", "ms", "times ours"]
    table("Time", columns, [list(row.values()) for row in figures["seconds"]])
    table(
        "Error",
        ["program", "model", "pixels", "relative L2"],
        [list(r.values()) for r in figures["errors"]],
    )
    finish(arguments.json, figures)


def _arguments() -> Any:
    made = parser(__doc__.splitlines()[0], rounds=9)
    made.add_argument("peers", type=Path, help="folder of the peers' environments")
    return made.parse_args()


def _workers(peers: Path, folder: Path) -> list[Worker]:
    workers = []
    for name in PROGRAMS:
        python = Path(sys.executable)
        if name != OURS:
            python = peers / name.split()[0] / "bin" / "python"
            if not python.exists():
                print(f"{name} is not there: {python}")
                continue
        workers.append(Worker(name, folder, str(python), script="psf_workers.py"))
    return workers


def _times(
    workers: list[Worker], model: str, shape: tuple[int, int], integrated: bool, arguments: Any
) -> list[dict[str, Any]]:
    task = {"model": model, "shape": shape, "integrated": integrated, "ideal": False, "out": None}
    # Means over pixels are known to two of them only.
    taking_part = [w for w in workers if not (integrated and w.name.startswith("psf-generator"))]
    generator = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {worker.name: [] for worker in taking_part}
    for number in range(arguments.rounds + 1):
        for index in generator.permutation(len(taking_part)):
            worker = taking_part[index]
            # Others leave ours a cold cache, and a slow round of theirs a busy machine: twice.
            found = min(float(worker.ask(task)["seconds"]) for _ in range(2))
            if number:  # the first round warms up
                seconds[worker.name].append(found)
    return [
        {
            "program": name,
            "model": model,
            "voxels": f"{shape[0]}x{shape[1]}x{shape[1]}",
            "pixels": "means" if integrated else "middles",
            "ms": 1000 * median(found),
            "ratio": median([a / b for a, b in zip(found, seconds[OURS], strict=True)]),
        }
        for name, found in seconds.items()
    ]


def _errors(
    workers: list[Worker], model: str, integrated: bool, folder: Path
) -> list[dict[str, Any]]:
    planes, n = 9, 41
    truth = _truth(model, planes, n, 7 if integrated else 1)
    rows = []
    for worker in workers:
        if worker.name.startswith("psf-generator"):
            continue
        out = folder / "psf.npy"
        worker.ask(
            {
                "model": model,
                "shape": (planes, n),
                "integrated": integrated,
                "ideal": True,
                "out": str(out),
            }
        )
        psf = np.load(out).astype(np.float64)
        error = nrmse(psf * (np.vdot(psf, truth) / np.vdot(psf, psf)), truth)
        rows.append(
            {
                "program": worker.name,
                "model": model,
                "pixels": "means" if integrated else "middles",
                "error": error,
            }
        )
    return rows


def _truth(model: str, planes: int, n: int, points: int) -> np.ndarray:
    """Return the PSF by brute force; ``points`` x ``points`` of a pixel, each by itself."""
    from napari_deconv.optics import Microscope

    scope = Microscope(numerical_aperture=1.4, emission_wavelength=0.61, sample_index=1.515)
    if model == "scalar":
        return psf_reference.psf(scope, (planes, n, n), SPACING, points=points)
    x, w = np.polynomial.legendre.leggauss(points)
    z = psf_reference.axis(planes, SPACING[0])
    places = psf_reference.axis(n, 0.1)[:, None] + x * (points > 1) * 0.05
    r = np.hypot(places[:, :, None, None], places).round(12)
    distinct, where = np.unique(r, return_inverse=True)
    parts = [
        psf_reference.vector_intensity(scope, z, some, 0 * some, 0.61, [(1, 0), (0, 1)])
        for some in np.array_split(distinct, max(1, distinct.size // 200))
    ]
    values = np.concatenate(parts, axis=1)[:, where.reshape(r.shape)]
    return np.einsum("zypxq,p,q->zyx", values, w, w)


if __name__ == "__main__":
    main()
