"""Scenes to learn blind identification from, and what a camera with aberrations sees of them.

Photographs, and what fluorescence shows: filaments, beads, nuclei and shells of uneven brightness,
and dead leaves (Lee, Mumford and Huang 2001), discs that cover each other, whose edges and sizes
have the statistics of natural images. A scene is blurred where it is known beyond what is seen, so
that no border tells the PSF.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.simulation import phantoms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Image = NDArray[np.float32]

# Of the 24 photographs, these are learned from, these choose among settings; the rest is for tests.
LEARNED, CHOSEN, TESTED = tuple(range(1, 15)), (15, 16), tuple(range(17, 25))
# Side of synthetic scenes.
_SIDE = 544
_SYNTHETIC = 0.4


def photographs(folder: Path, numbers: Sequence[int]) -> list[Image]:
    """Return whole photographs of 512 x 768 pixels, 0 to 1, put together of crops.

    Parameters
    ----------
    folder
        Folder of ``kodak_144x256x256_gray.npz``, with ``images`` and their ``names``
        ``NUMBER.png_ROWCOLUMN``.
    numbers
        Which photographs.
    """
    with np.load(folder / "kodak_144x256x256_gray.npz") as stored:
        crops = dict(zip(stored["names"].tolist(), stored["images"], strict=True))
    made: list[Image] = []
    for number in numbers:
        places = sorted(name[-2:] for name in crops if name.startswith(f"{number:02d}."))
        columns = [[at for at in places if at[0] == row] for row in sorted({a[0] for a in places})]
        rows = [np.hstack([crops[f"{number:02d}.png_{at}"] for at in row]) for row in columns]
        whole: Image = (np.vstack(rows) / 255).astype(np.float32)
        made.append(whole)
    return made


class Scenes:
    """Draws sharp scenes.

    Parameters
    ----------
    photos
        Photographs (y, x), 0 to 1.
    synthetic
        Number of synthetic scenes to draw from, made at once.
    seed
        Start of their random numbers.
    kept
        Folder in which the synthetic scenes are kept, or found from before.
    """

    def __init__(
        self,
        photos: Sequence[Image],
        *,
        synthetic: int = 48,
        seed: int = 0,
        kept: Path | None = None,
    ) -> None:
        self._photos = list(photos)
        file = None if kept is None else kept / f"scenes-{seed}-{synthetic}.npy"
        if file is not None and file.exists():
            self._synthetic = list(np.load(file))
            return
        self._synthetic = [scene([seed, number]) for number in range(synthetic)]
        if file is not None and synthetic:
            np.save(file, np.stack(self._synthetic))

    def draw(self, random: np.random.Generator, side: int) -> Image:
        """Return a scene (side, side), 0 to 1, turned, mirrored and toned at random."""
        made = bool(self._synthetic) and random.random() < _SYNTHETIC
        source = self._synthetic if made or not self._photos else self._photos
        image = source[random.integers(len(source))]
        step = _step(random, min(image.shape), side)
        y, x = (int(random.integers(0, n - side * step + 1)) for n in image.shape)
        crop = image[y : y + side * step, x : x + side * step]
        if step > 1:
            crop = crop.reshape(side, step, side, step).mean((1, 3))
        crop = np.rot90(crop, int(random.integers(4)))[:, :: random.choice([-1, 1])]
        if not made:
            crop = np.clip(crop, 0, 1) ** np.float32(np.exp(random.normal(0, 0.3)))
            crop = 1 - crop if random.random() < 0.3 else crop
        low, high = float(crop.min()), float(crop.max())
        spread = random.uniform(0.6, 1.0) / max(high - low, 1e-3)
        floor = random.uniform(0, 1 - min(spread * (high - low), 1))
        return np.ascontiguousarray((crop - low) * np.float32(spread) + np.float32(floor))


def scene(seed: Sequence[int]) -> Image:
    """Return a synthetic scene, 0 to 1."""
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(seed)
    shape = (_SIDE, _SIDE)
    if random.random() < 0.5:
        made = dead_leaves(_SIDE, random)
    else:
        made = np.zeros(shape)
        for _ in range(int(random.integers(1, 4))):
            made += 10 ** random.uniform(-0.7, 0) * _stained(shape, random) * _uneven(shape, random)
    width = random.choice([0.0, random.uniform(0.3, 1.6)])
    made = gaussian_filter(made, width) + random.choice([0.0, 0.1]) * made.max()
    grain = random.choice([0.0, 10 ** random.uniform(-3, -1.5)]) * made.max()
    made = made + random.normal(0, 1, shape) * grain
    low, high = np.percentile(made, (0.01, 99.99))
    scaled: Image = np.clip((made - low) / max(high - low, 1e-9), 0, 1).astype(np.float32)
    return scaled


def dead_leaves(side: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return discs that cover each other, radii by a power law, each with a slope and a texture."""
    made, power = np.full((side, side), 0.5), random.uniform(2.2, 3.2)
    least, most = random.uniform(1.5, 4), side / 4
    rest = 1 - power
    for _ in range(int(random.integers(1500, 4000))):
        share = random.random()
        radius = (least**rest + share * (most**rest - least**rest)) ** (1 / rest)
        centre = random.uniform(-radius, side + radius, 2)
        low = np.maximum(np.floor(centre - radius).astype(int), 0)
        high = np.minimum(np.ceil(centre + radius).astype(int) + 1, side)
        if (high <= low).any():
            continue
        y = (np.arange(low[0], high[0]) - centre[0])[:, None]
        x = np.arange(low[1], high[1]) - centre[1]
        cover = np.clip(radius + 0.5 - np.hypot(y, x), 0, 1)
        slope = random.normal(0, 0.2 / radius, 2)
        leaf = random.random() + slope[0] * y + slope[1] * x
        leaf = leaf + random.exponential(0.02) * random.normal(size=leaf.shape)
        box = made[low[0] : high[0], low[1] : high[1]]
        box += cover * (leaf - box)
    return made


def blurred(object_: Image, psf: Image) -> Image:
    """Return the object behind a PSF, without the border that depends on what is beyond it."""
    from scipy.signal import fftconvolve

    seen: Image = fftconvolve(object_, psf, mode="valid").astype(np.float32)
    return seen


def noisy(
    image: Image, sigma: float, random: np.random.Generator, *, photons: float = 0.0
) -> Image:
    """Return an image with noise of standard deviation ``sigma``.

    Parameters
    ----------
    image
        Intensities.
    sigma
        Standard deviation, root of its mean square over the image.
    random
        Random numbers.
    photons
        Share of the variance that goes with the intensity.
    """
    light = np.maximum(image, 0) / max(float(image.mean()), 1e-6)
    spread = sigma * np.sqrt(1 - photons + photons * light)
    noise = random.standard_normal(image.shape, np.float32)
    return (image + spread.astype(np.float32) * noise).astype(np.float32)


def _stained(shape: tuple[int, int], random: np.random.Generator) -> NDArray[Any]:
    seed, kind = int(random.integers(2**31)), random.choice(4, p=[0.55, 0.15, 0.15, 0.15])
    if kind == 0:
        return phantoms.filaments(
            shape,
            count=int(10 ** random.uniform(1.0, 2.2)),
            width=10 ** random.uniform(0.0, 0.7),
            persistence=10 ** random.uniform(1.3, 2.5),
            seed=seed,
        )
    if kind == 1:
        made, _ = phantoms.beads(
            shape,
            count=int(random.integers(60, 400)),
            diameter=random.uniform(1, 8),
            separation=8.0,
            seed=seed,
        )
        return made
    draw = phantoms.nuclei if kind == 2 else phantoms.shells
    return draw(
        shape, count=int(random.integers(20, 80)), diameter=random.uniform(16, 60), seed=seed
    )


def _uneven(shape: tuple[int, int], random: np.random.Generator) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(random.normal(size=shape), random.uniform(4, 40), mode="wrap")
    field *= random.uniform(0, 1.2) / max(float(field.std()), 1e-9)
    return np.asarray(np.exp(field))


def _step(random: np.random.Generator, least: int, side: int) -> int:
    """Return by how much a scene is shrunk: sometimes, where it is large enough."""
    return 2 if least >= 2 * side and random.random() < 0.25 else 1
