from __future__ import annotations

import dataclasses

import numpy as np
import psf_reference as reference
import pytest

from napari_deconv.errors import ParameterError
from napari_deconv.optics import Microscope, focal_shift, generate_psf

SCOPE = Microscope(
    numerical_aperture=1.3,
    emission_wavelength=0.52,
    excitation_wavelength=0.488,
    sample_index=1.4,
    depth=5.0,
)
SHAPE, SPACING = (3, 9, 10), (0.25, 0.07, 0.07)


@pytest.mark.parametrize("pinhole", [0.0, 0.6, 2.0])
def test_it_is_the_excitation_times_the_emission_seen_through_the_pinhole(pinhole):
    """Against a sum over 10 x 30 points of the pinhole, each at its own place."""
    scope = dataclasses.replace(SCOPE, pinhole=pinhole)
    z, y, x = (reference.axis(n, d) for n, d in zip(SHAPE, SPACING, strict=True))
    z += focal_shift(scope, modality="confocal")
    rho, weight = np.polynomial.legendre.leggauss(10)
    rho, weight = (1 + rho) / 2, weight * (1 + rho)
    angle = 2 * np.pi * (np.arange(30) + 0.5) / 30
    points = np.outer(rho, np.exp(1j * angle)) * pinhole * scope.airy_unit / 2
    places = (x + 1j * y[:, None])[..., None, None] + points
    seen = np.einsum("zyxra,r->zyx", reference.spread(scope, z, abs(places), 0.52), weight)
    truth = seen * reference.spread(scope, z, np.hypot(y[:, None], x), 0.488)
    psf = generate_psf(scope, SHAPE, SPACING, modality="confocal", pixel_integration=False)
    assert reference.relative_error(psf, truth / truth.sum()) < 2e-6


def test_pixels_take_the_mean_of_the_product():
    """Fine pixels, summed, are what coarse pixels see: the product comes before the pixel."""
    coarse = generate_psf(SCOPE, (3, 9, 9), (0.3, 0.15, 0.15), modality="confocal")
    fine = generate_psf(
        SCOPE, (3, 135, 135), (0.3, 0.01, 0.01), modality="confocal", pixel_integration=False
    )
    summed = fine.astype(np.float64).reshape(3, 9, 15, 9, 15).sum(axis=(2, 4))
    assert reference.relative_error(coarse, summed) < 2e-3  # that of midpoints, 15 a side


def test_through_an_open_pinhole_only_the_excitation_counts():
    """The focus is far smaller than the pinhole, which then sees the same everywhere in it."""
    open_ = dataclasses.replace(SCOPE, pinhole=20.0, sample_index=1.515)
    excitation = dataclasses.replace(open_, emission_wavelength=0.488)
    psf = generate_psf(open_, (33, 33), (0.05, 0.05), modality="confocal")
    alone = generate_psf(excitation, (33, 33), (0.05, 0.05))
    assert reference.relative_error(psf, alone) < 0.01


def test_the_smaller_the_pinhole_the_less_light_from_other_planes():
    shares = []
    for pinhole in (0.0, 1.0, 4.0):
        scope = dataclasses.replace(SCOPE, pinhole=pinhole)
        psf = generate_psf(scope, (21, 65, 65), (0.3, 0.1, 0.1), modality="confocal")
        planes = psf.sum(axis=(1, 2))
        shares.append(planes[10] / planes.sum())
    assert shares[0] > shares[1] > shares[2]
    widefield = generate_psf(SCOPE, (21, 65, 65), (0.3, 0.1, 0.1)).sum(axis=(1, 2))
    assert shares[2] > 1.5 * widefield[10] / widefield.sum()


def test_it_asks_for_the_laser():
    scope = dataclasses.replace(SCOPE, excitation_wavelength=None)
    with pytest.raises(ParameterError, match="set excitation_wavelength"):
        generate_psf(scope, SHAPE, SPACING, modality="confocal")
