"""What the measurements share: quiet timing, worker processes, tables."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

HERE = Path(__file__).parent
# Share of the machine that other programs may take while something is timed.
FOREIGN = 0.05


def parser(description: str, *, data: bool = False, rounds: int | None = None) -> Any:
    """Return an argument parser with what every script takes."""
    made = argparse.ArgumentParser(description=description)
    if data:
        made.add_argument("data", type=Path, help="folder of the test images")
    if rounds is not None:
        made.add_argument("--rounds", type=int, default=rounds, help="rounds to take medians over")
    made.add_argument("--json", type=Path, help="write all figures there")
    return made


def table(title: str, header: list[str], rows: list[list[Any]]) -> None:
    """Print a table."""
    cells = [header, *[[_cell(value) for value in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    print(f"\n{title}")
    for number, row in enumerate(cells):
        pairs = zip(row, widths, strict=True)
        line = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(pairs)]
        print("  ".join(line).rstrip())
        if number == 0:
            print("  ".join("-" * w for w in widths))
    sys.stdout.flush()


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def spread(values: list[float], digits: int = 3) -> str:
    """Return "median (least - most)"."""
    low, middle, high = (f"{v:.{digits}g}" for v in (min(values), median(values), max(values)))
    return f"{middle} ({low} - {high})"


def median(values: list[float]) -> float:
    """Return the median."""
    return float(statistics.median(values))


def nrmse(image: np.ndarray, reference: np.ndarray) -> float:
    """Return ``|image - reference| / |reference|``, in float64."""
    difference = np.subtract(image, reference, dtype=np.float64)
    return float(np.linalg.norm(difference) / np.linalg.norm(reference.astype(np.float64)))


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    import torch

    from napari_deconv.operators import fft

    names = [platform.processor() or platform.machine()]
    info = Path("/proc/cpuinfo")
    if info.exists():
        names += [
            s.split(":")[1].strip() for s in info.read_text().splitlines() if "model name" in s
        ]
    return {
        "processor": names[-1],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "fft": " ".join(fft.backend()),
        "load": os.getloadavg()[0],
    }


def finish(path: Path | None, figures: dict[str, Any]) -> None:
    """Print what the figures depend on, and write them where asked."""
    figures = {"machine": machine(), **figures}
    print("\n" + ", ".join(f"{k} {v}" for k, v in figures["machine"].items()))
    if path is not None:
        path.write_text(json.dumps(figures, indent=2, default=float) + "\n")


class Meter:
    """Tells how much of the machine other programs took while something ran."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        self._processes = processes
        self._started, self._busy = time.perf_counter(), self._all()
        self._own = self._ours()

    def foreign(self) -> float:
        """Return the share of all cores that others used since the start."""
        elapsed = time.perf_counter() - self._started
        others = (self._all() - self._busy) - (self._ours() - self._own)
        return max(others, 0.0) / max(elapsed * (psutil.cpu_count() or 1), 1e-9)

    def _all(self) -> float:
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        # Guest time is counted in user time already.
        twice = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        return sum(times) - idle - twice

    def _ours(self) -> float:
        return sum(sum(p.cpu_times()[:2]) for p in self._processes)


class Worker:
    """Another process, of any Python, that runs one implementation when told to.

    It runs a script beside this one and speaks JSON, a line a message.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        python: str = sys.executable,
        *,
        script: str = "workers.py",
        **environment: str,
    ) -> None:
        self.name = name
        threads = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))
        variables = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (as long as the process)
        self._process = subprocess.Popen(
            [python, str(HERE / script), name.split("/")[0], str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | variables | environment,
        )
        self.about = self._answer()

    def run(self, iterations: int, out: Path | None = None) -> float:
        """Run that many iterations; return the seconds they took."""
        message = {"iterations": iterations, "out": str(out) if out else None}
        return float(self.ask(message)["seconds"])

    def ask(self, message: dict[str, Any], limit: float | None = None) -> dict[str, Any]:
        """Return the answer to a message; after ``limit`` seconds of work the process is ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        if limit is None:
            return self._answer()
        done = threading.Event()
        watch = threading.Thread(target=self._end_after, args=(limit, done))
        watch.start()
        try:
            return self._answer()
        finally:
            done.set()
            watch.join()

    def _end_after(self, limit: float, done: threading.Event) -> None:
        process = psutil.Process(self._process.pid)
        started = sum(process.cpu_times()[:2])
        while not done.wait(0.5):
            with contextlib.suppress(psutil.NoSuchProcess):
                if sum(process.cpu_times()[:2]) - started > limit:
                    process.kill()

    def slope(self, few: int, many: int) -> tuple[float, float]:
        """Return the seconds an iteration takes, and what others took of the machine meanwhile."""
        meter = Meter([psutil.Process(), psutil.Process(self._process.pid)])
        seconds = (self.run(many) - self.run(few)) / (many - few)
        return seconds, meter.foreign()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        self._errors.seek(0)
        words = self._errors.read().strip().splitlines() or ["it ended without a word"]
        raise RuntimeError(f"{self.name}: {words[-1]}")


def quiet_slopes(
    workers: list[Worker], plan: dict[str, tuple[int, int]], rounds: int, tries: int = 4
) -> dict[str, list[float]]:
    """Time all workers in turn, in random order, round after round.

    A measurement during which others took more than five percent of the machine is repeated; the
    quietest one counts.
    """
    generator = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {worker.name: [] for worker in workers}
    for _ in range(rounds):
        for index in generator.permutation(len(workers)):
            worker = workers[index]
            best = (0.0, float("inf"))
            for _ in range(tries):
                found = worker.slope(*plan[worker.name])
                best = min(best, found, key=lambda pair: pair[1])
                if best[1] <= FOREIGN:
                    break
            seconds[worker.name].append(best[0])
    return seconds
