"""Weights of networks: safetensors files beside a card that says what they are.

A safetensors file is eight bytes with the length of a JSON header, the header, and the numbers
(https://huggingface.co/docs/safetensors). Nothing in it can be run, which is why nothing else is
loaded. The weights that come with the package lie in ``pretrained/``, each with a card
``NAME.json`` that has its SHA-256, how it was trained, and how well it does.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_deconv.errors import FileError, ParameterError
from napari_deconv.networks.shelf import LONGEST_HEADER, PRETRAINED, named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

_KINDS: dict[str, tuple[Any, torch.dtype]] = {
    "F32": ("<f4", torch.float32),
    "F16": ("<f2", torch.float16),
    "I64": ("<i8", torch.int64),
}
_NAMES = {kind: name for name, (_, kind) in _KINDS.items()}


@dataclass(frozen=True)
class Weights:
    """What a file holds.

    Attributes
    ----------
    tensors
        By name, as of a module's ``state_dict``, in float32 where they are numbers.
    network
        Kind of network that they belong to.
    settings
        What else is needed to build it.
    card
        How it was trained and how well it does; empty for a file without one.
    sha256
        Of the whole file.
    """

    tensors: dict[str, Tensor]
    network: str
    settings: dict[str, Any]
    card: dict[str, Any]
    sha256: str


def load_weights(source: str | Path, network: str) -> Weights:
    """Read weights.

    Parameters
    ----------
    source
        Name of weights that come with the package or are the user's own (see
        :mod:`napari_deconv.networks.shelf`), or path of a safetensors file. A card ``NAME.json``
        beside it is read, too.
    network
        Kind of network that they have to be of.

    Raises
    ------
    ParameterError
        When there are no weights of that name.
    FileError
        When the file cannot be read, is not what its card says, or belongs to another network.
    """
    names = named(network)
    path = names.get(str(source), PRETRAINED / f"{source}.safetensors")
    if not path.is_file():
        path = Path(source)
    if not path.is_file():
        known = ", ".join(names) or "none"
        raise ParameterError(
            f"There are no weights {str(source)!r}: neither a file of that name nor among those "
            f"that come with the package or are your own ({known})."
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from error
    digest = hashlib.sha256(content).hexdigest()
    card = _card(path)
    if card.get("sha256", digest) != digest:
        raise FileError(
            f"{path.name} is not the file that its card describes: it was changed or damaged on "
            "its way. Install the package again, or ask for the file where you had it from."
        )
    tensors, about = _parse(content, path)
    if about.get("network") != network:
        found = about.get("network", "nothing that it says")
        raise FileError(f"{path.name} holds weights of {found}, but {network} is needed.")
    return Weights(tensors, network, json.loads(about.get("settings", "{}")), card, digest)


def save_weights(
    path: Path,
    tensors: Mapping[str, Tensor],
    network: str,
    settings: Mapping[str, Any],
    card: Mapping[str, Any] | None = None,
) -> str:
    """Write weights, and a card beside them where there is one; return the file's SHA-256."""
    header: dict[str, Any] = {
        "__metadata__": {"network": network, "settings": json.dumps(dict(settings))}
    }
    parts, place = [], 0
    for name, tensor in tensors.items():
        part = tensor.detach().cpu().contiguous().numpy().tobytes()
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [place, place + len(part)],
        }
        parts.append(part)
        place += len(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    content = len(text).to_bytes(8, "little") + text + b"".join(parts)
    digest = hashlib.sha256(content).hexdigest()
    path.write_bytes(content)
    if card is not None:
        text_card = json.dumps({"sha256": digest, **card}, indent=2)
        path.with_suffix(".json").write_text(text_card + "\n", encoding="utf-8")
    return digest


def _card(path: Path) -> dict[str, Any]:
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return {}
    try:
        card = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileError(f"{beside} is no JSON: {error}.") from error
    return card if isinstance(card, dict) else {}


def _parse(content: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Take a file apart; everything it claims about itself is checked."""
    wrong = FileError(f"{path.name} is no safetensors file, or a part of it is missing.")
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(LONGEST_HEADER, len(content) - 8):
        raise wrong
    body = memoryview(content)[8 + length :]
    tensors = {}
    try:
        header = json.loads(content[8 : 8 + length])
        about = header.pop("__metadata__", {})
        for name, entry in header.items():
            first, last = entry["data_offsets"]
            kind, _ = _KINDS[entry["dtype"]]
            shape = [int(n) for n in entry["shape"]]
            size = math.prod(shape) * np.dtype(kind).itemsize
            if not 0 <= first <= last <= len(body) or last - first != size:
                raise wrong
            array = np.frombuffer(body[first:last], kind).reshape(shape)
            tensor = torch.from_numpy(array.copy())
            tensors[name] = tensor.float() if tensor.is_floating_point() else tensor
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise wrong from error
    return tensors, about
