"""The loops of :mod:`napari_deconv.networks.lucyd_compiled`, compiled by numba.

What was compiled once is found on disk again by the next process.
"""

# mypy: disable-error-code="untyped-decorator, misc"
from __future__ import annotations

from typing import Any

import numpy as np

from napari_deconv.compiling import compiled

# Voxels of a run: four of them, and what they are made of, fit the processor's first cache.
RUN = 2048
NOTHING = np.float32(0)


@compiled
def taps(s: Any, w: Any, r0: Any, r1: Any, r2: Any, r3: Any) -> None:
    """Add three taps of a run of one feature to the runs of four features."""
    a0, a1, a2 = w[0, 0], w[0, 1], w[0, 2]
    b0, b1, b2 = w[1, 0], w[1, 1], w[1, 2]
    c0, c1, c2 = w[2, 0], w[2, 1], w[2, 2]
    d0, d1, d2 = w[3, 0], w[3, 1], w[3, 2]
    for x in range(r0.size):
        p, q, r = s[x], s[x + 1], s[x + 2]
        r0[x] += a0 * p + a1 * q + a2 * r
        r1[x] += b0 * p + b1 * q + b2 * r
        r2[x] += c0 * p + c1 * q + c2 * r
        r3[x] += d0 * p + d1 * q + d2 * r


@compiled
def convolve(
    features: Any, w: Any, bias: Any, out: Any, added: Any, least: Any, z0: Any, z1: Any
) -> None:
    """Write, for some planes, a convolution of three voxels along each axis.

    Rows lie behind each other with their borders between them: some are one run, and what
    comes out for the borders is left out.
    """
    height, width = out.shape[2] - 2, out.shape[3]
    rows = max(1, RUN // width)
    run = np.empty((4, rows * width), np.float32)
    for z in range(z0, z1):
        for y in range(1, height + 1, rows):
            count = min(rows, height + 1 - y)
            start, n = y * width, count * width - 2
            r0, r1, r2, r3 = run[0, :n], run[1, :n], run[2, :n], run[3, :n]
            for o in range(0, out.shape[0], 4):
                for k in range(4):
                    made = out[o + k, z].ravel()[start + 1 : start + 1 + n]
                    for x in range(n):
                        run[k, x] = bias[o + k] + (made[x] if added else NOTHING)
                for c in range(features.shape[0]):
                    for i in range(3):
                        plane = features[c, z + i - 1].ravel()
                        for j in range(3):
                            s = start + (j - 1) * width
                            taps(plane[s : s + n + 2], w[o : o + 4, c, i, j], r0, r1, r2, r3)
                for k in range(4):
                    for line in range(count):
                        made, ran = out[o + k, z, y + line], run[k, line * width :]
                        for x in range(width - 2):
                            made[x + 1] = max(ran[x], least)


@compiled
def fuse(features: Any, above: Any, w: Any, out: Any, z0: Any, z1: Any) -> None:
    """Write, for some planes, a pointwise mixture of four features and of coarser ones."""
    for z in range(z0, z1):
        for y in range(1, out.shape[2] - 1):
            for k in range(4):
                coarse = above[k, (z - 1) // 2, (y - 1) // 2]
                for x in range(1, out.shape[3] - 1):
                    made = coarse[(x - 1) // 2]
                    for c in range(4):
                        made += w[k, c] * features[c, z, y, x]
                    out[k, z, y, x] = max(made, NOTHING)
