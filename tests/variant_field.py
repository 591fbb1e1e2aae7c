"""A field of view whose aberration grows to the corners, and its blur voxel by voxel."""

import numpy as np
from scipy.fft import fftfreq, fftshift, ifft2

NA, WAVELENGTH, PIXEL = 1.2, 0.52, 0.1


def corner_psfs(positions, shape, support=33, strength=0.25):
    """PSFs (n, y, x) at places (n, 2): coma and astigmatism that grow from the middle outwards."""
    n = 64
    fy, fx = fftfreq(n, PIXEL)[:, None], fftfreq(n, PIXEL)[None, :]
    rho = np.hypot(fy, fx) * WAVELENGTH / NA
    angle = np.arctan2(fy, fx)
    middle = (np.array(shape) - 1) / 2
    low = n // 2 - support // 2
    psfs = []
    for place in np.asarray(positions, float):
        y, x = (place - middle) / middle
        coma = np.sqrt(8) * (3 * rho**3 - 2 * rho) * (x * np.cos(angle) + y * np.sin(angle))
        square = (x * x - y * y) * np.cos(2 * angle) + 2 * x * y * np.sin(2 * angle)
        waves = strength * (0.5 * coma + 0.7 * np.sqrt(6) * rho**2 * square)
        waves = waves + strength * 0.5 * (x * x + y * y) * np.sqrt(3) * (2 * rho**2 - 1)
        psf = np.abs(ifft2((rho <= 1) * np.exp(2j * np.pi * waves))) ** 2
        psf = fftshift(psf)[low : low + support, low : low + support]
        psfs.append(psf / psf.sum())
    return np.array(psfs)


def grid_places(shape, count):
    axes = [np.linspace(0, n - 1, count) for n in shape]
    return np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], axis=1)


def blurred(obj, psfs_at, support=33):
    """Every voxel's light spread by the PSF of its own place; what leaves the image is gone."""
    half = support // 2
    image = np.zeros([n + 2 * half for n in obj.shape])
    places = np.argwhere(obj != 0)
    for (y, x), psf in zip(places, psfs_at(places), strict=True):
        image[y : y + support, x : x + support] += obj[y, x] * psf
    return image[half:-half, half:-half]
