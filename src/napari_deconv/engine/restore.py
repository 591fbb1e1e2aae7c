"""The public function: an image in, a restored image out."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, overload

from napari_deconv.engine.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from os import PathLike

    import numpy as np
    from numpy.typing import NDArray

    from napari_deconv.engine.details import Details, Step


@overload
def restore(
    image: Any,
    method: str,
    psf: Any = ...,
    *,
    details: Literal[False] = ...,
    callback: Callable[[Step], object] | None = ...,
    output: None = ...,
    overwrite: bool = ...,
    **options: Any,
) -> NDArray[np.float32]: ...
@overload
def restore(
    image: Any,
    method: str,
    psf: Any = ...,
    *,
    details: Literal[True],
    callback: Callable[[Step], object] | None = ...,
    output: None = ...,
    overwrite: bool = ...,
    **options: Any,
) -> tuple[NDArray[np.float32], Details]: ...
@overload
def restore(
    image: Any,
    method: str,
    psf: Any = ...,
    *,
    details: bool = ...,
    callback: Callable[[Step], object] | None = ...,
    output: str | PathLike[str],
    overwrite: bool = ...,
    **options: Any,
) -> Any: ...
def restore(
    image: Any,
    method: str,
    psf: Any = None,
    *,
    details: bool = False,
    callback: Callable[[Step], object] | None = None,
    output: str | PathLike[str] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Any:
    """Restore an image.

    Parameters
    ----------
    image
        Array with axes ``..., (Z,) Y, X``, of any real type; numpy, dask, zarr and the like.
    method
        Id of a method, see :func:`napari_deconv.methods`.
    psf
        Point spread function; its origin is at index ``n // 2`` unless ``psf_centre`` says
        otherwise. Its sum does not matter. A list gives every channel its own.
    details
        Return what came out besides, too.
    callback
        Called with a :class:`~napari_deconv.engine.details.Step` at most twenty times a second; an
        exception that it raises ends the job and goes on to the caller.
    output
        A file (``.ome.zarr`` or ``.tif``) that the result is written to block by block as it is
        made, so that neither image nor result has to fit into memory. The same call after one
        that was killed takes up where that was; see
        :func:`~napari_deconv.engine.streaming.stream`, which knows more options.
    overwrite
        Whether ``output`` may be replaced when it exists.
    **options
        Parameters of the method and of :class:`~napari_deconv.engine.options.Options`.

    Returns
    -------
    image
        float32, of the input's shape and in its intensity units. With ``output`` that file's
        pixels, read when they are asked for: index it, or take ``numpy.asarray`` of it.
    details
        Only with ``details=True``.

    Raises
    ------
    InputError
        When image or PSF cannot be used.
    ParameterError
        When the method or a parameter is unknown, or a value does not fit.
    JobError
        When the job does not fit into memory, whatever is tried.
    FileError
        When ``output`` cannot be written, or holds the beginning of another result.
    """
    job = Job(image, method, psf, **options)
    steps: Generator[Step, None, Any]
    if output is None:
        steps = job.steps(keep=False)
    else:
        from napari_deconv.engine.streaming import stream

        steps = stream(job, output, overwrite=overwrite)
    for step in steps:
        if callback is not None:
            callback(step)
    result: Any = job.result
    if output is not None:
        from napari_deconv.io import read_image

        result = read_image(output, lazy=True).data
    if details:
        return result, job.details
    for words in job.details.warnings:
        warnings.warn(words, stacklevel=2)
    return result
