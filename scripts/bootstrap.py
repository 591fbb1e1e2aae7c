"""From a fresh machine to a running plugin, in one command.

    python3 scripts/bootstrap.py demo      set everything up, restore a built-in sample
    python3 scripts/bootstrap.py test      set everything up, run the tests
    python3 scripts/bootstrap.py install   set everything up

It needs nothing but Python 3.11 or newer with pip. Everything goes into a virtual environment,
.venv beside this folder; on Debian and Ubuntu the system libraries of Qt come from apt (as root,
or through sudo) where they are needed and missing. What follows the command is handed on:
`demo --output somewhere`, `test tests/optics -k gaussian`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")

# What the wheels of PyQt6 and PySide6 expect to find, and the software renderer for Xvfb.
QT_PACKAGES = [
    "libdbus-1-3",
    "libegl1",
    "libfontconfig1",
    "libgl1",
    "libgl1-mesa-dri",
    "libglib2.0-0",
    "libxcb-cursor0",
    "libxcb-icccm4",
    "libxcb-image0",
    "libxcb-keysyms1",
    "libxcb-render-util0",
    "libxcb-shape0",
    "libxcb-xinerama0",
    "libxcb-xkb1",
    "libxkbcommon-x11-0",
]
SCREEN_PACKAGES = ["xauth", "xvfb"]


def main() -> int:
    """Set up, then run what was asked for."""
    command, *rest = sys.argv[1:] or ["--help"]
    if command not in ("demo", "test", "install"):
        print(__doc__)
        return 0 if command in ("-h", "--help") else 2
    if sys.version_info < (3, 11):  # noqa: UP036  (any Python may be told to run this file)
        version = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"This is Python {version}; napari-deconv needs Python 3.11 or newer.")
    if command == "test":
        install_system_packages(QT_PACKAGES + SCREEN_PACKAGES)
    elif command == "install" or has_display():
        install_system_packages(QT_PACKAGES)
    install_package("pyqt6,test" if command == "test" else "all")
    if command == "demo":
        return run(str(BIN / "napari-deconv"), "demo", *rest)
    if command == "test":
        return run_tests(rest)
    return 0


def has_display() -> bool:
    """Tell whether a window could be shown."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def install_system_packages(names: list[str]) -> None:
    """Install Debian packages that are missing; other systems bring what Qt needs."""
    if not shutil.which("apt-get"):
        return
    missing = [name for name in names if not is_installed(name)]
    if not missing:
        return
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    if os.geteuid() != 0:
        if not shutil.which("sudo"):
            sys.exit(
                "These system packages are missing, and installing them needs an administrator:\n"
                f"    apt-get install {' '.join(missing)}"
            )
        apt = ["sudo", *apt]
    say(f"installing with apt: {' '.join(missing)}")
    for step in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
        subprocess.run([*apt, "-qq", *step], check=True, stdout=subprocess.DEVNULL)


def is_installed(package: str) -> bool:
    """Ask dpkg for one package."""
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True).stdout == "installed"


def install_package(extras: str) -> None:
    """Make the virtual environment and install this checkout into it, editable."""
    if not PYTHON.exists():
        say(f"making a virtual environment: {VENV}")
        # Debian keeps ensurepip in a package of its own: without it the outer pip does the work.
        bare = importlib.util.find_spec("ensurepip") is None
        make = [sys.executable, "-m", "venv", *(["--without-pip"] if bare else []), str(VENV)]
        subprocess.run(make, check=True)
        if bare:
            pip = [sys.executable, "-m", "pip", "--python", str(PYTHON)]
            subprocess.run([*pip, "install", "-q", "pip"], check=True)
    say(f"installing napari-deconv[{extras}]: some minutes the first time, PyTorch is large")
    pip = [str(PYTHON), "-m", "pip", "install", "-q", "-c", str(ROOT / "scripts/constraints.txt")]
    subprocess.run([*pip, "-e", f"{ROOT}[{extras}]"], check=True)


def run_tests(arguments: list[str]) -> int:
    """Run pytest, on a screen of its own where there is Xvfb."""
    pytest = [str(PYTHON), "-m", "pytest", *arguments]
    # The whole suite counts only if the viewer was really tested: see tests/conftest.py.
    if not arguments:
        os.environ["NAPARI_DECONV_REQUIRE_GUI"] = "1"
        # A worker for each core, but not more than memory bears: each takes more than a gigabyte.
        pytest += ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile"]
    if shutil.which("xvfb-run"):
        return run("xvfb-run", "-a", "-s", "-screen 0 1920x1200x24", *pytest)
    return run(*pytest)


def run(*command: str) -> int:
    """Run a command in the checkout and hand its exit status on."""
    say(" ".join(command))
    return subprocess.run(command, cwd=ROOT).returncode


def say(text: str) -> None:
    """Print at once: the programs started next write to the same terminal."""
    print(f"-- {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
