"""Quality of an image: likeness to a truth, resolution, noise, what is left of the data."""

from napari_deconv.assessment.noise import Noise, estimate_noise
from napari_deconv.assessment.registration import find_shift, shift_image
from napari_deconv.assessment.report import Assessment, assess
from napari_deconv.assessment.residual import chi_squared, residual_correlation
from napari_deconv.assessment.resolution import fwhm
from napari_deconv.assessment.similarity import (
    correlation,
    nrmse,
    psnr,
    scale_invariant_snr,
    snr,
    ssim,
)
from napari_deconv.assessment.support import support_map

__all__ = [
    "Assessment",
    "Noise",
    "assess",
    "chi_squared",
    "correlation",
    "estimate_noise",
    "find_shift",
    "fwhm",
    "nrmse",
    "psnr",
    "residual_correlation",
    "scale_invariant_snr",
    "shift_image",
    "snr",
    "ssim",
    "support_map",
]
