"""Bessel functions of many orders against SciPy's, one by one."""

import numpy as np
import pytest
from scipy.special import jv

from napari_deconv.optics.bessel import bessel


@pytest.mark.parametrize("last", [0, 1, 2, 9, 70])
def test_all_orders(last):
    x = np.concatenate([[0.0, 1e-12, 1e-3], np.linspace(0.1, 2 * last + 30, 500)])[:, None]
    found = list(bessel(x, last))
    assert len(found) == last + 1
    for order, values in enumerate(found):
        np.testing.assert_allclose(values, jv(order, x), atol=1e-14)
