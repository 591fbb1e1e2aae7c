"""Built-in samples, generated with their PSF and their truth: nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.simulation import phantoms
from napari_deconv.simulation.camera import record
from napari_deconv.simulation.imaging import convolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_deconv.optics.microscope import Microscope

_OFFSET = 100.0
_READ_NOISE = 2.0


@dataclass(frozen=True)
class Sample:
    """An image with everything that is known about it.

    Attributes
    ----------
    name
        What to call it.
    axes
        One letter per axis of ``image``, of T, C, Z, Y, X.
    image
        Counts of the camera, uint16.
    truth
        What an ideal restoration would return: the object in the image's units, without offset
        or haze, float32, in the image's shape.
    psf
        Point spread function, float32, sum 1, origin at n//2; with channels, one per channel
        along its first axis.
    spacing
        Voxel size along (Z), Y, X in micrometres, of image and PSF.
    offset
        Counts without light.
    microscopes
        What the PSF was computed for, one per channel.
    channels
        Names of the channels.
    bead
        Voxel position of a bead that stands by itself.
    model, parameters
        What made the PSF besides.
    """

    name: str
    axes: str
    image: NDArray[np.uint16]
    truth: NDArray[np.float32]
    psf: NDArray[np.float32]
    spacing: tuple[float, ...]
    offset: float
    microscopes: tuple[Microscope, ...]
    channels: tuple[str, ...] = ()
    bead: tuple[float, ...] | None = None
    model: str = "gibson-lanni"
    parameters: Mapping[str, Any] = field(default_factory=dict)


def widefield_stack(*, photons: float = 300.0, seed: int = 0) -> Sample:
    """Return a widefield stack of filaments and beads, 48 x 192 x 192 voxels.

    Parameters
    ----------
    photons
        Expected photons in the brightest voxel.
    seed
        Start of the random numbers.

    Returns
    -------
    Sample
        Axes ZYX; NA 1.2 water immersion at 0.52 um.
    """
    from napari_deconv.optics import Microscope, generate_psf

    shape, spacing = (48, 192, 192), (0.2, 0.1, 0.1)
    microscope = Microscope(
        numerical_aperture=1.2, emission_wavelength=0.52, immersion_index=1.33, sample_index=1.33
    )
    psf = generate_psf(microscope, (63, 127, 127), spacing)
    beads, positions = phantoms.beads(
        shape, count=12, diameter=0.2, separation=2.4, spacing=spacing, seed=seed
    )
    lines = phantoms.filaments(
        shape, count=18, width=0.12, persistence=8.0, spacing=spacing, seed=seed
    )
    bead = _loneliest(positions, lines, spacing)
    image, truth = _photograph(lines + 3 * beads, psf, photons, seed=seed)
    return Sample(
        name="Filaments and beads, widefield",
        axes="ZYX",
        image=image,
        truth=truth,
        psf=psf,
        spacing=spacing,
        offset=_OFFSET,
        microscopes=(microscope,),
        bead=bead,
    )


def hazy_image(*, photons: float = 200.0, seed: int = 0) -> Sample:
    """Return an image of vesicles and filaments under uneven haze, 512 x 512 pixels.

    Parameters
    ----------
    photons
        Expected photons in the brightest pixel, haze apart.
    seed
        Start of the random numbers.

    Returns
    -------
    Sample
        Axes YX; NA 1.4 oil immersion at 0.6 um.
    """
    from scipy.ndimage import gaussian_filter

    from napari_deconv.optics import Microscope, generate_psf

    shape, spacing = (512, 512), (0.08, 0.08)
    microscope = Microscope(
        numerical_aperture=1.4, emission_wavelength=0.6, immersion_index=1.515, sample_index=1.515
    )
    psf = generate_psf(microscope, (63, 63), spacing)
    sharp = phantoms.filaments(
        shape, count=28, width=0.1, persistence=12.0, spacing=spacing, seed=seed
    )
    sharp = sharp + 0.5 * phantoms.shells(
        shape, count=14, diameter=3.2, thickness=0.2, spacing=spacing, seed=seed
    )
    # What lies out of focus: the structure itself, seen very blurred, and an uneven glow.
    glow = gaussian_filter(sharp, 25.0)
    glow = glow / glow.max() + phantoms.haze(shape, scale=9.0, spacing=spacing, seed=seed + 1)
    image, truth = _photograph(sharp, psf, photons, haze=0.25 * photons * glow, seed=seed)
    return Sample(
        name="Vesicles and filaments under haze",
        axes="YX",
        image=image,
        truth=truth,
        psf=psf,
        spacing=spacing,
        offset=_OFFSET,
        microscopes=(microscope,),
    )


def confocal_series(*, photons: float = 60.0, seed: int = 0) -> Sample:
    """Return a confocal time series of nuclei and moving vesicles, 4 x 2 x 16 x 96 x 96 voxels.

    Parameters
    ----------
    photons
        Expected photons in the brightest voxel of the first stack; a tenth bleaches per stack.
    seed
        Start of the random numbers.

    Returns
    -------
    Sample
        Axes TCZYX; NA 1.4 oil immersion, one PSF per channel.
    """
    from napari_deconv.optics import Microscope, generate_psf

    times, shape, spacing = 4, (16, 96, 96), (0.25, 0.09, 0.09)
    dyes = {"nuclei": (0.405, 0.46), "vesicles": (0.488, 0.525)}
    microscopes = tuple(
        Microscope(
            numerical_aperture=1.4,
            excitation_wavelength=excitation,
            emission_wavelength=emission,
            immersion_index=1.515,
            sample_index=1.515,
        )
        for excitation, emission in dyes.values()
    )
    psf = np.stack(
        [
            generate_psf(microscope, (21, 31, 31), spacing, modality="confocal")
            for microscope in microscopes
        ]
    )
    random = np.random.default_rng(seed)
    nuclei = phantoms.nuclei(shape, count=5, diameter=2.8, texture=0.8, spacing=spacing, seed=seed)
    _, start = phantoms.beads(shape, count=24, separation=0.9, spacing=spacing, seed=seed + 1)
    speed = random.normal(size=start.shape) * [0.4, 1.5, 1.5]
    image = np.empty((times, 2, *shape), np.uint16)
    truth = np.empty(image.shape, np.float32)
    for t in range(times):
        vesicles, _ = phantoms.beads(
            shape, positions=start + t * speed, diameter=0.35, spacing=spacing
        )
        light = photons * 0.9**t
        for channel, obj in enumerate((np.roll(nuclei, t, axis=-1), vesicles)):
            image[t, channel], truth[t, channel] = _photograph(
                obj, psf[channel], light, seed=seed + 2 * t + channel
            )
    return Sample(
        name="Nuclei and vesicles, confocal",
        axes="TCZYX",
        image=image,
        truth=truth,
        psf=psf,
        spacing=spacing,
        offset=_OFFSET,
        microscopes=microscopes,
        channels=tuple(dyes),
    )


def aberrated_image(*, photons: float = 1000.0, seed: int = 0) -> Sample:
    """Return a plane of vesicles and filaments behind an aberrated objective, 512 x 512 pixels.

    Parameters
    ----------
    photons
        Expected photons in the brightest pixel.
    seed
        Start of the random numbers.

    Returns
    -------
    Sample
        Axes YX; NA 1.2 water immersion at 0.6 um, 0.19 waves rms of astigmatism, coma, trefoil and
        spherical aberration.
    """
    from napari_deconv.optics import Microscope, generate_psf

    shape, spacing = (512, 512), (0.1, 0.1)
    microscope = Microscope(
        numerical_aperture=1.2, emission_wavelength=0.6, immersion_index=1.33, sample_index=1.33
    )
    aberrations = {5: 0.07, 6: -0.09, 7: 0.06, 9: 0.1, 11: 0.09}
    psf = generate_psf(microscope, (31, 31), spacing, model="pupil", aberrations=aberrations)
    sharp = phantoms.filaments(
        shape, count=60, width=0.12, persistence=6.0, spacing=spacing, seed=seed
    )
    sharp = sharp + 0.6 * phantoms.shells(
        shape, count=30, diameter=3.0, thickness=0.2, spacing=spacing, seed=seed
    )
    # Cells glow a little everywhere.
    image, truth = _photograph(sharp + 0.03, psf, photons, seed=seed)
    return Sample(
        name="Vesicles behind aberrations",
        axes="YX",
        image=image,
        truth=truth,
        psf=psf,
        spacing=spacing,
        offset=_OFFSET,
        microscopes=(microscope,),
        model="pupil",
        parameters={"aberrations": aberrations},
    )


def _photograph(
    obj: NDArray[np.float32],
    psf: NDArray[np.float32],
    photons: float,
    *,
    haze: NDArray[np.floating] | float = 0.0,
    seed: int = 0,
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return the image of an object, and the object in the image's units."""
    blurred = convolve(obj, psf)
    scale = photons / float(blurred.max())
    expected = np.maximum(blurred * scale, 0) + haze
    image = record(expected, offset=_OFFSET, read_noise=_READ_NOISE, seed=seed)
    return image, (obj * scale).astype(np.float32)


def _loneliest(
    positions: NDArray[np.float64], others: NDArray[np.float32], spacing: tuple[float, ...]
) -> tuple[float, ...]:
    """Return the position farthest from everything else that shines and from the edges."""
    lit = np.argwhere(others > 0.05 * others.max())
    size = np.asarray(spacing)
    room = []
    for i, position in enumerate(positions):
        neighbours = np.concatenate([lit, np.delete(positions, i, axis=0)])
        edges = np.minimum(position, np.array(others.shape) - 1 - position) * size
        gaps = np.linalg.norm((neighbours - position) * size, axis=1)
        room.append(min(gaps.min(), edges.min()))
    return tuple(float(value) for value in positions[int(np.argmax(room))])
