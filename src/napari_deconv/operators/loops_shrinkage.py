"""The passes of :mod:`napari_deconv.operators.shrinkage` through memory, compiled by numba."""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from typing import Any

import numpy as np

from napari_deconv.compiling import compiled

ZERO = np.float32(0)


@compiled
def soften_row(c: Any, most: Any) -> None:
    """Bring a row nearer to zero."""
    for i in range(c.size):
        c[i] -= min(max(c[i], -most), most)


@compiled
def soften(c: Any, most: Any, kept: Any, z0: int, z1: int, y0: int, y1: int) -> None:
    """Bring all rows nearer to zero but for what is kept."""
    for z in range(z0, z1):
        for k in range(y0, y1):
            first = kept[2] if z < kept[0] and k < kept[1] else 0
            soften_row(c[z, k, first:], most)


@compiled
def blend(s: Any, keep: Any, pull: Any, first: int, stop: int) -> None:
    """Set s to ``keep s + pull``."""
    for k in range(first, stop):
        for i in range(s.shape[1]):
            re = keep[k, i] * s[k, i].real + pull[k, i].real
            im = keep[k, i] * s[k, i].imag + pull[k, i].imag
            s[k, i] = complex(re, im)


@compiled
def run_ahead(new: Any, x: Any, s: Any, ahead: Any, least: Any) -> Any:
    """Set a row of the point s to what lies ahead of ``new``; return how much it was too far."""
    too_far = ZERO
    for i in range(x.size):
        now = max(new[i], least)
        step = now - x[i]
        too_far += (s[i] - now) * step
        s[i] = now + ahead * step
    return too_far


@compiled
def move(
    new: Any, x: Any, m: Any, s: Any, share: Any, ahead: Any, least: Any, averaged: bool,
    running: bool, z0: int, z1: int, y0: int, y1: int,
) -> float:  # fmt: skip
    """Move all rows."""
    total = 0.0
    for z in range(z0, z1):
        for k in range(y0, y1):
            now, line, mean = new[z, k], x[z, k], m[z, k]
            if running:
                total += run_ahead(now, line, s[z, k], ahead, least)
            for i in range(line.size):
                line[i] = max(now[i], least)
            if averaged:
                for i in range(line.size):
                    mean[i] += share * (line[i] - mean[i])
    return total
