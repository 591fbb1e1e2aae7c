"""What is done when a widget is gone, whoever deleted it."""

from __future__ import annotations

import gc

import pytest
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QWidget

from napari_deconv.widgets.choice import when_gone

pytestmark = pytest.mark.gui


class Panel(QWidget):
    """In a cycle with itself, as docks are with their forms."""

    def __init__(self, told):
        super().__init__()
        self.itself, self.told = lambda: self, told
        self.inner = QWidget(self)
        when_gone(self, self.leave)
        when_gone(self.inner, self.leave)

    def leave(self):
        self.told.append("gone")


def test_deleted_by_qt(qapp):
    told = []
    panel = Panel(told)
    panel.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    assert told == ["gone", "gone"]


def test_collected_by_python(qtbot):
    """Then Python has emptied the closures already, and calling one would end the process."""
    for _ in range(3):
        Panel([])
        gc.collect()
    qtbot.wait(1)
