"""Nothing is written into the user's own settings."""

from __future__ import annotations

import pytest

pytest.importorskip("qtpy")


@pytest.fixture(autouse=True)
def settings_of_their_own(tmp_path, monkeypatch):
    """Redirect napari's settings, the plugin's preferences and the docks' memory."""
    from napari import settings
    from qtpy.QtCore import QSettings

    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path))
    monkeypatch.setattr(settings, "_CFG_PATH", str(tmp_path / "settings.yaml"), raising=False)
    clear = getattr(settings, "_clear_plugin_settings_cache", lambda: None)
    clear()
    yield
    clear()
