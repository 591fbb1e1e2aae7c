"""The rule that stops by held-out photons, and what the PSF's own error has to do with it."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

import napari_deconv as nd
from napari_deconv.engine.statistics import Statistics
from napari_deconv.engine.stopping import HeldOut
from napari_deconv.simulation.phantoms import filaments


def figures(iteration, held_out, misfit=None):
    return Statistics(iteration=iteration, seconds=0.0, held_out=held_out, misfit=misfit)


def test_stops_where_the_residual_is_smaller_than_noise_and_error_together():
    rule = HeldOut(100)
    assert rule.enough(figures(1, 1.0, misfit=3.0)) is None
    assert rule.enough(figures(2, 2.0, misfit=1.0)) is None
    assert rule.enough(figures(3, 3.0, misfit=0.8)) == 3


def test_goes_on_as_long_as_photons_are_predicted_better():
    rule = HeldOut(100)
    assert all(rule.enough(figures(i, float(i))) is None for i in range(1, 50))


def gaussian_psf(sigma):
    axes = np.ogrid[-8:9, -8:9]
    psf = np.exp(-(axes[0] ** 2 + axes[1] ** 2) / (2 * sigma**2))
    return psf / psf.sum()


def test_leaves_alone_what_the_psf_s_error_may_have_made():
    truth = gaussian_filter(filaments((160, 160), count=40, seed=4), 0.7) + 0.2
    psf = gaussian_psf(2.0)
    image = fftconvolve(truth, psf, mode="same").clip(min=0)[16:-16, 16:-16].astype(np.float32)

    def restored(psf_error):
        found, details = nd.restore(
            image, "richardson-lucy", psf, psf_error=psf_error, gain=1e-7, details=True
        )
        explained = fftconvolve(np.pad(found, 8, mode="reflect"), psf, mode="valid")
        error = (explained / image - 1)[8:-8, 8:-8]
        return float(np.sqrt(np.mean(error**2))), details.iterations

    (trusting, many), (wary, few) = restored(0.0), restored(0.01)
    assert few < many
    assert trusting < 0.005 < wary < 0.015
