"""The loops through half spectra, compiled by numba; :mod:`~napari_deconv.operators.fused` calls.

Of a variational step, and of the direct filters.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from typing import Any

import numpy as np

from napari_deconv.compiling import compiled

ONE, TINY = np.float32(1), np.float32(1e-30)


@compiled
def blurred(x: Any, h: Any, out: Any, first: int, stop: int) -> None:
    """Write ``h x``."""
    for k in range(first, stop):
        for i in range(x.shape[1]):
            a, b, re, im = h[k, i].real, h[k, i].imag, x[k, i].real, x[k, i].imag
            out[k, i] = complex(a * re - b * im, a * im + b * re)


@compiled
def gather(x: Any, s: Any, h: Any, bend: Any, hold: float, first: int, stop: int) -> None:
    """Set x to ``bend x + hold conj(h) s``, and s to what x was."""
    f = np.float32(hold)
    for k in range(first, stop):
        for i in range(x.shape[1]):
            a, b, c, d = f * h[k, i].real, f * h[k, i].imag, s[k, i].real, s[k, i].imag
            re, im, curve = x[k, i].real, x[k, i].imag, bend[k, i]
            s[k, i] = complex(re, im)
            x[k, i] = complex(curve * re + a * c + b * d, curve * im + a * d - b * c)


@compiled
def divide(
    x: Any, s: Any, h: Any, bend: Any, hold: float, hold_positive: float, first: int, stop: int
) -> None:
    """Set x to ``(x + s) / (hold |h|^2 + bend + hold_positive)``, and s to ``h x`` of that x."""
    f, positive = np.float32(hold), np.float32(hold_positive)
    for k in range(first, stop):
        for i in range(x.shape[1]):
            a, b = h[k, i].real, h[k, i].imag
            scale = ONE / max(f * (a * a + b * b) + bend[k, i] + positive, TINY)
            re = scale * (x[k, i].real + s[k, i].real)
            im = scale * (x[k, i].imag + s[k, i].imag)
            x[k, i] = complex(re, im)
            s[k, i] = complex(a * re - b * im, a * im + b * re)


@compiled
def invert(s: Any, h: Any, bend: Any, weight: float, first: int, stop: int) -> None:
    """Set s to ``conj(h) s / (|h|^2 + weight bend)``."""
    f = np.float32(weight)
    for k in range(first, stop):
        for i in range(s.shape[1]):
            a, b, re, im = h[k, i].real, h[k, i].imag, s[k, i].real, s[k, i].imag
            gain = ONE / (a * a + b * b + f * bend[k, i])
            s[k, i] = complex(gain * (a * re + b * im), gain * (a * im - b * re))
