"""Richardson-Lucy beside other packages: the same result first, then the time of an iteration.

    python benchmarks/speed.py [--peers FOLDER] [--sizes 2D 3D-even 3D-odd] [--rounds 5]

Every implementation works in a process of its own on the same image and PSF. First each result is
compared with float64 Richardson-Lucy of the same start and borders; then all are timed in turn,
in random order, round after round. An iteration's time is the difference of two runs of different
length, so that set-up and start do not count, and a ratio is that of two times of one round.

A floor is the bare four Fourier transforms of an iteration on our grid: no element-wise work, no
copy. A peer's time over it is the most that a ratio could be on this machine.

scikit-image is taken from this environment. RedLionfish, sdeconv and diplib are looked for in
FOLDER, each in a virtual environment of its own name; ``peers.py FOLDER`` makes them. What is not
there is left out, with the reason.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import harness
import numpy as np

# Shape of image and PSF, and how many iterations the slow and the quick ones are timed over.
SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, int], tuple[int, int]]] = {
    "2D": ((2048, 2048), (63, 63), (1, 5), (5, 45)),
    "3D-even": ((64, 512, 512), (32, 64, 64), (1, 3), (3, 13)),
    "3D-odd": ((128, 256, 256), (31, 63, 63), (1, 4), (3, 23)),
    # To try the script out.
    "small": ((16, 64, 64), (7, 15, 15), (1, 5), (5, 25)),
}
# Iterations after which results are compared.
COMPARED = 10
# Of the peers, those that start from the image rather than flat.
FROM_DATA = ("RedLionfish", "sdeconv", "diplib", "diplib padded", "ours circular from data")
ZERO = ("scikit-image", "ours linear", "ours linear/torch.fft")
# Which of ours each peer is held against: the same border, and how much faster is asked for.
PAIRS: list[tuple[str, str, dict[int, float]]] = [
    ("scikit-image", "ours linear", {2: 8, 3: 9}),
    ("scikit-image", "ours linear/torch.fft", {2: 3.5, 3: 4}),
    ("scikit-image", "ours circular", {}),
    ("scikit-image", "ours extended", {}),
    ("RedLionfish", "ours circular", {3: 6}),
    ("sdeconv", "ours circular", {2: 5, 3: 5}),
    # Padded is what diplib does unless told otherwise.
    ("diplib padded", "ours extended", {2: 15, 3: 15}),
    ("diplib", "ours circular", {}),
    ("ours circular/torch.fft", "ours circular", {}),
]


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], rounds=5)
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["2D", "3D-even", "3D-odd"])
    arguments = parser.parse_args()
    figures = {}
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            figures[size] = measure(size, Path(folder), arguments.peers, arguments.rounds)
    harness.finish(arguments.json, figures)


def measure(size: str, folder: Path, peers: Path | None, rounds: int) -> dict[str, Any]:
    """Compare and time all implementations on one size."""
    shape, psf_shape, slow, quick = SIZES[size]
    data, psf = problem(shape, psf_shape)
    np.save(folder / "data.npy", data)
    np.save(folder / "psf.npy", psf)
    workers = started(folder, peers, len(shape))
    errors = compared(workers, data, psf, folder)
    plan = {w.name: quick if w.name.startswith(("ours", "floor")) else slow for w in workers}
    seconds = harness.quiet_slopes(workers, plan, rounds)
    for worker in workers:
        worker.close()
    rows = [
        [name, errors[name], harness.spread([1e3 * s for s in times])]
        for name, times in seconds.items()
    ]
    title = f"{size}: {'x'.join(map(str, shape))}, PSF {'x'.join(map(str, psf_shape))}"
    harness.table(title, ["", f"error after {COMPARED}", "ms per iteration"], rows)
    ratios = {}
    rows = []
    for peer, own, wanted in PAIRS:
        if peer in seconds and own in seconds:
            ratio, most = (
                [p / o for p, o in zip(seconds[peer], seconds[name], strict=True)]
                for name in (own, own.replace("ours", "floor"))
            )
            goal = wanted.get(len(shape))
            verdict = None if goal is None else "yes" if harness.median(ratio) >= goal else "NO"
            rows.append(
                [f"{peer} / {own}", harness.spread(ratio), goal, verdict, harness.median(most)]
            )
            ratios[f"{peer} / {own}"] = ratio
    header = ["", "ratio", "asked for", "reached", "at most (peer / floor)"]
    harness.table("Times as fast", header, rows)
    return {"errors": errors, "seconds": seconds, "ratios": ratios}


def problem(shape: tuple[int, ...], psf_shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return a noisy image of filaments, and a microscope's PSF."""
    import napari_deconv as nd
    from napari_deconv.simulation.phantoms import filaments

    scope = nd.Microscope(numerical_aperture=1.2, immersion_index=1.33, emission_wavelength=0.52)
    psf = nd.generate_psf(scope, psf_shape, (0.2, 0.1, 0.1)[-len(shape) :])
    obj = filaments(shape, count=60, seed=1)
    image = nd.simulate(
        obj, psf, photons=200, background_photons=10, offset=0, read_noise=0, borders="circular"
    )
    return np.maximum(image, 1).astype(np.float32), psf


def started(folder: Path, peers: Path | None, ndim: int) -> list[harness.Worker]:
    """Start all implementations that are there."""
    wanted: list[tuple[str, str, dict[str, str]]] = [
        ("ours circular", sys.executable, {}),
        ("ours circular/torch.fft", sys.executable, {"NAPARI_DECONV_FFT": "torch"}),
        ("ours linear", sys.executable, {}),
        ("ours linear/torch.fft", sys.executable, {"NAPARI_DECONV_FFT": "torch"}),
        ("ours extended", sys.executable, {}),
        ("floor circular", sys.executable, {}),
        ("floor linear", sys.executable, {}),
        ("floor linear/torch.fft", sys.executable, {"NAPARI_DECONV_FFT": "torch"}),
        ("floor extended", sys.executable, {}),
        ("scikit-image", sys.executable, {}),
    ]
    for name in ("RedLionfish", "sdeconv", "diplib", "diplib padded"):
        if name == "RedLionfish" and ndim == 2:
            print("RedLionfish is left out: it works on stacks only")
            continue
        environment = name.split()[0].lower()
        python = peers / environment / "bin" / "python" if peers else None
        if python is None or not python.exists():
            print(f"{name} is left out: no environment {environment} in --peers")
            continue
        wanted.append((name, str(python), {}))
    workers = []
    for name, python, variables in wanted:
        try:
            workers.append(harness.Worker(name, folder, python, **variables))
        except RuntimeError as error:
            print(f"{name} is left out: {error}")
    return workers


def compared(
    workers: list[harness.Worker], data: np.ndarray, psf: np.ndarray, folder: Path
) -> dict[str, float | None]:
    """Return how far each result is from float64 Richardson-Lucy of the same start and borders."""
    truths: dict[tuple[str, bool], np.ndarray] = {}
    errors: dict[str, float | None] = {}
    for worker in workers:
        worker.run(COMPARED, folder / "result.npy")
        if worker.name in ("ours extended", "diplib padded") or worker.name.startswith("floor"):
            errors[worker.name] = None  # borders of their own, or no result at all
            continue
        case = ("zero" if worker.name in ZERO else "circular", worker.name in FROM_DATA)
        if case not in truths:
            truths[case] = exact(data, psf, *case)
        errors[worker.name] = harness.nrmse(np.load(folder / "result.npy"), truths[case])
    return errors


def exact(data: np.ndarray, psf: np.ndarray, borders: str, from_data: bool) -> np.ndarray:
    """Return Richardson-Lucy in float64, written down once more."""
    from scipy.fft import irfftn, rfftn

    inside = tuple(slice(n) for n in data.shape)
    grid = data.shape
    if borders == "zero":
        grid = tuple(n + k for n, k in zip(data.shape, psf.shape, strict=True))
    kernel = np.zeros(grid)
    kernel[tuple(slice(k) for k in psf.shape)] = psf / psf.sum(dtype=np.float64)
    kernel = np.roll(kernel, [-(k // 2) for k in psf.shape], range(psf.ndim))
    otf = rfftn(kernel, workers=-1)

    def filtered(image: np.ndarray, factor: np.ndarray) -> np.ndarray:
        spectrum = rfftn(image, s=grid, workers=-1)
        return irfftn(spectrum * factor, s=grid, workers=-1)[inside]

    image = data.astype(np.float64)
    estimate = image.copy() if from_data else np.full(data.shape, image.mean())
    for _ in range(COMPARED):
        estimate *= filtered(image / filtered(estimate, otf), otf.conj())
    return estimate


if __name__ == "__main__":
    main()
