"""What made a result, in plain values that can be stored beside it."""

from __future__ import annotations

import hashlib
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

# Bytes of an image beyond which its hash is left out: it would take seconds.
_LARGEST = 1 << 30


def provenance(method: str, parameters: Mapping[str, Any], **figures: Any) -> dict[str, Any]:
    """Return a record of plain values: what ran, with what, on which versions, when."""
    from importlib.metadata import version

    return {
        "program": f"napari-deconv {version('napari-deconv')}",
        "method": method,
        "parameters": {name: plain(value) for name, value in parameters.items()},
        **{name: plain(value) for name, value in figures.items()},
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": version("torch"),
        },
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def digest(array: Any) -> str | None:
    """Return the SHA-256 of an array in memory; None for a lazy or a very large one."""
    if not isinstance(array, np.ndarray) or array.nbytes > _LARGEST:
        return None
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def plain(value: Any) -> Any:
    """Turn a value into one that JSON knows."""
    if isinstance(value, (np.generic,)):
        return value.item()
    if isinstance(value, np.ndarray):
        return f"array {value.shape} sha256 {digest(value)}"
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value
