"""Many images restored by one recipe, one after the other, each with a report of its own."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_deconv.errors import DeconvolutionError, FileError, InputError
from napari_deconv.recipes.recipe import Recipe, stem
from napari_deconv.recipes.result import restore_into
from napari_deconv.recipes.shares import shares

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from napari_deconv.engine import Step
    from napari_deconv.engine.streaming import Runner
    from napari_deconv.io import ImageFile

Status = Literal["restored", "there already", "failed"]
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Errand:
    """An image, and where its result goes."""

    image: Path
    result: Path

    @property
    def report(self) -> Path:
        """Where it is told what came of it."""
        return self.result.with_name(f"{stem(self.result)}.report.json")

    def absolute(self) -> Errand:
        """Return the same for whoever is in another folder."""
        return Errand(self.image.absolute(), self.result.absolute())


@dataclass
class Report:
    """What came of an image.

    Attributes
    ----------
    image, result
        The files.
    status
        How it ended.
    words
        What happened, or why it did not, in plain words.
    seconds
        How long it took.
    notes, warnings
        What was taken for granted, and what should be looked at.
    made_of
        What tells whether the same would be made again: recipe and image.
    jobs
        What was done, job by job, as the result's metadata have it.
    """

    image: str
    result: str
    status: Status
    words: str = ""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    made_of: dict[str, Any] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)


def find_images(words: Iterable[str]) -> list[Path]:
    """Return the images that files, folders and patterns stand for, each once.

    Of a folder, those files are taken whose names say that they are images; numbers in names count
    as numbers, so that t2 comes before t10.

    Raises
    ------
    FileError
        When a folder or pattern stands for no image.
    """
    found: dict[Path, Path] = {}
    for word in words:
        path = Path(word)
        if not path.exists() and _GLOB.search(word):
            images = [Path(each) for each in glob.glob(word, recursive=True)]
            what = f"Nothing is called {word}."
        elif path.is_dir() and path.suffix.lower() != ".zarr":
            images = [each for each in path.iterdir() if _is_image(each)]
            what = f"The folder {word} holds no image (TIFF, OME-Zarr, PNG or JPEG)."
        else:
            images, what = [path], ""
        if not images:
            raise FileError(what)
        for each in sorted(images, key=_natural):
            found.setdefault(each.absolute(), each)
    return list(found.values())


def _is_image(path: Path) -> bool:
    from napari_deconv.io.read import PICTURE_SUFFIXES, TIFF_SUFFIXES, ZARR_SUFFIXES

    known = (*TIFF_SUFFIXES, *ZARR_SUFFIXES, *PICTURE_SUFFIXES)
    return not path.name.startswith(".") and path.suffix.lower() in known


def _natural(path: Path) -> list[Any]:
    parts = re.split(r"(\d+)", str(path))
    return [int(part) if part.isdigit() else part for part in parts]


def errands(recipe: Recipe, images: Sequence[Path], output: Path) -> list[Errand]:
    """Return where each image's result goes.

    Parameters
    ----------
    recipe
        Tells the results' names.
    images
        The images.
    output
        A folder; or, for a single image, a file.

    Raises
    ------
    InputError
        When two results would have the same name.
    FileError
        When the output cannot be a folder.
    """
    from napari_deconv.io.write import SUFFIXES

    if output.suffix.lower() in SUFFIXES:
        if len(images) > 1:
            raise FileError(f"{output} is one file, but there are {len(images)} images: -o FOLDER.")
        return [Errand(images[0], output)]
    if output.exists() and not output.is_dir():
        raise FileError(f"{output} is a file: give a folder, or a name that ends in .ome.tif.")
    made = [Errand(image, output / recipe.output_name(image)) for image in images]
    taken: dict[Path, Path] = {}
    for each in made:
        other = taken.setdefault(each.report, each.image)
        if other is not each.image:
            raise InputError(
                f"{other} and {each.image} would both become {each.result.name}: restore them into "
                "different folders."
            )
    return made


def restore_one(
    recipe: Recipe,
    errand: Errand,
    options: Mapping[str, Any] | None = None,
    *,
    overwrite: bool = False,
    runner: Runner | None = None,
    show: Callable[[Step], object] | None = None,
) -> Report:
    """Restore an image by a recipe, and write the report of it beside the result.

    What is wrong with the image is told in the report, so that others can go on.

    Parameters
    ----------
    recipe
        How.
    errand
        What, and where to.
    options
        Parameters that go before the recipe's, such as the device.
    overwrite
        Replace a result that is there.
    runner
        Restores the blocks, as for :func:`~napari_deconv.engine.streaming.stream`.
    show
        Called with each step.

    Raises
    ------
    WorkersGone
        When there is nobody left to restore anything.
    """
    from napari_deconv.engine.cluster import WorkersGone

    report = Report(str(errand.image), str(errand.result), "failed")
    started = time.perf_counter()
    try:
        report.made_of = _made_of(recipe, errand)
        if not overwrite and is_made(recipe, errand):
            report.jobs = json.loads(errand.report.read_text("utf-8"))["jobs"]
            report.status, report.words = "there already", "was restored before, by this recipe"
            return report
        _restore(recipe, errand, options or {}, report, overwrite, runner, show)
        report.status = "restored"
    except WorkersGone:
        raise
    except DeconvolutionError as error:
        report.words = " ".join(str(error).split())
    except MemoryError:
        report.words = "There is not enough memory for this. Give smaller blocks: --memory-limit."
    except Exception as error:  # one bad image must not keep the others from being restored
        report.words = f"Something went wrong that should not ({type(error).__name__}: {error})."
    report.seconds = round(time.perf_counter() - started, 3)
    if report.status == "restored" or not (_is_whole(errand.result) and errand.report.exists()):
        _write(errand.report, report)
    # Else there is a result that this recipe must not replace: the report is about that one.
    return report


def restore_errand(
    errand: Errand, recipe: Recipe, options: Mapping[str, Any], overwrite: bool
) -> Report:
    """Restore an image as :func:`restore_one` does, in a worker process."""
    return restore_one(recipe, errand, options, overwrite=overwrite)


def _restore(
    recipe: Recipe,
    errand: Errand,
    options: Mapping[str, Any],
    report: Report,
    overwrite: bool,
    runner: Runner | None,
    show: Callable[[Step], object] | None,
) -> None:
    image = open_image(recipe, errand)
    report.notes += image.notes
    parts = shares(recipe, image, options)
    for part in parts:
        report.notes += [words for words in part.notes if words not in report.notes]
    record = {"source": str(errand.image), "made_of": report.made_of}
    making = restore_into(errand.result, image, parts, record, overwrite=overwrite, runner=runner)
    try:
        while True:
            step = next(making)
            if show is not None:
                show(step)
    except StopIteration as end:
        report.jobs = end.value
    for told in report.jobs:
        report.warnings += [words for words in told["warnings"] if words not in report.warnings]
        report.notes += [words for words in told["notes"] if words not in report.notes]
    report.words = "; ".join(dict.fromkeys(_told(each) for each in report.jobs))


def open_image(recipe: Recipe, errand: Errand) -> ImageFile:
    """Return an errand's image.

    Raises
    ------
    FileError
        When it cannot be read.
    """
    from napari_deconv.io import read_image

    return read_image(errand.image, axes=recipe.axes)


def is_made(recipe: Recipe, errand: Errand) -> bool:
    """Whether the result is there, whole, of this recipe and of the image as it is now."""
    if not _is_whole(errand.result):
        return False
    try:
        told = json.loads(errand.report.read_text("utf-8"))
        same: bool = told["made_of"] == _made_of(recipe, errand)
        return same and told["status"] == "restored"
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_whole(result: Path) -> bool:
    from napari_deconv.engine.streaming import unfinished_blocks

    return result.exists() and unfinished_blocks(result) is None


def _made_of(recipe: Recipe, errand: Errand) -> dict[str, Any]:
    """Return what tells a result of this recipe and image from others."""
    entries = [each.record(Path(os.sep)) for each in recipe.treatments]
    named = {f for t in recipe.treatments for f in (t.psf and t.psf.file, t.background) if f}
    files: dict[str, Any] = {}
    for file in (errand.image, *sorted(named)):
        files[str(file.absolute())] = _folder(file) if file.is_dir() else _file(file)
    made: dict[str, Any] = json.loads(
        json.dumps({"axes": recipe.axes, "recipe": entries, "files": files})
    )
    return made


def _file(path: Path) -> list[int]:
    try:
        told = path.stat()
    except OSError:
        return []
    return [told.st_size, told.st_mtime_ns]


def _folder(path: Path) -> str:
    """Return a digest of an OME-Zarr folder's metadata: those of its chunks would take long."""
    told = hashlib.sha256()
    for each in sorted(path.rglob("*.json")) + sorted(path.rglob(".z*")):
        stat = each.stat()
        told.update(f"{each.relative_to(path)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return told.hexdigest()


def _told(job: Mapping[str, Any]) -> str:
    """Return what a job did, in a few words."""
    from napari_deconv.registry import methods

    method = methods()[job["method"]]
    if not method.iterative:
        return method.title
    return f"{method.title}, {job['iterations']} iterations ({job['stopped_because']})"


def _write(path: Path, report: Report) -> None:
    from napari_deconv.io import replacing

    text = json.dumps(asdict(report), indent=2, ensure_ascii=False, default=str)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
