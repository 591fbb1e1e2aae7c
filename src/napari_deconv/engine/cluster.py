"""Blocks restored by the worker processes of dask.distributed, here or on other machines.

dask's scheduler decides who does what, and starts anew what a worker leaves undone. What has been
written is what :mod:`~napari_deconv.engine.streaming` keeps marks of, nobody else.
"""

from __future__ import annotations

import importlib
import logging
import os
import threading
from collections import Counter
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

from napari_deconv.engine import devices
from napari_deconv.engine.details import Step
from napari_deconv.engine.memory import SHARE, available
from napari_deconv.errors import DeconvolutionError, JobError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from napari_deconv.engine.blocks import Place, Work

# Seconds that a scheduler has to answer, and to have a worker.
_ANSWER, _WORKER = 10, 60
# Tasks given out for each worker: one at work, and one that it goes on with at once.
_AHEAD = 2
# Seconds after which a caller gets a chance to cancel.
_TICK = 0.2
_GONE = ("lost", "cancelled")
# How often a task may lose its worker before it is taken for the cause.
_LOSSES = 3
# A process works on one block at a time, whatever dask's number of threads.
_one_at_a_time = threading.Lock()


class WorkersGone(JobError):
    """Nobody is left to do the work, whatever it is."""


class Cluster:
    """Worker processes that restore blocks: some of this machine, or those of a scheduler.

    Parameters
    ----------
    scheduler
        Address of a running scheduler, such as ``tcp://host:8786``.
    workers
        Where there is no scheduler: how many processes to start on this machine. With several GPUs
        each has one of them.
    threads
        Processor threads for each worker: this machine's cores divided among the processes, or as
        many as the scheduler's workers have.

    Raises
    ------
    JobError
        When dask.distributed is not installed, the scheduler does not answer or has no worker.
    ParameterError
        When neither or both are given.
    """

    def __init__(
        self, scheduler: str | None = None, workers: int | None = None, threads: int | None = None
    ) -> None:
        if (scheduler is None) == (workers is None):
            raise ParameterError("Give either the address of a scheduler or a number of workers.")
        if workers is not None and workers < 1:
            raise ParameterError(f"workers is {workers}, but has to be at least 1.")
        try:
            distributed: Any = importlib.import_module("distributed")
        except ImportError as error:
            raise JobError(
                "Working with several processes or machines needs another package: "
                'pip install "napari-deconv[distributed]".'
            ) from error
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        self._cluster: Any = None
        self._threads = threads
        if workers is not None:
            self._threads = threads or max(1, _cores() // workers)
            self._cluster = _local(workers)
        try:
            self.client: Any = distributed.Client(
                self._cluster or scheduler, timeout=_ANSWER, set_as_default=False
            )
        except (OSError, TimeoutError, ValueError) as error:
            self.close()
            raise JobError(
                f'No dask scheduler answers at {scheduler}. Start one with "dask scheduler", and '
                'on each machine "dask worker ADDRESS --nthreads 1" with the address that it shows.'
            ) from error
        try:
            self.client.wait_for_workers(workers or 1, timeout=_WORKER)
        except TimeoutError as error:
            self.close()
            raise JobError(
                f"The scheduler at {scheduler} answers, but has no worker. Start some: "
                f'"dask worker {scheduler} --nthreads 1" on each machine.'
            ) from error

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the scheduler; processes of this machine end."""
        for each in (getattr(self, "client", None), self._cluster):
            if each is not None:
                each.close()

    def __str__(self) -> str:
        threads = f" of {self._threads} thread(s)" if self._threads else ""
        return f"{self.workers} worker process(es){threads}"

    @property
    def workers(self) -> int:
        """How many workers there are now."""
        return max(1, len(self.client.nthreads()))

    @property
    def memory(self) -> float:
        """GB that a block may take: a share of what the smallest worker has."""
        told = self.client.scheduler_info(n_workers=-1)["workers"].values()
        limits = [each["memory_limit"] for each in told if each.get("memory_limit")]
        if self._cluster is not None or not limits:
            limits.append(available() / self.workers)
        return float(SHARE * min(limits) / 1e9)

    def runner(
        self,
        work: Work,
        numbers: Sequence[int],
        write: Callable[[Place, NDArray[np.float32]], None],
    ) -> Iterator[int | Step]:
        """Restore and write blocks: the door that ``stream(runner=...)`` has.

        A worker that sees the file writes its blocks itself; else they come here.

        Raises
        ------
        JobError
            When a block has cost several workers their life.
        WorkersGone
            When none is left.
        """
        path = getattr(write, "path", None)
        seen = write if path is not None and self.sees(path) else None
        stage, total = f"Restoring with {self.workers} workers", len(numbers)
        written = 0
        for done in self.each(_restore, numbers, work, seen):
            if done is None:
                yield Step(stage, written, total, written / total)
                continue
            number, block = done
            if block is not None:
                write(work.blocks[number], block)
            written += 1
            yield number

    def each(
        self, function: Callable[..., Any], things: Sequence[Any], *shared: Any
    ) -> Iterator[tuple[Any, Any] | None]:
        """Call ``function(thing, *shared)`` in the workers; yield each thing with its result.

        The first that is done comes first; None comes now and then while none is. Closing the
        iterator takes back what has not begun. What a lost worker leaves undone another one does.

        Raises
        ------
        JobError
            When a thing has cost several workers their life.
        WorkersGone
            When none is left.
        Exception
            What the function raised.
        """
        left, losses = list(reversed(things)), Counter[Any]()
        given = self._give(shared)
        running: dict[Any, Any] = {}
        ended: Queue[Any] = Queue()
        try:
            while left or running:
                while left and len(running) < _AHEAD * self.workers:
                    future = self.client.submit(
                        _alone, function, self._threads, left[-1], *given, pure=False
                    )
                    running[future] = left.pop()
                    future.add_done_callback(ended.put)
                try:
                    future = ended.get(timeout=_TICK)
                except Empty:
                    yield None
                    # Of those whose shared data are lost nobody tells.
                    future = next((f for f in running if f.status in _GONE), None)
                if future not in running:
                    continue
                thing = running.pop(future)
                result = _outcome(future)
                if not isinstance(result, _Lost):
                    yield thing, result
                    continue
                losses[thing] += 1
                if losses[thing] > _LOSSES:
                    raise JobError(
                        f"A worker was lost {losses[thing]} times over the same piece, most "
                        "likely for want of memory. What is done is kept: give smaller blocks "
                        "(--tiles or --memory-limit) or fewer workers, and run the same again."
                    )
                # What all share may have gone with the worker that held it.
                given = self._give(shared)
                left.append(thing)
        finally:
            self.client.cancel(list(running), force=True)

    def _give(self, shared: Sequence[Any]) -> list[Any]:
        """Send what all tasks share to every worker, once."""
        try:
            self.client.wait_for_workers(1, timeout=_WORKER)
            given: list[Any] = self.client.scatter(list(shared), broadcast=True, hash=False)
        except (TimeoutError, OSError) as error:
            raise WorkersGone(
                "All workers are gone, or their scheduler. What is done is kept: start some and "
                "run the same again."
            ) from error
        return given

    def sees(self, path: Path) -> bool:
        """Whether every worker has this very file or folder before it."""
        here = _identity(str(path.absolute()))
        found = self.client.run(_identity, str(path.absolute()))
        return here is not None and set(found.values()) == {here}


class _Lost:
    """Stands for the result of a task whose worker is gone."""


def _outcome(future: Any) -> Any:
    """Return a task's result, or that it was lost.

    Raises
    ------
    Exception
        What the task raised.
    """
    from concurrent.futures import CancelledError

    from distributed.scheduler import KilledWorker

    if future.status in _GONE:
        return _Lost()
    try:
        return future.result()
    except (KilledWorker, CancelledError, OSError) as error:
        if isinstance(error, DeconvolutionError):
            raise
        return _Lost()
    except ModuleNotFoundError as error:
        raise JobError(
            f"A worker cannot import {error.name}: install the same version of napari-deconv there."
        ) from error


def _alone(function: Callable[..., Any], threads: int | None, *given: Any) -> Any:
    """Call a function in a worker, which does nothing else meanwhile."""
    with _one_at_a_time, devices.thread_count(threads):
        _take_own_gpu()
        return function(*given)


def _take_own_gpu() -> None:
    """Give each process of this machine a GPU of its own, where there are several."""
    import torch
    from distributed import get_worker

    name = str(get_worker().name)
    if name.isdigit() and torch.cuda.is_available():
        torch.cuda.set_device(int(name) % torch.cuda.device_count())


def _restore(number: int, work: Work, write: Any) -> Any:
    """Restore a block in a worker; it comes back only where it could not be written."""
    block = work.restore(number)
    if write is None:
        return block
    write(work.blocks[number], block)
    return None


def _identity(path: str) -> int | None:
    """Return what tells a file from others of its name on other machines; None without it."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def _local(workers: int) -> Any:
    """Start processes on this machine."""
    distributed: Any = importlib.import_module("distributed")
    return distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
