"""Logarithms of rows against numpy's in float64."""

import numpy as np

from napari_deconv.operators.loops_logarithm import log_one_plus, logarithm


def test_it_is_right_wherever_a_float_is_normal():
    values = np.float32(np.geomspace(1.2e-38, 3.4e38, 100_001))
    near = np.float32(1 + np.linspace(-0.4, 0.6, 100_001))
    for line in (values, near):
        found, power = line.copy(), np.empty_like(line)
        logarithm(found, found.view(np.int32), power)
        np.testing.assert_allclose(found, np.log(line.astype(float)), rtol=3e-7, atol=1e-12)


def test_of_one_and_little_no_digit_is_lost():
    sizes = np.geomspace(1e-30, 0.9, 10_001)
    values = np.float32(np.concatenate([-sizes, [0], sizes, np.geomspace(1, 1e30, 1001)]))
    found, line, power = values.copy(), np.empty_like(values), np.empty_like(values)
    log_one_plus(found, line, line.view(np.int32), power)
    # Near -1 a float32 tells the sum of one and itself exactly.
    np.testing.assert_allclose(found, np.log1p(values.astype(float)), rtol=3e-7)
