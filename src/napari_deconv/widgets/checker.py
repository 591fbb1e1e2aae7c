"""Looks at the layers in a thread a moment after something has changed, and only at the newest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal
from superqt.utils import FunctionWorker

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE_MS = 300


class Checker(QObject):
    """Calls the function that was asked for last, in a thread, one at a time.

    Parameters
    ----------
    patience_ms
        How long nothing must have changed before it looks.

    Signals
    -------
    found(object)
        What the function returned; that of a function which a newer one has replaced is dropped.
    failed(Exception)
        What it raised instead.
    """

    found = Signal(object)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None, patience_ms: int = _PATIENCE_MS) -> None:
        super().__init__(parent)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(patience_ms)
        self._timer.timeout.connect(self._start)
        self._next: Callable[[], Any] | None = None
        self._worker: Any = None
        self._paused = False

    @property
    def busy(self) -> bool:
        """Whether something is asked for or being looked at."""
        return self._next is not None or self._worker is not None

    def ask(self, function: Callable[[], Any]) -> None:
        """Call this function soon, unless another one is asked for before."""
        self._next = function
        if not self._paused:
            self._timer.start()

    def pause(self, paused: bool) -> None:
        """Wait while a job needs the processor, and go on afterwards."""
        self._paused = paused
        if paused:
            self._timer.stop()
        elif self._next is not None:
            self._timer.start()

    def abandon(self) -> None:
        """Hear no more of what is being looked at."""
        self._next = self._worker = None

    def _start(self) -> None:
        if self._worker is not None or self._next is None or self._paused:
            return
        function, self._next = self._next, None
        worker = FunctionWorker(function)
        worker.returned.connect(self._on_found)
        worker.errored.connect(self._on_failed)
        worker.finished.connect(self._on_finished)  # type: ignore[arg-type]
        self._worker = worker
        worker.start()

    def _on_found(self, result: Any) -> None:
        if self._worker is not None and self._next is None:
            self.found.emit(result)

    def _on_failed(self, error: Exception) -> None:
        if self._worker is not None and self._next is None:
            self.failed.emit(error)

    def _on_finished(self) -> None:
        if self._worker is None:
            return
        self._worker = None
        if self._next is not None and not self._paused:
            self._timer.start()
