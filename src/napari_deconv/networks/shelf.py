"""Which weights there are, ours and the user's own; without torch, so that lists are quick."""

from __future__ import annotations

import json
import os
from pathlib import Path

PRETRAINED = Path(__file__).parent / "pretrained"
# A header is a few kilobytes; a length beyond this is that of another kind of file.
LONGEST_HEADER = 10_000_000


def pretrained() -> list[str]:
    """Return the names of the weights that come with the package."""
    return sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))


def own_folder() -> Path:
    """Return where a user's own weights are: ``NAPARI_DECONV_WEIGHTS``, or with the user's data."""
    import platformdirs

    told = os.environ.get("NAPARI_DECONV_WEIGHTS")
    return Path(told) if told else platformdirs.user_data_path("napari-deconv") / "weights"


def named(network: str) -> dict[str, Path]:
    """Return the files of a network's weights by the names that people type: ours, then their own.

    A name of ours is that of its file without the network in front; a file of one's own that has
    the name of one of ours is named by its path alone.
    """
    before = f"{network}-"
    found = {
        name.removeprefix(before): PRETRAINED / f"{name}.safetensors"
        for name in pretrained()
        if _network_of(PRETRAINED / f"{name}.safetensors") == network
    }
    for path in sorted(own_folder().glob("*.safetensors")):
        if path.stem not in found and _network_of(path) == network:
            found[path.stem] = path
    return found


def _network_of(path: Path) -> str | None:
    """Return whose weights a file says it holds; None for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, LONGEST_HEADER)))
        return str(header["__metadata__"]["network"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
