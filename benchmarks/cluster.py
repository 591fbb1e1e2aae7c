"""Blocks by worker processes of dask.distributed against the same blocks in this process.

    python benchmarks/cluster.py [--rounds 3] [--workers 2]

Every process has one thread. The overhead is what one worker takes more than no worker; what
several take less is beside it; and what it costs when one of them is killed after two blocks.
Starting the processes, which import torch when they get their first block, is told apart.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import harness
import numpy as np
from speed import problem

from napari_deconv.engine import Job
from napari_deconv.engine.cluster import Cluster
from napari_deconv.engine.streaming import stream, unfinished_blocks
from napari_deconv.io import read_image

SHAPE, PSF_SHAPE, TILE, ITERATIONS = (32, 512, 512), (15, 31, 31), (32, 128, 128), 15
KILLED_AFTER = 2


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], rounds=3)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    data, psf = problem(SHAPE, PSF_SHAPE)
    seconds: dict[str, list[float]] = {}
    starts: list[float] = []
    expected = restored(data, psf, None)[0]  # and torch is warm
    same = True
    with contextlib.ExitStack() as stack:
        clusters = {}
        for count in (1, arguments.workers):
            began = time.perf_counter()
            clusters[count] = stack.enter_context(Cluster(workers=count, threads=1))
            restored(data[:, :128, :256], psf, clusters[count])
            starts.append(time.perf_counter() - began)
        for _ in range(arguments.rounds):
            for name, cluster, kill in (
                ("no worker", None, False),
                ("1 worker", clusters[1], False),
                (f"{arguments.workers} workers", clusters[arguments.workers], False),
                (f"{arguments.workers} workers, one killed", clusters[arguments.workers], True),
            ):
                result, took = restored(data, psf, cluster, kill=kill)
                same &= bool(np.array_equal(result, expected))
                seconds.setdefault(name, []).append(took)
    plain = seconds["no worker"]
    rows = [
        [
            name,
            harness.spread(each),
            harness.spread([a / b for a, b in zip(each, plain, strict=True)]),
        ]
        for name, each in seconds.items()
    ]
    sizes = ["x".join(map(str, each)) for each in (SHAPE, PSF_SHAPE, TILE)]
    harness.table(
        f"Richardson-Lucy, {ITERATIONS} iterations: image {sizes[0]}, PSF {sizes[1]}, "
        f"blocks {sizes[2]}",
        ["", "seconds", "of no worker"],
        rows,
    )
    print(f"\nfirst block after start: {starts[0]:.1f} s, {starts[1]:.1f} s")
    print(f"same numbers: {'yes' if same else 'NO'}")
    harness.finish(arguments.json, {"seconds": seconds, "starts": starts, "same": same})


def restored(data: Any, psf: Any, cluster: Cluster | None, *, kill: bool = False) -> Any:
    """Return the result from the file, and how long it took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "out.ome.zarr"
        options = {"iterations": ITERATIONS, "tiles": TILE, "threads": 1, "gain": 1.0}
        job = Job(data, "richardson-lucy", psf, **options)
        began = time.perf_counter()
        for _ in stream(job, path, runner=None if cluster is None else cluster.runner):
            done = unfinished_blocks(path) if kill else None
            if kill and done is not None and done[0] >= KILLED_AFTER:
                os.kill(next(iter(cluster.client.run(os.getpid).values())), signal.SIGKILL)
                kill = False
        took = time.perf_counter() - began
        return np.asarray(read_image(path).data), took


if __name__ == "__main__":
    main()
