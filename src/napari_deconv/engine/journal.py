"""What is done of a file that is made block by block: kept beside it until it is whole."""

from __future__ import annotations

import json
import os
import socket
from functools import cached_property
from typing import TYPE_CHECKING, Any

from napari_deconv.errors import FileError
from napari_deconv.io.target import remove, sync

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Journal:
    """A folder beside a file: a plan, marks of what is done, and what has no name yet.

    Parameters
    ----------
    path
        The file that is being made.

    Attributes
    ----------
    folder
        ``.NAME.unfinished``, beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.folder = path.with_name(f".{path.name}.unfinished")

    @property
    def exists(self) -> bool:
        """Whether something was begun."""
        return self._plan_file.exists()

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What was begun.

        Raises
        ------
        FileError
            When it cannot be read.
        """
        try:
            plan: dict[str, Any] = json.loads(self._plan_file.read_text("utf-8"))
        except ValueError as error:
            raise FileError(f"{self._plan_file} is damaged: remove the folder.") from error
        return plan

    def prepare(self) -> None:
        """Make the folder, empty, for what has to be there before the plan."""
        self.forget()
        self.folder.mkdir()

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Write the plan: from now on something has begun."""
        made = self.folder / "plan.json.part"
        made.write_text(json.dumps(dict(plan), indent=1), "utf-8")
        sync(made)
        os.replace(made, self._plan_file)
        self.__dict__.pop("plan", None)

    def done(self) -> set[str]:
        """Return what has been marked; a mark that was cut short does not count."""
        try:
            marks = self._marks_file.read_text("ascii")
        except FileNotFoundError:
            return set()
        whole = marks[: marks.rfind("\n") + 1]
        if whole != marks:
            os.truncate(self._marks_file, len(whole))
        return set(whole.split())

    def mark(self, word: str) -> None:
        """Note that something is done: on return that is on the disk itself."""
        with self._marks_file.open("ab", buffering=0) as file:
            file.write(f"{word}\n".encode("ascii"))
            os.fsync(file.fileno())

    def claim(self) -> None:
        """Keep others away until :meth:`release`, or until this process ends.

        Raises
        ------
        FileError
            When another process is at work on the file.
        """
        import psutil

        lock = self.folder / "owner.json"
        me = psutil.Process()
        owner = {"host": socket.gethostname(), "process": me.pid, "began": me.create_time()}
        try:
            other = json.loads(lock.read_text("ascii"))
            same = other["host"] == owner["host"]
            running = psutil.Process(other["process"]).create_time() == other["began"]
        except (OSError, ValueError, KeyError, psutil.Error):
            same = running = False
        if same and running and other != owner:
            raise FileError(f"{self._path} is being made by another process ({other['process']}).")
        lock.write_text(json.dumps(owner), "ascii")

    def forget(self) -> None:
        """Remove all of it; what was begun cannot be taken up any more."""
        self.__dict__.pop("plan", None)
        # The plan first: without it nothing has begun, whatever else is left.
        remove(self._plan_file)
        remove(self.folder)

    @property
    def _plan_file(self) -> Path:
        return self.folder / "plan.json"

    @property
    def _marks_file(self) -> Path:
        return self.folder / "done.txt"
