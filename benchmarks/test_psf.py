"""Gibson-Lanni PSFs: milliseconds and error, beside psfmodels in the same run.

    python -m pytest benchmarks/test_psf.py -s

Both compute the scalar model for NA 1.4 oil (1.515) into water (1.33), 0.61 um, voxels of
0.2 x 0.1 x 0.1 um. With ``integrated`` both take the mean over each pixel, psfmodels over 3 x 3
points (its default), else both take the value in the middle. Errors are relative L2, against
brute-force quadrature at each pixel's own distance, in the case without aberration, in which
both programs mean the same planes; psfmodels is given an odd size there, since it misplaces even
ones.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_deconv.optics import Microscope, generate_psf

psfmodels = pytest.importorskip("psfmodels")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "optics"))
import psf_reference  # noqa: E402

SPACING = (0.2, 0.1, 0.1)
SIZES = [(64, 128, 128), (128, 256, 256)]
each_size = pytest.mark.parametrize("shape", SIZES, ids=lambda shape: "x".join(map(str, shape)))
each_kind = pytest.mark.parametrize("integrated", [True, False], ids=["integrated", "points"])


def ours(shape, integrated, sample_index=1.33, depth=2.0):
    scope = Microscope(
        numerical_aperture=1.4,
        emission_wavelength=0.61,
        sample_index=sample_index,
        depth=depth,
    )
    return generate_psf(scope, shape, SPACING, pixel_integration=integrated)


def theirs(shape, integrated, sample_index=1.33, depth=2.0):
    return psfmodels.make_psf(
        shape[0],
        shape[2],
        dxy=0.1,
        dz=0.2,
        NA=1.4,
        wvl=0.61,
        ns=sample_index,
        pz=depth,
        model="scalar",
        oversample_factor=3 if integrated else 1,
    )


@each_size
@each_kind
@pytest.mark.parametrize("program", [ours, theirs], ids=["napari-deconv", "psfmodels"])
def test_time(benchmark, program, shape, integrated):
    benchmark.group = f"{'x'.join(map(str, shape))} {'integrated' if integrated else 'points'}"
    benchmark.pedantic(program, (shape, integrated), rounds=7, warmup_rounds=1)


@each_size
@each_kind
def test_ratio_in_paired_rounds(shape, integrated):
    """Median over rounds in which one runs right after the other, so that both meet the same."""
    rounds = []
    for _ in range(9):
        times = []
        for program in (ours, theirs):
            start = time.perf_counter()
            program(shape, integrated)
            times.append(1000 * (time.perf_counter() - start))
        rounds.append(times)
    mine, peer = (statistics.median(column) for column in zip(*rounds[2:], strict=True))
    ratio = statistics.median(b / a for a, b in rounds[2:])
    print(
        f"\n{shape} {'integrated' if integrated else 'points'}: napari-deconv {mine:.1f} ms, "
        f"psfmodels {peer:.0f} ms, {ratio:.0f} times as fast"
    )
    assert ratio > 5


@each_kind
def test_error(integrated):
    shape = (9, 41, 41)
    scope = Microscope(numerical_aperture=1.4, emission_wavelength=0.61, sample_index=1.515)
    truth = psf_reference.psf(scope, shape, SPACING, points=7 if integrated else 1)
    mine = psf_reference.relative_error(ours(shape, integrated, 1.515, 0.0), truth)
    psf = theirs(shape, integrated, 1.515, 0.0)
    # Scaled for the least error: it is normalised by its peak.
    peer = psf_reference.relative_error(psf * (np.vdot(psf, truth) / np.vdot(psf, psf)), truth)
    print(
        f"\n{'integrated' if integrated else 'points'}: relative L2 error napari-deconv "
        f"{mine:.1e}, psfmodels {peer:.1e}"
    )
    assert mine < 2e-6
    assert peer > 1e-3  # else the sentence in the README is out of date
