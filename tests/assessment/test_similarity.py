"""Likeness to a reference, against definitions and scikit-image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import metrics

from napari_deconv.assessment import correlation, nrmse, psnr, scale_invariant_snr, snr, ssim
from napari_deconv.errors import InputError

RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.gamma(1.0, 10.0, (40, 50)).astype(np.float32)
IMAGE = (TRUTH + RANDOM.normal(0, 3, TRUTH.shape)).astype(np.float32)
ALL = (psnr, snr, scale_invariant_snr, nrmse, ssim, correlation)


def test_figures_are_those_of_scikit_image():
    assert psnr(IMAGE, TRUTH) == pytest.approx(
        metrics.peak_signal_noise_ratio(TRUTH, IMAGE, data_range=float(TRUTH.max())), abs=1e-4
    )
    assert nrmse(IMAGE, TRUTH) == pytest.approx(
        metrics.normalized_root_mse(TRUTH, IMAGE, normalization="euclidean"), rel=1e-5
    )


@pytest.mark.parametrize("shape", [(40, 50), (11, 30), (14, 20, 25)])
def test_ssim_is_that_of_scikit_image(shape):
    truth = RANDOM.random(shape).astype(np.float32)
    image = 0.7 * truth + 0.3 * RANDOM.random(shape).astype(np.float32)
    expected = metrics.structural_similarity(
        image,
        truth,
        data_range=float(np.ptp(truth)),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(image, truth) == pytest.approx(expected, abs=1e-5)


def test_ssim_takes_thin_stacks_and_series_section_by_section():
    truth = RANDOM.random((3, 30, 30))
    image = truth + 0.2 * RANDOM.random(truth.shape)
    # One dynamic range for all sections.
    truth[:, 0, 0], truth[:, 0, 1] = 0, 1
    sections = np.mean([ssim(a, b) for a, b in zip(image, truth, strict=True)])
    assert ssim(image, truth) == pytest.approx(sections, rel=1e-4)
    assert ssim(image[:, None], truth[:, None]) == pytest.approx(sections, rel=1e-4)
    assert np.isnan(ssim(np.ones((5, 5)), np.eye(5)))


def test_decibels_follow_their_definitions():
    truth = np.array([[0.0, 4.0], [0.0, 0.0]])
    image = truth + 0.04
    assert psnr(image, truth) == pytest.approx(40, abs=1e-4)
    assert snr(image, truth) == pytest.approx(20 * np.log10(2 / 0.04), abs=1e-4)
    for figure in (psnr, snr, scale_invariant_snr):
        assert figure(truth, truth) == np.inf
    assert ssim(TRUTH, TRUTH) == pytest.approx(1)
    assert correlation(-2 * TRUTH + 5, TRUTH) == pytest.approx(-1, abs=1e-6)


@given(scale=st.floats(1e-3, 1e3))
def test_the_scale_of_the_image_does_not_matter_where_it_should_not(scale):
    image = np.float32(scale) * IMAGE
    assert scale_invariant_snr(image, TRUTH) == pytest.approx(scale_invariant_snr(IMAGE, TRUTH))
    # The best factor is the best one.
    assert scale_invariant_snr(IMAGE, TRUTH) >= snr(image, TRUTH) - 1e-6


def test_an_image_that_tells_nothing_has_no_decibels():
    truth = np.array([[1.0, 0.0], [0.0, 0.0]])
    assert scale_invariant_snr(np.array([[0.0, 1.0], [0.0, 0.0]]), truth) == pytest.approx(0)
    assert scale_invariant_snr(np.zeros((2, 2)), truth) == pytest.approx(0)
    assert np.isnan(correlation(np.ones((2, 2)), truth))


@pytest.mark.parametrize("figure", ALL)
def test_shapes_have_to_agree(figure):
    with pytest.raises(InputError, match=r"shape \(40, 50\) and the reference \(40, 49\)"):
        figure(IMAGE, TRUTH[:, 1:])
    with pytest.raises(InputError, match="reference holds"):
        figure(IMAGE, np.full_like(TRUTH, np.nan))


@pytest.mark.parametrize("figure", [psnr, snr, scale_invariant_snr, nrmse])
def test_a_reference_of_zeros_is_refused(figure):
    with pytest.raises(InputError, match="zero"):
        figure(IMAGE, np.zeros_like(TRUTH))
