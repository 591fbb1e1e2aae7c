"""Where results go: checked before the work, written beside the target, then renamed."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from napari_deconv.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_target(
    path: str | PathLike[str],
    *,
    overwrite: bool = False,
    inputs: Sequence[str | PathLike[str]] = (),
    nbytes: int = 0,
) -> Path:
    """Check that a result can be written, before hours are spent on making it.

    Parameters
    ----------
    path
        The file (or OME-Zarr folder) to be.
    overwrite
        Whether something that is there already may be replaced.
    inputs
        Files the result is made from; these are never replaced.
    nbytes
        How large the result will be.

    Raises
    ------
    FileError
        When the folder is missing or closed, when something is there that may not be replaced,
        or when there is not enough space.
    """
    path = Path(path)
    for given in map(Path, inputs):
        if _same(path, given) or given.resolve() in path.resolve().parents:
            raise FileError(
                f"{path} is the input: a result never replaces it. Choose another name."
            )
        if path.resolve() in given.resolve().parents:
            raise FileError(f"{path} holds the input {given}. Choose another name.")
    if path.exists() and not overwrite:
        raise FileError(f"{path} exists already. Choose another name, or add --overwrite.")
    if path.is_dir() and path.suffix.lower() != ".zarr":
        raise FileError(f"{path} is a folder. Give the name of a file in it.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise FileError(f"There is no folder {folder} to write {path.name} in. Make it first.")
    if not os.access(folder, os.W_OK):
        raise FileError(f"The folder {folder} cannot be written to.")
    free = shutil.disk_usage(folder).free
    if nbytes > free:
        raise FileError(
            f"{path} will need {_gigabytes(nbytes)}, but only {_gigabytes(free)} "
            f"are free in {folder}."
        )
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to, and rename it once all is written.

    Whatever happens, ``path`` holds either what it held before or the whole new file, and the
    temporary is gone.

    Raises
    ------
    FileError
        When writing fails; the message says why, a full disk above all.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with in_plain_words(path, "Nothing was kept of it; make room"):
            yield temporary
            sync(temporary)
            move(temporary, path)
    finally:
        remove(temporary)


@contextmanager
def in_plain_words(path: Path, advice: str = "Make room") -> Iterator[None]:
    """Turn errors of the disk into words; a full disk above all."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        raise FileError(_words(path, error, advice)) from error


def move(temporary: Path, path: Path) -> None:
    """Give a finished file or folder its name; what had that name is gone afterwards."""
    if not path.is_dir():
        os.replace(temporary, path)
        return
    # A folder cannot be replaced in one stroke: step aside, come in, and only then throw away.
    former = path.with_name(f".{path.name}.{secrets.token_hex(4)}.former")
    os.rename(path, former)
    try:
        os.rename(temporary, path)
    except OSError:
        os.rename(former, path)
        raise
    remove(former)


def sync(file: Path) -> None:
    """Have a file on the disk itself, if there is one."""
    if file.is_file():
        with file.open("rb+") as stream:
            os.fsync(stream.fileno())


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _words(path: Path, error: OSError, advice: str) -> str:
    # numpy's tofile tells a full disk without an errno: "4096 requested and 512 written".
    if error.errno in _NO_SPACE or "requested and" in str(error):
        try:
            free = f" ({_gigabytes(shutil.disk_usage(path.absolute().parent).free)} are free)"
        except OSError:
            free = ""
        return (
            f"{path} could not be written: no space left on the disk{free}. "
            f"{advice} and run again, or write elsewhere."
        )
    return f"{path} could not be written: {error.strerror or error}."


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return one.resolve() == other.resolve()


def _gigabytes(nbytes: int) -> str:
    return f"{nbytes / 1e9:.2g} GB" if nbytes >= 1e8 else f"{nbytes / 1e6:.2g} MB"
