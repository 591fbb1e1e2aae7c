"""A look at image and PSF before a job: what is well, what is not, and what to do about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_deconv.arrays import out_of_scale
from napari_deconv.errors import DeconvolutionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_deconv.engine.plan import Forecast
    from napari_deconv.optics.microscope import Microscope

Level = Literal["ok", "warn", "stop"]

# Voxels that are looked at; of more, planes at regular steps.
_ENOUGH = 4_000_000
# A voxel may be so much larger than Nyquist's before it is worth a warning.
_TOLERANCE = 1.05
# Voxel sizes that agree to this share are the same.
_SAME = 5e-3


@dataclass(frozen=True)
class Light:
    """One finding.

    Attributes
    ----------
    name
        What was looked at.
    level
        ``"ok"``, ``"warn"`` (it will run, but) or ``"stop"`` (it will not run).
    short
        The finding in a few words.
    text
        What it means and what to do about it.
    remedy, remedy_label
        Id of what a program can do about it at once, and what a button for it says.
    value
        The number behind it, where a remedy needs one.
    """

    name: str
    level: Level
    short: str
    text: str
    remedy: str | None = None
    remedy_label: str = ""
    value: float | None = None


def preflight(
    image: Any,
    psf: Any = None,
    *,
    method: str = "richardson-lucy",
    spacing: Sequence[float] | None = None,
    psf_spacing: Sequence[float] | None = None,
    microscope: Microscope | None = None,
    modality: str = "widefield",
    options: Mapping[str, Any] | None = None,
    forecast: bool = True,
) -> list[Light]:
    """Look at image and PSF before they go into a job.

    Parameters
    ----------
    image
        As for :class:`~napari_deconv.engine.Job`; of a large or lazy one, some planes are read.
    psf
        One PSF, or with leading axes one for each channel; None when there is none yet.
    method, options
        What is going to run, for the forecast.
    spacing, psf_spacing
        Voxel sizes, um.
    microscope, modality
        What the PSF was computed for, when that is known.
    forecast
        Whether to tell memory and time; it measures the machine's speed, which takes about half
        a second the first time.

    Returns
    -------
    list of Light
        One for each thing that was looked at, in a fixed order.
    """
    given = dict(options or {})
    lights = [_values(image)]
    sample = some_voxels(image)
    if lights[0].level != "stop":
        lights.append(_saturation(sample))
        lights.append(_offset(sample, given.get("offset", 0.0), given.get("background", 0.0)))
    if microscope is not None and spacing is not None:
        lights.append(_sampling(spacing, microscope, modality))
    lights += _psf(image, psf, spacing, psf_spacing, method)
    if forecast and not any(light.level == "stop" for light in lights):
        lights.append(_forecast(image, psf, method, spacing, psf_spacing, given))
    return lights


def some_voxels(image: Any) -> NDArray[Any]:
    """Return an image's planes, or planes at regular steps of a large or lazy one.

    Of planes that are large themselves it returns the middle.

    Parameters
    ----------
    image
        numpy, dask, zarr or the like, axes ``..., Y, X``.
    """
    shape = tuple(int(n) for n in image.shape)
    plane = math.prod(shape[-2:])
    planes = math.prod(shape[:-2])
    if planes * plane <= _ENOUGH:
        return np.asarray(image)
    side = math.isqrt(_ENOUGH)
    middle: tuple[slice, ...] = ()
    if plane > _ENOUGH:
        # As wide as it is long, or all there is of the shorter side.
        rows = min(shape[-2], max(side, _ENOUGH // shape[-1]))
        sizes = (rows, min(shape[-1], _ENOUGH // rows))
        starts = [(n - size) // 2 for n, size in zip(shape[-2:], sizes, strict=True)]
        middle = tuple(slice(a, a + size) for a, size in zip(starts, sizes, strict=True))
    step = min(planes, -(-planes * min(plane, _ENOUGH) // _ENOUGH))
    indices = [np.unravel_index(i, shape[:-2]) for i in range(step // 2, planes, step)]
    return np.stack([np.asarray(image[(*map(int, index), *middle)]) for index in indices])


def _values(image: Any) -> Light:
    """Look for what is no grey value: NaN, colours, nothing at all."""
    name = "values"
    shape = tuple(int(n) for n in image.shape)
    if len(shape) < 2 or 0 in shape:
        return Light(name, "stop", f"no image (shape {shape})", "Choose a layer with voxels in it.")
    sample = some_voxels(image)
    if sample.dtype.kind not in "biuf":
        words = f"holds {sample.dtype} values"
        return Light(name, "stop", words, "Grey values are needed: convert the image first.")
    # All of it where it is at hand: a single NaN would spread over the whole result.
    whole = image if isinstance(image, np.ndarray) else sample
    if whole.dtype.kind == "f" and not np.isfinite(whole.sum(dtype=np.float64)):
        bad = int(whole.size - np.isfinite(whole).sum())
        if bad:
            return Light(
                name,
                "stop",
                f"{bad} values are NaN or infinite",
                "They would spread over the whole result. Replace them first, for instance by "
                "the median of their neighbours.",
            )
    low, high = float(sample.min()), float(sample.max())
    if not high > low:
        return Light(
            name,
            "stop",
            f"the image is constant ({low:g})",
            "There is nothing to restore in it. Choose another layer.",
        )
    if out_of_scale(low, high):
        return Light(
            name,
            "stop",
            f"values from {low:g} to {high:g}",
            "The largest has to be between 1e-12 and 1e15: multiply the image by a constant.",
        )
    if low < 0:
        share = float(np.mean(sample < 0))
        return Light(
            name,
            "warn",
            f"{percent(share)} of the voxels are negative",
            "No number of photons is below zero; methods that count photons take them for zero. "
            "If a background was subtracted, restore the image with it instead, and choose the "
            "background as a layer.",
        )
    return Light(name, "ok", "values", f"Grey values from {low:g} to {high:g}, all of them usable.")


def _saturation(sample: NDArray[Any]) -> Light:
    """Look for voxels that the camera could not count any further."""
    name = "saturation"
    share = saturated_share(sample)
    if share == 0:
        return Light(name, "ok", "not saturated", "No voxel is at the camera's upper limit.")
    return Light(
        name,
        "warn",
        f"{percent(share)} of the voxels are saturated",
        "Where the camera was at its limit, the true intensity is unknown: these places come out "
        "too dark, with dark rims. Take the image again with less light, or do not measure there.",
        value=share,
    )


def saturated_share(sample: NDArray[Any]) -> float:
    """Return the share of voxels at the type's largest value, or on a flat top below it."""
    if sample.dtype.kind == "b" or sample.size == 0:
        return 0.0
    top = sample.max()
    at_top = int(np.count_nonzero(sample == top))
    share = at_top / sample.size
    if sample.dtype.kind in "iu" and top == np.iinfo(sample.dtype).max:
        return share
    # A camera of 12 bits stops at 4095: many voxels there, few just below. Of photons, the higher
    # the number, the fewer the voxels.
    span = float(top) - float(sample.min())
    high = sample[sample > top - 0.25 * span]
    levels = np.unique(high)
    if at_top < 8 or levels.size < 8:
        return 0.0
    just_below = min(float(levels[-4]), float(top) - 0.02 * span)
    below = int(np.count_nonzero(high >= just_below)) - at_top
    return share if at_top > 2 * below else 0.0


def _offset(sample: NDArray[Any], subtracted: Any, background: Any) -> Light:
    """Look for a camera's constant offset that nobody has accounted for."""
    from napari_deconv.background import estimate_offset

    name = "offset"
    if hasattr(background, "shape") and np.ndim(background):
        return Light(name, "ok", "background given", "The background is a layer.")
    offset = float(estimate_offset(sample))
    level = float(np.mean(sample, dtype=np.float64))
    if "auto" in (subtracted, background):
        return Light(name, "ok", "offset", "It is found from the image and subtracted.")
    given = float(subtracted) + float(background)
    left = offset - given
    size = max(abs(float(np.quantile(sample[::4] if len(sample) > 8 else sample, 0.999))), 1e-30)
    if left > 0.02 * size:
        return Light(
            name,
            "warn",
            f"offset of {offset:.4g} counts found",
            f"Even the darkest places have {offset:.4g} counts, of {level:.4g} on average. Taken "
            "for light, they keep the restoration from getting dark and sharp. Counts that the "
            "camera gives without light are its offset; what haze adds is background.",
            remedy="offset",
            remedy_label="Subtract",
            value=offset,
        )
    if left < -0.02 * size and given > 0:
        return Light(
            name,
            "warn",
            f"offset and background ({given:.4g}) are above the darkest places ({offset:.4g})",
            "What lies below them counts as no light at all. Use the offset that was "
            "found, unless you know better.",
            remedy="offset",
            remedy_label="Use it",
            value=offset,
        )
    return Light(name, "ok", "offset", "The darkest places are dark, or their offset is given.")


def _sampling(spacing: Sequence[float], microscope: Microscope, modality: str) -> Light:
    """Compare the voxel size with what the microscope transmits."""
    name = "sampling"
    finest = microscope.nyquist_spacing(modality)[-len(spacing) :]
    axes = "ZYX"[-len(spacing) :]
    coarse = [
        f"{axis} {size:.3g} µm instead of {limit:.3g}"
        for axis, size, limit in zip(axes, spacing, finest, strict=True)
        if size > _TOLERANCE * limit
    ]
    limits = " × ".join(f"{limit:.3g}" for limit in finest)
    if coarse:
        return Light(
            name,
            "warn",
            "coarse voxels: " + ", ".join(dict.fromkeys(coarse)),
            f"This objective resolves detail that needs voxels of {limits} µm (Nyquist). With "
            "coarser ones the finest detail is lost or comes out false. Where you can, take the "
            "image with a higher magnification or smaller steps.",
        )
    return Light(
        name, "ok", "sampling", f"The voxels are fine enough for the objective ({limits} µm)."
    )


def _psf(
    image: Any,
    psf: Any,
    spacing: Sequence[float] | None,
    psf_spacing: Sequence[float] | None,
    method: str,
) -> list[Light]:
    """Look at the PSF and at whether it goes with the image."""
    from napari_deconv.optics.variant import VariantPsf
    from napari_deconv.registry import methods

    name = "PSF"
    if psf is None:
        entry = methods().get(method)
        if entry is None or not entry.needs_psf:
            return []
        return [
            Light(
                name,
                "stop",
                "no PSF chosen",
                "The point spread function tells how the microscope blurs. Make one from what is "
                "written on the objective, or choose the layer that holds one.",
                remedy="psf",
                remedy_label="Make…",
            )
        ]
    array = np.asarray(psf.mean if isinstance(psf, VariantPsf) else psf)
    ndim = min(array.ndim, 3)
    if not np.isfinite(array.sum(dtype=np.float64)) or array.size == 0:
        return [Light(name, "stop", "the PSF holds NaN or infinity", "Choose another one.")]
    if array.max() <= 0:
        return [
            Light(
                name,
                "stop",
                "the PSF is zero everywhere",
                "Choose the layer that holds the PSF, or make one.",
                remedy="psf",
                remedy_label="Make…",
            )
        ]
    shape = tuple(int(n) for n in image.shape)
    if len(shape) < ndim:
        return [
            Light(
                name,
                "stop",
                f"the image has {len(shape)} axes, the PSF {ndim}",
                "For a plane, make a PSF of the plane in focus (1 plane); for a stack, choose the "
                "stack.",
                remedy="psf",
                remedy_label="Make…",
            )
        ]
    lights = []
    if ndim == 2 and spacing is not None and len(spacing) == 3 and shape[-3] > 1:
        lights.append(
            Light(
                name,
                "warn",
                "a plane for a stack",
                "The PSF is a plane, so each plane of the stack is restored by itself and light "
                "from above and below stays where it is. Make a PSF with as many planes as needed.",
                remedy="psf",
                remedy_label="Make…",
            )
        )
    larger = [a > b for a, b in zip(array.shape[-ndim:], shape[-ndim:], strict=True)]
    if any(larger):
        lights.append(
            Light(
                name,
                "ok",
                "PSF larger than the image",
                "The part that can connect two of the image's voxels is used.",
            )
        )
    lights.append(_psf_spacing(spacing, psf_spacing, ndim))
    return lights


def _psf_spacing(
    spacing: Sequence[float] | None, psf_spacing: Sequence[float] | None, ndim: int
) -> Light:
    name = "PSF voxels"
    if spacing is None or psf_spacing is None:
        which = "image" if spacing is None else "PSF"
        return Light(
            name,
            "warn",
            f"the {which} has no voxel size",
            f"So the PSF's voxels are taken to be as large as the image's. Set the {which}'s "
            "voxel size to be sure.",
        )
    ours, theirs = list(spacing)[-ndim:], list(psf_spacing)[-ndim:]
    if len(ours) == len(theirs) and np.allclose(ours, theirs, rtol=_SAME, atol=0):
        return Light(name, "ok", "PSF voxels", "The PSF's voxels are as large as the image's.")
    sizes = [" × ".join(f"{size:.3g}" for size in each) for each in (theirs, ours)]
    return Light(
        name,
        "ok",
        "PSF is resampled",
        f"The PSF's voxels ({sizes[0]} µm) differ from the image's ({sizes[1]} µm): it is "
        "resampled. A PSF made for this image is a little more exact.",
    )


def _forecast(
    image: Any,
    psf: Any,
    method: str,
    spacing: Sequence[float] | None,
    psf_spacing: Sequence[float] | None,
    options: Mapping[str, Any],
) -> Light:
    """Tell memory and time."""
    from napari_deconv.engine.job import Job
    from napari_deconv.engine.streaming import is_large

    name = "memory and time"
    given = dict(options)
    if spacing is not None:
        given["spacing"] = spacing
        if psf_spacing is not None:
            given["psf_spacing"] = psf_spacing
    try:
        job = Job(image, method, psf=psf, **given)
        job.to_file = is_large(job)
        expected = job.forecast
    except DeconvolutionError as error:
        return Light("settings", "stop", str(error).split(". ")[0], str(error))
    words, told = forecast_text(expected), _forecast_help(expected)
    if job.to_file:
        words += ", into a file"
        told += " The result is written to a file as it is made: it does not fit into memory."
    return Light(name, "ok", words, told)


def forecast_text(forecast: Forecast) -> str:
    """Return "0.6 GB, about 12 s"."""
    size = forecast.memory_bytes
    memory = f"{size / 1e9:.1f} GB" if size >= 0.95e8 else f"{max(1, size / 1e6):.0f} MB"
    seconds = forecast.seconds
    if seconds < 1:
        time = "under 1 s"
    elif seconds < 90:
        time = f"about {seconds:.0f} s"
    elif seconds < 5400:
        time = f"about {seconds / 60:.0f} min"
    else:
        time = f"about {seconds / 3600:.1f} h"
    return f"{memory}, {time}"


def _forecast_help(forecast: Forecast) -> str:
    each = forecast.seconds_per_iteration
    text = f"{forecast.iterations} iterations of {each:.2g} s each are counted on."
    if forecast.blocks > 1:
        tiles = " × ".join(map(str, forecast.tiles))
        text += f" The work is done in {forecast.blocks} blocks of {tiles} voxels."
    return text


def percent(share: float) -> str:
    """Return a share as people write it."""
    if share < 0.001:
        return f"{100 * share:.1g} %"
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
