"""``napari-deconv run RECIPE IMAGES...``: any number of images, restored by one recipe."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deconv.cli.arguments import Parser
from napari_deconv.cli.common import forecast_words, report, say, size_of
from napari_deconv.cli.distribution import add_distribution, open_cluster
from napari_deconv.cli.progress import Progress, duration
from napari_deconv.cli.shell import warn
from napari_deconv.errors import DeconvolutionError, FileError, JobError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from napari_deconv.engine.cluster import Cluster
    from napari_deconv.recipes import Recipe
    from napari_deconv.recipes.batch import Errand, Report

# What belongs to this machine rather than to the recipe.
_LOCAL = ("device", "threads", "memory_limit")


def run(words: Sequence[str]) -> int:
    """Restore every image; 1 when one of them could not be."""
    parser = _parser()
    arguments, given = parser.parse(words)
    options = {name: parser.parameters[name].check(value) for name, value in given.items()}

    from napari_deconv.recipes import Recipe
    from napari_deconv.recipes.batch import errands, find_images

    recipe = Recipe.load(arguments.recipe)
    work = errands(recipe, find_images(arguments.images), Path(arguments.output))
    if arguments.dry_run:
        return _look(recipe, work, options, overwrite=arguments.overwrite)
    folder = work[0].result.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    reports: list[Report] = []
    with ExitStack() as stack:
        cluster = open_cluster(arguments, options, stack)
        try:
            for each in _restored(recipe, work, options, arguments, cluster):
                reports.append(each)
                if not arguments.quiet:
                    for note in (*each.notes, *each.warnings):
                        warn(f"{Path(each.image).name}: {note}")
        except KeyboardInterrupt:
            _summarise(reports, len(work))
            report("Interrupted. Run the same again to go on from here.")
            return 130
        except JobError:  # of the workers: what is wrong with an image is in its report
            _summarise(reports, len(work))
            raise
    _summarise(reports, len(work))
    return int(any(each.status == "failed" for each in reports))


def _parser() -> Parser:
    from napari_deconv.engine import Options
    from napari_deconv.registry import parameters_of

    parser = Parser(
        "napari-deconv run",
        "RECIPE IMAGE... -o FOLDER ...",
        "Restore images by a recipe, one after the other. An image that cannot be restored is "
        "reported and left out; what is restored already is not restored again.",
        "The Deconvolution dock writes recipes (Save recipe). Beside each result lies a report, "
        "NAME.report.json. Exit status: 0 all restored, 1 some could not be.",
    )
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe's file (.yaml)")
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="images (TIFF or OME-Zarr), folders of images, or patterns such as 'data/t*.tif'",
    )
    parser.add_argument(
        "--alike",
        action="store_true",
        help="find what is automatic, such as the number of iterations, on the first image and "
        "take it for all: for the time points of one series",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FOLDER",
        help="where the results go; for a single image it may be a file: .tif, .ome.tif, .ome.zarr",
    )
    output.add_argument(
        "--overwrite", action="store_true", help="restore again what is there already"
    )
    output.add_argument(
        "--dry-run", action="store_true", help="only tell what would be done, and what it takes"
    )
    output.add_argument("--quiet", action="store_true", help="show no progress and no notes")
    add_distribution(parser)
    known = parameters_of(Options)
    parser.add_parameters(
        "this machine", {name: replace(known[name], advanced=False) for name in _LOCAL}
    )
    return parser


def _restored(
    recipe: Recipe,
    work: Sequence[Errand],
    options: Mapping[str, Any],
    arguments: Any,
    cluster: Cluster | None,
) -> Iterator[Report]:
    """Restore each image; yield its report."""
    rest = work
    if arguments.alike:
        for number, first in enumerate(_one_by_one(recipe, work, options, arguments, cluster), 1):
            rest = work[number:]
            yield first
            if first.jobs:
                recipe = recipe.with_found(first.jobs)
                break
    share = cluster is not None and rest and _keep_busy(rest, cluster)
    share_out = _shared_out if share else _one_by_one
    yield from share_out(recipe, rest, options, arguments, cluster)


def _one_by_one(
    recipe: Recipe,
    work: Sequence[Errand],
    options: Mapping[str, Any],
    arguments: Any,
    cluster: Cluster | None,
) -> Iterator[Report]:
    """Restore one image after the other; the workers share its blocks."""
    from napari_deconv.recipes.batch import restore_one

    progress = Progress()
    for number, errand in enumerate(work, 1):
        if not arguments.quiet:
            report(f"{number} of {len(work)}: {errand.image}")
        try:
            yield restore_one(
                recipe,
                errand,
                options,
                overwrite=arguments.overwrite,
                runner=cluster.runner if cluster is not None else None,
                show=None if arguments.quiet else progress.show,
            )
        finally:
            progress.close()


def _keep_busy(work: Sequence[Errand], cluster: Cluster) -> bool:
    """Whether workers may restore whole images: there are enough, and they see them."""
    folders = {each.image.absolute().parent for each in work}
    return len(work) >= cluster.workers and all(
        cluster.sees(path) for path in (*folders, work[0].result.parent)
    )


def _shared_out(
    recipe: Recipe,
    work: Sequence[Errand],
    options: Mapping[str, Any],
    arguments: Any,
    cluster: Cluster | None,
) -> Iterator[Report]:
    """Let each worker restore whole images; yield the reports as they come."""
    from napari_deconv.recipes.batch import restore_errand

    assert cluster is not None
    count = 0
    there = [each.absolute() for each in work]
    given = (recipe.absolute(), dict(options), arguments.overwrite)
    for done in cluster.each(restore_errand, there, *given):
        if done is not None:
            count += 1
            if not arguments.quiet:
                report(f"{count} of {len(work)}: {done[1].image}")
            yield done[1]


def _summarise(reports: Sequence[Report], total: int) -> None:
    """Print a line for each image, and how many came to what."""
    width = max((len(Path(each.image).name) for each in reports), default=0)
    for each in reports:
        name = Path(each.image).name.ljust(width)
        if each.status == "restored":
            say(f"{name}  restored       {duration(each.seconds):>7}  {each.words}")
        else:
            say(f"{name}  {each.status:<13}           {each.words}")
    counts = Counter(each.status for each in reports)
    parts = [f"{counts[status]} {status}" for status in ("restored", "there already", "failed")]
    if len(reports) < total:
        parts.append(f"{total - len(reports)} not begun")
    say(f"{total} image{'s' * (total != 1)}: {', '.join(p for p in parts if p[0] != '0')}")


def _look(
    recipe: Recipe, work: Sequence[Errand], options: Mapping[str, Any], *, overwrite: bool
) -> int:
    """Print what would be done with each image."""
    from napari_deconv.recipes.batch import is_made, open_image
    from napari_deconv.recipes.shares import shares
    from napari_deconv.registry import methods

    failed, seconds = 0, 0.0
    for errand in work:
        if not overwrite and is_made(recipe, errand):
            say(f"{errand.image}: there already, {errand.result}")
            continue
        try:
            image = open_image(recipe, errand)
            parts = shares(recipe, image, options)
            jobs = [part.job(image) for part in parts]
            forecasts = [job.forecast for job in jobs]
        except DeconvolutionError as error:
            failed += 1
            say(f"{errand.image}: cannot be restored. {' '.join(str(error).split())}")
            continue
        seconds += sum(each.seconds for each in forecasts)
        size = size_of(image.data.shape, parts[0].options.get("spacing"))
        say(f"{errand.image} -> {errand.result}: {size}")
        for part, forecast in zip(parts, forecasts, strict=True):
            which = ""
            if part.region is not None and len(parts) > 1:
                which = f"channel {', '.join(map(str, part.channels))}: "
            say(f"  {which}{methods()[part.method].title}, {forecast_words(forecast)}")
            for note in part.notes:
                say(f"  note: {note}")
    say(f"{len(work)} images, {failed} cannot be restored; about {duration(seconds)} in all")
    return int(failed > 0)
