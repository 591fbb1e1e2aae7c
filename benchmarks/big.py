"""Volumes larger than memory: made, restored within a limit, killed, compared with one piece.

    python benchmarks/big.py make FOLDER/in.ome.zarr --gigabytes 12
    python benchmarks/big.py restore FOLDER/in.ome.zarr --limit 3
    python benchmarks/big.py kill FOLDER/in.ome.zarr --kills 10
    python benchmarks/big.py tiled
    python benchmarks/big.py flatness FOLDER --gigabytes 0.016 0.064 0.25 1 3 12 --plot FILE.svg

Time is the processor's own (user and system, of the process that restores), so that what else runs
on the machine hardly counts. Every restoration runs in a fresh process whose private memory
(``RLIMIT_DATA``: the heap, stacks, all that is not a file) is limited from outside; beside it the
highest resident size is told, which is what other programs lose.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import harness
import numpy as np
import workers
from scipy.ndimage import gaussian_filter
from tiles import seams

DEPTH, SPACING = 64, (0.2, 0.1, 0.1)
SIGMA = (2.0, 1.6, 1.6)
# Filaments per cell of the grid on which they begin; a third of a percent of all voxels.
CELL, PER_CELL, LENGTH = (64, 128, 128), 12, 90.0
BACKGROUND = 4.0
# What the same volume takes in one piece, for comparison: it fits.
FITS = (DEPTH, 512, 512)
WANTED = {"times": 1.6, "flat": 0.3, "overall": 2e-3, "seam": 5e-3, "exact": 1e-5}

# Methods that are compared in tiles and whole, with their options.
TILED: dict[str, dict[str, Any]] = {
    "richardson-lucy": {"iterations": 20},
    "richardson-lucy-tv": {"iterations": 20},
    "fista": {"iterations": 30},
    "wiener": {},
    "lucyd": {},
    "cider": {"preset": "fast"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    each = commands.add_parser("make")
    each.add_argument("path", type=Path)
    each.add_argument("--gigabytes", type=float, default=12.0)
    each = commands.add_parser("restore")
    each.add_argument("path", type=Path)
    each.add_argument("--limit", type=float, default=3.0, help="GB of private memory")
    each.add_argument("--iterations", type=int, default=10)
    each = commands.add_parser("kill")
    each.add_argument("path", type=Path)
    each.add_argument("--kills", type=int, default=10)
    each.add_argument("--limit", type=float, default=3.0)
    each.add_argument("--iterations", type=int, default=10)
    each.add_argument("--suffix", default=".ome.zarr")
    each = commands.add_parser("tiled")
    each.add_argument("--methods", nargs="+", default=list(TILED), choices=list(TILED))
    each.add_argument("--shape", type=int, nargs=3, default=(96, 384, 384))
    each.add_argument("--tile", type=int, nargs=3, default=(96, 192, 192))
    each = commands.add_parser("flatness")
    each.add_argument("folder", type=Path)
    each.add_argument("--gigabytes", type=float, nargs="+", default=[0.016, 0.064, 0.25, 1, 3, 12])
    each.add_argument("--limit", type=float, default=3.0)
    each.add_argument("--iterations", type=int, default=10)
    each.add_argument("--plot", type=Path)
    each.add_argument("--figures", type=Path, help="figures of earlier runs, added to")
    each = commands.add_parser("child")
    each.add_argument("job", type=json.loads)
    arguments = vars(parser.parse_args())
    {
        "make": make,
        "restore": restore,
        "kill": kill,
        "tiled": tiled,
        "flatness": flatness,
        "child": child,
    }[arguments.pop("command")](**arguments)


def make(path: Path, gigabytes: float) -> None:
    """Write a volume of sparse filaments, block by block: photons, in whole numbers."""
    from napari_deconv.io.ome_zarr import create_ome_zarr

    side = round(math.sqrt(gigabytes * 1e9 / 4 / DEPTH) / 16) * 16
    shape, tile = (DEPTH, side, side), (DEPTH, 512, 512)
    shutil.rmtree(path, ignore_errors=True)
    level = create_ome_zarr(path, shape, np.dtype(np.float32), "ZYX", tile=tile, spacing=SPACING)[0]
    for y, x in product(range(0, side, 512), repeat=2):
        core = (slice(0, DEPTH), slice(y, min(y + 512, side)), slice(x, min(x + 512, side)))
        level[core] = photons(core, shape)
    size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    print(
        f"{path}: {' x '.join(map(str, shape))}, {math.prod(shape) * 4 / 1e9:.3g} GB as float32, "
        f"{size / 1e9:.3g} GB on disk"
    )


def photons(core: tuple[slice, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Return a piece of the image; the same whichever piece it is cut from, but for its noise."""
    reach = 12
    start = [piece.start - reach for piece in core]
    outer = np.zeros([piece.stop - piece.start + 2 * reach for piece in core])
    far = math.ceil(LENGTH)
    cells = product(
        *(
            range((piece.start - reach - far) // c, (piece.stop + reach + far) // c + 1)
            for piece, c in zip(core, CELL, strict=True)
        )
    )
    for cell in cells:
        rng = np.random.default_rng([7, *[n + 1000 for n in cell]])
        begin = (np.array(cell) + rng.random((PER_CELL, 3))) * CELL
        toward = rng.normal(size=(PER_CELL, 3)) * (0.3, 1, 1)
        toward /= np.linalg.norm(toward, axis=1, keepdims=True)
        bright = rng.uniform(100, 600, PER_CELL)
        steps = np.arange(0, LENGTH, 0.7)
        points = begin[:, None] + steps[:, None] * toward[:, None]
        places = np.rint(points).astype(int) - start
        inside = ((places >= 0) & (places < outer.shape)).all(axis=-1)
        light = np.broadcast_to(bright[:, None], inside.shape)[inside]
        np.add.at(outer, tuple(places[inside].T), light)
    blurred = gaussian_filter(outer, SIGMA, mode="constant", truncate=4)
    within = blurred[tuple(slice(reach, n - reach) for n in outer.shape)]
    seed = [piece.start for piece in core]
    return np.random.default_rng([8, *seed]).poisson(within + BACKGROUND).astype(np.float32)


def kernel() -> np.ndarray:
    """Return the PSF, as the volume was blurred."""
    point = np.zeros((17, 15, 15))
    point[8, 7, 7] = 1
    return gaussian_filter(point, SIGMA, mode="constant", truncate=4)


def child(job: dict[str, Any]) -> None:
    """Restore, in a process of its own; tell what it took."""
    if job.get("limit"):
        most = int(job["limit"] * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    import torch  # noqa: F401  (its own memory is there whatever is restored)

    from napari_deconv.engine import Job
    from napari_deconv.engine.streaming import stream
    from napari_deconv.io import read_image

    image = read_image(job["path"])
    # What is loaded at first use is no part of a volume's time.
    small = np.random.default_rng(0).poisson(5, (16, 48, 48)).astype(np.float32)
    for _ in Job(small, "richardson-lucy", kernel(), iterations=1).steps():
        pass
    began, loaded = time.process_time(), _peak()
    data = image.data if job["output"] else np.asarray(image.data)[job_slices(job)]
    own = Job(
        data,
        "richardson-lucy",
        kernel(),
        spacing=SPACING,
        iterations=job["iterations"],
        background=BACKGROUND,
        gain=1.0,
    )
    if job["output"]:
        for _ in stream(own, job["output"]):
            pass
    else:
        for _ in own.steps(keep=False):
            pass
    print(
        json.dumps(
            {
                "cpu": time.process_time() - began,
                "wall": own.details.seconds,
                "loaded": loaded,
                "peak": _peak(),
                "voxels": math.prod(data.shape),
                "tile": own.details.tiles,
                "blocks": own.details.blocks,
                "warnings": own.details.warnings,
            }
        )
    )


def job_slices(job: dict[str, Any]) -> tuple[slice, ...]:
    return tuple(slice(0, n) for n in job["part"])


def _peak() -> float:
    """Return the highest resident size so far, GB."""
    return workers.peak() / 1e9


def _start(**job: Any) -> subprocess.Popen[str]:
    job = {name: str(value) if isinstance(value, Path) else value for name, value in job.items()}
    words = [sys.executable, __file__, "child", json.dumps(job)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)


def _told(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the restoration ended with status {process.returncode}")
    told: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return told


def in_blocks(path: Path, limit: float, iterations: int) -> dict[str, Any]:
    """Restore within a limit; tell what it took."""
    output = path.with_name("restored.ome.zarr")
    for old in (output, output.with_name(f".{output.name}.unfinished")):
        shutil.rmtree(old, ignore_errors=True)
    return _told(_start(path=path, output=output, limit=limit, iterations=iterations))


def restore(path: Path, limit: float, iterations: int) -> None:
    """Restore within a limit, and beside it a part that fits, in one piece and in memory."""
    told = in_blocks(path, limit, iterations)
    fits = _told(_start(path=path, output=None, limit=None, iterations=iterations, part=FITS))
    each = [1e9 * t["cpu"] / t["voxels"] for t in (told, fits)]
    blocks = f"{told['blocks']} of {'x'.join(map(str, told['tile']))}"
    rows = [
        ["limit", f"{limit:.3g} GB of private memory"],
        ["volume", f"{told['voxels'] * 4 / 1e9:.3g} GB as float32"],
        ["blocks", blocks],
        ["highest resident size", f"{told['peak']:.3g} GB, {told['loaded']:.2g} of it programs"],
        ["CPU time", f"{told['cpu']:.0f} s ({told['wall']:.0f} s passed)"],
        ["per voxel", f"{each[0]:.0f} ns; {each[1]:.0f} ns for {'x'.join(map(str, FITS))} whole"],
        ["times as long", f"{each[0] / each[1]:.2f} (asked for: {WANTED['times']})"],
    ]
    harness.table(f"Richardson-Lucy, {iterations} iterations", ["", ""], rows)
    for words in told["warnings"]:
        print(words)


def kill(path: Path, kills: int, limit: float, iterations: int, suffix: str) -> None:
    """Kill a run at random moments until it has had enough of them, and compare the files."""
    job = {"path": path, "limit": limit, "iterations": iterations}
    whole, torn = (path.with_name(f"{name}{suffix}") for name in ("undisturbed", "killed"))
    for each in (whole, torn):
        for old in (each, each.with_name(f".{each.name}.unfinished")):
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)
    began = time.perf_counter()
    blocks = _told(_start(output=whole, **job))["blocks"]
    seconds = time.perf_counter() - began
    chance = random.Random(1)
    moments = []
    while len(moments) < kills:
        process = _start(output=torn, **job)
        # A run takes a while to load; each shall come some blocks farther than the last.
        wait = chance.uniform(0.2, 1.0) * seconds * 1.5 / kills + 3
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            moments.append(wait)
            continue
        finally:
            if process.stdout is not None:
                process.stdout.close()
        shutil.rmtree(torn) if torn.is_dir() else torn.unlink()
    _told(_start(output=torn, **job))
    same = _digest(whole) == _digest(torn)
    print(
        f"{blocks} blocks, {len(moments)} kills after {', '.join(f'{m:.1f}' for m in moments)} s: "
        f"{'the same bytes' if same else 'DIFFERENT'}"
    )
    sys.exit(not same)


def _digest(path: Path) -> str:
    """Return a digest of the data: all chunks' files, or the pixels of a TIFF."""
    told = hashlib.sha256()
    if path.is_dir():
        for file in sorted(f for f in path.rglob("*") if f.is_file() and f.suffix != ".json"):
            if not file.name.startswith("."):
                told.update(str(file.relative_to(path)).encode() + file.read_bytes())
        return told.hexdigest()
    from napari_deconv.io import read_image

    told.update(np.asarray(read_image(path).data).tobytes())
    return told.hexdigest()


def tiled(methods: list[str], shape: list[int], tile: list[int]) -> None:
    """Compare tiles with one piece, and blocks that exchange what they found."""
    import napari_deconv as nd

    size, parts = tuple(shape), tuple(tile)
    core = tuple(slice(0, n) for n in size)
    data = photons(core, size)
    mask = seams(size, parts)
    rows = []
    runs = [(name, TILED[name], False) for name in methods]
    runs += [("richardson-lucy", TILED["richardson-lucy"], True)] * ("richardson-lucy" in methods)
    for name, options, exact in runs:
        common: dict[str, Any] = dict(options, spacing=SPACING, gain=1.0)
        if "background" in nd.methods()[name].parameters:
            common["background"] = BACKGROUND
        psf = kernel() if nd.methods()[name].needs_psf or name == "cider" else None
        began = time.process_time()
        whole, details = nd.restore(data, name, psf, details=True, **common)
        between = time.process_time()
        if exact:
            common["halo_exchange"] = 1
        pieces, told = nd.restore(data, name, psf, details=True, tiles=parts, **common)
        seconds = between - began, time.process_time() - between
        square = (pieces.astype(np.float64) - whole) ** 2
        norm = math.sqrt(float(np.mean(whole.astype(np.float64) ** 2)))
        overall, seam = (math.sqrt(float(s.mean())) / norm for s in (square, square[mask]))
        good = overall <= (WANTED["exact"] if exact else WANTED["overall"])
        good &= exact or seam <= WANTED["seam"]
        rows.append(
            [
                name + (", exact" if exact else ""),
                details.iterations or None,
                told.blocks,
                overall,
                seam,
                *seconds,
                "yes" if good else "NO",
            ]
        )
        title = f"{'x'.join(map(str, size))} in {'x'.join(map(str, parts))}"
    header = ["", "iterations", "blocks", "overall", "near seams", "s whole", "s tiled", "reached"]
    harness.table(f"{title} (asked for: 0.002, 0.005; exact 1e-05)", header, rows)


def flatness(
    folder: Path,
    gigabytes: list[float],
    limit: float,
    iterations: int,
    plot: Path | None,
    figures: Path | None,
) -> None:
    """Time per voxel against the size of the volume."""
    known: dict[str, dict[str, Any]] = {}
    if figures is not None and figures.exists():
        known = json.loads(figures.read_text("utf-8"))
    for size in gigabytes:
        path = folder / f"{size:g}.ome.zarr"
        if not path.exists():
            make(path, size)
        told = in_blocks(path, limit, iterations)
        print(f"{size:g} GB: {told['cpu']:.0f} s in {told['blocks']} blocks", flush=True)
        known[f"{size:g}"] = {"ns": 1e9 * told["cpu"] / told["voxels"], **told}
        if figures is not None:
            figures.write_text(json.dumps(known, indent=1), "utf-8")
        for old in (path, path.with_name("restored.ome.zarr")):
            shutil.rmtree(old, ignore_errors=True)
    points = sorted((t["voxels"] * 4 / 1e9, t["ns"], t["peak"]) for t in known.values())
    rows = [[f"{a:.3g} GB", b, f"{c:.2f} GB"] for a, b, c in points]
    harness.table("Richardson-Lucy in blocks", ["volume", "ns per voxel", "highest size"], rows)
    times = [b for _, b, _ in points]
    middle = float(np.median(times))
    print(f"within {max(abs(t / middle - 1) for t in times):.0%} of the median (30 %)")
    if plot is not None:
        plot.write_text(_drawn(points, limit, iterations), "utf-8")


def _drawn(points: list[tuple[float, float, float]], limit: float, iterations: int) -> str:
    """Return a picture: time per voxel and memory against size, in SVG."""
    width, height, left, bottom, top = 640, 340, 70, 55, 40
    low, high = math.log10(points[0][0]) - 0.15, math.log10(points[-1][0]) + 0.15
    most = 200.0 * math.ceil(1.3 * max(b for _, b, _ in points) / 200)
    memory = limit * 4 / 3

    def x(gigabytes: float) -> float:
        return left + (math.log10(gigabytes) - low) / (high - low) * (width - 2 * left)

    def y(share: float) -> float:
        return height - bottom - share * (height - bottom - top)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{width / 2}" y="22" text-anchor="middle">Richardson-Lucy, {iterations} '
        f"iterations, in blocks: at most {limit:g} GB of memory</text>",
        f'<path d="M{left} {top}V{height - bottom}H{width - left}V{top}" fill="none" '
        'stroke="#888"/>',
        f'<text x="{width / 2}" y="{height - 12}" text-anchor="middle">size of the volume</text>',
        f'<text transform="translate(18 {height / 2}) rotate(-90)" text-anchor="middle" '
        'fill="#0b62a4">CPU time per voxel (ns)</text>',
        f'<text transform="translate({width - 14} {height / 2}) rotate(90)" text-anchor="middle" '
        'fill="#b4430f">highest resident size (GB)</text>',
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        level = y(share) + 4
        parts += [
            f'<text x="{left - 8}" y="{level:.0f}" text-anchor="end">{most * share:.0f}</text>',
            f'<text x="{width - left + 8}" y="{level:.0f}">{memory * share:.1f}</text>',
        ]
    series = (("#0b62a4", 1, most), ("#b4430f", 2, memory))
    for colour, column, scale in series:
        places = [(x(p[0]), y(p[column] / scale)) for p in points]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{colour}"/>' for a, b in places]
    for size, _, _ in points:
        word = f"{size:.2g} GB" if size >= 0.95 else f"{1000 * size:.0f} MB"
        parts.append(
            f'<text x="{x(size):.0f}" y="{height - bottom + 18}" text-anchor="middle">{word}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    main()
