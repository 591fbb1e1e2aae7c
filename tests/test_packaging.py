"""What is shipped: the manifest on the installed distribution, the metadata, the versions."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib import import_module
from importlib.metadata import metadata, packages_distributions
from pathlib import Path

import pytest
import yaml
from npe2 import PluginManifest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MANIFEST = PluginManifest.from_distribution("napari-deconv")
CONTRIBUTIONS = MANIFEST.contributions
COMMANDS = {command.id: command for command in CONTRIBUTIONS.commands or []}


def test_manifest_has_the_name_that_people_see() -> None:
    assert MANIFEST.name == PROJECT["name"] == "napari-deconv"
    assert MANIFEST.display_name == "Deconvolution"
    assert MANIFEST.is_visible


@pytest.mark.gui
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_command_leads_to_something_that_can_be_called(command) -> None:
    module, name = command.python_name.split(":")
    assert callable(getattr(import_module(module), name))


def test_each_command_is_a_dock_or_a_sample() -> None:
    docks = [widget.command for widget in CONTRIBUTIONS.widgets or []]
    samples = [sample.command for sample in CONTRIBUTIONS.sample_data or []]
    assert sorted(docks + samples) == sorted(COMMANDS)


def test_docks_have_their_names() -> None:
    names = {widget.command: widget.display_name for widget in CONTRIBUTIONS.widgets or []}
    assert names == {
        "napari-deconv.psf": "PSF",
        "napari-deconv.background": "Background",
        "napari-deconv.deconvolution": "Deconvolution",
        "napari-deconv.cider": "CiDeR",
        "napari-deconv.lucyd": "LUCYD",
        "napari-deconv.deep_blur": "Deep-Blur",
    }


def test_each_dock_is_in_the_menu() -> None:
    menus = CONTRIBUTIONS.menus
    (entry,) = menus["napari/layers/filter"]
    listed = {item.command for item in menus[entry.submenu]}
    assert listed == {widget.command for widget in CONTRIBUTIONS.widgets or []}
    assert entry.submenu in {submenu.id for submenu in CONTRIBUTIONS.submenus or []}


def test_each_preference_is_read_somewhere() -> None:
    manifest = yaml.safe_load((ROOT / "src/napari_deconv/napari.yaml").read_text("utf-8"))
    sources = "\n".join(
        path.read_text("utf-8") for path in (ROOT / "src/napari_deconv/widgets").rglob("*.py")
    )
    for section, configuration in manifest["contributions"]["configurations"].items():
        assert re.search(rf"\b{section}\b", sources)
        for name in configuration["properties"]:
            assert re.search(rf"\b{name}\b", sources), name


def test_one_version_everywhere() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    newest = re.search(r"^## \[(.+?)\] - \S+$", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == PROJECT["version"] == citation["version"]
    assert metadata("napari-deconv")["Version"] == PROJECT["version"]


def test_metadata_as_the_hub_wants_it() -> None:
    installed = metadata("napari-deconv")
    assert "Framework :: napari" in installed.get_all("Classifier")
    assert installed["License-Expression"] == "BSD-3-Clause"
    assert installed["Requires-Python"] == ">=3.11"
    urls = {line.split(",")[0] for line in installed.get_all("Project-URL")}
    assert {"Documentation", "Bug Tracker", "Source Code", "User Support"} <= urls


def test_no_qt_binding_is_forced_on_anybody() -> None:
    forced = re.compile(r"^(pyqt\d|pyside|napari\[)", re.IGNORECASE)
    assert not [name for name in PROJECT["dependencies"] if forced.match(name)]


def test_everything_imported_is_declared() -> None:
    declared = {canonical(re.split(r"[^\w.-]", name)[0]) for name in PROJECT["dependencies"]}
    # dask and distributed are imported only for those who have them; Qt comes through qtpy.
    declared |= {"napari-deconv", "dask", "distributed"}
    distributions = packages_distributions()
    for path in (ROOT / "src").rglob("*.py"):
        for name in imported_by(path) - sys.stdlib_module_names:
            names = {canonical(item) for item in distributions.get(name, [name])}
            assert names & declared, f"{path.name} imports {name}"


def imported_by(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_nothing_is_left_to_be_filled_in() -> None:
    left = re.compile(r"\b(TODO|FIXME|XXX|TBD|lorem ipsum|placeholder)\b", re.IGNORECASE)
    files = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    files += (ROOT / "src").rglob("*.py")
    found = [f"{path.name}: {match[0]}" for path in files for match in left.finditer(_text(path))]
    # A form's greyed hint is called a placeholder by Qt.
    assert not [item for item in found if not item.endswith(".py: placeholder")]


def _text(path: Path) -> str:
    return path.read_text("utf-8")
