"""Where to compute: devices, their memory, their threads, and one job at a time on each."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from napari_deconv.engine import memory
from napari_deconv.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import device

# Two jobs on one device would take turns in its caches and double its memory.
_locks: dict[str, threading.Lock] = {}
_guard = threading.Lock()


def find_device(name: str) -> device:
    """Return the torch device of this name; ``"auto"`` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    ParameterError
        When there is no such device on this machine.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if _mps_works() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ParameterError(
            f"There is no kind of device {name!r}. Known: auto, cpu, cuda, cuda:1, mps."
        ) from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            have = f"{count} CUDA device(s)" if count else "no CUDA device that torch can use"
            raise ParameterError(f"This machine has {have}: choose device='auto' or 'cpu'.")
    elif device.type == "mps" and not _mps_works():
        raise ParameterError("Fourier transforms do not work on MPS here: choose device='cpu'.")
    elif device.type not in ("cpu", "cuda", "mps"):
        raise ParameterError(f"Device {name!r} is not supported. Known: auto, cpu, cuda, mps.")
    return device


@cache
def _mps_works() -> bool:
    """Whether Apple's GPU is there and its Fourier transforms agree with the CPU's."""
    import torch

    if not torch.backends.mps.is_available():
        return False
    data = torch.rand((6, 10, 12), generator=torch.Generator().manual_seed(0))
    try:
        there = data.to("mps")
        spectrum = torch.fft.rfftn(there)
        back = torch.fft.irfftn(spectrum * spectrum.conj(), s=data.shape).cpu()
    except RuntimeError:
        return False
    here = torch.fft.rfftn(data)
    return bool(torch.allclose(back, torch.fft.irfftn(here * here.conj(), s=data.shape), rtol=1e-3))


def free_memory(device: device) -> int:
    """Return how many bytes are free on a device."""
    import torch

    if device.type == "cuda":
        # What torch's own cache holds can be used again.
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    return memory.available()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error tells that a device has no memory left."""
    if isinstance(error, MemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in words or "can't allocate memory" in words
    )


def release_memory(device: device) -> None:
    """Give memory that torch keeps for later back to the device."""
    import gc

    import torch

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@contextmanager
def thread_count(threads: int | None) -> Iterator[None]:
    """Set torch's number of threads, which is the whole process's, and restore it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def lock(device: device) -> threading.Lock:
    """Return the lock that a job holds while it works on a device."""
    with _guard:
        return _locks.setdefault(str(device), threading.Lock())
