"""Restoration quality on images with a known truth.

    python benchmarks/restoration.py DATA [--peers FOLDER]

DATA holds ``stack3d_bars`` (hollow bars of the EPFL and flowdec), ``levin`` (camera shake, Levin
et al. 2009) and ``img2d_gt`` (Actin3 of BBii-Decon). RedLionfish and sdeconv, made by
``peers.py FOLDER``, are put beside ours on the bars.
"""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import harness
import numpy as np

# Levin's kernels are not stored alike: these two as they are, the others turned by 180 degrees.
AS_STORED = (4, 8)
LEVIN_ITERATIONS = (30, 100)


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], data=True)
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments")
    arguments = parser.parse_args()
    figures = {
        "bars": bars(arguments.data / "stack3d_bars", arguments.peers),
        "actin": actin(arguments.data / "img2d_gt"),
        "levin": levin(arguments.data / "levin"),
    }
    harness.finish(arguments.json, figures)


def bars(folder: Path, peers: Path | None) -> dict[str, Any]:
    """Scale-invariant SNR of hollow bars."""
    import tifffile

    import napari_deconv as nd
    from napari_deconv.assessment import scale_invariant_snr

    data, psf, truth = (
        tifffile.imread(folder / f"{name}.tif").astype(np.float32)
        for name in ("data", "kernel", "actual")
    )
    circular: dict[str, Any] = {"borders": "circular", "start": "data"}
    figures: dict[str, Any] = {"blurred": scale_invariant_snr(data, truth)}
    rows: list[list[Any]] = [["blurred", figures["blurred"], None, None]]

    def add(name: str, image: np.ndarray, wanted: float | None = None) -> None:
        figures[name] = scale_invariant_snr(image, truth)
        reached = None if wanted is None else "yes" if figures[name] >= wanted else "NO"
        rows.append([name, figures[name], wanted, reached])

    for n, wanted in ((10, None), (50, None), (100, 3.3)):
        image = nd.restore(data, "richardson-lucy", psf, iterations=n, **circular)
        add(f"RL {n}, start data, circular", image, wanted)
    for kind in ("biggs-andrews", "nesterov"):
        image = nd.restore(
            data, "richardson-lucy", psf, iterations=25, acceleration=kind, **circular
        )
        add(f"RL 25, {kind}", image, 3.3 if kind == "biggs-andrews" else None)
    image, details = nd.restore(data, "richardson-lucy", psf, details=True)
    add(f"RL, all defaults ({details.iterations} iterations)", image, 2.5)
    for method in ("wiener", "regularized-inverse"):
        add(f"{method}, all defaults", nd.restore(data, method, psf))
    with tempfile.TemporaryDirectory() as temporary:
        for peer in ("RedLionfish", "sdeconv"):
            for n, image in _peer(peer, peers, data, psf, Path(temporary)):
                add(f"{peer} {n}", image)
    harness.table("Hollow bars", ["", "SNR in dB", "asked for", "reached"], rows)
    return figures


def _peer(
    name: str, peers: Path | None, data: np.ndarray, psf: np.ndarray, folder: Path
) -> list[tuple[int, np.ndarray]]:
    """Return a peer's results after 10, 50 and 100 iterations, or none where it is not there."""
    python = peers / name.lower() / "bin" / "python" if peers else None
    if python is None or not python.exists():
        print(f"{name} is left out: no environment {name.lower()} in --peers")
        return []
    np.save(folder / "data.npy", data)
    np.save(folder / "psf.npy", psf)
    worker = harness.Worker(name, folder, str(python))
    results = []
    for n in (10, 50, 100):
        worker.run(n, folder / "result.npy")
        results.append((n, np.load(folder / "result.npy")))
    worker.close()
    return results


def actin(folder: Path) -> dict[str, Any]:
    """PSNR of actin filaments: an error of half a pixel in centring costs 2 dB and more."""
    import tifffile

    import napari_deconv as nd
    from napari_deconv.assessment import find_shift, shift_image

    truth = tifffile.imread(folder / "Actin3_GroundTruth.tif").astype(np.float32)
    data = tifffile.imread(folder / "Actin3_blurred.tif").astype(np.float32).clip(min=0)
    psf = tifffile.imread(folder / "PSF.tif").clip(min=0)
    figures: dict[str, Any] = {"blurred": _fitted_psnr(data, truth, 0)}
    rows: list[list[Any]] = [["blurred", figures["blurred"], None, None]]
    centres: list[Any] = [(127, 127), "peak", "centroid", "index"]
    for borders, centre in product(("extended", "reflect"), centres):
        image = nd.restore(
            data, "richardson-lucy", psf, iterations=50, borders=borders, psf_centre=centre
        )
        name = f"RL 50, {borders}, centre {centre}"
        plain = _fitted_psnr(image, truth, 0)
        shift = find_shift(image, truth, largest=3)
        registered = _fitted_psnr(shift_image(image, shift), truth, 2)
        figures[name] = {"psnr": plain, "registered": registered, "shift": shift}
        rows.append([name, plain, registered, " ".join(f"{s:.2f}" for s in shift)])
    harness.table("Actin3, PSNR in dB", ["", "as it is", "registered", "shift"], rows)
    return figures


def _fitted_psnr(image: np.ndarray, truth: np.ndarray, margin: int) -> float:
    """Return the PSNR after a least-squares fit of scale and offset."""
    inside = (slice(margin, -margin or None),) * truth.ndim
    x, y = image[inside].astype(np.float64).ravel(), truth[inside].astype(np.float64).ravel()
    slope, offset = np.polyfit(x, y, 1)
    return float(20 * np.log10(y.max() / np.sqrt(np.mean((slope * x + offset - y) ** 2))))


def levin(folder: Path) -> dict[str, Any]:
    """Aligned PSNR of photographs blurred by the camera's shake."""
    import napari_deconv as nd

    if not folder.exists():
        print("levin is left out: no such folder")
        return {}
    figures: dict[str, Any] = {}
    for borders, start in product(("extended", "reflect"), ("flat", "data")):
        scores: dict[int, list[float]] = {n: [] for n in LEVIN_ITERATIONS}
        for image, kernel in product((1, 2), range(1, 9)):
            truth = photograph(folder / f"im{image}_gt.png")
            data = photograph(folder / f"im{image}_kernel{kernel}_blurred.png")
            psf = photograph(folder / f"kernel{kernel}.png")
            psf = psf if kernel in AS_STORED else psf[::-1, ::-1]
            for n in LEVIN_ITERATIONS:
                restored = nd.restore(
                    data,
                    "richardson-lucy",
                    psf,
                    iterations=n,
                    borders=borders,
                    start=start,
                    psf_energy=1.0,
                    psf_background=0.0,
                )
                scores[n].append(_aligned_psnr(restored, truth))
        figures[f"{borders}, start {start}"] = scores
    rows = [
        [f"{name}, RL {n}", float(np.mean(scores[n])), *(f"{s:.2f}" for s in scores[n])]
        for name, scores in figures.items()
        for n in LEVIN_ITERATIONS
    ]
    header = ["", "mean", *(f"im{i} k{k}" for i, k in product((1, 2), range(1, 9)))]
    harness.table("Levin, aligned PSNR in dB (RL 100 asked for: 32.3)", header, rows)
    return figures


def photograph(path: Path) -> np.ndarray:
    """Read a photograph, 0 to 1."""
    from PIL import Image

    return np.asarray(Image.open(path).convert("L"), dtype=np.float32) / 255


def _aligned_psnr(image: np.ndarray, truth: np.ndarray, *, reach: int = 6, crop: int = 15) -> float:
    """Return the best PSNR over shifts of up to six pixels, in steps of a quarter."""
    from napari_deconv.assessment import shift_image

    inside = (slice(crop, -crop),) * 2

    def error(moved: np.ndarray) -> float:
        return float(np.mean((moved[inside].astype(np.float64) - truth[inside]) ** 2))

    whole = range(-reach, reach + 1)
    shifts = {s: error(np.roll(image, s, (0, 1))) for s in product(whole, whole)}
    best = min(shifts, key=shifts.__getitem__)
    quarters = np.arange(-3, 4) / 4
    fine = (
        error(shift_image(image, (best[0] + a, best[1] + b))) for a in quarters for b in quarters
    )
    return float(-10 * np.log10(min(fine)))


if __name__ == "__main__":
    main()
