"""PSFs as they are found in images, with what they were found in: how wrong they are is known.

What identification gets wrong is no error of any kind: it errs where the image shows least, which
harms less than as large an error elsewhere. A restoration learns that from cases of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_deconv.identification import identify
from napari_deconv.identification.optics import MODES, pupils
from napari_deconv.identification.spectrum import CUTOFF
from napari_deconv.training.blind_scenes import blurred

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Image = NDArray[np.float32]

SHAPE = (31, 31)
# Largest aberrations, waves: half of the cases have the first, which the program expects of all.
_AMPLITUDES = (0.15, 0.15, 0.1, 0.06)
# Cases after which they are written, and told of.
_BETWEEN = 200


@dataclass(frozen=True)
class Source:
    """Where a case comes from.

    Attributes
    ----------
    object
        Intensities (y, x), of which the image shows all but the PSF's half width at each border;
        in half precision where many are kept.
    level, scale
        What a network takes for zero and for one.
    sigma, alpha
        Of the noise's variance ``alpha x + sigma^2``.
    """

    object: NDArray[Any]
    level: float
    scale: float
    sigma: float
    alpha: float


@dataclass(frozen=True)
class Case:
    """An object, the PSF behind which it was seen, the PSF that was found, and its error.

    Attributes
    ----------
    source
        The object and its noise.
    psf, found
        PSFs (y, x) of sum 1.
    error
        Norm of what is wrong with the one found, relative, as the program expects it.
    """

    source: Source
    psf: Image
    found: Image
    error: float


def case(source: Source, seed: Sequence[int]) -> Case:
    """Blur an object by a drawn PSF, add noise, and let the program find the PSF."""
    random = np.random.default_rng(seed)
    amplitude = float(random.choice(_AMPLITUDES))
    coefficients = random.uniform(-amplitude, amplitude, len(MODES)).astype(np.float32)
    psf = pupils(CUTOFF, SHAPE).psf(torch.from_numpy(coefficients)).numpy().astype(np.float32)
    clean = blurred(source.object, psf)
    deviation = np.sqrt(source.alpha * np.maximum(clean, 0) + source.sigma**2)
    image = clean + deviation * random.standard_normal(clean.shape, np.float32)
    found = identify(image, cutoff=CUTOFF, amplitude=_AMPLITUDES[0], shape=SHAPE)
    kept = replace(source, object=source.object.astype(np.float16))
    return Case(kept, psf, found.psf, 10 ** (-found.expected_snr / 20))


def cases(
    draw: Callable[[np.random.Generator], Source],
    count: int,
    seed: int,
    *,
    kept: Path | None = None,
    say: Callable[[str], None] = print,
) -> list[Case]:
    """Return as many cases; those that were made before are in ``kept``.

    Parameters
    ----------
    draw
        Draws an object and its noise.
    count
        How many. Each takes more than half a second.
    seed
        Start of the random numbers.
    kept
        A file to keep them in.
    say
        Told now and then how many there are.
    """
    made = _read(kept) if kept is not None and kept.exists() else []
    for number in range(len(made), count):
        made.append(case(draw(np.random.default_rng([seed, 17, number])), [seed, 18, number]))
        if len(made) % _BETWEEN == 0 or len(made) == count:
            say(f"PSFs found to learn from: {len(made)} of {count}")
            if kept is not None:
                _write(made, kept)
    return made[:count]


def _write(made: Sequence[Case], path: Path) -> None:
    rows = []
    for each in made:
        object_, *numbers = vars(each.source).values()
        arrays = [torch.from_numpy(array) for array in (object_, each.psf, each.found)]
        rows.append((arrays, [*numbers, each.error]))
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    torch.save(rows, beside)
    beside.replace(path)


def _read(path: Path) -> list[Case]:
    made = []
    for arrays, (*numbers, error) in torch.load(path, weights_only=True):
        object_, psf, found = (array.numpy() for array in arrays)
        made.append(Case(Source(object_, *numbers), psf, found, error))
    return made
