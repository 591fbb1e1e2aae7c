"""The result of a recipe: one file, whichever number of jobs its channels take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.io import check_target, read_image, replacing
from napari_deconv.io.target import remove

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from napari_deconv.engine import Step
    from napari_deconv.engine.streaming import Runner
    from napari_deconv.io import ImageFile
    from napari_deconv.recipes.shares import Share

# Voxels (z, y, x) that are copied at a time, in whole chunks of an OME-Zarr image.
_PIECE = (16, 1024, 1024)


def restore_into(
    path: Path,
    image: ImageFile,
    parts: Sequence[Share],
    record: Mapping[str, Any],
    *,
    overwrite: bool = False,
    runner: Runner | None = None,
) -> Generator[Step, None, list[dict[str, Any]]]:
    """Restore the shares of an image into one file; what was begun before is gone on with.

    Parameters
    ----------
    path
        The file.
    image
        The image.
    parts
        Its shares. Where there are several, each is restored into a file of its own in a folder
        beside the result (``.NAME.channels``), and all are put together in the end.
    record
        What made it: kept in the file's metadata.
    overwrite, runner
        As for :func:`~napari_deconv.engine.streaming.stream`.

    Yields
    ------
    Step
        Where it is.

    Returns
    -------
    list of dict
        What each job has to tell, as :class:`~napari_deconv.engine.Details` has it in provenance.

    Raises
    ------
    DeconvolutionError
        As :func:`~napari_deconv.engine.streaming.stream` does.
    """
    if len(parts) == 1:
        part = parts[0]
        return [(yield from _streamed(path, image, part, record, overwrite, runner))]
    nbytes = 4 * int(np.prod(image.data.shape, dtype=np.int64))
    check_target(path, overwrite=overwrite, inputs=[image.path], nbytes=2 * nbytes)
    folder = path.with_name(f".{path.name}.channels")
    folder.mkdir(exist_ok=True)
    told = []
    for number, part in enumerate(parts):
        file = folder / f"{number}.ome.zarr"
        made = _finished(file, record)
        if made is None:
            made = yield from _streamed(file, image, part, record, True, runner)
        told.append(made)
    yield from _put_together(
        path, image, [folder / f"{n}.ome.zarr" for n in range(len(parts))], {**record, "jobs": told}
    )
    remove(folder)
    return told


def _streamed(
    path: Path,
    image: ImageFile,
    part: Share,
    record: Mapping[str, Any],
    overwrite: bool,
    runner: Runner | None,
) -> Generator[Step, None, dict[str, Any]]:
    from napari_deconv.engine.streaming import stream

    job = part.job(image)
    yield from stream(
        job,
        path,
        axes=image.axes,
        overwrite=overwrite,
        runner=runner,
        spacing=part.options.get("spacing"),
        channels=[image.channels[c] for c in part.channels if c < len(image.channels)],
        time_interval=image.time_interval,
        provenance=record,
        inputs=[image.path],
    )
    return job.details.provenance


def _finished(path: Path, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the job told that has finished this share before; None where there is none."""
    from napari_deconv.engine.streaming import unfinished_blocks

    if not path.exists() or unfinished_blocks(path) is not None:
        return None
    told = read_image(path).provenance
    made: dict[str, Any] | None = told.get("job")
    return made if all(told.get(name) == value for name, value in record.items()) else None


def _put_together(
    path: Path, image: ImageFile, files: Sequence[Path], record: Mapping[str, Any]
) -> Generator[Step, None, None]:
    """Copy channels that lie in a file each into one file."""
    from napari_deconv.engine import Step
    from napari_deconv.engine.plan import cores
    from napari_deconv.io.blockwise import TiffTarget, ZarrTarget
    from napari_deconv.io.ome_zarr import create_ome_zarr
    from napari_deconv.io.tiff import create_tiff

    first = read_image(files[0])
    spatial = image.data.shape[-len(image.spatial_axes) :]
    tile = tuple(map(min, _PIECE[-len(spatial) :], spatial))
    pieces = list(cores(spatial, tile))
    what: dict[str, Any] = {
        "spacing": first.spacing,
        "channels": image.channels,
        "time_interval": image.time_interval,
        "provenance": record,
    }
    shape, dtype = image.data.shape, np.dtype(np.float32)
    with replacing(path) as temporary:
        target: ZarrTarget | TiffTarget
        if path.suffix.lower() == ".zarr":
            name = path.name.removesuffix(".zarr").removesuffix(".ome")
            create_ome_zarr(temporary, shape, dtype, image.axes, tile=tile, name=name, **what)
            target = ZarrTarget(temporary)
        else:
            ome = path.stem.lower().endswith(".ome")
            target = TiffTarget(create_tiff(temporary, shape, dtype, image.axes, ome=ome, **what))
        frames = list(np.ndindex(*shape[: image.axes.index("C")]))
        for number, file in enumerate(files):
            channel = read_image(file).data
            for frame in frames:
                for core in pieces:
                    target.write((*frame, number, *core), channel[(*frame, 0, *core)])
            share = (number + 1) / len(files)
            yield Step("Putting the channels together", number + 1, len(files), share)
        if isinstance(target, ZarrTarget):
            for level, window in target.parts():
                target.halve(level, window)
