"""Options for commands that may work with several processes or machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_deconv.errors import ParameterError

if TYPE_CHECKING:
    from contextlib import ExitStack

    from napari_deconv.cli.arguments import Parser
    from napari_deconv.engine.cluster import Cluster


def add_distribution(parser: Parser) -> None:
    """Add ``--scheduler`` and ``--workers``."""
    group = parser.add_argument_group("several processes or machines (dask.distributed)")
    group.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="let the workers of this dask scheduler restore the blocks: tcp://HOST:PORT",
    )
    group.add_argument(
        "--workers",
        metavar="N",
        help="start N processes on this machine instead; each has a GPU of its own where there "
        "are several",
    )


def open_cluster(arguments: Any, values: dict[str, Any], stack: ExitStack) -> Cluster | None:
    """Return the workers that were asked for; they are let go of with the stack.

    A block has to fit the smallest worker: where the values tell no memory limit, they get one.

    Raises
    ------
    ParameterError
        When both or no number of workers were given.
    JobError
        When nobody answers.
    """
    if arguments.scheduler is None and arguments.workers is None:
        return None
    if arguments.scheduler is not None and arguments.workers is not None:
        raise ParameterError("Give either --scheduler or --workers, not both.")
    workers = None
    if arguments.workers is not None:
        if not arguments.workers.isdigit() or int(arguments.workers) < 1:
            raise ParameterError(
                f"--workers is {arguments.workers!r}, but has to be a whole number from 1."
            )
        workers = int(arguments.workers)
    from napari_deconv.engine.cluster import Cluster

    cluster = stack.enter_context(Cluster(arguments.scheduler, workers, values.get("threads")))
    values.setdefault("memory_limit", cluster.memory)
    return cluster
