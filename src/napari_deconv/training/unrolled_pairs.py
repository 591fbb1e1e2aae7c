"""What deep-blur's restoration learns from: objects, their noisy images, and PSFs nearly right.

Objects are crops of photographs, of microscope images, and the layers of filaments, beads, nuclei
and shells of :mod:`~napari_deconv.training.samples`. They are blurred by aberrated pupils (Noll 4
to 11), a tenth of them by bells, with noise of variance ``alpha x + sigma^2``. The ranges are
below. The PSF that is told is the true one, or was found in the image by the program, or is wrong
in other ways: its aberrations are off, it is a mean over several, or over one and its mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_deconv.errors import InputError
from napari_deconv.identification.optics import MODES, pupils
from napari_deconv.methods.deep_blur import noise_map
from napari_deconv.operators.inverse import FourierInverse
from napari_deconv.training.found_psfs import SHAPE, Source, cases
from napari_deconv.training.samples import layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_deconv.training.found_psfs import Case

# Photographs 1 to 15 to learn from, 16 to judge by; the others belong to benchmarks.
_LEARNED, _JUDGED = range(1, 16), range(16, 17)
# Synthetic objects: how many to learn from and to judge by.
_DRAWN, _DRAWN_APART = 240, 8
# Shares of photographs and, where there are some, of microscope images.
_PHOTOGRAPHS, _MICROSCOPY = 0.4, 0.15
# Smallest side of a microscope image, which no crop is larger than; and how much its pixels have to
# differ, of those of the plane of its stack that differ most.
SMALLEST, _LIVELY = 120, 0.5
# Sides of the objects in which PSFs are found, and the share of a batch that is from them.
_SIDES, _FOUND = (128, 257), 0.4
# Share of the objects that are seen at half the resolution, where they are sharper.
_BINNED = 0.35
# Aberrations are even between plus and minus one of these (waves); half of the PSFs have the first.
AMPLITUDES = (0.15, 0.15, 0.075, 0.2)
# Radius of the pupil, cycles per pixel; half of the batches have the first.
CUTOFFS = (0.2, 0.2, 0.2, 0.12, 0.15, 0.18, 0.22, 0.25)
# Standard deviation of what every pixel has, and variance for each intensity, both by decades
# between these; the objects' brightest intensity is at most 1.
SIGMA, ALPHA = (1.5e-3, 6e-2), (1e-4, 3e-2)
_NOISELESS, _PHOTONS = 0.2, 0.5
# Share of the PSFs that are told as they are; the others' aberrations are off by so much (waves,
# standard deviation, by decades).
_TRUE, _OFF = 0.45, (5e-3, 8e-2)
_WORST = 0.5
# Share of the PSFs that are no pupil's but a bell (standard deviation, pixels, by decades).
_BELLS, _WIDTH = 0.1, (0.6, 3.0)
_SUPPORT = SHAPE[0]


@dataclass(frozen=True)
class Batch:
    """Images and what is known of them, in units of the objects' brightest intensity.

    Attributes
    ----------
    truths, images
        Objects and images (n, 1, y, x), circular.
    otf
        Half spectra (n, 1, y, x) of the PSFs that are told.
    noise
        Standard deviation (n, 1, y, x) of the images' noise, as it is read from them.
    error
        Norm of what is wrong with the PSFs, relative (n, 1, 1, 1), as it is told.
    level, scale
        What the network takes for zero and for one (n, 1, 1, 1).
    """

    truths: Tensor
    images: Tensor
    otf: Tensor
    noise: Tensor
    error: Tensor
    level: Tensor
    scale: Tensor

    def inverse(self, device: torch.device) -> FourierInverse:
        """Return the regularised inverse of the images in the network's unit."""
        images = (self.images - self.level) / self.scale
        return FourierInverse(images.to(device), self.otf.to(device), 2)


class Pairs:
    """Draws batches.

    Parameters
    ----------
    folder
        Folder of ``kodak_144x256x256_gray.npz``: crops ``images`` of photographs with ``names``
        that begin with the photograph's number.
    apart
        Draw from what is kept apart to judge by.
    seed
        Start of the random numbers: a batch depends on it and on its number alone.
    microscopy
        Folder of microscope images or stacks, TIFF, that are learned from as well.
    found
        In how many images PSFs are to be found, to learn from those.
    kept
        File in which these are kept.
    say
        Told of them, now and then.
    """

    def __init__(
        self,
        folder: Path,
        *,
        apart: bool = False,
        seed: int = 0,
        microscopy: Path | None = None,
        found: int = 0,
        kept: Path | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        with np.load(folder / "kodak_144x256x256_gray.npz") as stored:
            numbers = [int(str(name).split(".")[0]) for name in stored["names"]]
            chosen = [number in (_JUDGED if apart else _LEARNED) for number in numbers]
            self._photographs = stored["images"][chosen].astype(np.float32) / 255
        count = _DRAWN_APART if apart else _DRAWN
        drawn = (layers(np.random.default_rng([seed, apart, n])) for n in range(count))
        self._drawn = [(each / each.max()).astype(np.float32) for each in drawn]
        self._microscopy = [] if microscopy is None else planes(microscopy)
        self._seed = [seed, int(apart)]
        self._found = cases(self._source, found, seed, kept=kept, say=say)

    def batch(
        self, number: int, count: int, side: int, sigma: float | None = None, *, told: bool = True
    ) -> Batch:
        """Return a batch; all of one noise, and with true PSFs, where wanted."""
        random = np.random.default_rng([*self._seed, 7, number])
        sources = [self._source(random, side, sigma) for _ in range(count)]
        psf, wrong = self._psfs(random, count, true=not told)
        # Neither noise nor error will be known exactly.
        error = (wrong - psf).flatten(1).norm(dim=1) / psf.flatten(1).norm(dim=1)
        error = error.numpy() * random.lognormal(0, 0.25, count) + random.uniform(0, 0.02, count)
        if self._found and sigma is None and told:
            for place in np.flatnonzero(random.random(count) < _FOUND):
                case = self._found[int(random.integers(len(self._found)))]
                sources[place], *pair = _turned(case, random, side)
                psf[place], wrong[place] = (torch.from_numpy(each) for each in pair)
                error[place] = case.error
        truths = torch.from_numpy(np.stack([source.object for source in sources]))[:, None]
        otf = _spectra(psf, side)
        clean = torch.fft.irfft2(torch.fft.rfft2(truths) * otf, s=(side, side))
        s, alpha = (
            _column([getattr(each, name) for each in sources]) for name in ("sigma", "alpha")
        )
        deviation = (alpha * clean.clamp(min=0) + s.square()).sqrt()
        normal = random.standard_normal(clean.shape, dtype=np.float32)
        images = clean + deviation * torch.from_numpy(normal)
        guess = _column(random.lognormal(0, 0.1, count))
        return Batch(
            truths,
            images,
            _spectra(wrong, side),
            noise_map(images, alpha, s) * guess,
            _column(np.minimum(error, _WORST)),
            _column([source.level for source in sources]),
            _column([source.scale for source in sources]),
        )

    def _source(
        self, random: np.random.Generator, side: int | None = None, sigma: float | None = None
    ) -> Source:
        """Return an object with its noise, and level and scale of the larger image it is from."""
        kind = random.random()
        photograph, seen = kind < _PHOTOGRAPHS, kind > 1 - _MICROSCOPY and bool(self._microscopy)
        origin = self._photographs if photograph else self._microscopy if seen else self._drawn
        whole = origin[int(random.integers(len(origin)))]
        if photograph and random.random() < 0.2:
            whole = 1 - whole
        whole = whole ** np.float32(random.uniform(0.7, 1.5))
        bright = random.uniform(0.3, 1.0)
        dark = bright * float(random.choice([0.0, random.uniform(0, 0.4)]))
        whole = dark + (bright - dark) * whole
        if side is None:
            side = min(int(random.integers(*_SIDES)), *whole.shape)
        if random.random() < _BINNED and min(whole.shape) >= 2 * side:
            half = [n // 2 * 2 for n in whole.shape]
            rows = whole[: half[0] : 2, : half[1]] + whole[1 : half[0] : 2, : half[1]]
            whole = (rows[:, ::2] + rows[:, 1::2]) / 4
        y, x = (int(random.integers(n - side + 1)) for n in whole.shape)
        crop = np.rot90(whole[y : y + side, x : x + side], int(random.integers(4)))
        crop = crop[:, :: int(random.choice([-1, 1]))]
        level = float(whole.mean()) + random.normal(0, 0.2) * float(whole.std())
        scale = max(float(whole.std()), 0.02) * random.lognormal(0, 0.2)
        return Source(np.ascontiguousarray(crop), level, scale, *_noise(random, sigma))

    def _psfs(
        self, random: np.random.Generator, count: int, *, true: bool
    ) -> tuple[Tensor, Tensor]:
        """Return PSFs (n, y, x), and those that are told in their place."""
        model = pupils(float(random.choice(CUTOFFS)), (_SUPPORT, _SUPPORT))
        modes = len(MODES)
        amplitude = random.choice(AMPLITUDES, (count, 1))
        coefficients = torch.from_numpy(random.uniform(-1, 1, (count, modes)) * amplitude)
        size = _by_decades(random, _OFF, (count, 1, 1))
        off = torch.from_numpy(size * random.standard_normal((count, 3, modes)))
        psf = model.psf(coefficients).float()
        bells = _bells(_by_decades(random, _WIDTH, (count,)))
        bell = _choice(random, _BELLS, count)
        psf = torch.where(bell, bells, psf)
        several = model.psf(coefficients[:, None] + off).float()
        mean = _choice(random, 0.5, count)
        wrong = torch.where(mean, several.mean(1), several[:, 0])
        share = torch.where(_choice(random, 0.15, count), _planes(random.random(count)), 0.0)
        wrong = torch.lerp(wrong, wrong.flip(-2, -1), share)
        exact = _choice(random, 1.0 if true else _TRUE, count) | bell
        return psf, torch.where(exact, psf, wrong)


def planes(folder: Path) -> list[NDArray[np.float32]]:
    """Return the lively planes, 0 to 1, of all microscope images and stacks in a folder.

    Raises
    ------
    InputError
        When there are none, or none is large enough.
    """
    import tifffile

    made: list[NDArray[np.float32]] = []
    for path in sorted([*folder.glob("*.tif"), *folder.glob("*.tiff")]):
        stack = tifffile.imread(path).astype(np.float32)
        if stack.ndim not in (2, 3) or min(stack.shape[-2:]) < SMALLEST:
            continue
        low, high = np.quantile(stack, (0.001, 0.999)).tolist()
        stack = ((stack - low) / max(high - low, 1e-9)).clip(0, 1)
        stack = stack.reshape(-1, *stack.shape[-2:])
        spread = stack.std((1, 2))
        made.extend(stack[spread >= _LIVELY * spread.max()])
    if not made:
        raise InputError(
            f"{folder} has no microscope image (TIFF) of {SMALLEST} x {SMALLEST} pixels or more."
        )
    return made


def _turned(
    case: Case, random: np.random.Generator, side: int
) -> tuple[Source, NDArray[np.float32], NDArray[np.float32]]:
    """Return a crop of a case, turned and mirrored with its PSFs, the true one and the found."""
    source, turns = case.source, int(random.integers(4))
    step = int(random.choice([-1, 1]))
    y, x = (int(random.integers(n - side + 1)) for n in source.object.shape)
    crop = source.object[y : y + side, x : x + side]
    crop, psf, found = (
        np.ascontiguousarray(np.rot90(each, turns)[:, ::step], np.float32)
        for each in (crop, case.psf, case.found)
    )
    return replace(source, object=crop), psf, found


def _bells(widths: NDArray[np.float64]) -> Tensor:
    """Return Gaussians (n, y, x) of sum 1."""
    place = np.arange(_SUPPORT) - _SUPPORT // 2
    profiles = np.exp(-(place**2) / (2 * widths[:, None] ** 2))
    profiles /= profiles.sum(1, keepdims=True)
    return torch.from_numpy(np.einsum("ny,nx->nyx", profiles, profiles)).float()


def _noise(random: np.random.Generator, sigma: float | None) -> tuple[float, float]:
    """Return sigma and alpha."""
    if sigma is not None:
        return sigma, 0.0
    if random.random() < _NOISELESS:
        return float(random.uniform(0, 2e-3)), 0.0
    alpha = _by_decades(random, ALPHA) if random.random() < _PHOTONS else 0.0
    return float(_by_decades(random, SIGMA)), float(alpha)


def _spectra(psf: Tensor, side: int) -> Tensor:
    """Return half spectra (n, 1, y, x) of PSFs (n, y, x) on a circle of this side."""
    whole = torch.zeros(len(psf), 1, side, side)
    height, width = psf.shape[-2:]
    whole[:, 0, :height, :width] = psf
    centred = torch.roll(whole, (-(height // 2), -(width // 2)), (-2, -1))
    spectra: Tensor = torch.fft.rfft2(centred)
    return spectra


def _by_decades(
    random: np.random.Generator, span: tuple[float, float], shape: tuple[int, ...] = ()
) -> NDArray[np.float64]:
    low, high = np.log10(span)
    return np.asarray(10 ** random.uniform(low, high, shape))


def _column(numbers: Any) -> Tensor:
    return torch.as_tensor(np.asarray(numbers, np.float32)).reshape(-1, 1, 1, 1)


def _planes(numbers: Sequence[float] | NDArray[Any]) -> Tensor:
    return torch.as_tensor(np.asarray(numbers, np.float32)).reshape(-1, 1, 1)


def _choice(random: np.random.Generator, share: float, count: int) -> Tensor:
    return torch.from_numpy(random.random(count) < share).reshape(-1, 1, 1)
