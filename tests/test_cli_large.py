"""The shell writes large results as it makes them, and takes up what was interrupted."""

import numpy as np
import pytest

import napari_deconv as nd
from napari_deconv.cli import main
from napari_deconv.cli import restore as command
from napari_deconv.engine.streaming import unfinished_blocks
from napari_deconv.io import read_image, write_image
from problems import gaussian_psf, photographed, spots

PSF = gaussian_psf((5, 9, 9), (1.0, 1.4, 1.4)).astype(np.float32)
STACK = np.tile(photographed(spots((10, 120, 132), count=60), PSF), (1, 2, 3))
SPACING = (0.2, 0.1, 0.1)


@pytest.fixture
def words(tmp_path):
    write_image(tmp_path / "in.ome.zarr", STACK, axes="ZYX", spacing=SPACING)
    write_image(tmp_path / "psf.tif", PSF, axes="ZYX", spacing=SPACING)
    return [
        *("restore", "richardson-lucy", str(tmp_path / "in.ome.zarr")),
        *("--psf", str(tmp_path / "psf.tif"), "--iterations", "3", "--gain", "1"),
        *("--tiles", "10", "128", "132", "--memory-limit", "0.01", "-o"),
    ]


@pytest.mark.parametrize("name", ["out.ome.zarr", "out.tif"])
def test_what_was_interrupted_is_taken_up(words, tmp_path, name, monkeypatch, capsys):
    show = command.Progress.show

    def interrupt(self, step):
        show(self, step)
        if step.fraction > 0.5:
            raise KeyboardInterrupt

    path = tmp_path / name
    monkeypatch.setattr(command.Progress, "show", interrupt)
    assert main([*words, str(path)]) == 130
    assert "go on" in capsys.readouterr().err
    done, count = unfinished_blocks(path)
    assert 0 < done < count == 6
    monkeypatch.undo()
    assert main([*words, str(path)]) == 0
    assert f"{done} of 6 blocks are done" in capsys.readouterr().err
    found = read_image(path)
    options = {"iterations": 3, "gain": 1.0, "tiles": (10, 128, 132), "spacing": SPACING}
    expected = nd.restore(STACK, "richardson-lucy", PSF, **options)
    np.testing.assert_array_equal(found.data, expected)
    assert found.spacing == pytest.approx(SPACING)
    assert "restore richardson-lucy" in found.provenance["command"]
    assert found.provenance["job"]["iterations"] == 3
    assert main([*words, str(path)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_other_settings_do_not_go_on_with_it(words, tmp_path, monkeypatch, capsys):
    def interrupt(self, step):
        if step.fraction > 0.3:
            raise KeyboardInterrupt

    path = str(tmp_path / "out.ome.zarr")
    monkeypatch.setattr(command.Progress, "show", interrupt)
    assert main([*words, path]) == 130
    monkeypatch.undo()
    changed = [word if word != "3" else "4" for word in words]
    assert main([*changed, path]) == 2
    assert "iterations 3 there, 4 here" in capsys.readouterr().err
    assert main([*changed, path, "--overwrite"]) == 0
    assert read_image(path).provenance["job"]["parameters"]["iterations"] == 4
