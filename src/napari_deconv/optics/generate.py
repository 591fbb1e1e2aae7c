"""Point spread functions as arrays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from napari_deconv.errors import ParameterError
from napari_deconv.optics.instrument import Instrument
from napari_deconv.optics.intensity import accuracy
from napari_deconv.registry import Advanced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_deconv.optics.microscope import Microscope


def generate_psf(
    microscope: Microscope,
    shape: Sequence[int],
    spacing: Sequence[float],
    *,
    model: str = "gibson-lanni",
    modality: str = "widefield",
    pixel_integration: bool = True,
    centre: Literal["brightest", "geometric"] = "brightest",
    dtype: Annotated[Literal["float32", "float64"], Advanced()] = "float32",
    **parameters: Any,
) -> NDArray[Any]:
    """Compute the image of a point.

    Increasing z is deeper in the sample, as when the objective moves towards it from plane to
    plane; with the opposite order of planes, flip the PSF along z.

    Parameters
    ----------
    microscope
        The microscope.
    shape
        Numbers of voxels (z, y, x), or (y, x) for the plane in focus.
    spacing
        Size of a voxel, um, in the same order.
    model
        Id of the PSF model, see ``psf_models()``.
    modality
        Id of the modality, see ``modalities()``.
    pixel_integration
        Take the mean over each pixel's area, as a camera does, rather than the value at its
        middle. At 0.1 um and NA 1.4 the peak is 8 % lower for it.
    centre
        What is at the origin along z: the brightest plane, which keeps restored objects where
        they are in the image; or, "geometric", the plane in which the stage has moved by the
        point's depth as if light were not refracted, so that restoring also moves objects from
        their apparent to their true depth, by ``focal_shift``. Both lie on the voxel grid exactly,
        as z is shifted before the PSF is computed.
    dtype
        Kind of number: float32 holds six digits, which is more than any method needs; float64
        holds ten, for comparisons of programs, and takes three times as long.
    **parameters
        Of the model and of the modality.

    Returns
    -------
    array of ``shape``
        With sum 1 and its origin at index ``n // 2`` on every axis.

    Raises
    ------
    ParameterError
        For an unknown model, modality or parameter, a shape or spacing that cannot be, or more
        voxels than memory can hold.
    """
    shape, spacing = _check_shape(shape), _check_spacing(spacing, len(shape))
    if centre not in ("brightest", "geometric"):
        raise ParameterError(
            f'centre is {centre!r}, but has to be one of: "brightest", "geometric".'
        )
    if dtype not in ("float32", "float64"):
        raise ParameterError(f'dtype is {dtype!r}, but has to be one of: "float32", "float64".')
    _check_memory(shape, np.dtype(dtype).itemsize)
    instrument = Instrument(microscope, model, modality, **parameters)
    _check_pixels(spacing[-2:], instrument)
    shift = instrument.focus() if centre == "brightest" else 0.0
    planes = shape[0] if len(shape) == 3 else 1
    z = shift + spacing[0] * (np.arange(planes, dtype=np.float64) - planes // 2)
    (ny, nx), (dy, dx) = shape[-2:], spacing[-2:]
    # To the corner of the outermost pixel.
    reach = math.hypot((ny // 2 + 0.5) * dy, (nx // 2 + 0.5) * dx)
    intensity = instrument.intensity(z, reach, accuracy(dtype))
    voxels = intensity.voxels((ny, nx), (dy, dx), integrate=pixel_integration, dtype=dtype)
    return voxels.reshape(shape)


def focal_shift(
    microscope: Microscope,
    *,
    model: str = "gibson-lanni",
    modality: str = "widefield",
    **parameters: Any,
) -> float:
    """Return how far beyond the point's depth the stage has to move to see it brightest, um.

    Refraction between sample and immersion does this: through oil, a point 10 um deep in water
    is brightest when the stage has moved by 12.3 um. Positive is deeper.

    Parameters
    ----------
    microscope, model, modality, **parameters
        As for ``generate_psf``.
    """
    return Instrument(microscope, model, modality, **parameters).focus()


def suggest_shape(
    microscope: Microscope,
    spacing: Sequence[float],
    *,
    model: str = "gibson-lanni",
    modality: str = "widefield",
    image_shape: Sequence[int] | None = None,
    largest: Sequence[int] = (129, 257, 257),
    **parameters: Any,
) -> tuple[int, ...]:
    """Suggest how large a PSF should be, so that nobody need think about it.

    Along z five of the finest periods to either side, more with spherical aberration; across,
    room for the cone of light at the outermost plane. In focus alone (2D), room for the rings.

    Parameters
    ----------
    microscope
        The microscope.
    spacing
        Size of a voxel (z, y, x), or of a pixel (y, x), um.
    model, modality, **parameters
        As for ``generate_psf``.
    image_shape
        Shape of the image to be restored: the PSF is not made larger than that.
    largest
        Bounds (z, y, x).

    Returns
    -------
    tuple of int
        Odd numbers, as many as ``spacing`` has.

    Raises
    ------
    ParameterError
        For an unknown model, modality or parameter, or a spacing or image shape that cannot be.
    """
    ndim = 2 if len(spacing) == 2 else 3
    spacing = _check_spacing(spacing, ndim)
    bounds = _check_shape(largest)[-ndim:]
    if image_shape is not None:
        image = _check_shape(image_shape)
        if len(image) != ndim:
            raise ParameterError(f"image_shape is {image}, but spacing has {ndim} numbers.")
        bounds = tuple(map(min, bounds, image))
    across = 3 * microscope.airy_unit
    if ndim == 2:
        halves: tuple[float, ...] = (across, across)
    else:
        instrument = Instrument(microscope, model, modality, **parameters)
        # With aberration, light spreads from the focus towards the farther of the rays' foci.
        focus, foci = instrument.focus(), instrument.foci()
        # The finest period of the light itself: a sheet's edges add none.
        finest = instrument.lateral_period() * 2 * microscope.numerical_aperture
        along = 5 * finest / microscope.axial_aperture + 3 * min(abs(focus - end) for end in foci)
        across += min(along, bounds[0] / 2 * spacing[0]) * math.tan(microscope.half_angle)
        halves = (along, across, across)
    return tuple(
        min(1 + 2 * math.ceil(half / length), bound - (bound + 1) % 2)
        for half, length, bound in zip(halves, spacing, bounds, strict=True)
    )


def _check_shape(shape: Sequence[int]) -> tuple[int, ...]:
    try:
        numbers = tuple(int(n) for n in shape)
        fits = len(numbers) in (2, 3) and all(
            n > 0 and n == given for n, given in zip(numbers, shape, strict=True)
        )
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ParameterError(
            f"shape is {shape!r}, but has to be 2 or 3 positive whole numbers: (y, x) or (z, y, x)."
        )
    return numbers


def _check_spacing(spacing: Sequence[float], ndim: int) -> tuple[float, ...]:
    axes = "(z, y, x)" if ndim == 3 else "(y, x)"
    try:
        numbers = tuple(float(length) for length in spacing)
        fits = len(numbers) == ndim and all(math.isfinite(n) and n > 0 for n in numbers)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ParameterError(
            f"spacing is {spacing!r}, but has to be {ndim} positive lengths {axes} in micrometres."
        )
    for factor, unit, suspicious in (
        (1000, "nanometres", min(numbers[-2:]) >= 20),
        (1e-6, "metres", max(numbers) < 1e-4),
    ):
        if suspicious:
            meant = ", ".join(f"{n / factor:g}" for n in numbers)
            raise ParameterError(
                f"spacing is {spacing!r} um: are these {unit}? Lengths are in micrometres; "
                f"did you mean ({meant})?"
            )
    return numbers


def _check_pixels(pixel: tuple[float, ...], instrument: Instrument) -> None:
    coarsest = 10 * instrument.lateral_period()
    if max(pixel) > coarsest:
        raise ParameterError(
            f"Pixels of {max(pixel):g} um would swallow the PSF of this microscope, which resolves "
            f"{instrument.lateral_period():.2g} um: check the spacing, which is that in the sample "
            "(the camera's pixel divided by the magnification)."
        )


def _check_memory(shape: tuple[int, ...], itemsize: int) -> None:
    # The stack itself, and for a plane its index and its interpolation weights.
    needed = itemsize * math.prod(shape) + 200 * math.prod(shape[-2:])
    if needed < 2**28:  # a quarter of a gigabyte is there, and asking takes a millisecond
        return
    import psutil

    available = psutil.virtual_memory().available
    if needed > available:
        raise ParameterError(
            f"A PSF of shape {shape} takes {needed / 1e9:.1f} GB, but only "
            f"{available / 1e9:.1f} GB are free: choose a smaller shape. "
            "A PSF need not be as large as the image."
        )
