"""Aberrated PSFs by a small scalar pupil of their own, and fields of beads seen through them."""

import numpy as np
from scipy.fft import fft2, fftfreq, fftshift, ifft2

NA, WAVELENGTH, INDEX = 1.2, 0.52, 1.33
SPACING = (0.2, 0.1, 0.1)

# Noll's Zernike polynomials, of rms 1 on the disc.
ZERNIKE = {
    5: lambda r, t: np.sqrt(6) * r**2 * np.sin(2 * t),
    6: lambda r, t: np.sqrt(6) * r**2 * np.cos(2 * t),
    7: lambda r, t: np.sqrt(8) * (3 * r**3 - 2 * r) * np.sin(t),
    8: lambda r, t: np.sqrt(8) * (3 * r**3 - 2 * r) * np.cos(t),
    11: lambda r, t: np.sqrt(5) * (6 * r**4 - 6 * r**2 + 1),
}


def point_image(shape, waves=None, offset=(0.0, 0.0, 0.0), diameter=0.0, spacing=SPACING):
    """The image (z, y, x) of a point, or of a bead, ``offset`` um from index n // 2; no sum."""
    nz, n = shape[0], 160
    fy, fx = fftfreq(n, spacing[1])[:, None], fftfreq(n, spacing[2])[None, :]
    radius, angle = np.hypot(fy, fx), np.arctan2(fy, fx)
    rho = radius * WAVELENGTH / NA
    inside = rho <= 1
    axial = np.sqrt(np.maximum((INDEX / WAVELENGTH) ** 2 - radius**2, 0)) - INDEX / WAVELENGTH
    phase = sum(c * ZERNIKE[j](rho, angle) for j, c in (waves or {}).items())
    phase = phase - fy * offset[1] - fx * offset[2]
    z = (np.arange(nz) - nz // 2) * spacing[0] - offset[0]
    pupil = inside * np.exp(2j * np.pi * (phase + z[:, None, None] * axial))
    image = np.abs(ifft2(pupil)) ** 2 * n * n
    if diameter:
        fz = fftfreq(nz, spacing[0])[:, None, None]
        q = np.pi * diameter * np.sqrt(fz**2 + radius**2)
        q = np.maximum(q, 1e-3)
        sphere = 3 * (np.sin(q) - q * np.cos(q)) / q**3
        # Along z the stack is no period: what differs is the outermost plane's.
        image = np.fft.ifft(np.fft.fft(fft2(image), axis=0) * sphere, axis=0)
        image = ifft2(image).real
    image = fftshift(image, axes=(1, 2))
    low = [n // 2 - m // 2 for m in shape[1:]]
    return image[:, low[0] : low[0] + shape[1], low[1] : low[1] + shape[2]]


def bead_field(
    waves=None, *, snr=20, count=30, shape=(33, 352, 352), diameter=0.1, seed=0, background=2.0
):
    """A stack of beads apart from each other, as a camera sees it: image, places (voxels).

    ``snr`` is a bead's height over the noise at its top: photons, and 2 counts of read noise.
    """
    rng = np.random.default_rng(seed)
    places = []
    while len(places) < count:
        place = np.array(
            [rng.uniform(shape[0] / 2 - 3, shape[0] / 2 + 3), *rng.uniform(16, shape[1] - 16, 2)]
        )
        if all(np.linalg.norm((place - p)[1:]) > 28 for p in places):
            places.append(place)
    peak = (snr**2 + np.sqrt(snr**4 + 4 * snr**2 * (background + 4))) / 2
    window = (shape[0], 81, 81)
    top = point_image((3, 81, 81), waves).max()
    expected = np.full(shape, background)
    for place in places:
        whole = np.array([shape[0] // 2, *np.rint(place[1:]).astype(int)])
        bead = point_image(window, waves, (place - whole) * np.array(SPACING), diameter)
        bead *= peak * rng.uniform(0.85, 1.15) / top
        low = whole[1:] - 40
        start, stop = np.maximum(low, 0), np.minimum(low + 81, shape[1:])
        here = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        there = tuple(slice(a, b) for a, b in zip(start - low, stop - low, strict=True))
        expected[:, *here] += bead[:, *there]
    image = rng.poisson(expected) + rng.normal(100, 2, shape)
    return image.astype(np.float32), np.array(places)
