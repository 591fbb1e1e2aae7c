"""How much memory this process may still take: the machine's, its container's, its own limit."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from functools import cache
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
# glibc's name for what is taken from the system and given back at once, and bytes from which on:
# more than the pieces that stay in the processor's cache.
_MMAP_THRESHOLD, _LARGE = -3, 4 << 20


# Share of the memory that is free that a job takes unless it is told otherwise.
SHARE = 0.6


def outgrows(voxels: int, lazy_bytes: int, memory_limit: float | None) -> bool:
    """Tell whether a result had better be written as it is made.

    It had where it takes more than a quarter of the memory that a job may take, or where the image,
    which takes none, would.

    Parameters
    ----------
    voxels
        Of the result.
    lazy_bytes
        Of an image that is not in memory; 0 for one that is.
    memory_limit
        GB that the job may take, if anybody has said so.
    """
    allowed = SHARE * available() if memory_limit is None else 1e9 * memory_limit
    return max(4 * voxels, lazy_bytes) > allowed / 4


def available() -> int:
    """Return how many bytes are free to this process."""
    import psutil

    free = [int(psutil.virtual_memory().available), *_container(), *_process()]
    return max(0, min(free))


@cache
def keep_large_apart() -> None:
    """Have large arrays given back as soon as they are freed (Linux; once, for the process).

    By and by glibc takes arrays of up to 32 MB from its heaps, one for each thread, and keeps what
    is freed there: with threads that decode chunks this adds up to more than the work itself.
    """
    if sys.platform != "linux":
        return
    # Another C library may not know it, which does no harm.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE)


def _process() -> list[int]:
    """Return what the process's own limits leave (``ulimit -d``, ``ulimit -v``)."""
    if sys.platform == "win32":
        return []
    import resource

    import psutil

    told = psutil.Process().memory_info()
    free = []
    for name, used in (("RLIMIT_DATA", getattr(told, "data", told.rss)), ("RLIMIT_AS", told.vms)):
        limit = resource.getrlimit(getattr(resource, name))[0]
        if limit != resource.RLIM_INFINITY:
            free.append(int(limit - used))
    return free


def _container(groups: Path = Path("/proc/self/cgroup"), root: Path = _CGROUPS) -> list[int]:
    """Return what the limits of containers and batch systems leave (Linux, both versions)."""
    try:
        lines = groups.read_text("ascii").splitlines()
    except OSError:
        return []
    free = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names, base = ("memory.max", "memory.current", "inactive_file"), root
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            base = root / "memory"
        else:
            continue
        # A limit of any group around counts; within a container the path may not be visible.
        parts = Path(path.lstrip("/")).parts
        for depth in range(len(parts) + 1):
            free += _left(base.joinpath(*parts[:depth]), names)
    return free


def _left(folder: Path, names: tuple[str, str, str]) -> list[int]:
    """Return what one group's limit leaves; its cached files give way."""
    try:
        limit, used = (int((folder / name).read_text("ascii")) for name in names[:2])
        told = dict(
            line.split() for line in (folder / "memory.stat").read_text("ascii").split("\n") if line
        )
    except (OSError, ValueError):  # no such group, or "max"
        return []
    return [limit - used + int(told.get(names[2], 0))] if limit < 1 << 60 else []
