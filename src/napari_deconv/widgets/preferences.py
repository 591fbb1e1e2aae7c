"""The plugin's preferences (Preferences > Plugins), and the docks' memory of settings."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QSettings

PLUGIN = "napari-deconv"


@dataclass(frozen=True)
class Preferences:
    """What the user has set for all jobs.

    Attributes
    ----------
    device
        Where jobs run.
    threads
        Processor threads; 0 leaves one core to the viewer.
    preview_seconds
        How often the running job's estimate is drawn.
    """

    device: str = "auto"
    threads: int = 0
    preview_seconds: float = 0.5

    @classmethod
    def read(cls) -> Preferences:
        """Read napari's preferences; a napari without any for plugins has the defaults."""
        try:
            from napari.settings import get_plugin_settings

            jobs = get_plugin_settings(PLUGIN).jobs
        except (ImportError, KeyError, AttributeError):
            return cls()
        return cls(str(jobs.device), int(jobs.threads), float(jobs.preview_seconds))

    @property
    def thread_count(self) -> int:
        """The number of threads a job takes: the viewer's core is left to it."""
        return self.threads or max(1, (os.cpu_count() or 2) - 1)


def _settings() -> QSettings:
    ini = QSettings.Format.IniFormat
    return QSettings(ini, QSettings.Scope.UserScope, PLUGIN, "docks")


def remember(dock: str, values: dict[str, Any]) -> None:
    """Keep a dock's settings for the next time it is opened."""
    _settings().setValue(dock, json.dumps(values))


def recall(dock: str) -> dict[str, Any]:
    """Return a dock's last settings; nothing when there are none that can be read."""
    try:
        values = json.loads(_settings().value(dock, "{}"))
    except (TypeError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
