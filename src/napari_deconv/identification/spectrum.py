"""The logarithm of an image's power spectrum: what a blur leaves its mark on most openly.

The spectrum of a blurred image is that of the object times ``|OTF|**2``, plus the noise's. It is
estimated after Welch (1967): the mean over windows of ``SIDE`` pixels, weighted by Hann's. Beyond
twice the cutoff, where no light gets through, it shows the noise alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

# Cutoff that images are brought to, NA * pixel / wavelength in cycles per pixel.
CUTOFF = 0.2
# Side of Welch's windows and of the grid of frequencies; smaller images have smaller windows.
SIDE = 64
# Distance of windows, pixels: large images have enough of them at twice the distance.
_HOP, _LARGE = 16, 200
# Frequencies (in 1 / SIDE) with the window's share of the mean in them, which say nothing.
_LOW = 1.6
# Beyond the last frequency that light gets through, a window still sees some of it this far.
_MARGIN = 1.5
_FLOOR = 1e-12


@dataclass(frozen=True)
class Spectrum:
    """The spectrum of an image, in units of the image's variance.

    Attributes
    ----------
    log
        Natural logarithm at the frequencies of ``disc()``, (n,).
    noise
        Level of white noise in the same units before the logarithm.
    windows
        How many windows' worth of independent looks it is the mean of.
    side
        Of the windows, pixels.
    """

    log: Tensor
    noise: float
    windows: float
    side: int


@cache
def disc() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns, in 1 / SIDE, of the frequencies that light gets through.

    One of each pair f and -f, the mean and its neighbours left out.
    """
    last = int(2 * CUTOFF * SIDE)
    rows, columns = np.mgrid[-last : last + 1, 0 : last + 1]
    radius = np.hypot(rows, columns)
    kept = (radius > _LOW) & (radius < 2 * CUTOFF * SIDE) & ((columns > 0) | (rows > 0))
    return rows[kept], columns[kept]


def half_plane(values: Tensor) -> Tensor:
    """Return values (..., n) of ``disc()`` as (..., rows, columns), with their mean elsewhere."""
    last = int(2 * CUTOFF * SIDE)
    rows, columns = disc()
    whole = values.mean(-1)[..., None, None].expand(*values.shape[:-1], 2 * last + 1, last + 1)
    whole = whole.clone()
    whole[..., rows + last, columns] = values
    return whole


def welch(image: Tensor, side: int = SIDE) -> Tensor:
    """Return the power spectrum (..., SIDE, SIDE // 2 + 1) of planes (..., y, x).

    White noise has its variance at every frequency.
    """
    total = None
    for strip in _strips(image, side):
        power = strip.sum(-3)
        total = power if total is None else total + power
    assert total is not None
    mean: Tensor = total / math.prod(len(_starts(n, side)) for n in image.shape[-2:])
    return mean


def window_powers(image: Tensor, side: int = SIDE) -> Tensor:
    """Return the spectrum of every window, (..., n, SIDE, SIDE // 2 + 1), whose mean is Welch's."""
    import torch

    return torch.cat(list(_strips(image, side)), -3)


def _strips(image: Tensor, side: int) -> Iterator[Tensor]:
    """Yield the spectra of windows row by row: all at once would take sixteen times the memory."""
    import torch

    window = hann(side).to(image)
    image = image - image.mean((-2, -1), keepdim=True)
    rows, columns = (_starts(n, side) for n in image.shape[-2:])
    for top in rows:
        strip = image[..., top : top + side, :]
        parts = torch.stack([strip[..., left : left + side] for left in columns], -3) * window
        yield torch.fft.rfft2(parts, (SIDE, SIDE)).abs().square() / window.square().sum()


def spectrum_of(image: Tensor, noise: float | None = None, band: float = 0.5) -> Spectrum:
    """Return the logarithm of the spectrum of a plane, or of frames, (..., y, x).

    Parameters
    ----------
    image
        Grey values, at the trained cutoff.
    noise
        Standard deviation of its noise; by default it is read from the spectrum where no light
        gets through.
    band
        Highest frequency along each axis, cycles per pixel, that the camera saw: below 0.5 for
        images that were brought to more pixels.
    """
    side = min(SIDE, *image.shape[-2:])
    frames = image.double().reshape(-1, *image.shape[-2:])
    variance = max(float(frames.var((-2, -1)).mean()), 1e-30)
    power = welch(frames, side).mean(0).numpy()
    level = noise_level(power, side, band) if noise is None else noise**2
    windows = len(frames) * looks(image.shape, side)
    return from_power(power, variance, level, windows, side)


def from_power(
    power: NDArray[np.float64], variance: float, level: float, windows: float, side: int = SIDE
) -> Spectrum:
    """Return the spectrum of a plane from what ``welch`` has made of it."""
    import torch

    seen = np.maximum(at_disc(power) / variance, _FLOOR)
    return Spectrum(
        torch.from_numpy(np.log(seen)).float(),
        max(level / variance, _FLOOR / 10),
        windows,
        side,
    )


def at_disc(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a spectrum (..., SIDE, SIDE // 2 + 1) at the frequencies of ``disc()``."""
    rows, columns = disc()
    chosen: NDArray[np.float64] = power[..., rows, columns]
    return chosen


def noise_level(power: NDArray[np.float64], side: int = SIDE, band: float = 0.5) -> float:
    """Return the mean spectrum where no light gets through but the camera sees."""
    fy = np.abs(np.fft.fftfreq(SIDE))[:, None]
    fx = np.arange(SIDE // 2 + 1) / SIDE
    beyond = np.hypot(fy, fx) > 2 * CUTOFF + _MARGIN / side
    seen = (fy < band - _MARGIN / side) & (fx < band - _MARGIN / side) | (band >= 0.5)
    return float(power[beyond & seen].mean())


def looks(shape: tuple[int, ...], side: int = SIDE) -> float:
    """Return how many independent windows there are room for in a plane."""
    # Hann's window at a hop of a quarter: each half window is a look of its own, nearly.
    return float(np.prod([max(1.0, 1.9 * n / side - 0.9) for n in shape[-2:]]))


def hann(side: int) -> Tensor:
    """Return Hann's window (side, side)."""
    import torch

    one = torch.hann_window(side, periodic=True, dtype=torch.float64)
    return one[:, None] * one


def _starts(n: int, side: int) -> list[int]:
    """Return where windows begin, evenly from one end to the other."""
    count = math.ceil((n - side) / (_HOP if n <= _LARGE else 2 * _HOP)) + 1
    return [round(i * (n - side) / max(count - 1, 1)) for i in range(count)]


class Transfer:
    """``|OTF|**2`` of PSFs as a Welch spectrum shows it, with derivatives.

    Two thin Fourier matrices take the PSF to the frequencies of the disc, and a third pair takes
    the mean over those that a window mixes.

    Parameters
    ----------
    shape
        Pixels (y, x) of the PSFs.
    side
        Of Welch's windows, pixels.
    """

    def __init__(self, shape: tuple[int, int], side: int = SIDE) -> None:
        import torch

        last = int(2 * CUTOFF * SIDE)
        reach = math.ceil(SIDE / side) + (side < SIDE)
        rows = np.arange(-last - reach, last + reach + 1)
        columns = np.arange(-reach, last + reach + 1)
        self._by_y, self._by_x = (
            torch.from_numpy(np.exp(-2j * math.pi * np.outer(f, np.arange(n) - n // 2) / SIDE)).to(
                torch.complex64
            )
            for f, n in ((rows, shape[0]), (columns, shape[1]))
        )
        shares = _shares(side, reach)
        self._over_y, self._over_x = (
            torch.from_numpy(
                np.array([[shares.get(int(g - f), 0.0) for g in every] for f in wanted])
            ).float()
            for every, wanted in (
                (rows, np.arange(-last, last + 1)),
                (columns, np.arange(0, last + 1)),
            )
        )
        at_row, at_column = disc()
        self._flat = torch.from_numpy((at_row + last) * (last + 1) + at_column)

    def otf(self, psf: Tensor) -> Tensor:
        """Return the OTF (..., rows, columns) of PSFs (..., y, x)."""
        import torch

        return self._by_y @ psf.to(torch.complex64) @ self._by_x.T

    def seen(self, power: Tensor) -> Tensor:
        """Return what windows make of a power (..., rows, columns), at the disc's frequencies."""
        mixed = self._over_y @ power @ self._over_x.T
        return mixed.flatten(-2)[..., self._flat]

    def __call__(self, psf: Tensor) -> Tensor:
        """Return ``|OTF|**2`` (..., n) of PSFs (..., y, x)."""
        otf = self.otf(psf)
        return self.seen(otf.real.square() + otf.imag.square())

    def derivatives(self, psf: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``|OTF|**2`` (m, n) and its derivatives (m, mode, n), given those of PSFs."""
        own, others = self.otf(psf)[:, None], self.otf(change)
        power = self.seen((own.real.square() + own.imag.square())[:, 0])
        slope = self.seen(2 * (own.real * others.real + own.imag * others.imag))
        return power, slope


@cache
def transfer(shape: tuple[int, int], side: int = SIDE) -> Transfer:
    """Return the transfer of a shape, made once."""
    return Transfer(shape, side)


def _shares(side: int, reach: int) -> dict[int, float]:
    """Return how much of the power at a distance (in 1 / SIDE) a window sees, along one axis."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(side) / side)
    power = np.abs(np.fft.fft(window, SIDE)) ** 2
    near = {d: float(power[d % SIDE]) for d in range(-reach, reach + 1)}
    total = sum(near.values())
    return {d: value / total for d, value in near.items()}
