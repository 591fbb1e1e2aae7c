"""README and tutorials do what they say: their commands are run, their pictures are there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_deconv.cli import main

# The image is small for the background's wavelets and for the PSF, and is told so.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Planes of:UserWarning", "ignore:The PSF:UserWarning"
)

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
IMAGES = "https://raw.githubusercontent.com/napari-deconv/napari-deconv/main/"


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder_with_an_image(tmp_path, monkeypatch):
    """A folder with in.tif, a small stack of one bright bar."""
    image = np.full((12, 48, 48), 100, np.uint16)
    image[5:7, 20:28, 10:38] = 400
    tifffile.imwrite(tmp_path / "in.tif", image)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_shell_commands_of_the_readme_work(folder_with_an_image) -> None:
    lines = "".join(code_blocks(README, "sh")).splitlines()
    commands = [line for line in lines if line.startswith("napari-deconv ")]
    assert len(commands) >= 4
    Path("data").mkdir()
    shutil.copy("in.tif", "data")
    recipe = "napari-deconv recipe: 1\nmethod: wiener\npsf: psf.tif\n"
    Path("recipe.yaml").write_text(recipe, "utf-8")
    for command in commands:
        assert not main(shlex.split(command)[1:]), command
    assert tifffile.imread("out.tif").shape == (12, 48, 48)
    assert tifffile.imread("restored/in-restored.ome.tif").shape == (12, 48, 48)


def test_python_of_the_readme_works(folder_with_an_image) -> None:
    (block,) = code_blocks(README, "python")
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["out"].shape == (12, 48, 48)


def test_python_tutorial_works(capsys) -> None:
    text = (ROOT / "docs/tutorials/python.md").read_text("utf-8")
    names: dict[str, object] = {}
    exec(compile("\n".join(code_blocks(text, "python")), "python.md", "exec"), names)
    truth, image, out = (np.asarray(names[name], float) for name in ("truth", "image", "out"))
    # The likeness to the truth grows, whatever the unit of either.
    assert (
        np.corrcoef(truth.ravel(), out.ravel())[0, 1]
        > 1.05 * (np.corrcoef(truth.ravel(), image.ravel())[0, 1])
    )


def test_the_check_runs_the_readmes_commands_and_ends_with_the_tests() -> None:
    lines = [line.strip() for line in (ROOT / ".ci/run").read_text("utf-8").splitlines()]
    told = "".join(code_blocks(README, "sh")).splitlines()
    commands = [line for line in told if line.startswith("python3 scripts/")]
    assert len(commands) == 2
    assert set(commands) <= set(lines)
    assert lines[-1] == commands[-1]


def test_pictures_of_the_readme_are_absolute_and_there() -> None:
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert pictures
    for picture in pictures:
        assert picture.startswith(IMAGES)
        assert (ROOT / picture.removeprefix(IMAGES)).stat().st_size > 20_000


def test_links_of_the_readme_are_absolute() -> None:
    links = re.findall(r"\]\((.*?)\)", README)
    assert not [link for link in links if not link.startswith("https://")]


def test_system_libraries_are_told_in_full() -> None:
    script = (ROOT / "scripts/bootstrap.py").read_text("utf-8")
    (block,) = re.findall(r"^QT_PACKAGES = \[(.*?)\]", script, re.MULTILINE | re.DOTALL)
    told = (ROOT / "docs/howto/install.md").read_text("utf-8")
    assert all(name in told for name in re.findall(r'"(.*?)"', block))
