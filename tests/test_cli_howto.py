"""The how-to for the shell does what it says: every command of it is run, in its order."""

import re
import shlex
from pathlib import Path

import numpy as np

from napari_deconv import generate_psf, simulate
from napari_deconv.cli import main
from napari_deconv.io import read_image, write_image
from napari_deconv.optics import Microscope

TEXT = (Path(__file__).parent.parent / "docs/howto/shell.md").read_text("utf-8")
SPACING = (0.3, 0.1, 0.1)


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return [shlex.split(line)[1:] for line in "".join(blocks).splitlines()]


def test_commands_in_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scope = Microscope(numerical_aperture=1.2, immersion_index=1.33, emission_wavelength=0.52)
    psf = generate_psf(scope, (7, 15, 15), SPACING, model="gaussian")
    truth = np.zeros((8, 40, 44), np.float32)
    truth[tuple(np.random.default_rng(0).integers(2, (6, 38, 42), (12, 3)).T)] = 100
    image = simulate(truth, psf, photons=200)
    write_image("truth.tif", truth, axes="ZYX", spacing=SPACING)
    write_image("cells.tif", image, axes="ZYX", spacing=SPACING)
    write_image("green.tif", psf, axes="ZYX", spacing=SPACING)
    write_image("red.tif", psf[:, ::-1], axes="ZYX", spacing=SPACING)
    write_image("series.ome.zarr", np.stack([[image, image]] * 2), axes="TCZYX", spacing=SPACING)
    write_image("film.tif", image, axes="ZYX", spacing=SPACING)
    write_image("plane-psf.tif", psf[3], axes="YX", spacing=SPACING[1:])
    assert len(commands()) >= 12
    for words in commands():
        more = ["--threads", "1"] if words[0] == "restore" and "--help" not in words else []
        assert main([*words, *more]) == 0, (words, capsys.readouterr().err)
    for name in re.findall(r"-o ([\w-]+\.[\w.-]+)", TEXT):
        assert read_image(name).spacing is not None
    assert read_image("film-restored.tif").axes == "TYX"
    assert read_image("series-restored.ome.zarr").axes == "TCZYX"
