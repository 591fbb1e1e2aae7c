"""What CiDeR takes, stage by stage, and what it had said it would.

    python benchmarks/cider_times.py DATA --json FILE [--sides 192 255 512]

DATA is the folder of test images, as for ``cider.py``: actin of 100 photons, as large as is asked
for. Times, the forecast's own measurements too, are processor time of one thread
(``OMP_NUM_THREADS=1``), so that what else the machine does counts little.
"""

from __future__ import annotations

import time
from typing import Any

import harness
import numpy as np

# Enough that everything is loaded and compiled before it is timed.
SMALL, FEW = 64, 3


class Clock:
    """Stands in for the module ``time`` where speeds are measured."""

    perf_counter = staticmethod(time.process_time)


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], data=True)
    parser.add_argument("--sides", type=int, nargs="+", default=[192, 255, 512])
    given = parser.parse_args()
    import torch

    import napari_deconv as nd
    from napari_deconv.engine import forecast, plan
    from napari_deconv.methods import _cider_costs

    torch.set_num_threads(1)
    for module in (forecast, plan, _cider_costs):
        module.time = Clock
    light, psf = actin(given.data, max(given.sides))
    nd.restore(photons(light, SMALL), "cider", psf, iterations=FEW, gain=1.0)
    figures: dict[str, Any] = {}
    for side in given.sides:
        job = nd.Job(photons(light, side), "cider", psf, gain=1.0, threads=1)
        told = job.forecast.seconds
        spent: dict[str, float] = {}
        last = time.process_time()
        for step in job.steps():
            now = time.process_time()
            stage = step.stage.split(":")[0]
            if stage == "Restoring":
                # Until the second step comes, classic images are made.
                stage = "fitting" if step.iteration > 1 else "classic images"
            spent[stage] = spent.get(stage, 0.0) + now - last
            last = now
        figures[str(side)] = {"told": told, "taken": sum(spent.values()), **spent}
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    rows = [[side, *(row.get(name) for name in names)] for side, row in figures.items()]
    harness.table("seconds of one thread", ["side", *names], rows)
    harness.finish(given.json, figures)


def actin(folder: Any, side: int) -> tuple[Any, Any]:
    """Return actin, blurred and as large as is asked for, and its PSF."""
    import tifffile

    from napari_deconv.simulation.imaging import convolve

    truth = tifffile.imread(folder / "img2d_gt/Actin3_GroundTruth.tif").astype(np.float32)
    # Its origin, (127, 127), comes to n // 2.
    psf = np.pad(tifffile.imread(folder / "img2d_gt/PSF.tif").clip(min=0), ((1, 0), (1, 0)))
    psf = psf[108:149, 108:149]
    light = convolve(truth / truth.max(), psf, borders="circular").clip(min=0)
    # Blurred as if it went on beyond its borders: so it may.
    copies = -(-side // min(light.shape))
    return np.tile(light, (copies, copies)), psf


def photons(light: Any, side: int) -> Any:
    """Return a part of it as a camera sees it."""
    return np.random.default_rng(0).poisson(100 * light[:side, :side]).astype(np.float32)


if __name__ == "__main__":
    main()
