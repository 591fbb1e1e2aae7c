"""``napari-deconv beads`` from files of beads to a PSF file and a table."""

import csv
import shlex

import numpy as np
import pytest

from napari_deconv import average_beads, find_beads, generate_psf, restore
from napari_deconv.cli import main
from napari_deconv.io import read_image, write_image
from napari_deconv.optics import Microscope
from napari_deconv.optics.variant import VariantPsf

SPACING = (0.2, 0.1, 0.1)
NUMBERS = "--numerical-aperture 0.9 --immersion-index 1.33 --emission-wavelength 0.52"
SCOPE = Microscope(numerical_aperture=0.9, immersion_index=1.33, emission_wavelength=0.52)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def shell(line, status=0):
        returned = main(shlex.split(line))
        out, err = capsys.readouterr()
        assert returned == status, err
        assert "Traceback" not in err
        return out if status == 0 else err

    return shell


@pytest.fixture(scope="module")
def beads():
    """Six beads, of which two stand too near to each other."""
    psf = generate_psf(SCOPE, (25, 41, 41), SPACING)
    image = np.zeros((33, 160, 160))
    for y, x in ((30, 30), (30, 120), (80, 75), (125, 30), (125, 120), (125, 128)):
        image[4:29, y - 20 : y + 21, x - 20 : x + 21] += 4000 * psf / psf.max()
    noisy = np.random.default_rng(0).poisson(image + 100)
    return noisy.astype(np.uint16), psf


def test_from_a_file_to_a_psf_and_a_table(run, beads):
    image, psf = beads
    write_image("beads.tif", image, axes="ZYX", spacing=SPACING)
    told = run(f"beads beads.tif -o psf.tif --table beads.csv --deviation sd.tif {NUMBERS}")
    assert "4 of 6 beads were averaged" in told
    assert "theory" in told
    found = read_image("psf.tif")
    assert found.spacing == pytest.approx(SPACING)
    listed = find_beads(image, SPACING, SCOPE)
    average = average_beads(image, listed, SPACING, SCOPE)
    np.testing.assert_allclose(found.data, average.psf, atol=1e-8)
    np.testing.assert_allclose(read_image("sd.tif").data, average.deviation, atol=1e-8)
    n = min(found.data.shape[1], 31)
    parts = [
        tuple(
            slice(s // 2 - m // 2, s // 2 + m // 2 + 1)
            for s, m in zip(p.shape, (9, n - 1, n - 1), strict=True)
        )
        for p in (found.data, psf)
    ]
    mine, truth = (p[q] / p[q].sum() for p, q in zip((found.data, psf), parts, strict=True))
    assert np.linalg.norm(mine - truth) < 0.05 * np.linalg.norm(truth)
    with open("beads.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["used"] for row in rows].count("True") == 4
    assert all(row["reason"] for row in rows if row["used"] == "False")


def test_the_microscope_may_come_from_a_file_or_stay_away(run, beads):
    write_image("beads.tif", beads[0], axes="ZYX", spacing=SPACING)
    run(f"psf gibson-lanni {NUMBERS} --spacing 0.2 0.1 0.1 -o x.tif --save-microscope m.json")
    with_file = run("beads beads.tif -o a.tif --microscope m.json")
    assert "theory" in with_file
    assert "theory" not in run("beads beads.tif -o b.tif")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("beads beads.tif -o beads.tif --overwrite", "is the input"),
        ("beads beads.tif -o p.tif --numerical-aperture 0.9", "--emission-wavelength"),
        ("beads beads.tif -o p.tif --modality confocal", "without the microscope"),
        ("beads none.tif -o p.tif", "no file"),
        ("beads plain.tif -o p.tif", "--spacing"),
        ("beads beads.tif other.tif -o p.tif", "average them apart"),
        ("beads empty.tif -o p.tif", "bead"),
    ],
)
def test_what_cannot_be_is_said_plainly(run, beads, line, words):
    write_image("beads.tif", beads[0], axes="ZYX", spacing=SPACING)
    write_image("other.tif", beads[0], axes="ZYX", spacing=(0.3, 0.1, 0.1))
    write_image("plain.tif", beads[0], axes="ZYX")
    empty = np.random.default_rng(0).poisson(np.full((20, 40, 40), 100.0)).astype(np.uint16)
    write_image("empty.tif", empty, axes="ZYX", spacing=SPACING)
    assert words in run(line, 2)


def test_a_psf_of_the_field_is_taken_from_its_file(run, beads):
    image, psf = beads
    wide = generate_psf(SCOPE, psf.shape, (0.2, 0.085, 0.085))
    variant = VariantPsf.from_psfs(
        [psf, wide], [(16, 80, 20), (16, 80, 140)], image.shape, spacing=SPACING
    )
    variant.save("field.npz")
    write_image("beads.tif", image, axes="ZYX", spacing=SPACING)
    run("restore richardson-lucy beads.tif --psf field.npz --iterations 2 --threads 1 -o out.tif")
    expected = restore(image, "richardson-lucy", psf=variant, spacing=SPACING, iterations=2)
    np.testing.assert_allclose(read_image("out.tif").data, expected, rtol=1e-4, atol=1e-2)
    told = run("restore wiener beads.tif --psf field.npz -o w.tif", 2)
    assert "takes steps" in told
    assert "alone" in run("restore nnls beads.tif --psf field.npz --psf field.npz -o w.tif", 2)
