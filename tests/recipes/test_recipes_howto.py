"""The how-to for recipes does what it says: its recipes are read, its commands run."""

import re
import shlex
from pathlib import Path

import numpy as np

from napari_deconv.cli import main
from napari_deconv.io import Channel, read_image, write_image

TEXT = (Path(__file__).parent.parent.parent / "docs/howto/batch.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_recipes_commands_and_python(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    random = np.random.default_rng(0)
    for name in ("t1", "t2"):
        image = random.poisson(120, (8, 32, 36)).astype(np.uint16)
        write_image(f"data/{name}.tif", image, axes="ZYX", spacing=(0.3, 0.1, 0.1))
    one, two = blocks("yaml")
    Path("recipe.yaml").write_text(one)
    commands = [shlex.split(line)[1:] for line in "".join(blocks("sh")).splitlines()]
    assert len(commands) == 4
    for words in commands:
        assert main(words) == 0, capsys.readouterr()
    told = capsys.readouterr().out
    assert "2 there already" in told
    assert told.count("2 restored") == 2
    (python,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(python, "batch.md", "exec"), names)
    assert names["report"].status == "restored"

    Path("recipe.yaml").write_text(two)
    image = random.poisson(120, (2, 8, 32, 36)).astype(np.uint16)
    channels = [Channel("DAPI"), Channel("GFP")]
    write_image("two.tif", image, axes="CZYX", spacing=(0.3, 0.1, 0.1), channels=channels)
    assert main(["run", "recipe.yaml", "two.tif", "-o", "out.ome.zarr"]) == 0
    assert read_image("out.ome.zarr").channel_names == ("DAPI", "GFP")
