"""What helps loops along changes no numbers."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from napari_deconv.compiling import compiled, fetch, lent


@compiled
def doubled(stack: Any) -> float:
    """Double the rows of a stack, each while the next is asked for; return their sum."""
    rows, total = lent(stack), 0.0
    for z in range(rows.shape[0]):
        fetch(rows[(z + 1) % rows.shape[0]])
        for y in range(rows.shape[1]):
            row = rows[z, y]
            fetch(row[1:])
            for i in range(row.size):
                row[i] *= 2
                total += row[i]
    return total


@pytest.mark.parametrize("shape", [(2, 3, 70), (1, 1, 1), (3, 2, 0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_what_is_fetched_and_lent_stays_what_it_is(shape, dtype):
    stack = (np.arange(np.prod(shape)).reshape(shape) % 100).astype(dtype)
    expected, holders = 2 * stack, sys.getrefcount(stack)
    assert doubled(stack) == expected.sum()
    np.testing.assert_array_equal(stack, expected)
    assert sys.getrefcount(stack) == holders
