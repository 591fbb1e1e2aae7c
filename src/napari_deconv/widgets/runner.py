"""Runs one task at a time in a thread, around what napari's and Qt's workers do wrong.

A worker that gets a RuntimeError from its generator (running out of GPU memory is one) neither
tells nor ends, one that is stopped leaves its generator hanging, and its warnings reach nobody:
see :class:`TaskWorker`. napari's list of tasks holds on to every worker for ever, so a worker must
not hold on to the arrays: see :class:`_Errand`. The bar in the activity dock pumps the event loop
while it is updated: so it comes last, see :meth:`Runner._on_update`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.qt.threading import GeneratorWorker, create_worker
from napari.utils.progress import cancelable_progress
from qtpy.QtCore import QObject, Signal

from napari_deconv.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_deconv.widgets.tasks import Task, Update


@dataclass(frozen=True)
class _Failure:
    """The error that ended a task."""

    error: Exception


class TaskWorker(GeneratorWorker):  # type: ignore[misc]
    """A worker that reports every error and closes its generator, both in its own thread.

    It returns errors: what napari itself connects to ``errored`` cannot be called with PySide6.
    """

    def work(self) -> Any:
        """Run the generator to its end, to an error or to where it is told to quit."""
        try:
            result = super().work()
        except Exception as error:
            return _Failure(error)
        finally:
            self._gen.close()
        if isinstance(result, RuntimeError) and "deleted" not in str(result):
            # Returned as it is, it would be taken for a deleted worker and never be reported.
            return _Failure(result)
        return result


class _Errand:
    """Hands the task to the thread and forgets it, so that nothing outlives the run."""

    def __init__(self, task: Task) -> None:
        self._task: Task | None = task
        self._name = str(task)

    def __repr__(self) -> str:
        return self._name

    def go(self) -> Iterator[Update]:
        task, self._task = self._task, None
        assert task is not None
        yield from task.run()


class _Activity(cancelable_progress):  # type: ignore[misc]
    """A bar whose cancel button acts at once; napari's own acts when it is next iterated over."""

    def cancel(self) -> None:
        """Ask for the task to be stopped."""
        super().cancel()
        self.cancel_callback()


class Runner(QObject):
    """One task at a time, with its progress in napari's activity dock.

    Signals
    -------
    updated(Update)
        At most twenty times a second.
    finished(task, outcome)
        Once for each task; the outcome is ``"done"``, ``"cancelled"`` or the error.
    warned(str)
        A warning of the task, in words.
    """

    updated = Signal(object)
    finished = Signal(object, object)
    warned = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: Any = None
        self._task: Task | None = None
        self._outcome: Any = None
        self._activity: Any = None
        self._pumping = False

    @property
    def busy(self) -> bool:
        """Whether a task is running."""
        return self._worker is not None

    def start(self, task: Task) -> None:
        """Start a task.

        Raises
        ------
        JobError
            When another one is running.
        """
        if self.busy:
            raise JobError("Another job of this dock is running: wait for it, or cancel it.")
        self._task, self._outcome = task, None
        worker = create_worker(
            _Errand(task).go, _start_thread=False, _worker_class=TaskWorker, _ignore_errors=True
        )
        worker.yielded.connect(self._on_update)
        worker.returned.connect(self._on_done)
        worker.aborted.connect(self._on_cancelled)
        worker.warned.connect(self._on_warning)
        worker.finished.connect(self._on_finished)
        self._worker = worker
        self._activity = _Activity(total=100, desc=str(task), cancel_callback=self.cancel)
        worker.start()

    def cancel(self) -> None:
        """Stop the task before its next step."""
        if self._worker is not None:
            self._worker.quit()

    def abandon(self) -> None:
        """Stop the task and hear no more of it: its dock is gone."""
        worker, self._worker = self._worker, None
        activity, self._activity = self._activity, None
        self._task = None
        if worker is not None:
            worker.quit()
        if activity is not None:
            activity.close()

    def _on_update(self, update: Update) -> None:
        if self._worker is None or self._worker.abort_requested:
            return
        self.updated.emit(update)
        # Last of all, since it may let the end of the task be handled right here.
        activity = self._activity
        if activity is not None and not self._pumping:
            # It lets the event loop handle what waits, further updates among it: those must not
            # come here in their turn, or a hundred of them would be a hundred levels deep.
            self._pumping = True
            try:
                activity.update(int(100 * update.fraction) - activity.n)
            finally:
                self._pumping = False

    def _on_done(self, result: Any) -> None:
        self._outcome = result.error if isinstance(result, _Failure) else "done"

    def _on_cancelled(self) -> None:
        self._outcome = "cancelled"

    def _on_warning(self, shown: tuple[Any, ...]) -> None:
        if str(getattr(shown[1], "__name__", "")) == "UserWarning":
            self.warned.emit(str(shown[0]))

    def _on_finished(self) -> None:
        if self._worker is None:
            return
        task, outcome = self._task, self._outcome
        activity, self._activity = self._activity, None
        self._worker = self._task = None
        if outcome is None:
            # Told to quit after the last step: what there was to do is done, but nobody wants it.
            outcome = "cancelled"
        self.finished.emit(task, outcome)
        if activity is not None:
            activity.close()
