"""The built-in samples hold together: image, truth, PSF, offset."""

import time

import numpy as np
import pytest

from napari_deconv.assessment import chi_squared, fwhm
from napari_deconv.assessment.noise import Noise
from napari_deconv.optics import generate_psf
from napari_deconv.simulation import samples
from napari_deconv.simulation.imaging import convolve

SAMPLES = {"widefield": samples.widefield_stack, "confocal": samples.confocal_series}
NOISE = Noise(gain=1.0, offset=100.0, read_noise=2.0)


@pytest.fixture(scope="module", params=SAMPLES)
def sample(request):
    start = time.perf_counter()
    made = SAMPLES[request.param]()
    assert time.perf_counter() - start < 10  # about 2 s on two quiet cores
    return made


def test_shapes_and_types_fit(sample):
    assert sample.image.dtype == np.uint16
    assert sample.truth.shape == sample.image.shape
    assert len(sample.axes) == sample.image.ndim
    assert len(sample.spacing) == 3
    channels = max(1, len(sample.channels))
    assert len(sample.microscopes) == channels
    psfs = sample.psf if sample.channels else sample.psf[None]
    np.testing.assert_allclose(psfs.sum(axis=(1, 2, 3)), 1, atol=1e-5)


def test_the_truth_explains_the_image_down_to_its_noise(sample):
    if sample.channels:
        image, truth, psf = sample.image[0, 1], sample.truth[0, 1], sample.psf[1]
    else:
        image, truth, psf = sample.image, sample.truth, sample.psf
    prediction = convolve(truth, psf) + sample.offset
    assert chi_squared(image, prediction, NOISE) == pytest.approx(1, abs=0.05)


def test_the_bead_stands_by_itself_and_is_blurred():
    made = samples.widefield_stack()
    seen = fwhm(made.image, made.bead, spacing=made.spacing)
    true = fwhm(made.truth, made.bead, spacing=made.spacing)
    assert all(a > 1.3 * b for a, b in zip(seen, true, strict=True))
    assert seen[0] > 1.5 * seen[2]


def test_the_hazy_image_has_a_haze_to_remove():
    made = samples.hazy_image()
    assert made.image.shape == (512, 512)
    beside = made.image - convolve(made.truth, made.psf) - made.offset
    assert beside.mean() > 20
    # Uneven on a scale of hundreds of pixels, beyond what noise leaves there.
    blocks = beside.reshape(4, 128, 4, 128).mean(axis=(1, 3))
    assert blocks.std() > 5


def test_the_aberrated_image_is_what_its_psf_makes_of_the_truth():
    made = samples.aberrated_image()
    prediction = convolve(made.truth, made.psf) + made.offset
    assert chi_squared(made.image, prediction, NOISE) == pytest.approx(1, abs=0.05)
    # Far from the PSF of a perfect objective.
    perfect = generate_psf(made.microscopes[0], made.psf.shape, made.spacing, model="pupil")
    assert made.psf.max() < 0.5 * perfect.max()


def test_vesicles_move_and_light_bleaches():
    made = samples.confocal_series()
    first, last = made.truth[0, 1], made.truth[-1, 1]
    assert np.corrcoef(first.ravel(), last.ravel())[0, 1] < 0.9
    light = (made.image.astype(float) - made.offset).mean(axis=(1, 2, 3, 4))
    assert (np.diff(light) < 0).all()
