"""Real Fourier transforms of one fixed shape, in place where the machine can.

``torch.fft`` runs everywhere. On x86 CPUs the same MKL does the work two to four times faster
when it is asked directly for a real plan that works in place, because torch splits the inverse
into two transforms and copies. MKL is found in the ``mkl`` wheel (extra ``fast``; documented
interface) or else among the symbols that libtorch itself exports. Whatever is found has to pass
a self-test first; ``NAPARI_DECONV_FFT=torch`` switches it off and ``NAPARI_DECONV_FFT=mkl`` makes
its absence an error. :func:`backend` tells which one is used, and why.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import sys
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor, device, dtype

__all__ = ["Backend", "Transform", "backend", "fast_length", "transform"]


class Backend(NamedTuple):
    """Which transform runs on the CPU, and why."""

    name: str
    reason: str


def fast_length(minimum: int, multiple: int = 1) -> int:
    """Return the next even length without prime factors above seven, a multiple of a number."""
    step = math.lcm(2, multiple)
    length = max(step, -(-minimum // step) * step)
    while _strip(length) != 1:
        length += step
    return length


def _strip(number: int) -> int:
    for prime in (2, 3, 5, 7):
        while number % prime == 0:
            number //= prime
    return number


def transform(shape: Sequence[int], *, dtype: dtype, device: device) -> Transform:
    """Return the fastest transform for this shape, type and device."""
    import torch

    if device.type == "cpu" and backend().name != "torch.fft" and 2 <= len(shape) <= 7:
        library = _mkl()[0]
        assert library is not None
        return _MklTransform(tuple(shape), dtype, library, torch.get_num_threads())
    return Transform(tuple(shape), dtype, device)


def backend() -> Backend:
    """Tell which transform runs on the CPU, and why.

    Raises
    ------
    RuntimeError
        When ``NAPARI_DECONV_FFT`` asks for MKL and there is none that works.
    """
    wanted = os.environ.get("NAPARI_DECONV_FFT", "auto")
    if wanted == "torch":
        return Backend("torch.fft", "NAPARI_DECONV_FFT=torch")
    library, reason = _mkl()
    if library is not None:
        return Backend("mkl", reason)
    if wanted == "mkl":
        raise RuntimeError(
            f"NAPARI_DECONV_FFT=mkl, but {reason}. Install napari-deconv[fast], or unset it."
        )
    return Backend("torch.fft", reason)


class Transform:
    """A real transform over all axes, with one work buffer, by ``torch.fft``.

    Attributes
    ----------
    work
        Real tensor of the transform's shape: where the input is put and the output appears.
    spectrum
        Where a half spectrum may be put for :meth:`inverse`; it may be the same memory as ``work``.
    uses
        How many transforms there have been: who left something in the memory sees by that whether
        it is still there.
    """

    work: Tensor
    uses = 0

    def __init__(self, shape: tuple[int, ...], dtype: dtype, device: device) -> None:
        import torch

        self.shape = shape
        self.work = torch.zeros(shape, dtype=dtype, device=device)

    @property
    def memory(self) -> Tensor:
        """All of the memory that transforms change."""
        return self.work

    @cached_property
    def spectrum(self) -> Tensor:  # noqa: D102  (an attribute to those who use it)
        import torch

        dtype = torch.complex128 if self.work.dtype == torch.float64 else torch.complex64
        half = (*self.shape[:-1], self.shape[-1] // 2 + 1)
        return torch.zeros(half, dtype=dtype, device=self.work.device)

    def forward(self) -> Tensor:
        """Transform ``work``; its content may be gone afterwards. Returns the half spectrum."""
        import torch

        self.uses += 1
        spectrum: Tensor = torch.fft.rfftn(self.work)
        return spectrum

    def inverse(self, spectrum: Tensor) -> None:
        """Transform a spectrum that :meth:`forward` returned back into ``work``."""
        import torch

        self.uses += 1
        torch.fft.irfftn(spectrum, s=self.shape, out=self.work)


class _MklTransform(Transform):
    """The same by MKL's in-place real plan (DFTI, CCE storage, rows padded to hold both)."""

    def __init__(
        self, shape: tuple[int, ...], dtype: dtype, library: ctypes.CDLL, threads: int
    ) -> None:
        import torch

        self.shape = shape
        self._library = library
        half = shape[-1] // 2 + 1
        storage = torch.zeros((*shape[:-1], 2 * half), dtype=dtype)
        self.work = storage[..., : shape[-1]]
        self.spectrum = torch.view_as_complex(storage.view(*shape[:-1], half, 2))
        self._storage = storage
        self._address = ctypes.c_void_p(storage.data_ptr())
        real, spectral = _strides(shape[:-1], 2 * half), _strides(shape[:-1], half)
        double = dtype == torch.float64
        self._plans: list[ctypes.c_void_p] = []
        self._plans.append(self._plan(double, real, spectral, threads))
        self._plans.append(self._plan(double, spectral, real, threads))

    @property
    def memory(self) -> Tensor:
        return self._storage

    def _plan(
        self, double: bool, source: list[int], target: list[int], threads: int
    ) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        axes = len(self.shape)
        lengths = (ctypes.c_long * axes)(*self.shape)
        create = getattr(self._library, f"DftiCreateDescriptor_{'d' if double else 's'}_md")
        _check(create(ctypes.byref(handle), _REAL, ctypes.c_long(axes), lengths))
        strides = ctypes.c_long * (axes + 1)
        count = 1
        for length in self.shape:
            count *= length
        for setting, value in (
            (_CONJUGATE_EVEN_STORAGE, ctypes.c_int(_COMPLEX_COMPLEX)),
            (_PLACEMENT, ctypes.c_int(_INPLACE)),
            (_INPUT_STRIDES, strides(*source)),
            (_OUTPUT_STRIDES, strides(*target)),
            (_BACKWARD_SCALE, ctypes.c_double(1 / count)),
            (_THREAD_LIMIT, ctypes.c_int(threads)),
        ):
            _check(self._library.DftiSetValue(handle, ctypes.c_int(setting), value))
        _check(self._library.DftiCommitDescriptor(handle))
        return handle

    def forward(self) -> Tensor:
        self.uses += 1
        _check(self._library.DftiComputeForward(self._plans[0], self._address))
        return self.spectrum

    def inverse(self, spectrum: Tensor) -> None:
        self.uses += 1
        if spectrum.data_ptr() != self.spectrum.data_ptr():
            self.spectrum.copy_(spectrum)
        _check(self._library.DftiComputeBackward(self._plans[1], self._address))

    def __del__(self) -> None:
        for plan in getattr(self, "_plans", ()):
            self._library.DftiFreeDescriptor(ctypes.byref(plan))


# From MKL's documented interface (mkl_dfti.h).
_REAL = ctypes.c_int(33)
_BACKWARD_SCALE, _CONJUGATE_EVEN_STORAGE, _PLACEMENT = 5, 10, 11
_INPUT_STRIDES, _OUTPUT_STRIDES, _THREAD_LIMIT = 12, 13, 27
_COMPLEX_COMPLEX, _INPLACE = 39, 43


def _strides(outer: tuple[int, ...], row: int) -> list[int]:
    """Return DFTI's strides: an offset, then one stride an axis."""
    strides = [1]
    step = row
    for length in reversed(outer):
        strides.insert(0, step)
        step *= length
    return [0, *strides]


def _check(status: int) -> None:
    if status != 0:
        raise RuntimeError(f"MKL's Fourier transform failed with status {status}")


@cache
def _mkl() -> tuple[ctypes.CDLL | None, str]:
    """Find a working MKL; return it, or None, and the reason in words."""
    if platform.machine().lower() not in ("x86_64", "amd64") or sys.platform == "darwin":
        return None, f"MKL does not exist for {sys.platform} on {platform.machine()}"
    reasons = []
    for name, path in (("the mkl wheel", _wheel_library()), ("libtorch", _torch_library())):
        if path is None:
            reasons.append(f"{name} has no library here")
            continue
        try:
            library = _open(path)
            _self_test(library)
        except (OSError, AttributeError, RuntimeError, ArithmeticError) as error:
            reasons.append(f"{name} cannot be used ({error})")
        else:
            return library, f"in-place real plans of {name}"
    return None, "; ".join(reasons)


def _wheel_library() -> Path | None:
    from importlib.metadata import PackageNotFoundError, distribution
    from pathlib import Path

    try:
        files = distribution("mkl").files or []
    except PackageNotFoundError:
        return None
    for file in files:
        if file.name.startswith(("libmkl_rt.", "mkl_rt.")) and ".lib" not in file.name:
            path = Path(str(file.locate()))
            if path.exists():
                return path.resolve()
    return None


def _torch_library() -> Path | None:
    from pathlib import Path

    import torch

    name = "torch_cpu.dll" if sys.platform == "win32" else "libtorch_cpu.so"
    path = Path(torch.__file__).parent / "lib" / name
    return path if path.exists() else None


def _open(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    if sys.platform == "linux" and hasattr(library, "MKL_Set_Threading_Layer"):
        # The OpenMP that torch has loaded already, so that two of them do not fight for cores.
        library.MKL_Set_Threading_Layer(3)
    arguments: dict[str, list[Any]] = {
        "DftiComputeForward": [ctypes.c_void_p, ctypes.c_void_p],
        "DftiComputeBackward": [ctypes.c_void_p, ctypes.c_void_p],
        "DftiCommitDescriptor": [ctypes.c_void_p],
        "DftiFreeDescriptor": [ctypes.c_void_p],
    }
    for name, types in arguments.items():
        getattr(library, name).argtypes = types
    return library


def _self_test(library: ctypes.CDLL) -> None:
    """Compare with torch.fft on small odd and even shapes; raise when the numbers differ."""
    import torch

    generator = torch.Generator().manual_seed(0)
    for shape in ((6, 10), (5, 4, 9)):
        for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
            data = torch.rand(shape, generator=generator, dtype=dtype)
            plan = _MklTransform(shape, dtype, library, torch.get_num_threads())
            plan.work.copy_(data)
            spectrum = plan.forward()
            wrong = float((spectrum - torch.fft.rfftn(data)).abs().max())
            plan.inverse(spectrum)
            wrong = max(wrong, float((plan.work - data).abs().max()))
            if not wrong < tolerance * data.numel():
                raise ArithmeticError(f"self-test differs by {wrong:.1e}")
