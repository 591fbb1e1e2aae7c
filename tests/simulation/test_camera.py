"""The camera against its noise law."""

import numpy as np
import pytest

from napari_deconv.errors import InputError, ParameterError
from napari_deconv.simulation import record


@pytest.mark.parametrize(("gain", "offset", "read_noise"), [(1, 0, 0), (0.5, 100, 2), (5, 500, 5)])
def test_variance_is_gain_times_light_plus_read_noise(gain, offset, read_noise):
    light = np.linspace(1, 400, 40)
    series = record(
        np.broadcast_to(light, (20_000, 40)),
        gain=gain,
        offset=offset,
        read_noise=read_noise,
        bits=None,
    ).astype(np.float64)
    mean, variance = series.mean(axis=0), series.var(axis=0)
    np.testing.assert_allclose(mean, offset + gain * light, rtol=0.01, atol=0.05)
    slope, intercept = np.polyfit(mean - offset, variance, 1, w=1 / variance)
    assert slope == pytest.approx(gain, rel=0.02)
    assert intercept == pytest.approx(read_noise**2, abs=0.05 * read_noise**2 + 0.03 * gain**2)


def test_rounding_adds_a_twelfth_and_clipping_keeps_the_range():
    dark = record(np.zeros(200_000), read_noise=2, offset=100)
    assert dark.dtype == np.uint16
    assert dark.astype(float).var() == pytest.approx(4 + 1 / 12, rel=0.02)
    bright = record([0.0, 1e6], bits=8, offset=-50)
    assert bright.dtype == np.uint8
    np.testing.assert_array_equal(bright, [0, 255])
    assert record([1e6], bits=12).item() == 4095
    assert record([1e6], bits=32).dtype == np.uint32


def test_the_seed_decides():
    light = np.full(1000, 10.0)
    np.testing.assert_array_equal(record(light, seed=3), record(light, seed=3))
    assert (record(light, seed=3) != record(light, seed=4)).any()


@pytest.mark.parametrize("light", [[-1.0], [np.nan], [np.inf]])
def test_impossible_light_is_refused(light):
    with pytest.raises(InputError, match="not negative"):
        record(light)


@pytest.mark.parametrize("options", [{"gain": 0}, {"read_noise": -1}, {"bits": 0}, {"bits": 64}])
def test_impossible_cameras_are_refused(options):
    with pytest.raises(ParameterError):
        record([1.0], **options)
