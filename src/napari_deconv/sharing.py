"""Work shared among threads, as many as torch has."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def shared(work: Callable[[int, int, int, int], T], planes: int, rows: int) -> list[T]:
    """Share planes, or the rows of a single one, among torch's number of threads."""
    import torch

    count = torch.get_num_threads()
    total = planes if planes > 1 else rows
    bounds = [total * i // count for i in range(count + 1)]
    parts = [(a, b) for a, b in pairwise(bounds) if b > a]
    jobs = [(a, b, 0, rows) if planes > 1 else (0, 1, a, b) for a, b in parts]
    if len(jobs) == 1:
        return [work(*jobs[0])]
    return list(_pool(count).map(lambda job: work(*job), jobs))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="napari-deconv")
