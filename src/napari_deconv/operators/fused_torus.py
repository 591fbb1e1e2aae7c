"""The passes of :mod:`napari_deconv.operators.torus` through half spectra, by numba.

Half spectra are complex64, inverse and ridge float32; the ridge may be one number.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from napari_deconv.sharing import shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def turn(
    direction: Tensor, residual: Tensor, inverse: Tensor, otf: Tensor, into: Tensor, share: float
) -> None:
    """Set ``direction`` to ``inverse residual + share direction``, ``into`` to otf times that."""
    arrays = _lines(direction, residual, inverse, otf, into)
    _sum(lambda a, b: _kernels()["turn"](*arrays, share, a, b), len(arrays[0]))


def bend(image: Tensor, direction: Tensor, otf: Tensor, ridge: Tensor, length: int) -> float:
    """Set ``image`` to ``conj(otf) image + ridge direction``.

    Returns its inner product with ``direction``, mirrored frequencies included; ``length`` is that
    of the grid's last axis.
    """
    arrays = _lines(image, direction, otf, ridge.expand(image.shape))
    even = length % 2 == 0
    return _sum(lambda a, b: _kernels()["bend"](*arrays, even, a, b), len(arrays[0]))


def descend(
    residual: Tensor,
    image: Tensor,
    inverse: Tensor,
    direction: Tensor,
    step: float,
    length: int,
) -> float:
    """Take ``step image`` off ``residual``, and copy ``direction`` over ``image``.

    Returns the inner product of the residual and ``inverse residual``.
    """
    arrays = _lines(residual, image, inverse, direction)
    even = length % 2 == 0
    return _sum(lambda a, b: _kernels()["descend"](*arrays, step, even, a, b), len(arrays[0]))


def _lines(*spectra: Tensor) -> list[Any]:
    return [s.reshape(-1, s.shape[-1]).numpy() for s in spectra]


def _sum(work: Callable[[int, int], float], lines: int) -> float:
    return sum(shared(lambda first, stop, _, __: float(work(first, stop)), lines, 1))


@cache
def _kernels() -> dict[str, Callable[..., float]]:
    import numpy as np

    from napari_deconv.compiling import compiled

    zero = np.float32(0)

    @compiled
    def turn(d: Any, r: Any, c: Any, h: Any, t: Any, share: float, first: int, stop: int) -> float:
        s = np.float32(share)
        for k in range(first, stop):
            for i in range(d.shape[1]):
                re = c[k, i] * r[k, i].real + s * d[k, i].real
                im = c[k, i] * r[k, i].imag + s * d[k, i].imag
                a, b = h[k, i].real, h[k, i].imag
                d[k, i] = complex(re, im)
                t[k, i] = complex(re * a - im * b, re * b + im * a)
        return 0.0

    @compiled
    def bend(q: Any, d: Any, h: Any, p: Any, even: bool, first: int, stop: int) -> float:
        total, n = 0.0, d.shape[1]
        for k in range(first, stop):
            line = zero
            for i in range(n):
                a, b, re, im = h[k, i].real, h[k, i].imag, d[k, i].real, d[k, i].imag
                x = q[k, i].real * a + q[k, i].imag * b + p[k, i] * re
                y = q[k, i].imag * a - q[k, i].real * b + p[k, i] * im
                q[k, i] = complex(x, y)
                line += x * re + y * im
            total += 2 * line - (q[k, 0].real * d[k, 0].real + q[k, 0].imag * d[k, 0].imag)
            if even:
                m = n - 1
                total -= q[k, m].real * d[k, m].real + q[k, m].imag * d[k, m].imag
        return total

    @compiled
    def descend(
        r: Any, q: Any, c: Any, d: Any, step: float, even: bool, first: int, stop: int
    ) -> float:
        total, n, length = 0.0, r.shape[1], np.float32(step)
        for k in range(first, stop):
            line = zero
            for i in range(n):
                re = r[k, i].real - length * q[k, i].real
                im = r[k, i].imag - length * q[k, i].imag
                r[k, i] = complex(re, im)
                q[k, i] = d[k, i]
                line += c[k, i] * (re * re + im * im)
            total += 2 * line - c[k, 0] * (r[k, 0].real ** 2 + r[k, 0].imag ** 2)
            if even:
                m = n - 1
                total -= c[k, m] * (r[k, m].real ** 2 + r[k, m].imag ** 2)
        return total

    return {"turn": turn, "bend": bend, "descend": descend}
