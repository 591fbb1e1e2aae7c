"""Who may know whom: read from the imports, and from what a fresh Python has loaded."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import napari_deconv

ROOT = Path(napari_deconv.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# Only widgets/ may know these.
SCREEN = {
    "qtpy",
    "PyQt5",
    "PyQt6",
    "PySide6",
    "napari",
    "magicgui",
    "superqt",
    "pyqtgraph",
    "vispy",
}
# Paid for when a job runs, never while napari reads the manifest or the shell prints its help.
HEAVY = {
    "torch",
    "scipy",
    "pywt",
    "zarr",
    "dask",
    "distributed",
    "yaml",
    "tifffile",
    "imagecodecs",
    "PIL",
    "skimage",
}

EVERYONES = {"errors", "parameters", "registry", "arrays", "sharing", "compiling"}
FOUNDATION = {"optics", "operators", "networks", "background", "simulation", "assessment"}
# What each room may import besides itself and what is everyone's.
MAY_KNOW = {
    "errors": set(),
    "parameters": set(),
    "registry": set(),
    "arrays": set(),
    "sharing": set(),
    "compiling": set(),
    "optics": set(),
    "operators": set(),
    "networks": set(),
    "background": set(),
    "assessment": {"background", "simulation"},
    "simulation": {"optics", "operators"},
    "io": set(),
    "identification": FOUNDATION,
    "training": FOUNDATION | {"identification", "methods"},
    "methods": FOUNDATION | {"identification"},
    "engine": FOUNDATION | {"identification", "methods", "io"},
    "demo": FOUNDATION | {"engine", "io", "widgets"},
    "recipes": FOUNDATION | {"engine", "io"},
    "cli": FOUNDATION | {"engine", "identification", "io", "demo", "training", "recipes"},
    "widgets": FOUNDATION | {"engine", "identification", "io", "cli", "recipes", "training"},
    "": FOUNDATION | {"engine", "identification"},  # the public interface
}


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """Return (dotted name, line, whether it is paid for at import) of every import of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = set()
    for node in ast.walk(tree):
        type_checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if type_checking or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            body = node.body if isinstance(node.body, list) else [node.body]
            inside |= {id(child) for part in body for child in ast.walk(part)}
    package = ["napari_deconv", *path.relative_to(ROOT).parent.parts]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [module] + [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        found += [(name, node.lineno, id(node) not in inside) for name in names]
    return found


def each_import(path: Path) -> list[str]:
    return [f"{path.relative_to(ROOT)}:{line} {name}" for name, line, _ in imports(path)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
class TestImports:
    def test_only_widgets_know_the_screen(self, path):
        if room_of(path) == "widgets":
            return
        guilty = [text for text in each_import(path) if text.split()[1].split(".")[0] in SCREEN]
        assert guilty == []

    def test_arrows_run_one_way(self, path):
        room = room_of(path)
        assert room in MAY_KNOW, f"a new room {room!r}: say in this test whom it may know"
        known = MAY_KNOW[room] | EVERYONES | {room}
        guilty = []
        for name, line, _ in imports(path):
            parts = name.split(".")
            ours = parts[0] == "napari_deconv" and len(parts) > 1
            if ours and parts[1] in MAY_KNOW and parts[1] not in known:
                guilty.append(f"{path.relative_to(ROOT)}:{line} {name}")
        assert guilty == []

    def test_nothing_heavy_at_import(self, path):
        allowed = {"torch"} if room_of(path) in ("networks", "training") else set()
        guilty = [
            f"{path.relative_to(ROOT)}:{line} {name}"
            for name, line, at_import in imports(path)
            if at_import and name.split(".")[0] in HEAVY - allowed
        ]
        assert guilty == []


def test_the_reader_of_imports_sees_them_all(tmp_path, monkeypatch):
    """The test's own eye: a function's import counts, but is not paid for at import."""
    monkeypatch.setattr("test_import_rules.ROOT", tmp_path)
    path = tmp_path / "optics" / "x.py"
    path.parent.mkdir()
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "import torch.fft\n"
        "from ..engine import job\n"
        "if TYPE_CHECKING:\n    import zarr\n"
        "def f():\n    from napari.layers import Image\n"
        "class A:\n    import scipy\n"
    )
    found = {name: at_import for name, _, at_import in imports(path)}
    assert found["torch.fft"]
    assert found["napari_deconv.engine"]
    assert found["scipy"]
    assert found["zarr"] is False
    assert found["napari.layers"] is False


SHELL = "from napari_deconv.cli import main; main({!r})"
START_UPS = {
    "import napari_deconv": "import napari_deconv",
    "import everything": "from napari_deconv import *",
    "--help": SHELL.format(["--help"]),
    "methods": SHELL.format(["methods"]),
    "restore METHOD --help": SHELL.format(["restore", "richardson-lucy", "--help"]),
    "psf MODEL --help": SHELL.format(["psf", "gibson-lanni", "--help"]),
    "background --help": SHELL.format(["background", "--help"]),
    "run --help": SHELL.format(["run", "--help"]),
    "assess --help": SHELL.format(["assess", "--help"]),
}


@pytest.mark.parametrize("name", START_UPS)
def test_start_is_light(name):
    report = (
        "import sys, atexit; atexit.register(lambda: print('\\n' + ' '.join(sorted("
        "{name.split('.')[0] for name in sys.modules}))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", report + START_UPS[name]], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "napari_deconv" in loaded
    assert loaded & (SCREEN | HEAVY) == set()


@pytest.mark.parametrize("name", [name for name in START_UPS if name != "import everything"])
def test_start_is_fast(name):
    """Under half a second of the processor's time, Python's own start included."""
    # As on a user's machine, where what was compiled once is kept.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", START_UPS[name]]
    seconds = []
    for _ in range(5):
        before = os.times()
        subprocess.run(command, capture_output=True, check=True, env=environment)
        after = os.times()
        user = after.children_user - before.children_user
        seconds.append(user + after.children_system - before.children_system)
        if seconds[-1] < 0.5:
            break
    assert min(seconds) < 0.5
