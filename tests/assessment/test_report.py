"""assess(): each figure is the one that its function gives."""

import json
import math

import numpy as np
import pytest

import napari_deconv as nd
from napari_deconv import assessment
from napari_deconv.errors import InputError, ParameterError
from napari_deconv.simulation import record
from napari_deconv.simulation.imaging import convolve
from napari_deconv.simulation.phantoms import beads

PSF = np.exp(-sum(axis**2 for axis in np.ogrid[-10:11, -10:11]) / 8).astype(np.float32)
TRUTH = 2000 * beads((96, 96), count=25, diameter=3.0)[0]
MEAN = convolve(TRUTH, PSF)
DATA = record(np.maximum(MEAN, 0))


def test_figures_against_a_reference():
    image = DATA - 100.0
    found = nd.assess(image, TRUTH)
    for name in ("psnr", "snr", "scale_invariant_snr", "nrmse", "ssim", "correlation"):
        assert getattr(found, name) == getattr(assessment, name)(image, TRUTH)
    assert found.flux_ratio == pytest.approx(image.sum() / TRUTH.sum(), rel=1e-5)
    assert found.fwhm == assessment.fwhm(image)
    assert (found.minimum, found.maximum) == (image.min(), image.max())
    assert found.chi_squared is None


def test_figures_against_the_data():
    found = nd.assess(TRUTH, psf=PSF, data=DATA, background=100)
    assert found.chi_squared == pytest.approx(1, abs=0.15)
    assert found.residual_correlation < 0.05
    assert found.flux_ratio == pytest.approx(1, abs=0.02)
    assert found.psnr is None
    # Without its blur the truth does not explain the data, nor with a shift of the offset.
    assert nd.assess(TRUTH, psf=np.ones((1, 1)), data=DATA, background=100).chi_squared > 10
    assert nd.assess(TRUTH, psf=PSF, data=DATA, background=110).chi_squared > 3
    # A background may be an image.
    same = nd.assess(TRUTH, psf=PSF, data=DATA, background=np.full(DATA.shape, 100))
    assert same == found


def test_widths_follow_spot_and_spacing():
    coarse, fine = (nd.assess(MEAN, spacing=(step, step)).fwhm for step in (0.2, 0.1))
    np.testing.assert_allclose(coarse, 2 * np.array(fine))
    position = beads((96, 96), count=25, diameter=3.0)[1][3]
    assert nd.assess(MEAN, spot=position).fwhm == assessment.fwhm(MEAN, position)


def test_it_prints_a_table_and_gives_plain_numbers():
    found = nd.assess(TRUTH, TRUTH, spacing=(0.1, 0.1))
    lines = str(found).splitlines()
    assert any(line.startswith("FWHM") and line.endswith("um") for line in lines)
    assert any(line.split() == ["PSNR", "inf", "dB"] for line in lines)
    assert not any("chi" in line for line in lines)
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["psnr"] is None
    assert plain["ssim"] == pytest.approx(1)
    assert len(plain["fwhm"]) == 2
    assert "chi_squared" not in plain
    assert math.isinf(found.psnr)


def test_series_have_figures_but_no_widths():
    series = np.stack([DATA, DATA])[None, :, None]
    found = nd.assess(series, series)
    assert found.fwhm is None
    assert found.correlation == pytest.approx(1)
    with pytest.raises(ParameterError, match="5 axes"):
        nd.assess(series, spot=(1, 1))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"psf": PSF}, ParameterError, "without data"),
        ({"data": DATA[1:]}, InputError, "have to be equal"),
        ({"reference": TRUTH[1:]}, InputError, "have to be equal"),
        ({"psf": 0 * PSF, "data": DATA}, InputError, "PSF"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        nd.assess(TRUTH, **arguments)
