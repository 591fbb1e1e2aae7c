"""How long a whole call of LUCYD takes, beside torch's own loops, and what it holds.

    python benchmarks/lucyd_speed.py [--side 128] [--threads 2] [--limit GB] [--rounds 5]

The call measures darkness and brightness, restores and scales back. "torch" is the network alone,
its normalisations folded in, in float32 and in bfloat16, channels last. With ``--limit`` the stack
is cut into tiles that keep within so much memory; peak is that of the process above its start.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
import psutil
import torch

import napari_deconv as nd
from napari_deconv.methods import lucyd as method
from napari_deconv.networks.lucyd_compiled import CompiledLucyd

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], rounds=5)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, help="memory in GB for one job")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    image = np.random.default_rng(0).poisson(20, (given.side,) * 3).astype(np.float32)
    nd.restore(image[:32, :32, :32], "lucyd", threads=given.threads)
    options: dict[str, Any] = {"threads": given.threads}
    if given.limit is not None:
        options["memory_limit"] = given.limit
    job = nd.Job(image, "lucyd", **options)
    told = job.forecast.memory_bytes / 1e6
    found: dict[str, Any] = {}
    calls: dict[str, Callable[[], Any]] = {
        "whole call": lambda: nd.restore(image, "lucyd", **options)
    }
    if given.limit is None:
        calls |= networks(torch.from_numpy(image / 40))
    for name, call in calls.items():
        seconds, most = [], 0.0
        for _ in range(given.rounds):
            spent, held = measured(call)
            seconds.append(spent)
            most = max(most, held)
        found[name] = {"seconds": harness.median(seconds), "peak, MB": most}
    rows = [[n, *(f"{v:.3g}" for v in row.values())] for n, row in found.items()]
    harness.table(
        f"{given.side} cubed, {given.threads} threads; forecast {told:.0f} MB",
        ["", "seconds", "peak, MB"],
        rows,
    )
    harness.finish(given.json, found | {"forecast, MB": told})


def networks(image: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """Return the network in our loops and in torch's."""
    network, _ = method._network("mixture", 3)
    ours = CompiledLucyd(network)
    last: Any = network.to(memory_format=torch.channels_last_3d)

    def run(which: Any, half: bool = False) -> Any:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return method.run(which, image)

    return {
        "network, compiled": lambda: run(ours),
        "network, torch float32": lambda: run(last),
        "network, torch bfloat16": lambda: run(last, half=True),
    }


def measured(call: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds of a call, and the most that it held, in MB."""
    process = psutil.Process()
    before, most, done = process.memory_info().rss, 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.01):
            most = max(most, process.memory_info().rss - before)

    watching = threading.Thread(target=watch)
    watching.start()
    begun = time.perf_counter()
    call()
    seconds = time.perf_counter() - begun
    done.set()
    watching.join()
    return seconds, most / 1e6


if __name__ == "__main__":
    main()
