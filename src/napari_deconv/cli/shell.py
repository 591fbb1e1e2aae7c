"""From the shell's words to a command, and from every error to one plain line."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_deconv.errors import DeconvolutionError, JobError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Each is a module of this package with run(words); only the one that is asked for is imported.
COMMANDS = {
    "methods": "list the restoration methods",
    "psf": "make a point spread function from the numbers of a microscope",
    "beads": "average beads to a measured point spread function",
    "restore": "restore an image: napari-deconv restore METHOD IMAGE --psf PSF -o RESULT",
    "run": "restore any number of images by a recipe: napari-deconv run RECIPE IMAGES -o FOLDER",
    "background": "remove the background of an image",
    "simulate": "make the image a microscope would take of an object",
    "assess": "measure the quality of a result",
    "train": "train a network on what your microscope does: napari-deconv train lucyd",
    "demo": "a built-in sample from blurred to restored",
}

_HELP = """\
usage: napari-deconv COMMAND ...

Deconvolution for microscopists. TIFF and OME-Zarr in and out; lengths in micrometres.

commands:
{commands}

  napari-deconv COMMAND --help          shows a command's options
  napari-deconv restore METHOD --help   shows a method's options

options:
  --version   show the version
  --debug     show where an error comes from (may stand anywhere)

exit status: 0 done, 1 the job failed, 2 the input or an option cannot be used, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv
        The words after ``napari-deconv``; those of the process by default.

    Returns
    -------
    int
        The exit status: 0, 1 (the job failed), 2 (bad input) or 130 (interrupted).
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        with _plain_warnings(show_all=debug), _terminated_like_interrupted():
            return _dispatch(words)
    except SystemExit as done:  # argparse has shown the help
        return int(done.code or 0)
    except KeyboardInterrupt:
        return _fail("Interrupted; nothing was written.", 130)
    except BrokenPipeError:  # of "| head"; what is left in the buffer must not complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        if isinstance(error, DeconvolutionError):
            return _fail(str(error), 1 if isinstance(error, JobError) else 2)
        if isinstance(error, MemoryError):
            return _fail("There is not enough memory for this. Try --tiles auto.", 1)
        return _fail(
            f"Something went wrong that should not ({type(error).__name__}: {error}). "
            "Run again with --debug and report what it shows.",
            1,
        )


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        listing = "\n".join(f"  {name:<11} {what}" for name, what in COMMANDS.items())
        print(_HELP.format(commands=listing), end="")
        return 0
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"napari-deconv {version('napari-deconv')}")
        return 0
    if words[0] not in COMMANDS:
        from napari_deconv.cli.arguments import suggest

        raise ParameterError(
            f"There is no command {words[0]!r}.{suggest(words[0], COMMANDS)} "
            f"Known: {', '.join(COMMANDS)}."
        )
    command: Any = import_module(f"napari_deconv.cli.{words[0]}")
    status: int = command.run(words[1:])
    return status


def _fail(message: str, status: int) -> int:
    one_line = " ".join(message.split())
    print(f"napari-deconv: {one_line}", file=sys.stderr)
    return status


@contextmanager
def _plain_warnings(*, show_all: bool) -> Iterator[None]:
    """Show this package's warnings as plain lines, and those of others only for debugging."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        warn(str(message))

    with warnings.catch_warnings():
        if not show_all:
            warnings.simplefilter("ignore")
            warnings.filterwarnings("always", category=UserWarning, module="napari_deconv")
            warnings.showwarning = show
        yield


def warn(message: str) -> None:
    """Show one warning on stderr."""
    print(f"napari-deconv: note: {message}", file=sys.stderr)


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let a batch system's SIGTERM clean up as Ctrl-C does."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    try:
        former = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread: somebody else's process, somebody else's signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
