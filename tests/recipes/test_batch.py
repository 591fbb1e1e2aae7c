"""Folders of images by one recipe: what comes out, and what is said of what does not."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_deconv import restore, simulate
from napari_deconv.cli import main
from napari_deconv.engine.streaming import unfinished_blocks
from napari_deconv.io import Channel, read_image, write_image
from napari_deconv.optics import Microscope, generate_psf
from napari_deconv.recipes import PsfSource, Recipe, Treatment
from napari_deconv.recipes.batch import Errand, errands, find_images, restore_one

SPACING = (0.3, 0.1, 0.1)
NUMBERS = (1, 2, 10)
SCOPE = {"numerical_aperture": 1.2, "immersion_index": 1.33}
GREEN = PsfSource(None, SCOPE | {"emission_wavelength": 0.52}, {"model": "gaussian"}, (5, 11, 11))
RED = PsfSource(None, SCOPE | {"emission_wavelength": 0.65}, {"model": "gaussian"}, (5, 11, 11))
FIVE = {"iterations": 5, "offset": 100.0, "threads": 1}


def psf_of(source):
    return generate_psf(Microscope(**source.microscope), source.shape, SPACING, **source.settings)


def points(seed, shape=(8, 32, 36)):
    obj = np.zeros(shape, np.float32)
    random = np.random.default_rng(seed)
    obj[tuple(random.integers(2, np.array(shape) - 2, (12, len(shape))).T)] = 1
    image = simulate(obj, psf_of(GREEN), photons=200, offset=100, seed=seed)
    return image.clip(0).astype(np.uint16)


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(line):
        status = main(shlex.split(line))
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def folder(tmp_path):
    """Three good stacks, a truncated one, a colour picture, a constant image, and a text."""
    made = tmp_path / "data"
    made.mkdir()
    for number in NUMBERS:
        write_image(made / f"t{number}.tif", points(number), axes="ZYX", spacing=SPACING)
    whole = (made / "t1.tif").read_bytes()
    (made / "broken.tif").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.arange(32 * 36 * 3, dtype=np.uint8).reshape(32, 36, 3)).save(
        made / "photo.png"
    )
    write_image(made / "empty.tif", np.full((8, 32, 36), 7, np.uint16), axes="ZYX", spacing=SPACING)
    (made / "notes.txt").write_text("taken on a Monday")
    return made


@pytest.fixture
def recipe(tmp_path):
    made = Recipe((Treatment("richardson-lucy", FIVE, GREEN),), "{name}-sharp.ome.zarr")
    made.save(tmp_path / "recipe.yaml")
    return made


def test_one_bad_file_does_not_keep_the_others(shell, folder, recipe, tmp_path):
    status, out, err = shell("run recipe.yaml data -o out")
    assert status == 1
    assert "Traceback" not in err
    assert "6 images: 3 restored, 3 failed" in out
    for number in NUMBERS:
        image = read_image(folder / f"t{number}.tif")
        expected = restore(image.data, "richardson-lucy", psf_of(GREEN), spacing=SPACING, **FIVE)
        result = read_image(f"out/t{number}-sharp.ome.zarr")
        np.testing.assert_array_equal(np.asarray(result.data), expected)
        assert result.spacing == pytest.approx(SPACING)
        report = json.loads(Path(f"out/t{number}-sharp.report.json").read_text())
        assert report["status"] == "restored"
        assert report["jobs"][0]["parameters"]["iterations"] == 5
    for name, words in (("broken", "damaged"), ("photo", "colour"), ("empty", "constant")):
        report = json.loads(Path(f"out/{name}-sharp.report.json").read_text())
        assert report["status"] == "failed"
        assert words in report["words"]
        assert report["words"] in out
        assert not Path(f"out/{name}-sharp.ome.zarr").exists()
    # In the order in which people count, not in that of letters.
    assert out.index("t2.tif") < out.index("t10.tif")
    assert sorted(tmp_path.rglob(".*")) == []


def test_what_is_there_is_not_made_again(shell, folder, recipe):
    shell("run recipe.yaml data/t1.tif data/t2.tif -o out")
    when = Path("out/t1-sharp.ome.zarr").stat().st_ino
    write_image(folder / "t2.tif", points(5), axes="ZYX", spacing=SPACING, overwrite=True)
    status, out, _ = shell("run recipe.yaml 'data/t*.tif' -o out")
    assert "1 restored, 1 there already, 1 failed" in out
    assert Path("out/t1-sharp.ome.zarr").stat().st_ino == when
    assert status == 1  # t2 has changed since: its result is not of this image
    assert "t2-sharp.ome.zarr exists already" in out
    status, out, _ = shell("run recipe.yaml 'data/t*.tif' -o out --overwrite")
    assert status == 0
    assert "3 restored" in out
    assert Path("out/t1-sharp.ome.zarr").stat().st_ino != when


def test_another_recipe_is_another_result(shell, folder, recipe, tmp_path):
    shell("run recipe.yaml data/t1.tif -o out")
    Recipe((Treatment("richardson-lucy", FIVE | {"iterations": 3}, GREEN),), recipe.output).save(
        tmp_path / "recipe.yaml"
    )
    status, out, _ = shell("run recipe.yaml data/t1.tif -o out")
    assert (status, "exists already" in out) == (1, True)
    recipe.save(tmp_path / "recipe.yaml")
    status, out, _ = shell("run recipe.yaml data/t1.tif -o out")
    assert (status, "1 there already" in out) == (0, True)  # nothing was spoilt


def test_what_is_automatic_may_be_found_once_for_a_series(shell, folder, tmp_path):
    automatic = {"iterations": "auto", "offset": 100.0, "threads": 1}
    Recipe((Treatment("richardson-lucy", automatic, GREEN),)).save(tmp_path / "recipe.yaml")

    def used(output):
        told = [
            json.loads(Path(f"{output}/t{n}-restored.report.json").read_text()) for n in NUMBERS
        ]
        return [each["jobs"][0]["parameters"] for each in told]

    shell("run recipe.yaml 'data/t*.tif' -o each")
    shell("run recipe.yaml 'data/[bt]*.tif' -o alike --alike")
    first, *others = used("alike")
    assert len({each["gain"] for each in used("each")}) == 3
    assert used("each")[0] == first
    for each in others:
        assert each["gain"] == first["gain"]
        assert each["iterations"] == first["iterations"]
    # A second run takes the same from the first report.
    _, out, _ = shell("run recipe.yaml 'data/t*.tif' -o alike --alike")
    assert "3 there already" in out


def test_dry_run_writes_nothing(shell, folder, recipe, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    status, out, _ = shell("run recipe.yaml data -o out --dry-run")
    assert status == 1
    assert "t10-sharp.ome.zarr: 8 x 32 x 36" in out
    assert "Richardson-Lucy, about" in out
    assert "3 cannot be restored" in out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_single_image_may_have_a_name_of_its_own(shell, folder, recipe):
    status, *_ = shell("run recipe.yaml data/t1.tif -o sharp.tif --quiet")
    assert status == 0
    assert read_image("sharp.tif").spacing == pytest.approx(SPACING)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run recipe.yaml data -o out.tif", "one file, but there are 6"),
        ("run recipe.yaml nothing* -o out", "Nothing is called"),
        ("run recipe.yaml data/t1.tif other/t1.tif -o out", "both become"),
        ("run recipe.yml data -o out", "recipe.yml cannot be read"),
        ("run recipe.yaml data -o out --iterations 3", "no option --iterations"),
        ("run recipe.yaml data -o out --workers none", "whole number"),
        ("run recipe.yaml data -o out --memory-limit 0", "at least 0.01"),
        ("run recipe.yaml data -o recipe.yaml/out", "cannot be made"),
        ("run recipe.yaml data -o out --workers 1 --scheduler tcp://h:1", "not both"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is(shell, folder, recipe, line, words):
    (folder.parent / "other").mkdir()
    write_image(folder.parent / "other/t1.tif", points(1), axes="ZYX")
    status, _, err = shell(line)
    assert status == 2
    assert words in err
    assert not list(folder.parent.glob("out/*"))


def test_an_interrupted_run_is_gone_on_with(shell, folder, recipe, monkeypatch, tmp_path):
    made = Recipe(
        (Treatment("richardson-lucy", FIVE | {"tiles": (8, 16, 36)}, GREEN),), "{name}.ome.zarr"
    )
    made.save(tmp_path / "tiled.yaml")
    errand = errands(made, [folder / "t1.tif"], tmp_path)[0]

    monkeypatch.setattr("napari_deconv.engine.job._SHORTEST", 0.0)  # every step is shown

    def stop(step):
        if step.stage == "Restoring, block 2 of 2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_one(made, errand, show=stop)
    assert unfinished_blocks(errand.result) == (1, 2)
    seen = []
    report = restore_one(made, errand, show=lambda step: seen.append(step.stage))
    assert report.status == "restored"
    assert "Restoring, block 1 of 2" not in seen
    expected = restore(
        read_image(folder / "t1.tif").data,
        "richardson-lucy",
        psf_of(GREEN),
        spacing=SPACING,
        **FIVE,
        tiles=(8, 16, 36),
    )
    np.testing.assert_array_equal(np.asarray(read_image(errand.result).data), expected)


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tif"])
def test_channels_with_methods_of_their_own_become_one_image(tmp_path, suffix):
    series = np.stack([[points(2 * t + c) for c in range(2)] for t in range(3)])
    path = write_image(
        tmp_path / "series.ome.zarr",
        series,
        axes="TCZYX",
        spacing=SPACING,
        channels=[Channel("GFP", 0.52, "#00ff00"), Channel("RFP", 0.65, "#ff0000")],
        time_interval=2.5,
    )
    recipe = Recipe(
        (
            Treatment("richardson-lucy", FIVE, GREEN, channel="GFP"),
            Treatment("wiener", {"offset": 100.0, "threads": 1}, RED, channel="RFP"),
        )
    )
    errand = Errand(path, tmp_path / f"out{suffix}")
    assert restore_one(recipe, errand).status == "restored"
    result = read_image(errand.result)
    assert result.axes == "TCZYX"
    assert result.channel_names == ("GFP", "RFP")
    assert result.time_interval == 2.5
    assert result.spacing == pytest.approx(SPACING)
    for channel, (treatment, psf) in enumerate(zip(recipe.treatments, (GREEN, RED), strict=True)):
        expected = restore(
            series[:, channel],
            treatment.method,
            psf_of(psf),
            spacing=SPACING,
            **treatment.parameters,
        )
        np.testing.assert_allclose(np.asarray(result.data)[:, channel], expected, rtol=1e-6)
    assert sorted(tmp_path.glob(".*")) == []


def test_500_time_points_are_told_apart(tmp_path):
    for number in (1, 3, 20, 100):
        (tmp_path / f"t{number}.tif").touch()
    (tmp_path / ".hidden.tif").touch()
    (tmp_path / "image.ome.zarr").mkdir()
    names = [path.name for path in find_images([str(tmp_path), str(tmp_path / "t3.tif")])]
    assert names == ["image.ome.zarr", "t1.tif", "t3.tif", "t20.tif", "t100.tif"]


def test_workers_share_out_a_folder(shell, folder, recipe, monkeypatch):
    """As many images as workers: each restores whole ones, and tells of bad ones."""
    pytest.importorskip("distributed")
    with_threads(monkeypatch)
    status, out, _ = shell("run recipe.yaml data -o out --workers 2 --threads 1 --quiet")
    assert status == 1
    assert "6 images: 3 restored, 3 failed" in out
    for number in NUMBERS:
        image = read_image(folder / f"t{number}.tif")
        expected = restore(image.data, "richardson-lucy", psf_of(GREEN), spacing=SPACING, **FIVE)
        result = read_image(f"out/t{number}-sharp.ome.zarr")
        np.testing.assert_array_equal(np.asarray(result.data), expected)
    status, out, _ = shell("run recipe.yaml 'data/t*.tif' -o out")
    assert "3 there already" in out


def test_without_any_worker_nothing_is_tried_any_more(folder, recipe, tmp_path):
    from napari_deconv.engine.cluster import WorkersGone

    def gone(work, numbers, write):
        raise WorkersGone("All workers are gone.")

    with pytest.raises(WorkersGone):
        restore_one(recipe, errands(recipe, [folder / "t1.tif"], tmp_path)[0], runner=gone)


def with_threads(monkeypatch):
    """Let workers be threads, which start at once: what commands do with them is the same."""
    from distributed import LocalCluster

    from napari_deconv.engine import cluster

    monkeypatch.setattr(
        cluster,
        "_local",
        lambda workers: LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=False, dashboard_address=":0"
        ),
    )
