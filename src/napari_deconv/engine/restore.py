"""The public function: an image in, a restored image out."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, overload

from napari_deconv.engine.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from napari_deconv.engine.job import Details, Step


@overload
def restore(
    image: Any,
    method: str,
    psf: Any = ...,
    *,
    details: Literal[False] = ...,
    callback: Callable[[Step], object] | None = ...,
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
    **options: Any,
) -> tuple[NDArray[np.float32], Details]: ...
def restore(
    image: Any,
    method: str,
    psf: Any = None,
    *,
    details: bool = False,
    callback: Callable[[Step], object] | None = None,
    **options: Any,
) -> NDArray[np.float32] | tuple[NDArray[np.float32], Details]:
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
        Called with a :class:`~napari_deconv.engine.job.Step` at most twenty times a second; an
        exception that it raises ends the job and goes on to the caller.
    **options
        Parameters of the method and of :class:`~napari_deconv.engine.options.Options`.

    Returns
    -------
    image
        float32, of the input's shape and in its intensity units.
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
    """
    job = Job(image, method, psf, **options)
    for step in job.steps(keep=False):
        if callback is not None:
            callback(step)
    assert job.result is not None
    if details:
        return job.result, job.details
    for words in job.details.warnings:
        warnings.warn(words, stacklevel=2)
    return job.result
