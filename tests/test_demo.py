"""The demo's gain is real, its picture shows it, and it ends where there is no screen."""

import re
import subprocess
import sys
import time

import numpy as np
import pytest

from napari_deconv import demo as demo_module
from napari_deconv.cli import main
from napari_deconv.demo import draw, has_screen, run_demo


@pytest.fixture(scope="module")
def demo():
    start = time.process_time()
    result = run_demo(threads=1)
    # Point of the figures: a minute on two cores is kept with all of it on one.
    assert time.process_time() - start < 60
    return result


def test_the_gain_is_real(demo):
    figures = demo.figures
    assert figures["psnr"]["restored"] > figures["psnr"]["blurred"] + 6
    assert figures["ssim"]["restored"] > figures["ssim"]["blurred"] + 0.03
    for name in ("fwhm_xy", "fwhm_z"):
        width = figures[name]
        assert width["blurred"] > 1.5 * width["truth"]
        error = abs(width["restored"] - width["truth"])
        assert error < 0.25 * abs(width["blurred"] - width["truth"])


def test_iterations_are_found_from_the_data(demo):
    assert "held-out" in demo.details.stopped_because
    assert 20 < demo.details.iterations < 500


def test_the_image_has_the_truths_place_and_intensity(demo):
    restored, truth = demo.restored, demo.sample.truth
    assert np.corrcoef(restored.ravel(), truth.ravel())[0, 1] > 0.9
    assert restored.sum() == pytest.approx(truth.sum(), rel=0.1)


def test_the_table_holds_the_figures(demo):
    numbers = re.findall(r"\d+\.\d+", str(demo))
    assert len(numbers) == 10
    assert f"{demo.figures['psnr']['restored']:.2f}" in numbers


def test_the_picture_shows_three_columns_of_two_views(demo, tmp_path):
    from PIL import Image

    path = draw(demo, tmp_path / "demo.png")
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        pixels = np.asarray(picture.convert("L"), dtype=float)
    above = slice(demo_module._TOP + 20, demo_module._TOP + demo_module._PANEL - 40)
    shares = []
    for column in range(3):
        left = demo_module._MARGIN + column * (demo_module._PANEL + demo_module._GAP)
        panel = pixels[above, left + 60 : left + demo_module._PANEL]
        assert panel.std() > 20  # something is to be seen
        shares.append((panel > 30).mean())
    # The haze is gone: most of the restored view is as dark as the truth.
    blurred, restored, truth = shares
    assert blurred > 2 * restored
    assert restored < 2.5 * truth
    assert [entry.name for entry in tmp_path.iterdir()] == ["demo.png"]


class TestShell:
    @pytest.fixture
    def shell(self, demo, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(demo_module, "run_demo", lambda **_: demo)

        def run(*words):
            status = main(["demo", *words])
            out, err = capsys.readouterr()
            return status, out, err

        return run

    def test_without_a_screen(self, shell, demo, tmp_path, monkeypatch):
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(demo_module, "has_screen", lambda: False)
        for _ in range(2):  # its own picture is replaced when it is run again
            status, out, _ = shell()
            assert status == 0
            assert str(demo) in out
            assert f"{demo.details.iterations} iterations" in out
            assert "picture: napari-deconv-demo.png" in out
            assert "No screen" in out
            assert (tmp_path / "napari-deconv-demo.png").stat().st_size > 50_000

    def test_no_viewer_asks_for_no_screen(self, shell, monkeypatch):
        monkeypatch.setattr(demo_module, "has_screen", lambda: pytest.fail("asked for a screen"))
        assert shell("--no-viewer")[0] == 0

    def test_opens_napari_where_there_is_a_screen(self, shell, demo, monkeypatch):
        shown = []
        monkeypatch.setattr(demo_module, "has_screen", lambda: True)
        monkeypatch.setattr(
            "napari_deconv.widgets.demo_viewer.show_images", lambda *given: shown.append(given)
        )
        assert shell()[0] == 0
        ((images, spacing, records),) = shown
        assert list(images) == ["blurred", "restored", "truth"]
        assert images["restored"] is demo.restored
        assert spacing == demo.sample.spacing
        assert records["restored"]["method"] == "richardson-lucy"

    def test_other_names_for_the_picture(self, shell, tmp_path):
        assert shell("-o", "other.png", "--no-viewer")[0] == 0
        status, _, err = shell("-o", "other.png", "--no-viewer")
        assert status == 2
        assert "--overwrite" in err
        assert shell("-o", "other.png", "--overwrite", "--no-viewer")[0] == 0
        assert shell("-o", "other.jpg")[0] == 2
        assert shell("-o", "no/other.png")[0] == 2


class TestScreen:
    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is one")
    def test_no_display(self, monkeypatch):
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("no need to try"))
        assert not has_screen()

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X11")
    def test_a_display_that_does_not_answer(self, monkeypatch):
        """Qt would end this very process with an abort."""
        monkeypatch.setenv("DISPLAY", ":987")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
        assert not has_screen()

    def test_a_screen(self, monkeypatch):
        pytest.importorskip("qtpy.QtWidgets")
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
        assert has_screen()
