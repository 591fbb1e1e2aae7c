"""Several settings side by side on a small region, to choose by eye."""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.arrays import as_image
from napari_deconv.assessment.noise import Noise
from napari_deconv.engine.job import Job
from napari_deconv.engine.kernels import psfs_of
from napari_deconv.engine.options import OF_ITERATIONS, parameters_for
from napari_deconv.engine.settings import Setting, multiplied
from napari_deconv.engine.stopping import HeldOutPhotons, split_photons
from napari_deconv.errors import DeconvolutionError, InputError, ParameterError
from napari_deconv.optics.variant import VariantPsf
from napari_deconv.registry import check_parameters, find, methods

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_deconv.engine.details import Step

# How far around the region the image is seen, in sizes of the PSF. A wide PSF brings light from
# farther away, but to see all of it takes ten times as long, and it tells settings apart no better.
_SEEN = 0.125


@dataclass(frozen=True)
class SweepResult:
    """What one setting made of the region.

    Attributes
    ----------
    index, setting
        The setting, and its place among all.
    options
        What to give to :func:`napari_deconv.restore` for the same; factors have become numbers.
    parameters
        Every parameter as it was used, what was automatic included.
    thumbnail
        One plane of the result, axes Y, X; None when there is none.
    seconds
        How long it took.
    score
        How much it explains of a tenth of the photons, which the same setting was not shown, in
        photons squared per voxel; the higher, the better. None when it was not measured.
    error
        Why there is no result, in plain words; empty when there is one.
    """

    index: int
    setting: Setting
    options: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    thumbnail: NDArray[np.float32] | None = None
    seconds: float = 0.0
    score: float | None = None
    error: str = ""


@dataclass(frozen=True)
class SweepStep:
    """Where a sweep is.

    Attributes
    ----------
    done, total
        Settings that are finished, and how many there are.
    index
        Place of the setting that is being tried; that of ``result`` when there is one.
    step
        Where its job is.
    result
        What came out, when one is finished.
    """

    done: int
    total: int
    index: int
    step: Step | None = None
    result: SweepResult | None = None


class Sweep:
    """Tries settings on a region, one after the other.

    Iterate over it for the results, or over :meth:`steps` to be able to cancel within a setting.
    A setting that fails is a result with an error; the others go on. Of a series the middle frame
    of the region is taken. Of what lies around the region only an eighth of the PSF's size is seen,
    which makes it quick; so a result differs a little, along its edge, from that of the whole.

    Parameters
    ----------
    image, psf
        As for :class:`~napari_deconv.engine.Job`.
    settings
        What to try.
    region
        Slices on the image's last axes; all of the image when not given.
    plane
        Index within the region of the plane that is shown of a stack; its middle when not given.
    judge
        Whether to measure how well each setting predicts photons that it was not shown, which
        takes as long again.
    **common
        Options of all settings, such as ``spacing``; a setting's own go before.

    Raises
    ------
    InputError
        When there is nothing to try, or the region holds no voxel.
    ParameterError
        When a method or a parameter is unknown, or a value does not fit.
    """

    def __init__(
        self,
        image: Any,
        psf: Any,
        settings: Sequence[Setting],
        *,
        region: Sequence[slice] | None = None,
        plane: int | None = None,
        judge: bool = True,
        **common: Any,
    ) -> None:
        if not settings:
            raise InputError("There is no setting to try.")
        for setting in settings:
            _check(setting, common)
        self.settings = tuple(settings)
        self._plane, self._judge = plane, judge
        frame, self._psf, around, self._region = _place(image, psf, region, common)
        self._image = as_image(image[(*frame, *around)])
        self._common = dict(common)
        if hasattr(common.get("background"), "shape"):
            self._common["background"] = as_image(common["background"][(*frame, *around)])
        self._found: dict[str, SweepResult] = {}
        self._split: tuple[NDArray[np.float32], NDArray[np.float32], Noise] | None = None

    def __iter__(self) -> Iterator[SweepResult]:
        """Yield what each setting made of the region."""
        for step in self.steps():
            if step.result is not None:
                yield step.result

    def steps(self) -> Generator[SweepStep, None, None]:
        """Try all settings; yields at most twenty times a second, and each result.

        What factors refer to comes first. Closing the generator cancels within one step of a
        method.
        """
        total = len(self.settings)
        order = sorted(range(total), key=lambda i: bool(self.settings[i].times))
        for done, index in enumerate(order):
            trial = self._try(index, self.settings[index])
            with closing(trial):
                while True:
                    try:
                        step = next(trial)
                    except StopIteration as end:
                        result: SweepResult = end.value
                        break
                    yield SweepStep(done, total, index, step)
            yield SweepStep(done + 1, total, index, result=result)

    def _try(self, index: int, setting: Setting) -> Generator[Step, None, SweepResult]:
        started = time.perf_counter()
        failed = SweepResult(index, setting)
        try:
            if not setting.times:
                return (yield from self._restore(index, setting, setting.options))
            automatic = setting.automatic
            key = _key(automatic)
            if key not in self._found:
                yield from self._restore(index, automatic, automatic.options)
            options = multiplied(setting, self._found[key].parameters)
            return (yield from self._restore(index, setting, options))
        except DeconvolutionError as error:
            failed = replace(failed, error=str(error))
        except Exception as error:  # one broken setting must not take the others with it
            failed = replace(failed, error=f"{type(error).__name__}: {error}")
        return replace(failed, seconds=time.perf_counter() - started)

    def _restore(
        self, index: int, setting: Setting, options: Mapping[str, Any]
    ) -> Generator[Step, None, SweepResult]:
        """Restore the region, and once more without the photons that judge the result."""
        given = _fitting(setting.method, self._common) | dict(options)
        job = Job(self._image, setting.method, self._psf, region=self._region, **given)
        yield from _steps(job)
        assert job.result is not None
        used = job.details.parameters
        score = None
        if self._judge and job.details.blocks == 1:
            own = [name for name in methods()[setting.method].parameters if name in used]
            fixed = given | {name: used[name] for name in own if name not in ("gain", "read_noise")}
            score = yield from self._score(job, setting.method, fixed)
        result = SweepResult(
            index,
            setting,
            dict(options),
            used,
            self._shown(job.result),
            job.details.seconds,
            score,
        )
        if not setting.times:
            self._found[_key(setting)] = result
        return result

    def _score(
        self, job: Job, method: str, options: Mapping[str, Any]
    ) -> Generator[Step, None, float | None]:
        """Restore most photons with the same numbers; return how much of the rest is explained."""
        if self._split is None:
            details = job.details
            noise = Noise(details.gain, details.offset, details.read_noise)
            kept, held_out = split_photons(self._image, noise, int(options.get("seed", 0)))
            self._split = kept.clip(min=min(0.0, float(self._image.min()))), held_out, noise
        kept, held_out, noise = self._split
        again = Job(kept, method, self._psf, region=self._region, **options)
        yield from _steps(again)
        return _explained(again, held_out[self._region], noise)

    def _shown(self, result: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the plane of a result that is shown."""
        if result.ndim == 3:
            plane = len(result) // 2 if self._plane is None else self._plane
            result = result[min(max(plane, 0), len(result) - 1)]
        return result.copy()


def best_of(results: Iterable[SweepResult]) -> SweepResult | None:
    """Return the result that explains most of the photons that it was not shown."""
    judged = [each for each in results if each.score is not None and math.isfinite(each.score)]
    return max(judged, key=lambda each: each.score or 0.0, default=None)


def _fitting(method: str, common: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a method takes; a direct filter has no iterations to be told."""
    entry = methods()[method]
    left_out = () if entry.iterative else OF_ITERATIONS
    return {name: value for name, value in common.items() if name not in left_out}


def _check(setting: Setting, common: Mapping[str, Any]) -> None:
    """Check a setting's names and values before anything is tried."""
    entry = find(methods(), setting.method, "method")
    known = parameters_for(entry)
    values = _fitting(setting.method, common) | dict(setting.options)
    if hasattr(values.get("background"), "shape"):
        del values["background"]
    check_parameters(setting.method, known, values)
    for name in setting.times:
        if name not in known or known[name].kind not in (int, float):
            raise ParameterError(f"{setting.method} has no number {name!r} to be multiplied.")


def _place(
    image: Any, psf: Any, region: Sequence[slice] | None, common: Mapping[str, Any]
) -> tuple[tuple[int, ...], Any, tuple[slice, ...], tuple[slice, ...]]:
    """Return frame, its PSF, the slices to read, and where in them the region lies.

    What lies beyond counts as unknown, as beyond the borders of a whole image.
    """
    psfs, index = psfs_of(psf, image)
    ndim = psfs[0].ndim if psfs else min(np.ndim(image), 3)
    shape = tuple(int(n) for n in np.shape(image))
    given = (slice(None),) * (len(shape) - len(region or ())) + tuple(region or ())
    ranges = [range(*s.indices(n)[:2]) for s, n in zip(given, shape, strict=True)]
    if not all(ranges):
        raise InputError(f"The region {region} holds no voxel of the image {shape}.")
    frame = tuple(r[len(r) // 2] for r in ranges[: len(shape) - ndim])
    own = psfs[index(frame)] if psfs else None
    ratios = np.ones(ndim)
    if common.get("spacing") is not None and common.get("psf_spacing") is not None:
        ratios = np.array(common["psf_spacing"][-ndim:]) / np.array(common["spacing"][-ndim:])
    support = [0] * ndim
    if own is not None:
        support = list((own.mean if isinstance(own, VariantPsf) else own).shape)
    around, inside = [], []
    for axis, each in enumerate(ranges[len(shape) - ndim :]):
        margin = math.ceil(_SEEN * support[axis] * ratios[axis])
        start = max(0, each.start - margin)
        around.append(slice(start, min(shape[axis - ndim], each.stop + margin)))
        inside.append(slice(each.start - start, each.stop - start))
    if isinstance(own, VariantPsf):
        own = own.part([a.start for a in around], [a.stop - a.start for a in around])
    return frame, own, tuple(around), tuple(inside)


def _steps(job: Job) -> Iterator[Step]:
    steps = job.steps()
    with closing(steps):
        yield from steps


def _explained(job: Job, held_out: NDArray[np.float32], noise: Noise) -> float | None:
    """Return how much of its region's photons a finished job's estimate explains."""
    piece = job._piece
    if piece is None or piece.run.estimate is None:
        return None
    run, inner = piece.run, piece.inner
    assert run.estimate is not None
    prediction = run.blur(run.estimate, borrow=True)[inner]
    floor = run.floor[inner] if run.floor.ndim else run.floor
    # What was subtracted from the image beforehand belongs to what is predicted for it.
    gone = job.details.offset - run.noise.offset
    photons = run.on_device(np.ascontiguousarray(held_out))
    return HeldOutPhotons(photons, run.blur, noise).explained(prediction, floor + gone)


def _key(setting: Setting) -> str:
    return repr((setting.method, sorted(setting.options.items())))
