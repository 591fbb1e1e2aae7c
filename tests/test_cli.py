"""The commands of the shell, from typed words to files and exit status."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_deconv import errors, generate_psf
from napari_deconv.cli import main
from napari_deconv.cli.arguments import restore_command
from napari_deconv.cli.shell import COMMANDS
from napari_deconv.io import Channel, read_image, write_image
from napari_deconv.optics import Microscope

SCOPE = "--numerical-aperture 1.2 --immersion-index 1.33 --emission-wavelength 0.52"
SPACING = (0.3, 0.1, 0.1)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs one command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def shell(line, status=0):
        returned = main(shlex.split(line))
        out, err = capsys.readouterr()
        assert returned == status, err
        assert "Traceback" not in err
        if status == 2:
            assert err.startswith("napari-deconv: ") or "\nnapari-deconv: " in err
            return err.splitlines()[-1]
        return out + err

    return shell


@pytest.fixture(scope="session")
def scene():
    """An image of a few points, with its PSF and the truth; 12 x 32 x 36 voxels."""
    from napari_deconv.simulation import simulate

    scope = Microscope(numerical_aperture=1.2, immersion_index=1.33, emission_wavelength=0.52)
    psf = generate_psf(scope, (11, 21, 21), SPACING, model="gaussian")
    truth = np.zeros((12, 32, 36), np.float32)
    for point in np.random.default_rng(0).integers(5, (8, 27, 31), (12, 3)):
        truth[tuple(point)] = 1
    return simulate(truth, psf, photons=300), psf, truth


@pytest.fixture
def files(tmp_path, scene):
    image, psf, truth = scene
    write_image(tmp_path / "in.tif", image, axes="ZYX", spacing=SPACING)
    write_image(tmp_path / "psf.tif", psf, axes="ZYX", spacing=SPACING)
    write_image(tmp_path / "truth.tif", truth, axes="ZYX", spacing=SPACING)
    return tmp_path


RL = "restore richardson-lucy in.tif --psf psf.tif --background 100 --threads 1"


class TestHelp:
    @pytest.mark.parametrize("line", ["", "--help", "-h", "help"])
    def test_lists_the_commands(self, run, line):
        text = run(line)
        for name in COMMANDS:
            assert f"  {name} " in text

    def test_version(self, run):
        from importlib.metadata import version

        assert version("napari-deconv") in run("--version")

    def test_every_method_is_in_the_table_and_has_help(self, run):
        from napari_deconv import methods
        from napari_deconv.engine.options import parameters_for

        table = run("methods")
        listing = run("restore --help")
        for name, method in methods().items():
            assert name in table
            assert name in listing
            text = run(f"restore {name} --help")
            for parameter in parameters_for(method):
                assert f"--{parameter.replace('_', '-')}" in text
            assert method.title in text

    def test_every_psf_model_has_help(self, run):
        from napari_deconv.registry import parameters_of, psf_models

        listing = run("psf --help")
        for name in psf_models():
            assert name in listing
            text = run(f"psf {name} --help")
            for parameter in parameters_of(Microscope):
                assert f"--{parameter.replace('_', '-')}" in text

    @pytest.mark.parametrize("command", ["background", "simulate", "assess", "demo", "methods"])
    def test_commands_have_help(self, run, command):
        assert run(f"{command} --help").startswith(f"usage: napari-deconv {command}")


class TestPsf:
    def test_is_what_python_makes(self, run):
        run(f"psf gibson-lanni {SCOPE} --shape 15 32 32 --spacing 0.2 0.1 0.1 -o psf.tif")
        image = read_image("psf.tif")
        scope = Microscope(numerical_aperture=1.2, immersion_index=1.33, emission_wavelength=0.52)
        expected = generate_psf(scope, (15, 32, 32), (0.2, 0.1, 0.1), model="gibson-lanni")
        np.testing.assert_array_equal(image.data, expected)
        assert image.spacing == pytest.approx((0.2, 0.1, 0.1))
        assert image.provenance["microscope"]["numerical_aperture"] == 1.2
        assert image.provenance["command"].startswith("napari-deconv psf gibson-lanni")

    def test_two_dimensions_and_other_options(self, run):
        run(
            f"psf gaussian {SCOPE} --shape 31 32 --spacing 0.1 0.1 --no-pixel-integration "
            "--approximation paraxial -o psf.ome.zarr"
        )
        image = read_image("psf.ome.zarr")
        assert (image.axes, image.data.shape) == ("YX", (31, 32))

    def test_like_an_image(self, run):
        write_image(
            "in.ome.tif",
            np.zeros((2, 9, 64, 64)),
            axes="CZYX",
            spacing=SPACING,
            channels=[Channel("a", 0.46), Channel("b", 0.61)],
        )
        psf = "psf gibson-lanni --numerical-aperture 1.2 --immersion-index 1.33"
        note = run(f"{psf} --like in.ome.tif --channel 1 -o psf.tif")
        assert "emission_wavelength 0.61" in note
        image = read_image("psf.tif")
        assert image.spacing == pytest.approx(SPACING)
        assert image.provenance["microscope"]["emission_wavelength"] == pytest.approx(0.61)
        run(f"{psf} --like in.ome.tif --emission-wavelength 0.7 -o other.tif")
        assert read_image("other.tif").provenance["microscope"]["emission_wavelength"] == 0.7
        assert "channels 0 to 1" in run(f"{psf} --like in.ome.tif --channel 2 -o no.tif", 2)

    def test_a_saved_microscope_stands_in_for_the_options(self, run):
        scope = f"{SCOPE} --modality confocal --excitation-wavelength 0.488 --depth 3"
        array = "--shape 9 16 16 --spacing 0.2 0.1 0.1"
        run(f"psf gibson-lanni {scope} --no-evanescent {array} --save-microscope s.json -o a.tif")
        run("psf gibson-lanni --microscope s.json --shape 9 16 16 -o b.tif")
        run("psf --microscope s.json --shape 9 16 16 -o c.tif")
        first, second, third = (read_image(name) for name in ("a.tif", "b.tif", "c.tif"))
        np.testing.assert_array_equal(second.data, first.data)
        np.testing.assert_array_equal(third.data, first.data)
        assert second.spacing == pytest.approx((0.2, 0.1, 0.1))
        assert third.provenance["command"].startswith("napari-deconv psf --microscope")
        saved = json.loads(Path("s.json").read_text("utf-8"))
        assert saved["name"] == "s"
        assert saved["modality"] == "confocal"
        assert saved["microscope"]["depth"] == 3
        assert saved["parameters"] == {"evanescent": False}

    def test_options_and_image_overrule_a_saved_microscope(self, run):
        run(f"psf gaussian {SCOPE} --spacing 0.2 0.1 0.1 --save-microscope s.json -o a.tif")
        psf = "psf gaussian --microscope s.json --shape 9 16 16"
        run(f"{psf} --numerical-aperture 0.9 --spacing 0.3 0.2 0.2 -o b.tif")
        image = read_image("b.tif")
        assert image.spacing == pytest.approx((0.3, 0.2, 0.2))
        assert image.provenance["microscope"]["numerical_aperture"] == 0.9
        assert image.provenance["microscope"]["emission_wavelength"] == 0.52
        channel = Channel("red", emission_wavelength=0.61)
        data = np.ones((4, 8, 8), np.float32)
        write_image("in.ome.tif", data, axes="ZYX", spacing=(0.5, 0.1, 0.1), channels=[channel])
        run(f"{psf} --like in.ome.tif -o c.tif")
        image = read_image("c.tif")
        assert image.spacing == pytest.approx((0.5, 0.1, 0.1))
        assert image.provenance["microscope"]["emission_wavelength"] == pytest.approx(0.61)
        assert image.provenance["microscope"]["numerical_aperture"] == 1.2

    def test_a_saved_microscope_serves_another_model_and_a_plane(self, run):
        psf = f"psf gibson-lanni {SCOPE} --no-evanescent --spacing 0.2 0.1 0.1"
        run(f"{psf} --save-microscope s.json -o a.tif")
        run("psf gaussian --microscope s.json --shape 31 32 -o b.tif")
        image = read_image("b.tif")
        assert image.spacing == pytest.approx((0.1, 0.1))
        assert image.data.shape == (31, 32)

    def test_a_saved_microscope_is_kept(self, run):
        psf = f"psf gaussian {SCOPE} --spacing 0.2 0.1 0.1"
        run(f"{psf} --save-microscope s.json -o a.tif")
        before = Path("s.json").read_text("utf-8")
        assert "--overwrite" in run(f"{psf} --save-microscope s.json -o b.tif", 2)
        again = "psf --microscope s.json --save-microscope s.json --overwrite -o b.tif"
        assert "is the input" in run(again, 2)
        assert Path("s.json").read_text("utf-8") == before
        assert not Path("b.tif").exists()
        assert "no.json cannot be read" in run("psf --microscope no.json -o b.tif", 2)
        assert "--microscope" in run("psf --microscope", 2)
        Path("list.json").write_text("[]")
        assert "not a microscope's file" in run("psf --microscope list.json -o b.tif", 2)

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("psf", "gibson-lanni"),
            ("psf gibson-lany -o p.tif", "Did you mean gibson-lanni?"),
            ("psf gaussian -o p.tif --spacing 0.1 0.1", "--numerical-aperture and --emission"),
            (f"psf gaussian {SCOPE} -o p.tif", "voxel size is needed"),
            (f"psf gaussian {SCOPE} --spacing 0.1 -o p.tif", "spacing is (0.1,)"),
            (f"psf gaussian {SCOPE} --shape 9 --spacing 0.1 0.1 -o p.tif", "shape is (9,)"),
            (f"psf gaussian {SCOPE} --spacing 100 100 -o p.tif", "are these nanometres?"),
            (
                "psf gaussian --numerical-aperture 1.2 --emission-wavelength 520 "
                "--spacing 0.1 0.1 -o p.tif",
                "did you mean 0.52?",
            ),
            (
                "psf gaussian --numerical-aperture 1.4 --immersion-index 1.33 "
                "--emission-wavelength 0.52 --spacing 0.1 0.1 -o p.tif",
                "below immersion_index, which is 1.33",
            ),
            (f"psf gaussian {SCOPE} --modality radio --spacing 0.1 0.1 -o p.tif", "'radio'"),
            (f"psf gaussian {SCOPE} --spacing 0.1 0.1", "required: -o/--output"),
            (f"psf gaussian {SCOPE} --spacing 0.1 0.1 -o p.jpg", ".ome.zarr"),
        ],
    )
    def test_errors(self, run, tmp_path, line, words):
        assert words in run(line, 2)
        assert list(tmp_path.iterdir()) == []


class TestRestore:
    def test_is_what_python_makes(self, run, files, scene):
        from napari_deconv import restore

        image, psf, _ = scene
        run(f"{RL} --iterations 8 --acceleration biggs-andrews -o out.tif")
        options = {"iterations": 8, "acceleration": "biggs-andrews", "background": 100}
        expected = restore(image, "richardson-lucy", psf, threads=1, spacing=SPACING, **options)
        result = read_image("out.tif")
        np.testing.assert_allclose(result.data, expected, rtol=1e-4, atol=1e-3)
        assert result.dtype == np.float32
        assert result.spacing == pytest.approx(SPACING)

    @pytest.mark.parametrize("name", ["out.tif", "out.ome.tif", "out.ome.zarr"])
    def test_writes_provenance_into_the_file(self, run, files, name):
        run(f"{RL} --iterations 2 -o {name}")
        record = read_image(name).provenance
        assert record["command"] == f"napari-deconv {RL} --iterations 2 -o {name}"
        assert record["job"]["method"] == "richardson-lucy"
        assert record["job"]["parameters"]["iterations"] == 2

    def test_automatic_iterations_improve_the_image(self, run, files, scene):
        image, _, truth = scene
        text = run(f"{RL} --details d.json -o out.tif")
        details = json.loads((files / "d.json").read_text())
        assert 1 < details["statistics"][-1]["iteration"] <= details["iterations"]
        assert f"{details['iterations']} iterations" in text
        restored = read_image("out.tif").data

        def likeness(picture):
            return np.corrcoef(np.ravel(picture), truth.ravel())[0, 1]

        assert likeness(restored) > likeness(image) + 0.1

    def test_tells_progress_and_what_it_found(self, run, files):
        text = run(f"{RL} --iterations 3 -o out.tif")
        assert "in.tif: 12 x 32 x 36, 0.3 x 0.1 x 0.1 um, uint16" in text
        assert "3 iterations" in text
        assert " of 3" in text
        quiet = run(f"{RL} --iterations 3 --quiet -o out2.tif")
        assert quiet.count("\n") == 1

    def test_the_files_spacings_are_used(self, run, files, scene):
        """A PSF on a finer grid gives nearly what the PSF on the image's own grid gives."""
        run(f"{RL} --iterations 5 -o same.tif")
        scope = Microscope(numerical_aperture=1.2, immersion_index=1.33, emission_wavelength=0.52)
        fine = generate_psf(scope, (21, 41, 41), (0.15, 0.05, 0.05), model="gaussian")
        write_image("fine.tif", fine, axes="ZYX", spacing=(0.15, 0.05, 0.05))
        finer = RL.replace("psf.tif", "fine.tif")
        run(f"{finer} --iterations 5 -o fine_out.tif")
        # Told that its voxels are the image's, the same file is another, wider PSF.
        run(f"{finer} --psf-spacing 0.3 0.1 0.1 --iterations 5 -o wide.tif")
        same, resampled, wide = (
            read_image(name).data for name in ("same.tif", "fine_out.tif", "wide.tif")
        )

        def difference(one):
            return np.linalg.norm(one - same) / np.linalg.norm(same)

        assert difference(resampled) < 0.1
        assert difference(wide) > 3 * difference(resampled)

    def test_a_background_from_a_file(self, run, files, scene):
        run(f"{RL} --iterations 3 -o number.tif")
        write_image("bg.tif", np.full(scene[0].shape, 100), axes="ZYX")
        line = RL.replace("--background 100", "--background bg.tif")
        run(f"{line} --iterations 3 -o file.tif")
        np.testing.assert_allclose(
            read_image("file.tif").data, read_image("number.tif").data, rtol=1e-4, atol=1e-3
        )
        assert "bg.tif is the input" in run(f"{line} -o bg.tif --overwrite", 2)
        write_image("small.tif", np.ones((3, 4, 5)), axes="ZYX")
        assert "same" in run(f"{line.replace('bg.tif', 'small.tif')} -o no.tif", 2)
        assert "no file" in run(f"{line.replace('bg.tif', 'nothing')} -o no.tif", 2)

    def test_spacing_overrides_the_file(self, run, files):
        run(f"{RL} --spacing 0.6 0.2 0.2 --psf-spacing 0.6 0.2 0.2 --iterations 1 -o out.tif")
        assert read_image("out.tif").spacing == pytest.approx((0.6, 0.2, 0.2))

    def test_an_image_without_voxel_size(self, run, files, scene):
        write_image("plain.tif", scene[0], axes="ZYX")
        line = RL.replace("in.tif", "plain.tif")
        assert "has no voxel size" in run(f"{line} --iterations 1 -o out.tif")
        assert read_image("out.tif").spacing is None
        told = run(f"{line} --psf-spacing 1 1 1 --iterations 1 -o out2.tif", 2)
        assert "--spacing" in told

    def test_time_and_channels(self, run, files, scene):
        """Each stack of a series is restored as it would be alone, with its channel's PSF."""
        image, psf, _ = scene
        channels = [Channel("a", 0.5, "#00ff00"), Channel("b", 0.6, "#ff0000")]
        series = np.stack([[image, image // 2], [image // 3, image]])
        write_image(
            "s.ome.tif",
            series,
            axes="TCZYX",
            spacing=SPACING,
            channels=channels,
            time_interval=3,
        )
        write_image("wide.tif", psf[:, ::-1] ** 0.5, axes="ZYX", spacing=SPACING)
        options = "--background 100 --threads 1 --iterations 3"
        run(
            "restore richardson-lucy s.ome.tif --psf psf.tif --psf wide.tif "
            f"{options} -o o.ome.zarr"
        )
        result = read_image("o.ome.zarr")
        assert result.axes == "TCZYX"
        assert result.channels == read_image("s.ome.tif").channels
        assert result.time_interval == 3
        for time_point, channel, psf_name in ((0, 0, "psf.tif"), (1, 1, "wide.tif")):
            write_image(
                "one.tif",
                series[time_point, channel],
                axes="ZYX",
                spacing=SPACING,
                overwrite=True,
            )
            run(
                f"restore richardson-lucy one.tif --psf {psf_name} {options} "
                "-o alone.tif --overwrite"
            )
            np.testing.assert_allclose(
                result.data[time_point, channel], read_image("alone.tif").data, rtol=1e-4, atol=1e-2
            )
        # One file may hold both PSFs.
        both = np.stack([psf, psf[:, ::-1] ** 0.5])
        write_image("both.tif", both, axes="CZYX", spacing=SPACING)
        run(f"restore richardson-lucy s.ome.tif --psf both.tif {options} -o o2.ome.zarr")
        np.testing.assert_array_equal(read_image("o2.ome.zarr").data[:], result.data[:])
        told = run("restore wiener in.tif --psf both.tif -o no.tif", 2)
        assert "2 PSFs were given, but in.tif has 1 channel" in told

    def test_a_film_of_planes(self, run, files, scene):
        image, psf, _ = scene
        write_image("film.tif", image, axes="TYX", spacing=SPACING[1:])
        write_image("flat.tif", psf[5], axes="YX", spacing=SPACING[1:])
        told = run("restore wiener film.tif --psf psf.tif -o no.tif", 2)
        assert "three dimensions" in told
        run("restore wiener film.tif --psf flat.tif --threads 1 -o out.tif")
        assert read_image("out.tif").axes == "TYX"

    @pytest.mark.parametrize("dtype", ["uint8", "float16", ">u2", ">f8", "bool", "int32"])
    def test_dtypes_simply_work(self, run, files, scene, dtype):
        image = scene[0] > 130 if dtype == "bool" else (scene[0] // 4).astype(dtype)
        tifffile.imwrite("d.tif", image, metadata={"axes": "ZYX"})
        run("restore wiener d.tif --psf psf.tif --spacing 0.3 0.1 0.1 --threads 1 -o out.tif")
        assert np.isfinite(read_image("out.tif").data).all()

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("restore", "comes first"),
            ("restore in.tif --psf psf.tif", "no method 'in.tif'"),
            ("restore richardson-lucie in.tif -o o.tif", "Did you mean richardson-lucy?"),
            ("restore richardson-lucy in.tif -o o.tif", "needs a point spread function"),
            ("restore richardson-lucy im.tif --psf psf.tif -o o.tif", "Did you mean in.tif?"),
            ("restore richardson-lucy in.tif --psf pfs.tif -o o.tif", "no file pfs.tif"),
            (f"{RL} -o in.tif --overwrite", "in.tif is the input"),
            (f"{RL} -o psf.tif --overwrite", "psf.tif is the input"),
            (f"{RL} -o truth.tif", "exists already"),
            (f"{RL} -o no/o.tif", "There is no folder"),
            (f"{RL} -o o.png", "written as .tif"),
            (f"{RL} -o o.tif --details o.tif", "same name"),
            (f"{RL} -o o.tif --details in.tif --overwrite", "is the input"),
            (f"{RL} -o o.tif --iterations 0", "between 1 and"),
            (f"{RL} -o o.tif --iterations many", "whole number"),
            (f"{RL} -o o.tif --acceleration warp", "none, biggs-andrews, nesterov"),
            (f"{RL} -o o.tif --iteration 3", "Did you mean --iterations?"),
            (f"{RL} -o o.tif --spacing 0.1 0.1 0.1 0.1", "--spacing has 4 numbers"),
            (f"{RL} -o o.tif --axes QYX", "Z, each once"),
            (
                "restore wiener in.tif --psf psf.tif -o o.tif --iterations 3",
                "no option --iterations",
            ),
        ],
    )
    def test_errors_in_one_line_and_nothing_written(self, run, files, line, words, monkeypatch):
        from napari_deconv.engine import Job

        # Everything is told before the work, not after an hour of it.
        monkeypatch.setattr(Job, "steps", lambda _: pytest.fail("the job was started"))
        before = {path.name: path.read_bytes() for path in files.iterdir()}
        assert words in run(line, 2)
        assert {path.name: path.read_bytes() for path in files.iterdir()} == before

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda image: np.where(image > image.mean(), np.nan, image), "not finite"),
            (lambda image: np.zeros_like(image), "constant|all zero|nothing"),
            (lambda image: image[0, 0], "YX"),
        ],
    )
    def test_images_that_cannot_be(self, run, files, scene, change, words):
        changed = change(scene[0].astype(np.float32))
        if changed.ndim == 1:
            tifffile.imwrite("bad.tif", np.zeros((8, 9, 3), np.uint8), photometric="rgb")
            words = "colour"
        else:
            write_image("bad.tif", changed, axes="ZYX", spacing=SPACING)
        import re

        told = run(f"{RL.replace('in.tif', 'bad.tif')} --iterations 2 -o o.tif", 2)
        assert re.search(words, told)
        assert not (files / "o.tif").exists()

    @pytest.mark.parametrize(
        "psf", [np.zeros((5, 7, 7)), np.full((5, 7, 7), np.nan), -np.ones((5, 7, 7))]
    )
    def test_psfs_that_cannot_be(self, run, files, psf):
        write_image("bad.tif", psf, axes="ZYX", spacing=SPACING)
        told = run(f"{RL.replace('psf.tif', 'bad.tif')} --iterations 2 -o o.tif", 2)
        assert "PSF" in told
        assert not (files / "o.tif").exists()

    def test_a_psf_larger_than_the_image(self, run, files, scene):
        write_image("small.tif", scene[0][:6, :14, :15], axes="ZYX", spacing=SPACING)
        run(f"{RL.replace('in.tif', 'small.tif')} --iterations 2 -o o.tif")
        assert read_image("o.tif").data.shape == (6, 14, 15)

    def test_overwrite(self, run, files):
        run(f"{RL} --iterations 1 -o o.tif")
        first = read_image("o.tif").data
        run(f"{RL} --iterations 2 -o o.tif", 2)
        np.testing.assert_array_equal(read_image("o.tif").data, first)
        run(f"{RL} --iterations 2 -o o.tif --overwrite")
        assert (read_image("o.tif").data != first).any()

    def test_a_full_disk(self, run, files, monkeypatch):
        import errno

        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(tifffile.FileHandle, "write_array", full)
        monkeypatch.setattr(tifffile.FileHandle, "write", full)
        assert "no space left on the disk" in run(f"{RL} --iterations 1 -o o.tif", 2)
        assert sorted(path.name for path in files.iterdir()) == ["in.tif", "psf.tif", "truth.tif"]

    def test_copy_as_command_gives_the_same_result(self, run, files):
        line = restore_command(
            "richardson-lucy",
            "in.tif",
            "it's out.tif",
            psf="psf.tif",
            background=100.0,
            iterations=3,
            threads=1,
            spacing=None,
            tiles=(12, 16, 36),
        )
        assert line.startswith("napari-deconv restore richardson-lucy in.tif --psf psf.tif ")
        run(line.removeprefix("napari-deconv "))
        assert read_image("it's out.tif").provenance["job"]["parameters"]["background"] == 100
        with pytest.raises(errors.ParameterError, match="no parameter"):
            restore_command("wiener", "a.tif", "b.tif", iteration=3)


class TestBackground:
    def test_is_subtracted_and_saved(self, run, tmp_path):
        from napari_deconv import estimate_background

        y, x = np.mgrid[:80, :90] / 90
        rng = np.random.default_rng(0)
        data = rng.poisson(100 + 200 * y + 50 * np.sin(3 * x)).astype(np.uint16)
        write_image("in.tif", data, axes="YX", spacing=(0.1, 0.1))
        told = run("background in.tif --level 4 -o out.tif --save-background bg.tif")
        assert f"{data.mean():.4g}" in told
        background = estimate_background(data, level=4)
        np.testing.assert_array_equal(read_image("bg.tif").data, background)
        np.testing.assert_array_equal(read_image("out.tif").data, data - background)
        assert read_image("out.tif").spacing == pytest.approx((0.1, 0.1))
        assert read_image("bg.tif").provenance["parameters"] == {"level": 4}

    def test_warns_in_one_line(self, run, tmp_path):
        write_image("in.tif", np.random.default_rng(0).random((20, 20)), axes="YX")
        with warnings.catch_warnings():
            told = run("background in.tif -o out.tif")
        assert "napari-deconv: note: Planes of 20 x 20 pixels are too small" in told

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ("-o in.tif --overwrite", "is the input"),
            ("-o out.tif --save-background in.tif --overwrite", "is the input"),
            ("-o out.tif --save-background out.tif", "same name"),
            ("-o out.tif --level 0", "between 1 and"),
            ("-o out.tif --spacing 1 1 1", "3 numbers"),
            ("-o out.tif --axes ZYX", "names 3"),
        ],
    )
    def test_errors(self, run, tmp_path, options, words):
        write_image("in.tif", np.random.default_rng(0).random((20, 20)), axes="YX")
        assert words in run(f"background in.tif {options}", 2)
        assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


class TestSimulateAndAssess:
    def test_simulate_is_what_python_makes(self, run, files, scene):
        from napari_deconv import simulate

        _, psf, truth = scene
        run("simulate truth.tif --psf psf.tif --photons 50 --seed 3 -o y.tif")
        image = read_image("y.tif")
        np.testing.assert_array_equal(image.data, simulate(truth, psf, photons=50, seed=3))
        assert image.dtype == np.uint16
        assert image.spacing == pytest.approx(SPACING)

    def test_simulate_refuses_another_voxel_size(self, run, files, scene):
        write_image("other.tif", scene[1], axes="ZYX", spacing=(0.2, 0.1, 0.1))
        told = run("simulate truth.tif --psf other.tif -o y.tif", 2)
        assert "different voxel sizes" in told
        assert "photons" in run("simulate truth.tif --psf psf.tif --photons 0 -o y.tif", 2)

    def test_assess_is_what_python_tells(self, run, files, scene):
        from napari_deconv import assess

        image, psf, truth = scene
        text = run(
            "assess in.tif --reference truth.tif --data in.tif --psf psf.tif --background 100 "
            "--spot 6 16 18 --details d.json"
        )
        expected = assess(
            image,
            truth,
            data=image,
            psf=psf,
            background=100,
            spot=(6, 16, 18),
            spacing=read_image("in.tif").spacing,
        )
        assert str(expected) in text
        (figures,) = json.loads((files / "d.json").read_text())["figures"]
        assert figures["psnr"] == pytest.approx(expected.psnr)

    def test_assess_each_of_a_series(self, run, tmp_path):
        data = np.random.default_rng(0).random((2, 2, 12, 12))
        write_image("s.tif", data, axes="TCYX", spacing=(0.1, 0.1))
        text = run("assess s.tif --reference s.tif")
        for name in ("time 0, channel 0:", "time 1, channel 1:"):
            assert name in text
        write_image("t.tif", data[:1], axes="TCYX")
        assert "have to be the same" in run("assess s.tif --reference t.tif", 2)


class TestErrors:
    def test_unknown_command(self, run):
        told = run("restor in.tif", 2)
        assert "no command 'restor'" in told
        assert "Did you mean restore?" in told

    def test_a_defect_is_one_line_too(self, run, files, monkeypatch):
        import napari_deconv.background

        def fail(*_, **__):
            raise ZeroDivisionError("oops")

        monkeypatch.setattr(napari_deconv.background, "estimate_offset", fail)
        told = run("background in.tif --method constant -o o.tif", 1)
        assert told.splitlines()[-1].startswith("napari-deconv: Something went wrong")
        assert "ZeroDivisionError: oops" in told
        with pytest.raises(ZeroDivisionError):
            main(shlex.split("--debug background in.tif --method constant -o o.tif"))

    def test_a_job_that_fails_is_status_1(self, run, files, monkeypatch):
        from napari_deconv.engine import Job

        def fail(self):
            raise errors.JobError("There is not enough memory.")
            yield

        monkeypatch.setattr(Job, "steps", fail)
        assert "not enough memory" in run(f"{RL} -o o.tif", 1)

    def test_no_memory(self, run, files, monkeypatch):
        import napari_deconv.background

        def fail(*_, **__):
            raise MemoryError

        monkeypatch.setattr(napari_deconv.background, "estimate_offset", fail)
        told = run("background in.tif --method constant -o o.tif", 1)
        assert "not enough memory" in told

    def test_a_closed_pipe_is_no_error(self):
        code = "import sys; from napari_deconv.cli import main; sys.exit(main(['methods']))"
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        errors_told = process.stderr.read().decode()
        process.stderr.close()
        assert process.wait() == 0
        assert errors_told == ""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize("name", ["out.tif", "out.ome.zarr"])
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(files, which, name):
    """Ctrl-C, or a batch system's end: status 130, and nothing but the inputs is left."""
    words = [*shlex.split(RL), "--iterations", "10000", "-o", name]
    code = f"import sys; from napari_deconv.cli import main; sys.exit(main({words!r}))"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code],
        cwd=files,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            if "of 10000" in line:
                break
        start = time.perf_counter()
        process.send_signal(which)
        told = process.stderr.read()
        assert process.wait() == 130
        assert time.perf_counter() - start < 10
    assert "Interrupted; nothing was written." in told
    assert "Traceback" not in told
    assert sorted(path.name for path in files.iterdir()) == ["in.tif", "psf.tif", "truth.tif"]
