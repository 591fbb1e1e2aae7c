"""Torch is never imported first in a thread of Qt's pool: see widgets/torch_thread.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

WATCH = """
import sys, threading
import numpy as np
from types import SimpleNamespace

importers = []

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            importers.append(threading.current_thread().name)

sys.meta_path.insert(0, Watch())
image, psf = np.ones((16, 16), np.float32) + np.eye(16, dtype=np.float32), np.ones((3, 3))

def restore():
    from napari_deconv.widgets.tasks import Restoration
    source = SimpleNamespace(data=image, name="image")
    for _ in Restoration(source, "richardson-lucy", psf, {"iterations": 1}).run():
        pass

def look():
    from napari_deconv.widgets.look import look
    look(SimpleNamespace(data=image, spacing=None), psf, None, {}, "richardson-lucy", {})

worker = threading.Thread(target=WORK, name="of the pool")
worker.start()
worker.join()
print(*importers, sep="\\n")
"""


@pytest.mark.parametrize("work", ["restore", "look"])
def test_a_worker_does_not_import_torch_itself(work: str) -> None:
    code = WATCH.replace("WORK", work)
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "import torch", told.stderr
