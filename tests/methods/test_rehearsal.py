"""The stand-in of an image, and what is told from it."""

import numpy as np
import pytest
import torch

import napari_deconv as nd
from napari_deconv.assessment import scale_invariant_snr
from napari_deconv.methods._rehearsal import rehearse
from napari_deconv.operators.convolution import Convolution
from napari_deconv.simulation.imaging import convolve
from napari_deconv.simulation.phantoms import filaments

SPACING = (0.25, 0.1, 0.1)


@pytest.fixture(scope="module")
def dim():
    """A small stack of filaments: the border reaches most of it, and few photons tell anything."""
    scope = nd.Microscope(numerical_aperture=1.2, immersion_index=1.33, emission_wavelength=0.52)
    psf = nd.generate_psf(scope, (15, 21, 21), SPACING)
    whole = filaments((30, 68, 68), count=12, spacing=SPACING, seed=3)
    seen = (slice(7, 23), slice(10, 58), slice(10, 58))
    clean = convolve(whole / whole.max(), psf, borders="zero")[seen].clip(min=0)
    image = np.random.default_rng(0).poisson(clean * (50 / clean.max())).astype(np.float32)
    return image, psf, whole[seen]


def test_the_stand_in_ends_before_it_follows_noise(dim):
    image, psf, truth = dim
    blur = Convolution(psf, image.shape, "extended", spacing=SPACING)
    found = [
        rehearse(torch.from_numpy(image), blur, steps=40, until_noise=until)
        for until in (True, False)
    ]
    early, late = (scale_invariant_snr(blur.crop(f.stand_in).numpy(), truth) for f in found)
    assert early > late + 1
    left = [float((f.data - f.prediction).square().mean()) / f.noise for f in found]
    assert 0.9 < left[0] < 1.02
    assert left[1] < 0.9


def test_the_strength_for_a_small_dim_stack_is_not_too_weak(dim):
    image, psf, truth = dim

    def score(**options):
        found = nd.restore(image, "tikhonov-miller", psf, spacing=SPACING, **options)
        return scale_invariant_snr(found, truth)

    best = max(score(strength=10.0**e) for e in np.arange(-2, 1.6, 0.5))
    assert score() > best - 0.5
