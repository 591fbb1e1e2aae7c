"""A recipe and an image: which channels are restored together, with which PSFs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.errors import InputError
from napari_deconv.io import read_image
from napari_deconv.io.companions import background_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_deconv.engine import Job
    from napari_deconv.io import ImageFile
    from napari_deconv.recipes.recipe import Recipe, Treatment

# Voxel sizes that differ by less are the same, written down by different programs.
_SAME_SIZE = 5e-3


@dataclass(frozen=True)
class Share:
    """Channels of an image that one job restores.

    Attributes
    ----------
    method, psf, options
        As for :class:`~napari_deconv.engine.Job`.
    channels
        Which, from 0.
    region
        Their place in the image; None where they are all there are.
    notes
        What was taken for granted.
    """

    method: str
    psf: Any
    options: Mapping[str, Any]
    channels: tuple[int, ...]
    region: tuple[slice, ...] | None = None
    notes: tuple[str, ...] = field(default=())

    def job(self, image: ImageFile) -> Job:
        """Return the job.

        Raises
        ------
        InputError, ParameterError
            As :class:`~napari_deconv.engine.Job` does.
        """
        from napari_deconv.engine import Job

        return Job(image.data, self.method, self.psf, region=self.region, **self.options)


def shares(
    recipe: Recipe, image: ImageFile, options: Mapping[str, Any] | None = None
) -> list[Share]:
    """Return what is to be restored of an image, and how.

    Channels that only differ in their PSF are restored together, as one array is by
    :func:`napari_deconv.restore`: what is automatic is then found once for all of them.

    Parameters
    ----------
    recipe
        The recipe.
    image
        The image.
    options
        Parameters that go before the recipe's, such as the device.

    Raises
    ------
    FileError
        When a file that the recipe names cannot be read.
    InputError
        When the recipe does not tell about a channel, or its PSF does not fit the image.
    """
    channels = image.channel_count
    treatments = [_treatment_of(recipe, image, channel) for channel in range(channels)]
    files = {each.background for each in treatments if each.background is not None}
    backgrounds = {file: background_in(read_image(file), image) for file in files}
    single = []
    for channel, treatment in enumerate(treatments):
        given = dict(options or {})
        if treatment.background is not None:
            given["background"] = backgrounds[treatment.background]
        single.append(_share(treatment, image, channel, given))
    first = single[0]
    alike = all(
        each.method == first.method and _same(each.options, first.options) for each in single[1:]
    )
    if alike:
        psfs = [each.psf for each in single]
        psf = first.psf if all(each is first.psf for each in psfs) else psfs
        notes = tuple(dict.fromkeys(words for each in single for words in each.notes))
        return [Share(first.method, psf, first.options, tuple(range(channels)), None, notes)]
    return single


def _treatment_of(recipe: Recipe, image: ImageFile, channel: int) -> Treatment:
    """Return how a channel is treated, after a look whether the recipe and the image agree."""
    if recipe.treatments[0].channel is None:
        return recipe.treatments[0]
    count = image.channel_count
    names = dict(enumerate(image.channel_names))
    for treatment in recipe.treatments:
        told = treatment.channel
        if told not in range(count) and told not in names.values():
            known = ", ".join(f"{c} ({names[c]})" if names.get(c) else str(c) for c in range(count))
            raise InputError(
                f"The recipe has a channel {told!r}, but {image.path} has only: {known}."
            )
    meant = [t for t in recipe.treatments if t.channel in (channel, names.get(channel, channel))]
    called = f"{channel} ({names[channel]})" if names.get(channel) else str(channel)
    if len(meant) != 1:
        how = "no entry" if not meant else "two entries"
        raise InputError(f"The recipe has {how} for channel {called} of {image.path}.")
    return meant[0]


def _share(
    treatment: Treatment, image: ImageFile, channel: int, options: Mapping[str, Any]
) -> Share:
    """Return the share of one channel alone."""
    values = {**treatment.parameters, **options}
    spacing, notes = _spacing(values.get("spacing"), image)
    if spacing is not None:
        values["spacing"] = spacing
    psf = None
    if treatment.psf is not None:
        found, psf_spacing = treatment.psf.load(image, channel, spacing)
        psf_spacing = values.get("psf_spacing") or psf_spacing
        psf = _own(found, image, channel)
        if psf_spacing is not None and spacing is None:
            notes += (f"{image.path} has no voxel size: it is taken to be the PSF's.",)
            values.pop("psf_spacing", None)
        elif psf_spacing is not None:
            values["psf_spacing"] = tuple(psf_spacing)
    region = None
    if "C" in image.axes:
        spatial = len(image.spatial_axes)
        region = (slice(channel, channel + 1), *(slice(0, n) for n in image.data.shape[-spatial:]))
    return Share(treatment.method, psf, values, (channel,), region, notes)


def _spacing(
    asked: tuple[float, ...] | None, image: ImageFile
) -> tuple[tuple[float, ...] | None, tuple[str, ...]]:
    """Return the size of a voxel, and what is to be said of it."""
    if asked is None:
        return image.spacing, ()
    ndim = len(image.spatial_axes)
    if len(asked) not in (1, ndim):
        raise InputError(
            f"The recipe's spacing {tuple(asked)} has {len(asked)} numbers, but {image.path} has "
            f"the axes {image.axes}."
        )
    spacing = tuple(asked) * ndim if len(asked) == 1 else tuple(asked)
    told = image.spacing
    if told is not None and not np.allclose(told, spacing, rtol=_SAME_SIZE, atol=0):
        own, given = (" x ".join(f"{size:.4g}" for size in each) for each in (told, spacing))
        return spacing, (
            f"{image.path} says that its voxels are {own} um; the recipe's {given} um are used.",
        )
    return spacing, ()


def _own(found: list[Any], image: ImageFile, channel: int) -> Any:
    """Return a channel's PSF out of those in a file."""
    if len(found) == 1:
        return found[0]
    count = image.channel_count
    if len(found) != count:
        raise InputError(
            f"The PSF's file has {len(found)} channels, {image.path} has {count}: they have to be "
            "the same, or the PSF has to be one for all."
        )
    return found[channel]


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether options are the same; a background image is compared by where it lies."""
    return one.keys() == other.keys() and all(
        value is other[name] or (not hasattr(value, "shape") and value == other[name])
        for name, value in one.items()
    )
