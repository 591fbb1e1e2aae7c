"""Which tests need a viewer, and that they cannot be left out without being noticed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

# The arrays of the tests are small: threads would wait for each other longer than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Set by scripts/bootstrap.py for the whole suite: no Qt or no screen is then a failure.
REQUIRE_GUI = os.environ.get("NAPARI_DECONV_REQUIRE_GUI") == "1"
GUI_FIXTURES = {"qtbot", "qapp", "make_napari_viewer", "make_napari_viewer_proxy"}
GUI_FOLDERS = [Path(__file__).parent / "gui", Path(__file__).parent / "widgets"]


@pytest.fixture(autouse=True)
def _threads() -> Generator[None]:
    """Set torch's threads again: where napari shows labels, numba changes OpenMP's for all."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if GUI_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("gui")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report = yield
    in_gui = any(folder in collector.path.parents for folder in GUI_FOLDERS)
    if REQUIRE_GUI and in_gui and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"A module that tests the viewer was left out: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if REQUIRE_GUI and report.skipped and item.get_closest_marker("gui"):
        report.outcome = "failed"
        report.longrepr = f"A test that needs the viewer was skipped: {report.longrepr}"
    return report


# Tests of the viewer that were run; where workers run them, their reports come to the controller.
_RAN = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RAN] = False
    config.pluginmanager.register(_Witness(config), "witness of the viewer")


class _Witness:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and "gui" in report.keywords:
            self._config.stash[_RAN] = True


def pytest_sessionfinish(session: pytest.Session) -> None:
    is_worker = hasattr(session.config, "workerinput")
    ran = session.config.stash[_RAN]
    if REQUIRE_GUI and not ran and not is_worker and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line("No test of the viewer was run.", red=True)
