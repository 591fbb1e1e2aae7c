"""Make an environment for each package that ours is measured beside.

    python benchmarks/peers.py FOLDER [--torch "torch==2.13.0"]

Packages come from wherever pip is set up to look. Nothing of this is needed to run the other
measurements; they leave out what is not there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

# sdeconv asks for torchvision, which Richardson-Lucy does not use, and for any torch.
PEERS: dict[str, list[list[str]]] = {
    "redlionfish": [["RedLionfish"]],
    "sdeconv": [["--no-deps", "sdeconv"], ["numpy", "scipy", "scikit-image", "TORCH"]],
    "diplib": [["diplib", "numpy"]],
    "psfmodels": [["psfmodels"]],
    "psf-generator": [["psf-generator"]],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--torch", default="torch", help="what pip shall install for sdeconv")
    arguments = parser.parse_args()
    for name, steps in PEERS.items():
        home = arguments.folder / name
        if not home.exists():
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        for packages in steps:
            wanted = [arguments.torch if p == "TORCH" else p for p in packages]
            command = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", *wanted]
            if subprocess.run(command, check=False).returncode:
                print(f"{name} could not be installed; it will be left out")


if __name__ == "__main__":
    main()
