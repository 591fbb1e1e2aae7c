"""Beads, measured PSFs and PSFs that change over the field: every figure of theirs in one place.

    python benchmarks/beads.py DATA [--only PART ...] [--figure PNG]

DATA holds ``beads/Bead_Image1_crop.tif``, ``beads/DeconvolutionSampleVerticalGrid1AU-crop.tif`` and
``psf/pycudadecon_measured_lattice_psf.tif``. Parts:

real
    The four beads of the first stack: places, widths, reasons, the averaged PSF.
lattice
    The third, a PSF off its centre on an offset, centred and freed of it.
grid
    The second, lines as the same microscope saw them, restored with the averaged PSF: the contrast
    between the two lines that lie closest, before and after. With ``--figure``, a picture of it.
    Images: Bert Nitzsche and Robert Haase, MPI-CBG, from haesleinhuepf/BioImageAnalysisNotebooks,
    CC-BY-4.0.
fields
    Simulated fields of 60 beads of 100 nm, widefield, with 0.07 waves rms of aberration: error of
    the averaged PSF and of the beads' places at SNR 10, 20 and 50 (photons at the top of a bead).
variant
    Aberration that grows to the corners: the error of the expansion against direct summation by
    number of terms, and what Richardson-Lucy and FISTA gain from it over the mean PSF.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import napari_deconv as nd
from napari_deconv.optics.beads import average_beads, distil_psf, find_beads
from napari_deconv.optics.beads.measure import half_max_centroid
from napari_deconv.optics.variant import VariantPsf

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The simulations of the tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

SPACING = (0.125, 0.022, 0.022)


def read(path: Path) -> NDArray[Any]:
    """Return an image's voxels."""
    from tifffile import imread

    return np.asarray(imread(path))


def real(data: Path) -> Any:
    """Find and average the real beads."""
    image = read(data / "beads/Bead_Image1_crop.tif")
    started = time.perf_counter()
    beads = find_beads(image, SPACING)
    average = average_beads(image, beads, SPACING)
    seconds = time.perf_counter() - started
    print(f"{len(beads)} beads found, {average.count} averaged, {seconds:.1f} s")
    for row in average.report.rows():
        print("  " + ", ".join(f"{name} {value}" for name, value in row.items() if value != ""))
    for number, bead in enumerate(beads, 1):
        counts = [whole_voxels(image - bead.floor, bead.position, axis) for axis in range(3)]
        print(f"  bead {number}: {counts} whole voxels along z, y, x at half of its height or more")
    for sentence in average.report.sentences():
        print("  " + sentence)
    return average


def whole_voxels(image: NDArray[Any], position: tuple[float, ...], axis: int) -> int:
    """Count the voxels at half of a bead's height or more along a line through its brightest."""
    near = tuple(slice(round(p) - 3, round(p) + 4) for p in position)
    top = np.unravel_index(int(image[near].argmax()), image[near].shape)
    place: list[Any] = [int(t) + n.start for t, n in zip(top, near, strict=True)]
    height = image[tuple(place)]
    place[axis] = slice(max(0, place[axis] - 20), place[axis] + 21)
    return int((image[tuple(place)] >= height / 2).sum())


def lattice(data: Path) -> None:
    """Centre a measured PSF and remove its offset."""
    image = read(data / "psf/pycudadecon_measured_lattice_psf.tif")
    found = distil_psf(image, (0.1, 0.102, 0.102))
    peak = np.unravel_index(int(image.argmax()), image.shape)
    print(
        f"brightest voxel {tuple(map(int, peak))} of {image.shape}, offset {found.background:.1f}"
    )
    print(f"  bead at {np.round(found.position, 2)}, moved by {np.round(found.shift, 2)}")
    print(f"  afterwards at {np.round(half_max_centroid(found.psf.astype(float)), 3)}")
    print(f"  FWHM {np.round(1000 * np.array(found.fwhm))} nm, SNR {found.snr:.0f}")


def grid(data: Path, figure: Path | None) -> None:
    """Restore the lines with the PSF of the real beads."""
    image = read(data / "beads/DeconvolutionSampleVerticalGrid1AU-crop.tif")
    beads = read(data / "beads/Bead_Image1_crop.tif")
    psf = average_beads(beads, find_beads(beads, SPACING), SPACING).psf
    restored, details = nd.restore(
        image, "richardson-lucy", psf, iterations=100, background=1.0, details=True
    )
    plane = int(image.std(axis=(1, 2)).argmax())
    before, after = image[plane] - 1.0, restored[plane]
    print(f"plane {plane}, {details.iterations} iterations, {details.seconds:.0f} s")
    for name, picture in (("before", before), ("after", after)):
        contrast, lines, width = separation(picture.mean(axis=0))
        print(
            f"  {name}: contrast {contrast:.2f} between the lines at columns {lines}, "
            f"the first line {1000 * width * SPACING[2]:.0f} nm wide"
        )
    if figure is not None:
        draw(before, after, figure)
        print(f"  {figure}")


def separation(profile: NDArray[Any]) -> tuple[float, tuple[int, int], float]:
    """Return the contrast of the two lines that lie closest, their columns, and a line's width.

    Contrast: the lower line less the gap between, over their sum.
    """
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import find_peaks, peak_widths

    smooth = gaussian_filter1d(profile.astype(float), 1.0)
    tops, _ = find_peaks(smooth, prominence=0.1 * np.ptp(smooth))
    first, second = min(pairwise(tops), key=lambda pair: pair[1] - pair[0])
    low = profile[first:second].min()
    high = min(profile[first], profile[second])
    width = peak_widths(smooth, tops[:1], rel_height=0.5)[0][0]
    return float((high - low) / (high + low)), (int(first), int(second)), float(width)


def draw(before: NDArray[Any], after: NDArray[Any], path: Path) -> None:
    """Draw both planes and, below, their mean profiles across the lines."""
    from PIL import Image, ImageDraw

    scale, gap, height = 3, 12, 150
    side = scale * before.shape[1]
    sheet = Image.new("RGB", (2 * side + gap, side + gap + height), "white")
    pen = ImageDraw.Draw(sheet)
    for number, picture in enumerate((before, after)):
        low, high = np.percentile(picture, (1, 99.7))
        grey = (255 * np.clip((picture - low) / (high - low), 0, 1)).astype(np.uint8)
        tile = Image.fromarray(grey).resize((side, scale * before.shape[0]), 0)
        left = number * (side + gap)
        sheet.paste(tile, (left, 0))
        profile = picture.mean(axis=0)
        profile = profile / profile.max()
        floor = side + gap + height - 6
        points = [
            (left + scale * (i + 0.5), floor - (height - 16) * max(float(v), 0.0))
            for i, v in enumerate(profile)
        ]
        pen.line([(left, floor), (left + side, floor)], fill="#999999")
        pen.line(points, fill="#1f5fa8", width=2, joint="curve")
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def fields() -> None:
    """Average simulated beads at three noise levels."""
    from aberrated import INDEX, NA, WAVELENGTH, bead_field, point_image
    from aberrated import SPACING as STEP
    from napari_deconv.optics.beads.align import fit, slopes

    scope = nd.Microscope(
        numerical_aperture=NA,
        emission_wavelength=WAVELENGTH,
        immersion_index=INDEX,
        sample_index=INDEX,
    )
    waves = {5: 0.03, 8: 0.05, 11: 0.04}
    for snr in (10, 20, 50):
        image, places = bead_field(waves, snr=snr, count=60, shape=(33, 480, 480), seed=7)
        beads = find_beads(image, STEP, scope)
        average = average_beads(image, beads, STEP, scope, bead_diameter=0.1)
        offset = np.zeros(3)
        for _ in range(3):
            truth = point_image(average.psf.shape, waves, offset)
            truth /= truth.sum()
            inner = tuple(slice(8, -8) for _ in range(3))
            gradient = [g[inner] for g in slopes(np.pad(truth, 8))]
            everything = np.ones(truth.shape, dtype=bool)
            _, _, shift = fit(average.psf.astype(float), everything, truth, gradient)
            offset += np.array(shift) * STEP
        found = np.array([b.position for b in average.beads if b.accepted])
        off = np.array([p - places[np.linalg.norm(places - p, axis=1).argmin()] for p in found])
        off -= off.mean(axis=0)
        error = np.linalg.norm(average.psf - truth) / np.linalg.norm(truth)
        rms = np.sqrt((off**2).mean(axis=0))
        print(
            f"SNR {snr}: {average.count} of 60 beads, PSF {average.psf.shape}, error {error:.1%}, "
            f"places {np.round(rms, 3)} voxel rms (z, y, x), report's SNR {average.report.snr:.0f}"
        )


def variant() -> None:
    """Expand an aberration that grows to the corners, and restore with it."""
    import torch
    from scipy.ndimage import gaussian_filter

    from napari_deconv.operators.product_convolution import ProductConvolution
    from problems import decibels
    from variant_field import blurred, corner_psfs, grid_places

    shape = (96, 88)
    rng = np.random.default_rng(0)
    print("direct summation against the expansion (aberration of 0.11 waves rms in the corners)")
    obj = rng.random(shape)
    places = grid_places(shape, 11)
    exact = blurred(obj, lambda where: corner_psfs(where, shape, strength=0.06))
    psfs = corner_psfs(places, shape, strength=0.06)
    for terms in (1, 2, 4, 8, 12, 16, 20):
        model = VariantPsf.from_psfs(psfs, places, shape, terms=terms, align=False)
        blur = ProductConvolution(
            model.components, model.weights, shape, "zero", dtype=torch.float64
        )
        image = blur(torch.from_numpy(obj)).numpy()
        error = np.linalg.norm(image - exact) / np.linalg.norm(exact)
        print(f"  {terms:2d} terms: PSFs to {model.residual:.1e}, the image to {error:.1e}")
    truth = np.zeros(shape)
    truth[tuple(rng.integers(4, n - 4, 160) for n in shape)] = rng.uniform(3000, 9000, 160)
    for strength in (0.06, 0.12, 0.25):
        image = rng.poisson(
            blurred(truth, lambda where, s=strength: corner_psfs(where, shape, strength=s)) + 2
        )
        places = grid_places(shape, 7)
        psfs = corner_psfs(places, shape, strength=strength)
        model = VariantPsf.from_psfs(psfs, places, shape, tolerance=3e-3, align=False)
        print(f"aberration {strength / 0.06 * 0.11:.2f} waves rms, {len(model.components)} terms")
        for method, options in (
            ("richardson-lucy", {"background": 2.0, "iterations": 60}),
            ("fista", {"iterations": 60}),
        ):
            scores, seconds = [], []
            for psf in (model.mean, model.at([n / 2 for n in shape]), model):
                started = time.perf_counter()
                found = nd.restore(image, method, psf, **options)
                seconds.append(time.perf_counter() - started)
                scores.append(decibels(gaussian_filter(found, 0.8), gaussian_filter(truth, 0.8)))
            print(
                f"  {method}: {scores[0]:.2f} dB with the mean PSF ({seconds[0]:.1f} s), "
                f"{scores[1]:.2f} dB with that of the middle, {scores[2]:.2f} dB with the one that "
                f"varies ({seconds[2]:.1f} s)"
            )


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parts = ("real", "lattice", "grid", "fields", "variant")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    for part in given.only:
        print(f"\n{part}")
        if part == "grid":
            grid(given.data, given.figure)
        elif part in ("real", "lattice"):
            {"real": real, "lattice": lattice}[part](given.data)
        else:
            {"fields": fields, "variant": variant}[part]()


if __name__ == "__main__":
    main()
