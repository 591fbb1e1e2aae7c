"""The PSFs of a job: told apart, cut and scaled for use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.errors import InputError, ParameterError
from napari_deconv.operators.kernel import Kernel, prepare_kernel
from napari_deconv.optics.variant import VariantPsf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_deconv.engine.options import Options
    from napari_deconv.engine.source import Source


@dataclass(frozen=True)
class VariantKernel(Kernel):
    """A PSF that changes from place to place, ready for use; ``array`` is the mean one.

    Attributes
    ----------
    components
        Eigen-PSFs, cut as the mean one is.
    model
        Tells their weights at the places of the image.
    circular
        Whether the image repeats itself.
    """

    components: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    model: VariantPsf | None = None
    circular: bool = False

    def weights(self, places: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the maps at places of the image."""
        assert self.model is not None
        if self.circular:
            places = [p % n for p, n in zip(places, self.model.image_shape, strict=True)]
        return self.model.weights(places)


def psfs_of(psf: Any, image: Any) -> tuple[list[Any], Any]:
    """Return the PSFs, and the function that tells a frame's."""
    if psf is None:
        return [], lambda frame: 0
    if isinstance(psf, VariantPsf):
        return [psf], lambda frame: 0
    if isinstance(psf, (list, tuple)) and psf and _is_psf(psf[0]):
        arrays = [p if isinstance(p, VariantPsf) else np.asarray(p) for p in psf]
        if len({a.ndim for a in arrays}) > 1:
            raise InputError("The PSFs have different numbers of axes.")
        leading = np.ndim(image) - arrays[0].ndim
        channels = np.shape(image)[leading - 1] if leading > 0 else 1
        if len(arrays) not in (1, channels):
            raise InputError(
                f"There are {len(arrays)} PSFs for {channels} channels; give one, or one for each."
            )
        return arrays, lambda frame: frame[-1] if len(arrays) > 1 else 0
    array = np.asarray(psf)
    if array.ndim <= 3:
        return [array], lambda frame: 0
    leading_shape = array.shape[:-3]
    arrays = list(array.reshape(-1, *array.shape[-3:]))
    image_leading = np.shape(image)[:-3]
    try:
        fits = np.broadcast_shapes(leading_shape, image_leading) == image_leading
    except ValueError:
        fits = False
    if not fits:
        raise InputError(
            f"A PSF of shape {array.shape} does not go with an image of shape {np.shape(image)}: "
            "its axes before Z have to be those of the image."
        )

    def index(frame: tuple[int, ...]) -> int:
        own = frame[len(frame) - len(leading_shape) :]
        place = tuple(0 if n == 1 else i for i, n in zip(own, leading_shape, strict=True))
        return int(np.ravel_multi_index(place, leading_shape))

    return arrays, index


def _is_psf(thing: Any) -> bool:
    return isinstance(thing, VariantPsf) or np.ndim(thing) >= 2


def ready_kernel(psf: NDArray[Any] | VariantPsf, options: Options, source: Source) -> Kernel:
    """Cut and scale a PSF as the options want it for an image."""
    if isinstance(psf, VariantPsf):
        return _ready_variant(psf, options, source)
    ndim, circular = len(source.spatial_shape), options.borders == "circular"
    return prepare_kernel(
        psf,
        centre=options.psf_centre,
        background=options.psf_background,
        spacing=spacing_of(options.spacing, ndim),
        psf_spacing=spacing_of(options.psf_spacing, ndim),
        # A circular image costs the same whatever the PSF's size.
        energy=1.0 if circular else options.psf_energy,
        reach=None if circular else [n - 1 for n in source.spatial_shape],
    )


def _ready_variant(psf: VariantPsf, options: Options, source: Source) -> VariantKernel:
    """Cut the eigen-PSFs as the mean PSF is cut, and scale them with it."""
    whole = source.whole_shape
    if psf.image_shape != whole:
        raise InputError(
            f"The space-variant PSF was made for images of {psf.image_shape} voxels, but this "
            f"one has {whole}. Make it for this image, or take its part (VariantPsf.part)."
        )
    given = spacing_of(options.spacing, len(whole))
    if given and psf.spacing and not np.allclose(given, psf.spacing, rtol=5e-3, atol=0):
        raise InputError(
            f"The space-variant PSF has voxels of {psf.spacing} um, but the image's are "
            f"{given} um. Make it at the image's voxel size."
        )
    if options.psf_centre != "index":
        raise ParameterError(
            "The origin of a space-variant PSF is at index n // 2: leave psf_centre at 'index'."
        )
    mean = ready_kernel(psf.mean, options, source)
    starts = [n // 2 - o for n, o in zip(psf.mean.shape, mean.origin, strict=True)]
    cut = tuple(slice(a, a + n) for a, n in zip(starts, mean.array.shape, strict=True))
    components = psf.components[(slice(None), *cut)].astype(np.float64)
    components /= float(psf.mean[cut].sum(dtype=np.float64))
    return VariantKernel(
        mean.array,
        mean.origin,
        mean.notes,
        mean.warnings,
        components,
        psf,
        options.borders == "circular",
    )


def spacing_of(given: Sequence[float] | None, ndim: int) -> tuple[float, ...] | None:
    """Return the voxel size on the spatial axes; one number holds for all of them."""
    if given is None:
        return None
    if len(given) == 1:
        return tuple(given) * ndim
    if len(given) < ndim:
        raise ParameterError(f"spacing {tuple(given)} needs {ndim} numbers, one for each axis.")
    return tuple(given)[-ndim:]


def no_blur(ndim: int, side: int = 1) -> Kernel:
    """Return the kernel of a convolution that changes nothing, as large as one that will."""
    kernel = np.zeros((side,) * ndim)
    kernel[(side // 2,) * ndim] = 1
    return Kernel(kernel, (side // 2,) * ndim)


def maps_of(kernel: Kernel) -> tuple[int, int]:
    """Return how many eigen-PSFs there are, and how many of their maps fill the whole image."""
    if not isinstance(kernel, VariantKernel) or kernel.model is None:
        return 1, 0
    count = len(kernel.components)
    return count, count if all(len(nodes) > 1 for nodes in kernel.model.places) else 0
