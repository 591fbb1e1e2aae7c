"""Pairs to learn deconvolution from: objects, what a camera sees of them, and how it was blurred.

Some of the objects are photographs, the others what microscopes show: layers of filaments, beads,
nuclei and shells, of uneven brightness and as smooth as if seen by a better microscope, or a
photograph with its shadows deepened until it is as sparse as stained tissue. They are blurred with
Gaussians, with cores in broad wings as of widefield planes, and with the tracks of a
shaken camera; noise is of 15 to 5000 photons in the brightest pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.simulation import phantoms

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Image = NDArray[np.float32]

# Side of what is seen, and of the object that goes on around it: PSFs reach less than the margin.
SIZE, MARGIN = 128, 24
_REACH = 20
# The last photographs are kept apart to score on.
_SCORED_PHOTOGRAPHS = 3


@dataclass(frozen=True)
class Sample:
    """One pair.

    Attributes
    ----------
    truth, image
        Object and its image, of the same size and unit.
    psf
        What it is to be restored with, sum 1: the true one, or nearly.
    background
        Intensity that was added to the whole image.
    gain
        Counts for each photon.
    noise
        Mean standard deviation of the image's noise, in counts.
    """

    truth: Image
    image: Image
    psf: NDArray[np.float64]
    background: float
    gain: float
    noise: float


class Samples:
    """Draws samples.

    Parameters
    ----------
    folder
        Folder of ``kodak_144x256x256_gray.npz``: crops ``images`` of photographs with ``names``
        that begin with the photograph's own.
    scored
        Draw from the photographs (and seeds of phantoms) that are kept apart for scoring.
    """

    def __init__(self, folder: Path, *, scored: bool = False) -> None:
        with np.load(folder / "kodak_144x256x256_gray.npz") as stored:
            images, names = stored["images"], [str(n).split("_")[0] for n in stored["names"]]
        apart = sorted(set(names))[-_SCORED_PHOTOGRAPHS:]
        self._photographs = images[[(name in apart) == scored for name in names]]
        self._scored = scored

    def __getitem__(self, number: int) -> Sample:
        """Return sample ``number``; the same each time."""
        random = np.random.default_rng([number, int(self._scored)])
        photograph = random.random() < 0.3
        truth = self._photograph(random, plain=photograph)
        if not photograph and random.random() < 0.65:
            truth = layers(random)
        psf = _shake(random) if photograph else _optics(random)
        size = truth.shape[0]
        spectrum = np.fft.rfft2(truth) * np.fft.rfft2(_wrapped(psf, size))
        inside = (slice(MARGIN, MARGIN + SIZE),) * 2
        clean = np.fft.irfft2(spectrum, truth.shape)[inside].clip(min=0)
        clean /= max(float(clean.max()), 1e-12)
        scale = 1.0 / max(float(np.fft.irfft2(spectrum, truth.shape)[inside].max()), 1e-12)
        photons = 10 ** random.uniform(1.2, 3.7)
        if photograph:
            # A camera's picture in 8 bits: even noise, and a kernel that is not quite right.
            sigma = 10 ** random.uniform(-2.8, -1.7)
            image = clean + random.normal(0, sigma, clean.shape)
            image = np.rint(image * 255).clip(0, 255) / 255
            noise = float(np.hypot(sigma, 1 / 255 / np.sqrt(12)))
            return _sample(
                truth[inside] * scale, image, _wronged(psf, random), 0.0, noise**2, noise
            )
        haze = random.choice([0.0, random.uniform(0, 1.0)]) * float(clean.mean())
        expected = (clean + haze) * photons
        counts = random.poisson(expected).astype(np.float64)
        return _sample(
            truth[inside] * scale * photons,
            counts,
            psf,
            haze * photons,
            1.0,
            float(np.sqrt(expected.mean())),
        )

    def _photograph(self, random: np.random.Generator, *, plain: bool) -> NDArray[np.float64]:
        size = SIZE + 2 * MARGIN
        photo = self._photographs[random.integers(len(self._photographs))] / 255.0
        y, x = random.integers(0, photo.shape[0] - size + 1, 2)
        crop = np.rot90(photo[y : y + size, x : x + size], int(random.integers(4)))
        if not plain:
            # Fluorescence is dark with bright spots, and no sharper than a microscope's best.
            crop = 1 - crop if random.random() < 0.5 else crop
            crop = (crop - crop.min()) ** random.uniform(1.0, 3.5)
            crop = _softened(crop, random)
        return np.ascontiguousarray(crop[:, :: random.choice([-1, 1])], np.float64) + 1e-4


def layers(random: np.random.Generator) -> NDArray[np.float64]:
    """Return layers of what is stained, each of its own, uneven brightness."""
    from scipy.ndimage import gaussian_filter

    shape = (SIZE + 2 * MARGIN,) * 2
    made = np.zeros(shape)
    for _ in range(int(random.integers(1, 5))):
        seed = int(random.integers(2**31))
        kind = random.choice(4, p=[0.65, 0.1, 0.15, 0.1])
        if kind == 0:
            layer = phantoms.filaments(
                shape,
                count=int(10 ** random.uniform(0.9, 2.0)),
                width=10 ** random.uniform(0.0, 0.8),
                persistence=10 ** random.uniform(1.3, 2.5),
                seed=seed,
            )
        elif kind == 1:
            layer, _ = phantoms.beads(
                shape,
                count=int(random.integers(10, 80)),
                diameter=random.uniform(1, 6),
                separation=4.0,
                seed=seed,
            )
        else:
            draw = phantoms.nuclei if kind == 2 else phantoms.shells
            count, diameter = int(random.integers(3, 12)), random.uniform(14, 50)
            layer = draw(shape, count=count, diameter=diameter, seed=seed)
        field = gaussian_filter(random.normal(size=shape), random.uniform(4, 30), mode="wrap")
        field *= random.uniform(0, 1.5) / max(float(field.std()), 1e-9)
        made += 10 ** random.uniform(-1, 0) * layer.astype(np.float64) * np.exp(field)
    made = _softened(made, random)
    lift = float(random.choice([0, random.uniform(0, 0.1)]))
    return np.asarray(made / max(float(made.max()), 1e-12) + lift)


def _softened(image: NDArray[Any], random: np.random.Generator) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter

    width = random.choice([0.0, random.uniform(0.4, 2.4)], p=[0.2, 0.8])
    return np.asarray(gaussian_filter(np.asarray(image, np.float64), width))


def _sample(
    truth: NDArray[Any],
    image: NDArray[Any],
    psf: NDArray[np.float64],
    background: float,
    gain: float,
    noise: float,
) -> Sample:
    return Sample(
        np.ascontiguousarray(truth, np.float32),
        np.ascontiguousarray(image, np.float32),
        psf,
        background,
        gain,
        noise,
    )


def _axes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.mgrid[-_REACH : _REACH + 1, -_REACH : _REACH + 1].astype(np.float64)
    return y, x


def _optics(random: np.random.Generator) -> NDArray[np.float64]:
    """Return a bell, or a sharp core in broad wings, sometimes drawn out to one side."""
    y, x = _axes()
    angle, stretch = random.uniform(0, np.pi), random.choice([1.0, random.uniform(1, 1.6)])
    u = (np.cos(angle) * x + np.sin(angle) * y) * stretch
    v = (np.cos(angle) * y - np.sin(angle) * x) / stretch
    square = u**2 + v**2
    core = np.exp(-square / (2 * random.uniform(0.7, 3.0) ** 2))
    core /= core.sum()
    if random.random() < 0.5:
        wings = (1 + square / random.uniform(1.5, 6) ** 2) ** -random.uniform(1.2, 2.5)
        share = random.uniform(0.1, 0.7)
        core = (1 - share) * core + share * wings / wings.sum()
    return np.asarray(core / core.sum())


def _shake(random: np.random.Generator) -> NDArray[np.float64]:
    """Return the track of a hand that trembles."""
    from scipy.ndimage import gaussian_filter

    steps = 400
    velocity = np.cumsum(random.normal(size=(steps, 2)), 0) + random.normal(size=2) * 10
    track = np.cumsum(velocity, 0)
    track -= (track.min(0) + track.max(0)) / 2
    track *= random.uniform(2.5, 12) / max(np.abs(track).max(), 1e-9)
    psf = np.zeros((2 * _REACH + 1,) * 2)
    places = np.rint(track + _REACH).astype(int).clip(0, 2 * _REACH)
    np.add.at(psf, tuple(places.T), random.uniform(0.3, 1, steps))
    psf = gaussian_filter(psf, random.uniform(0.5, 0.9))
    return np.asarray(psf / psf.sum())


def _wronged(psf: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Return a kernel as it would have been estimated."""
    from scipy.ndimage import gaussian_filter

    wrong = psf * (1 + random.uniform(0, 0.25) * random.normal(size=psf.shape))
    wrong = gaussian_filter(wrong.clip(min=0), random.uniform(0, 0.4))
    return np.asarray(wrong / wrong.sum())


def _wrapped(psf: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    whole = np.zeros((size, size))
    whole[tuple(slice(n) for n in psf.shape)] = psf
    return np.roll(whole, (-_REACH, -_REACH), (0, 1))
