"""What an iteration costs beyond its own Fourier transforms, and beside diplib's.

    python benchmarks/iterations.py [--peers FOLDER] [--sizes 2D 3D] [--methods NAME ...]

The transforms that a method asks for are counted while it takes a few steps; as many bare ones of
the same shapes are then timed in turn with the steps. The limit is 1.5 times the bare transforms,
2.5 where wavelets are taken as well. diplib's iterations, by the difference of two runs of another
length, are held against ours with the same borders: at least five times as quick.

With ``OMP_NUM_THREADS=1`` the processor's time counts instead of the clock's, so that a busy
machine does less harm.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
from speed import problem

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "2D": ((2048, 2048), (63, 63)),
    "3D": ((128, 256, 256), (31, 63, 63)),
    # To try the script out.
    "small": ((16, 64, 64), (7, 15, 15)),
}
LIMIT, WAVELET_LIMIT, QUICKER = 1.5, 2.5, 5.0
KINDS = ("prior", "denoiser", "acceleration")
# diplib's methods and ours of the same kind; the name of the number of steps, or what is given.
ITERATIVE: list[tuple[str, str, str, dict[str, float]]] = [
    ("RichardsonLucy", "richardson-lucy", "nIterations", {}),
    ("IterativeConstrainedTikhonovMiller", "ictm", "maxIterations", {"tolerance": 0.0}),
    ("FastIterativeShrinkageThresholding", "fista", "maxIterations", {"tolerance": 0.0}),
]
DIRECT = [
    ("WienerDeconvolution", "wiener", {"noise_to_signal": 0.01, "spectrum": "constant"}),
    ("TikhonovMiller", "regularized-inverse", {"strength": 0.01}),
]


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], rounds=5)
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["2D", "3D"])
    parser.add_argument("--methods", nargs="+", help="only these")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    for size in arguments.sizes:
        figures[size] = own = ours(size, arguments.methods, arguments.rounds)
        if size != "2D" and arguments.peers:
            figures[f"{size}, diplib"] = beside(size, own, arguments.peers, arguments.methods)
    harness.finish(arguments.json, figures)


def ours(size: str, names: list[str] | None, rounds: int) -> dict[str, Any]:
    """Time the steps of all iterative methods."""
    import napari_deconv as nd
    from napari_deconv.operators.convolution import Convolution

    shape, psf_shape = SIZES[size]
    data, psf = problem(shape, psf_shape)
    figures: dict[str, Any] = {}
    rows = []
    for borders in ("circular", "extended"):
        for name, entry in nd.methods().items():
            if not entry.iterative or entry.group == "learned" or (names and name not in names):
                continue
            for given in choices(entry):
                blur = Convolution(psf, shape, borders, spacing=(0.2, 0.1, 0.1)[-len(shape) :])
                found = measured(entry, given, data, blur, rounds)
                label = ", ".join([name, *map(str, given.values()), borders])
                ratios = found["ratios"]
                limit = WAVELET_LIMIT if wavelets(name, given) else LIMIT
                reached = "yes" if harness.median(ratios) <= limit else "NO"
                milliseconds = harness.spread([1e3 * s for s in found["seconds"]])
                rows.append(
                    [
                        label,
                        found["transforms"],
                        milliseconds,
                        harness.spread(ratios),
                        limit,
                        reached,
                    ]
                )
                figures[label] = found
                print(" ".join(map(str, rows[-1])), flush=True)
    title = f"{size}: {'x'.join(map(str, shape))}, PSF {'x'.join(map(str, psf_shape))}"
    header = ["", "transforms a step", "ms a step", "times its transforms", "at most", "reached"]
    harness.table(title, header, rows)
    return figures


def alone() -> bool:
    """Whether there is one thread only, whose time the processor can tell."""
    import torch

    return torch.get_num_threads() == 1


def clock() -> float:
    """Return the time in seconds."""
    return time.process_time() if alone() else time.perf_counter()


def choices(entry: Any) -> Iterator[dict[str, str]]:
    """Return the kinds of a method: each prior, denoiser and acceleration."""
    kinds = [entry.parameters[name] for name in KINDS if name in entry.parameters]
    yield from [{p.name: c} for p in kinds for c in p.choices if c != "auto"] or [{}]


def wavelets(name: str, given: dict[str, str]) -> bool:
    """Whether a method takes wavelet transforms."""
    return name in ("ista", "fista") or "wavelet" in given.values()


def measured(
    entry: Any, given: dict[str, str], data: np.ndarray, blur: Any, rounds: int
) -> dict[str, Any]:
    """Return the seconds of a step, and how many times those of its transforms they are."""
    import torch

    image = torch.from_numpy(data)
    parameters = {name: p.default for name, p in entry.parameters.items()} | given
    parameters |= {"iterations": 10**4}
    for name, parameter in entry.parameters.items():
        if parameters[name] == "auto" and parameter.search is not None:
            parameters[name] = math.sqrt(parameter.search.lower * parameter.search.upper)
        elif parameters[name] == "auto" and parameter.auto is not None:
            known = parameters | {"psf_error": 0.01}
            parameters[name] = parameter.auto.resolve(image, blur, known)

    def endless() -> Iterator[Any]:
        # A method that comes to its own end begins anew.
        while True:
            yield from entry.function(image, blur, **parameters)

    steps = endless()
    # The first steps set things up, and some methods begin differently.
    for _ in range(2):
        next(steps)
    # Even, so that transforms come in pairs.
    count = 4
    with counted() as transforms:
        for _ in range(count):
            next(steps)
    seconds, ratios = [], []
    plans = {shape: plan_of(shape) for shape in transforms}
    for _ in range(rounds):
        started = clock()
        for _ in range(count):
            next(steps)
        middle = clock()
        for shape, times in transforms.items():
            for _ in range(times // 2):
                plans[shape].inverse(plans[shape].forward())
        bare = clock() - middle
        seconds.append((middle - started) / count)
        ratios.append((middle - started) / bare)
    return {"transforms": transforms.total() / count, "seconds": seconds, "ratios": ratios}


@contextmanager
def counted() -> Iterator[Counter[tuple[int, ...]]]:
    """Count the transforms of each shape, forth and back."""
    from napari_deconv.operators import fft

    transforms: Counter[tuple[int, ...]] = Counter()
    kinds = (fft.Transform, fft._MklTransform)
    before = [(kind, name, vars(kind)[name]) for kind in kinds for name in ("forward", "inverse")]

    def counting(function: Any) -> Any:
        def call(self: Any, *arguments: Any) -> Any:
            transforms[self.shape] += 1
            return function(self, *arguments)

        return call

    for kind, name, function in before:
        setattr(kind, name, counting(function))
    try:
        yield transforms
    finally:
        for kind, name, function in before:
            setattr(kind, name, function)


def plan_of(shape: tuple[int, ...]) -> Any:
    """Return a bare transform."""
    import torch

    from napari_deconv.operators import fft

    return fft.transform(shape, dtype=torch.float32, device=torch.device("cpu"))


def beside(
    size: str, own: dict[str, Any], peers: Path, names: list[str] | None
) -> dict[str, float]:
    """Hold diplib's iterations, and its direct filters as a whole, against ours."""
    import napari_deconv as nd

    python = peers / "diplib" / "bin" / "python"
    if not python.exists():
        print("diplib is left out: no environment diplib in --peers")
        return {}
    data, psf = problem(*SIZES[size])
    figures: dict[str, float] = {}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: str(Path(folder) / f"{name}.npy") for name in ("data", "psf", "out")}
        np.save(paths["data"], data)
        np.save(paths["psf"], psf)
        worker = harness.Worker("diplib", Path(folder), str(python), script="restorers.py")

        def theirs(function: str, **options: Any) -> float:
            message = {"function": function, "options": options}
            return float(worker.ask(message | paths)["seconds" if alone() else "clock"])

        def add(function: str, borders: str, peer: float, mine: float) -> None:
            goal = QUICKER if borders == "extended" else None
            reached = None if goal is None else "yes" if peer / mine >= goal else "NO"
            figures[f"{function}, {borders}"] = peer / mine
            rows.append(
                [f"{function}, {borders}", 1e3 * peer, 1e3 * mine, peer / mine, goal, reached]
            )

        for borders, told in (("extended", {}), ("circular", {"circular": True})):
            for function, name, number, options in ITERATIVE:
                mine = [
                    harness.median(found["seconds"])
                    for label, found in own.items()
                    if label.split(", ")[0] == name and label.endswith(borders)
                ]
                if mine:
                    few, many = (theirs(function, **options, **told, **{number: n}) for n in (1, 4))
                    add(function, borders, (many - few) / 3, min(mine))
            for function, name, fixed in DIRECT:
                if names is None or name in names:
                    given: Any = fixed | {"borders": borders, "psf_energy": 1.0}
                    nd.restore(data, name, psf, **given)
                    started = clock()
                    nd.restore(data, name, psf, **given)
                    seconds = clock() - started
                    add(function, borders, theirs(function, regularization=0.01, **told), seconds)
        worker.close()
    header = ["", "diplib, ms", "ours, ms", "times as quick", "asked for", "reached"]
    title = (
        f"{size}: diplib (which pads unless told otherwise) beside ours, a step or a whole filter"
    )
    harness.table(title, header, rows)
    return figures


if __name__ == "__main__":
    main()
