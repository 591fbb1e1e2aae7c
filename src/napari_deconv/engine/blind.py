"""The stage before a blind restoration: the PSF is found in the image, then taken as if given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_deconv.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_deconv.engine.problem import Problem
    from napari_deconv.registry import FoundPsf

# Pixels of each plane that is looked at; how many planes, and among how many they are chosen. Of
# a stack along z one, since its planes differ in focus.
_PIXELS, _PLANES, _LOOKED_AT = 1 << 20, 3, 16


def find_psf(problem: Problem) -> FoundPsf:
    """Return the PSF that the method finds in the planes that show most, one for all of them.

    Raises
    ------
    InputError
        When they show too little.
    """
    finder = problem.method.finds_psf
    assert finder is not None, f"{problem.method.id} cannot find a PSF"
    try:
        return finder(_planes(problem), problem.spacing, problem.parameters)
    except InputError as error:
        raise InputError(f"No PSF was given, and none can be found in the image: {error}") from None


def _planes(problem: Problem) -> NDArray[np.float32]:
    source = problem.source
    _, core = problem.lively_region(_PIXELS)
    frames = list(source.frames)
    step = max(1, len(frames) // _LOOKED_AT)
    planes = [source.read(frame, core, "reflect") for frame in frames[::step]]
    planes.sort(key=lambda plane: float(plane.std()), reverse=True)
    along_z = len(problem.options.spacing or ()) > planes[0].ndim
    return np.stack(planes[: 1 if along_z else _PLANES])
