"""CiDeR beside classic methods, on images whose truth is known.

    python benchmarks/cider.py DATA --json FILE [--photographs 16] [--seeds 3] [--only TEXT]
                               [--stacks] [--variants] [--paper STEPS] [--weights FILE]
                               [--minutes N]

DATA is the folder of test images, as for ``restoration.py``: photographs of Levin et al. 2009, and
Actin3 and a plane of pollen, blurred, with 1000, 100 and 20 photons in the brightest pixel, with
and without haze as bright as the mean; ``--stacks`` takes the stacks of ``methods.py`` in their
place. FILE keeps every cell, and a second run only fills in what is missing. ``--variants`` adds
what each part of the fast preset is worth, ``--paper`` the paper's preset with so many steps (and
with ``--variants`` that with learned features, too), ``--weights`` the fast one with another
refiner.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import harness
import numpy as np
import truths
from truths import PHOTOGRAPHS, aligned, fitted, photographs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Image = Any

PHOTONS, HAZES = (1000, 100, 20), (0.0, 1.0)
# Side of the parts of the microscope images.
SIDE = 192
# Steps of Richardson-Lucy, among which the truth chooses the best.
LUCY = tuple(sorted({round(2 * 1.25**i) for i in range(22)}))
PHOTOGRAPH: dict[str, Any] = {"psf_energy": 1.0, "psf_background": 0.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "cider, trained, not adapted": {"iterations": 2},
    "cider, without guard": {"guard": False},
    "cider, not adapted, without guard": {"iterations": 2, "guard": False},
    "cider, random network": {"weights": "none"},
    "cider, random, without guard": {"weights": "none", "guard": False},
    "cider, random, filter bank, without guard": {"features": "filter-bank", "guard": False},
    "cider, random, extractor, without guard": {"features": "extractor", "guard": False},
    "cider, three seeds": {"seeds": 3},
}


class Case(NamedTuple):
    """One image: what it belongs to, how to restore it, how to score it."""

    group: str
    name: str
    image: Image
    psf: Image
    truth: Image
    options: dict[str, Any]
    score: Callable[[Image, Image], dict[str, float]]


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], data=True)
    parser.add_argument("--photographs", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="text in the names of the images to take")
    parser.add_argument("--stacks", action="store_true", help="stacks in place of planes")
    parser.add_argument("--variants", action="store_true")
    parser.add_argument("--paper", type=int, help="steps of the paper's preset")
    parser.add_argument("--weights", help="of another refiner, to compare with the shipped one")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin nothing after these")
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    if given.json is not None and given.json.exists():
        figures = json.loads(given.json.read_text())
    cells = figures.setdefault("cells", {})
    started = time.perf_counter()
    wanted = (
        stacks(given.data) if given.stacks else cases(given.data, given.photographs, given.seeds)
    )
    for case in wanted:
        if given.only not in case.name:
            continue
        row = cells.setdefault(case.name, {"group": case.group})
        for method, work in methods(case, given.variants, given.paper, given.weights):
            if method in row or time.perf_counter() - started > 60 * given.minutes:
                continue
            begun = time.perf_counter()
            row[method] = work()
            row[method]["seconds"] = time.perf_counter() - begun
            print(case.name, method, {k: round(v, 3) for k, v in row[method].items()}, flush=True)
            if given.json is not None:
                given.json.write_text(json.dumps(figures, indent=1) + "\n")
    report(cells)
    harness.finish(given.json, figures)


def cases(folder: Path, photographs: int, seeds: int) -> Iterator[Case]:
    """Return the images; noise fields in the outer loop, so that all kinds come early."""
    scenes = list(microscopy(folder))
    for seed in range(seeds):
        for (kind, clean, psf, truth), photons, haze in (
            (scene, photons, haze) for scene in scenes for photons in PHOTONS for haze in HAZES
        ):
            light = clean * (photons / clean.max())
            background = haze * float(light.mean())
            image = np.random.default_rng(seed).poisson(light + background).astype(np.float32)
            group = f"{kind}, {photons} photons" + (", haze" if haze else "")
            options = {"gain": 1.0, "background": background, "seed": seed}
            yield Case(group, f"{group}, seed {seed}", image, psf, truth, options, fitted)
    for number, (image, psf, truth) in enumerate(photographs_of(folder / "levin", photographs)):
        yield Case("photographs", f"photograph {number}", image, psf, truth, PHOTOGRAPH, aligned)


def stacks(folder: Path) -> Iterator[Case]:
    """Return the simulated stacks, with a voxel of their own and a Gibson-Lanni PSF.

    The last is large: pollen and its mirror image, 64 x 256 x 256.
    """
    import tifffile

    small = [case for case in truths.cases(folder, 0) if case.spacing is not None]
    pollen = tifffile.imread(folder / "stacks/pollen.tif").astype(np.float32)
    whole = np.concatenate([pollen, pollen[::-1]])
    seen = tuple(slice(0, n) for n in whole.shape)
    psf, spacing = small[0].images[0][1], small[0].spacing
    large = truths.simulated("pollen, large, 100 photons", whole, psf, 100, seen, spacing)
    for case in (*small, large):
        ((image, psf, truth),) = case.images
        options = {"gain": 1.0, "background": 0.0, "spacing": case.spacing}
        yield Case(case.name, case.name, image, psf, truth, options, case.score)


def microscopy(folder: Path) -> Iterator[tuple[str, Image, Image, Image]]:
    """Return (kind, blurred, PSF, truth) of two parts of Actin3 and of a plane of pollen."""
    import tifffile

    from napari_deconv.simulation.imaging import convolve

    truth = tifffile.imread(folder / "img2d_gt/Actin3_GroundTruth.tif").astype(np.float32)
    # Its origin, (127, 127), comes to n // 2.
    psf = np.pad(tifffile.imread(folder / "img2d_gt/PSF.tif").clip(min=0), ((1, 0), (1, 0)))
    psf = psf[108:149, 108:149]
    pollen = tifffile.imread(folder / "stacks/pollen.tif").astype(np.float32)[16]
    for kind, whole, corner in (
        ("actin A", truth, (128, 192)),
        ("actin B", truth, (0, 0)),
        ("pollen", pollen, (32, 32)),
    ):
        seen = tuple(slice(a, a + SIDE) for a in corner)
        scaled = whole / whole.max()
        clean = convolve(scaled, psf, borders="circular")[seen].clip(min=0)
        yield kind, clean, psf, np.ascontiguousarray(scaled[seen])


def methods(
    case: Case, variants: bool, paper: int | None, weights: str | None
) -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
    """Return what is compared, and the work that it is."""

    def run(method: str, **options: Any) -> Callable[[], dict[str, float]]:
        return lambda: restored(case, method, **options)

    photograph = case.group == "photographs"
    if photograph:
        yield "Richardson-Lucy 30", run("richardson-lucy", iterations=30)
        yield "Richardson-Lucy 100", run("richardson-lucy", iterations=100)
        yield "Wiener", run("wiener")
        # Among fixed strengths those are the best, by the truth.
        yield "variational, tv, strength 1e-3", run("variational", prior="tv", strength=1e-3)
        yield "variational, tv, strength 2e-3", run("variational", prior="tv", strength=2e-3)
    else:
        yield "Richardson-Lucy, best step", lambda: best_lucy(case)
    yield "variational, hessian", run("variational", prior="hessian")
    yield "variational, tv", run("variational", prior="tv")
    yield "cider", run("cider")
    if variants:
        for name, options in VARIANTS.items():
            yield name, run("cider", **options)
    if weights is not None:
        yield f"cider, {weights}", run("cider", weights=weights)
    if paper is not None:
        for features in ("filter-bank", "extractor") if variants else ("filter-bank",):
            options = {"preset": "paper", "iterations": paper, "features": features}
            yield f"cider, paper, {paper} steps, {features}", run("cider", **options)


def restored(case: Case, method: str, **options: Any) -> dict[str, float]:
    """Restore and score."""
    import napari_deconv as nd

    options = case.options | options
    image, details = nd.restore(case.image, method, case.psf, details=True, **options)
    found = case.score(image, case.truth)
    strength = details.parameters.get("strength")
    if isinstance(strength, float):
        found["strength"] = float(strength)
    terms = details.statistics[-1].terms if details.statistics else None
    if terms and "share of the network" in terms:
        found["share"] = terms["share of the network"]
    return found


def best_lucy(case: Case) -> dict[str, float]:
    """Return the best of Richardson-Lucy's steps, by the truth."""
    import napari_deconv as nd

    job = nd.Job(case.image, "richardson-lucy", case.psf, iterations=LUCY[0], **case.options)
    best: dict[str, float] = {}
    for number in LUCY:
        taken = job.details.iterations
        for _ in job.more(number - taken) if taken else job.steps():
            pass
        score = case.score(job.result, case.truth)
        if not best or score["psnr"] > best["psnr"]:
            best = score | {"step": float(number)}
    return best


def report(cells: dict[str, Any]) -> None:
    """Print the means of each kind of image, and of the photographs of each kernel."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, row in cells.items():
        groups.setdefault(row["group"], []).append(row)
        if row["group"] == "photographs":
            kernel = PHOTOGRAPHS[int(name.split()[-1])][1]
            groups.setdefault(f"kernel {kernel}", []).append(row)
    names = list(dict.fromkeys(n for row in cells.values() for n in row if n != "group"))
    for what, digits in (("psnr", 2), ("ssim", 3), ("seconds", 1)):
        rows = []
        for group, members in sorted(groups.items()):
            line: list[Any] = [f"{group} ({len(members)})"]
            for name in names:
                values = [row[name][what] for row in members if name in row]
                # A mean over fewer images is no comparison.
                whole = len(values) == len(members)
                line.append(f"{np.mean(values):.{digits}f}" if values and whole else None)
            rows.append(line)
        harness.table(what, ["", *names], rows)


if __name__ == "__main__":
    main()
