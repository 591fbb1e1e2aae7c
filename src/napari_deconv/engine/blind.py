"""The stage before a blind restoration: the PSF is found in the image, then taken as if given."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.errors import InputError
from napari_deconv.optics.variant import VariantPsf
from napari_deconv.registry import Planes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_deconv.engine.problem import Problem
    from napari_deconv.registry import FoundPsf

# Pixels of each plane that is looked at; how many planes, and among how many they are chosen. Of
# a stack along z one, with so many neighbours on each side.
PIXELS, _PLANES, _LOOKED_AT, _NEIGHBOURS = 1 << 20, 3, 16, 8


def find_psf(problem: Problem) -> FoundPsf:
    """Return the PSF that the method finds in the planes that show most, one for all of them.

    Raises
    ------
    InputError
        When they show too little.
    """
    finder = problem.method.finds_psf
    assert finder is not None, f"{problem.method.id} cannot find a PSF"
    source = problem.source
    _, core = problem.lively_region(PIXELS)
    part, _ = source.outer(core, (0,) * len(core), "reflect")
    try:
        found = finder(_planes(problem, part), problem.parameters)
    except InputError as error:
        raise InputError(f"No PSF was given, and none can be found in the image: {error}") from None
    if isinstance(found.psf, VariantPsf):
        return _in_whole(found, part, source.whole_shape)
    return found


def _planes(problem: Problem, part: Sequence[slice]) -> Planes:
    """Return the liveliest planes; of a stack along z the liveliest with its neighbours."""
    source = problem.source
    frames = list(source.frames)
    step = max(1, len(frames) // _LOOKED_AT)

    def read(frame: Sequence[int]) -> NDArray[np.float32]:
        return source.read(frame, part, "reflect")

    seen = [(frame, read(frame)) for frame in frames[::step]]
    seen.sort(key=lambda each: float(each[1].std()), reverse=True)
    if len(problem.options.spacing or ()) <= len(part):
        return Planes(np.stack([plane for _, plane in seen[:_PLANES]]), problem.spacing)
    (*before, z), _ = seen[0]
    first, last = max(0, z - _NEIGHBOURS), min(source.shape[len(before)], z + _NEIGHBOURS + 1)
    planes = np.stack([read((*before, each)) for each in range(first, last)])
    return Planes(planes, problem.options.spacing, z - first)


def _in_whole(found: FoundPsf, part: Sequence[slice], whole: Sequence[int]) -> FoundPsf:
    """Return a field that was found in a part of the image as one of the whole image."""
    start = [piece.start for piece in part]
    sides = [piece.stop - piece.start for piece in part]
    verdict = found.verdict
    if sides != list(whole):
        verdict += (
            f" Only {sides[0]} x {sides[1]} pixels were looked at; beyond them the PSF is taken to "
            "be that at their border."
        )
    return replace(
        found,
        psf=found.psf.part([-first for first in start], whole),
        verdict=verdict,
        record={**found.record, "verdict": verdict, "start": start},
    )


def plain_psf(psf: Any) -> Any:
    """Return a PSF as numbers in lists, with every digit."""
    if not isinstance(psf, VariantPsf):
        return psf.tolist()
    told = vars(psf) | {"components": psf.components.tolist(), "maps": psf.maps.tolist()}
    return told | {"places": [nodes.tolist() for nodes in psf.places]}


def psf_of(told: Any) -> NDArray[np.float32] | VariantPsf:
    """Return the PSF that :func:`plain_psf` told of."""
    if not isinstance(told, dict):
        return np.array(told, np.float32)
    arrays: Mapping[str, Any] = {
        "components": np.array(told["components"], np.float32),
        "maps": np.array(told["maps"], np.float64),
        "places": tuple(np.array(nodes, np.float64) for nodes in told["places"]),
        "image_shape": tuple(told["image_shape"]),
        "spacing": None if told["spacing"] is None else tuple(told["spacing"]),
    }
    return VariantPsf(**{**told, **arrays})
