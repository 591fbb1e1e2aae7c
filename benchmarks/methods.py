"""Every method on images with a known truth, beside the same methods of other packages.

    python benchmarks/methods.py DATA --json FILE [--peers FOLDER] [--search] [--page FILE]

DATA is the folder of test images, as for ``restoration.py``. Our methods are those of the
registry; where one has several priors or denoisers, each has a row. All run with nothing but the
PSF given, that is with their automatic parameters. ``--search`` looks, with the truth at hand, for
the best value of what is automatic (and of the peers' strength or number of steps): on a
logarithmic grid, ten values a decade, up- and downhill from where automatic or the default stands.

FILE keeps every cell, and a second run only fills in what is missing. ``--page`` writes the tables
into a Markdown file, between its two marks.

Scores are taken after the best scaling and offset, since several data sets do not know their own
units; on Levin's photographs they are taken as they are, after alignment.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import harness
import numpy as np
import torch
from methods_page import write
from truths import Case, Image, cases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Processor's seconds that one image may take, and a search on one data set.
LIMIT, SEARCH_LIMIT = 60.0, 120.0
# Most steps that a search takes.
MOST = 500
# Steps from value to value in a search: a tenth of a decade, refined from four times that.
COARSE, FINE = 10**0.4, 10**0.1
# Parameters of which each choice is a method of its own.
KINDS = ("prior", "denoiser")


class Peer(NamedTuple):
    """A method of another package, ours of the same kind, and what its strength is called."""

    package: str
    function: str
    like: str
    strength: str | None = None
    start: float | None = None


PEERS = [
    # scikit-image has no default; its example takes 0.1. Its penalty is the Laplacian.
    Peer("scikit-image", "wiener", "regularized-inverse", "balance", 0.1),
    Peer("scikit-image", "unsupervised_wiener", "regularized-inverse"),
    Peer("scikit-image", "richardson_lucy", "richardson-lucy", "num_iter", 10),
    Peer("diplib", "WienerDeconvolution", "wiener", "regularization", 1e-4),
    Peer("diplib", "TikhonovMiller", "tikhonov-miller", "regularization", 0.1),
    Peer("diplib", "IterativeConstrainedTikhonovMiller", "ictm", "regularization", 0.1),
    Peer("diplib", "FastIterativeShrinkageThresholding", "fista", "regularization", 0.1),
    Peer("diplib", "RichardsonLucy", "richardson-lucy", "nIterations", 30),
    Peer("RedLionfish", "doRLDeconvolutionFromNpArrays", "richardson-lucy", "niter", 10),
    Peer("sdeconv", "SWiener", "regularized-inverse", "beta", 1e-5),
    Peer("sdeconv", "SRichardsonLucy", "richardson-lucy", "niter", 30),
    Peer("sdeconv", "Spitfire", "sparse-hessian"),
]
# What ours are told where blur is circular and without noise.
EXACT: dict[str, Any] = {"borders": "circular", "psf_energy": 1.0, "psf_error": 0.0}
STEPS = ("num_iter", "nIterations", "niter", "iterations")


@dataclass
class Row:
    """One method: of which package, with what given, and what a search may change."""

    package: str
    function: str
    like: str
    given: dict[str, Any] = field(default_factory=dict)
    strength: str | None = None
    start: float | None = None

    @property
    def name(self) -> str:
        kind = "".join(f", {v}" for k, v in self.given.items() if k in KINDS)
        kind += ", all automatic" if "auto" in self.given.values() else ""
        return (
            f"{self.function}{kind}"
            if self.package == "ours"
            else f"{self.package} {self.function}"
        )


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], data=True)
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments")
    parser.add_argument("--search", action="store_true", help="look for the best setting, too")
    parser.add_argument(
        "--methods", nargs="+", help="only rows whose name begins with one of these"
    )
    parser.add_argument("--cases", nargs="+", help="only cases whose name begins with one of these")
    parser.add_argument("--photographs", type=int, default=4, help="how many of Levin's 16")
    parser.add_argument("--page", type=Path, help="Markdown file to write the tables into")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    store = Store(arguments.json)
    chosen = [
        c for c in cases(arguments.data, arguments.photographs) if _wanted(c.name, arguments.cases)
    ]
    for case in chosen:
        scores = [case.score(data, truth) for data, _, truth in case.images]
        means = {name: float(np.mean([s[name] for s in scores])) for name in scores[0]}
        recorded = {"package": "", "like": "", "case": case.name, "row": "as recorded"}
        store.add(f"{case.name} | as recorded", recorded | means)
    for row in rows(arguments.peers):
        if _wanted(row.name, arguments.methods):
            fill(row, chosen, store, arguments.peers, search=arguments.search)
    write(store.cells, arguments.page)
    store.finish()


def _wanted(name: str, beginnings: list[str] | None) -> bool:
    return beginnings is None or name.startswith(tuple(beginnings))


class Store:
    """The cells measured so far, on disk after each."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        known = json.loads(path.read_text()) if path and path.exists() else {}
        self.cells: dict[str, dict[str, Any]] = known.get("cells", {})

    def add(self, key: str, cell: dict[str, Any]) -> None:
        self.cells[key] = cell
        if self._path:
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps({"cells": self.cells}, indent=1, default=float))
            new.replace(self._path)

    def finish(self) -> None:
        harness.finish(self._path, {"cells": self.cells})


# Methods ------------------------------------------------------------------------------------


def rows(peers: Path | None) -> Iterator[Row]:
    """Return our methods, then the peers'."""
    import napari_deconv as nd

    entries = {n: m for n, m in nd.methods().items() if m.group != "learned"}
    for name, entry in entries.items():
        kinds = [
            (k, c) for k in KINDS if k in entry.parameters for c in entry.parameters[k].choices
        ]
        for given in [{k: c} for k, c in kinds] or [{}]:
            searched = [
                p.name
                for p in entry.parameters.values()
                if p.allows_auto and p.kind is float and p.range.logarithmic
            ]
            yield Row("ours", name, name, given, searched[0] if searched else None)
            fixed = {
                p.name: "auto"
                for p in entry.parameters.values()
                if p.allows_auto and p.default != "auto"
            }
            if fixed:
                yield Row("ours", name, name, given | fixed)
    for package, function, like, strength, start in PEERS:
        if like not in entries or python_of(package, peers) is None:
            print(f"{package} {function} is left out: no environment in --peers, or no such method")
            continue
        yield Row(package, function, like, {}, strength, start)


def python_of(package: str, peers: Path | None) -> str | None:
    """Return the Python that has a package."""
    if package in ("ours", "scikit-image"):
        return sys.executable
    python = peers / package.lower() / "bin" / "python" if peers else None
    return str(python) if python and python.exists() else None


def fill(row: Row, wanted: list[Case], store: Store, peers: Path | None, *, search: bool) -> None:
    """Measure the cells of a row that are not there yet."""
    with tempfile.TemporaryDirectory() as folder, Bench(row, Path(folder), peers) as bench:
        for case in wanted:
            key = f"{case.name} | {row.name}"
            if key not in store.cells:
                cell = {
                    "package": row.package,
                    "like": row.like,
                    "case": case.name,
                    "row": row.name,
                }
                start = {} if row.start is None else {row.strength: row.start}
                found = bench.restore(case, start)
                told(key, found)
                store.add(key, cell | found)
            cell = store.cells[key]
            if search and "psnr" in cell and "best" not in cell and (row.strength or _stopped(row)):
                best = searched(row, case, cell, bench)
                told(f"{key}, best", best)
                store.add(key, cell | {"best": best})


def told(key: str, cell: dict[str, Any]) -> None:
    """Print a cell."""
    words = [f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in cell.items()]
    print(f"{key}: {', '.join(words)}"[:300], flush=True)


class Bench:
    """Restores the images of a case in another process, which is started anew when it dies."""

    def __init__(self, row: Row, folder: Path, peers: Path | None) -> None:
        self._row, self._folder, self._peers = row, folder, peers
        self._worker: harness.Worker | None = None
        self.spent = 0.0

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.close()

    def restore(self, case: Case, options: dict[str, Any]) -> dict[str, Any]:
        """Return mean scores and seconds and the most memory; or what went wrong."""
        row, cells, about = self._row, [], None
        for data, psf, truth in case.images:
            if row.package == "RedLionfish" and data.ndim == 2:
                return {"error": "stacks only"}
            try:
                answer, image = self._ask(data, psf, row.given | options | self._own(case))
            except RuntimeError:
                self._worker = None
                return {"error": f"more than {LIMIT:g} s"}
            if "error" in answer:
                return {"error": answer["error"]}
            about = answer["about"]
            self.spent += answer["seconds"]
            if not np.isfinite(image).all():
                return {"error": "not finite"}
            cells.append(case.score(image, truth) | {k: answer[k] for k in ("seconds", "memory")})
        means = {
            k: float(np.mean([c[k] for c in cells])) for k in ("psnr", "ssim", "snr", "seconds")
        }
        memory = [c["memory"] for c in cells]
        return means | {"memory": None if None in memory else max(memory), "about": about}

    def _own(self, case: Case) -> dict[str, Any]:
        """Return what a package has to be told of a case."""
        if self._row.package == "ours":
            told: dict[str, Any] = {"psf_background": 0.0}
            if case.spacing:
                told["spacing"] = case.spacing
            return told | (EXACT if case.circular else {})
        return {"circular": True} if self._row.package == "diplib" and case.circular else {}

    def _ask(
        self, data: Image, psf: Image, options: dict[str, Any]
    ) -> tuple[dict[str, Any], Image]:
        paths = {name: self._folder / f"{name}.npy" for name in ("data", "psf", "out")}
        np.save(paths["data"], data)
        np.save(paths["psf"], psf)
        if self._worker is None:
            python = python_of(self._row.package, self._peers)
            assert python is not None
            self._worker = harness.Worker(
                self._row.package,
                self._folder,
                python,
                script="restorers.py",
                # One thread each: then the processor's time is the same however busy the machine.
                OMP_NUM_THREADS="1",
                MKL_NUM_THREADS="1",
            )
        message = {"function": self._row.function, "options": options}
        answer = self._worker.ask(message | {k: str(p) for k, p in paths.items()}, LIMIT)
        return answer, None if "error" in answer else np.load(paths["out"])


# The best there is --------------------------------------------------------------------------


def _stopped(row: Row) -> bool:
    """Whether a row's number of steps decides its result."""
    import napari_deconv as nd

    if row.package != "ours":
        return False
    entry = nd.methods()[row.function]
    return entry.iterative and not entry.converges


def searched(row: Row, case: Case, cell: dict[str, Any], bench: Bench) -> dict[str, Any]:
    """Return the best score, with the value that has it."""
    end = time.process_time() + bench.spent + SEARCH_LIMIT

    def late() -> bool:
        return time.process_time() + bench.spent > end

    about = cell["about"] or {}
    if row.package == "ours" and _stopped(row):
        # What is automatic stays as it was resolved; each strength is run step by step.
        given = {k: v for k, v in about.items() if k == "acceleration"}

        def score(value: float | None) -> float:
            strength = {} if value is None else {row.strength: value}
            return max(path(row, case, given | strength, late).values())

        if row.strength is None:
            steps = path(row, case, given, late)
            best = max(steps, key=steps.__getitem__)
            return {"psnr": steps[best], "value": best, "of": "iterations"}
    else:

        def score(value: float | None) -> float:
            number = round(value) if row.strength in STEPS else value
            return bench.restore(case, {row.strength: number}).get("psnr", -np.inf)

    start = row.start if row.package != "ours" else about[row.strength]
    bounds = bounds_of(row)
    tried = climbed(score, float(start), bounds, late)
    best = max(tried, key=tried.__getitem__)
    return {"psnr": tried[best], "value": best, "of": row.strength, "tried": len(tried)}


def bounds_of(row: Row) -> tuple[float, float]:
    """Return where a search stays."""
    import napari_deconv as nd

    if row.package == "ours":
        allowed = nd.methods()[row.function].parameters[row.strength or ""].range
        return allowed.lower or 0.0, allowed.upper or np.inf
    return (1, MOST) if row.strength in STEPS else (1e-12, 1e6)


def climbed(
    score: Callable[[float], float],
    start: float,
    bounds: tuple[float, float],
    late: Callable[[], bool],
) -> dict[float, float]:
    """Return the scores of the values on the way to the best, in ever smaller steps."""
    lower, upper = bounds
    tried = {start: score(start)}
    for factor in (COARSE, FINE):
        for direction in (factor, 1 / factor):
            value, worse = max(tried, key=tried.__getitem__), 0
            while worse < 2 and not late() and lower <= value * direction <= upper:
                value *= direction
                if value not in tried:
                    best = max(tried.values())
                    tried[value] = score(value)
                    worse = worse + 1 if tried[value] <= best else 0
    return tried


def path(row: Row, case: Case, given: dict[str, Any], late: Callable[[], bool]) -> dict[int, float]:
    """Return the score after every step, or nearly: the gap grows by a tenth."""
    from napari_deconv.engine import Job

    own: dict[str, Any] = {"psf_background": 0.0}
    own |= {"spacing": case.spacing} if case.spacing else {}
    own |= EXACT if case.circular else {}
    jobs = [
        Job(data, row.function, psf, iterations=1, **(row.given | given | own))
        for data, psf, _ in case.images
    ]
    scores: dict[int, float] = {}
    for job in jobs:
        for _ in job.steps():
            pass
    step = 1
    while step < MOST and not late():
        results = zip(jobs, case.images, strict=True)
        scores[step] = float(np.mean([case.score(j.estimate(), i[2])["psnr"] for j, i in results]))
        if scores[step] < max(scores.values()) - 1:
            break
        more = max(1, step // 10)
        for job in jobs:
            for _ in job.more(more):
                pass
        step += more
    return scores


if __name__ == "__main__":
    main()
