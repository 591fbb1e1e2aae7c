"""Import torch in a thread where what it remembers of the thread does no harm."""

from __future__ import annotations

import sys
from importlib import import_module
from threading import Thread


def import_torch() -> None:
    """Import torch in a thread of its own, and wait for it; call this before torch in a worker.

    The workers' threads are Qt's, and Python has another state for such a thread each time it is
    used. pybind11, inside torch, notes the state of the thread that imports it first. Were that a
    worker's thread, its next job would free a tensor with a state that is long gone: with torch
    2.3 to 2.9 that ended napari by a segmentation fault.
    """
    if "torch" not in sys.modules:
        thread = Thread(target=import_module, args=("torch",), name="import torch")
        thread.start()
        thread.join()
